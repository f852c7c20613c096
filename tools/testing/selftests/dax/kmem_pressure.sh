#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The memory of a device as System RAM, under what mm does with the memory of a node: weighted interleave, huge
# pages of hugetlbfs, KSM, memory limits with swap and zswap, offlining under each of them, and OOM.
# machines: nvdimm hmem
# needs: numactl mkswap
# limit: 240
# splat: page allocation failure|invoked oom-killer|Call Trace|Modules linked in
. ./lib.sh

any_device 1G
on=$(cat "$SYS/target_node")
check "daxctl makes the device System RAM" daxctl reconfigure-device -m system-ram "$DEV"
on_exit "daxctl reconfigure-device -m devdax --force $DEV >/dev/null 2>&1"
node=/sys/devices/system/node/node$on
blocks=$(daxctl list -d "$DEV" | jq '.[0].total_memblocks')

offline() { daxctl offline-memory "$DEV"; }
online() { daxctl online-memory "$DEV"; }
# user DESCRIPTION NAME SIZE OPTION...: start a session, under numactl with these options, that fills so much memory
user()
{
	local what=$1 name=$2 size=$3
	shift 3
	session "$name" numactl "$@" daxtest
	ask "$name" mmap m anon "$size" 0 rw private >/dev/null
	is "$what" "$(ask "$name" fill m 0 "$size" 7 4K)" ok
}

# ---- weighted interleave ----

weights=/sys/kernel/mm/mempolicy/weighted_interleave
if [ -w $weights/node0 ]; then
	before=$(cat $weights/node0 $weights/node$on | xargs)
	echo 3 >$weights/node0
	echo 1 >$weights/node$on
	user "a program interleaves 64 MiB, three pages to one" w 64M --weighted-interleave="0,$on"
	share=$(pages w "$on")
	check "a quarter of it is in the memory of the device: $share of $((64 << 8)) pages" \
		test "$share" -gt $((15 << 8)) -a "$share" -lt $((17 << 8))
	is "it reads what it wrote" "$(ask w verify m 0 64M 7 4K)" ok
	leave w
	read -r a b <<<"$before"
	echo "$a" >$weights/node0
	echo "$b" >$weights/node$on
else
	skip "weighted interleave" "the kernel has none"
fi

# ---- huge pages of hugetlbfs ----

pool=$node/hugepages/hugepages-2048kB/nr_hugepages
echo 16 >"$pool"
is "the node gives 16 huge pages" "$(cat "$pool")" 16
session h numactl --membind="$on" daxtest
is "a program maps 16 MiB of them" "$(ask h mmap m anon 16M 0 rw private hugetlb)" ok
is "it fills them" "$(ask h fill m 0 16M 8 4K)" ok
start=$(($(cat "$SYS/resource"))) phys=$(ask h phys m 0)
check "they are in the memory of the device" test $((phys)) -ge $start -a $((phys)) -lt $((start + SIZE))
check "daxctl takes the memory offline under it" offline
is "no huge page is left on the node" "$(cat "$pool" 2>/dev/null || echo 0)" 0
is "the program reads what it wrote, elsewhere" "$(ask h verify m 0 16M 8 4K)" ok
phys=$(ask h phys m 0)
check "at $phys" test $((phys)) -lt $start -o $((phys)) -ge $((start + SIZE))
leave h
echo 0 >/proc/sys/vm/nr_hugepages
is "no huge page is left at all" "$(cat /proc/sys/vm/nr_hugepages)" 0
check "the memory comes back" online

# ---- KSM ----

ksm=/sys/kernel/mm/ksm
before=$(cat $ksm/run $ksm/pages_to_scan $ksm/sleep_millisecs | xargs)
on_exit "echo 2 >$ksm/run; echo ${before%% *} >$ksm/run"
echo 20000 >$ksm/pages_to_scan
echo 10 >$ksm/sleep_millisecs
for name in k l; do
	user "program $name has 16 MiB on the node" $name 16M --membind="$on"
	is "it may be merged" "$(ask $name madvise m 0 16M mergeable)" ok
done
echo 1 >$ksm/run
check "KSM merges the equal pages of both" within 60 \
	bash -c "until [ \$(cat $ksm/pages_sharing) -ge $((15 << 8)) ]; do sleep 0.2; done"
check "daxctl takes the memory offline under merged pages" offline
is "both read what they wrote" "$(ask k verify m 0 16M 7 4K) $(ask l verify m 0 16M 7 4K)" "ok ok"
check "the memory comes back" online
is "one of them writes: it gets pages of its own" "$(ask k fill m 0 16M 9 4K) $(ask k verify m 0 16M 9 4K)" "ok ok"
is "the other one has what it wrote" "$(ask l verify m 0 16M 7 4K)" ok
leave k
leave l
echo 2 >$ksm/run
read -r _ a b <<<"$before"
echo "$a" >$ksm/pages_to_scan
echo "$b" >$ksm/sleep_millisecs
is "nothing is merged any more" "$(cat $ksm/pages_shared)" 0

# ---- a memory limit, swap and zswap ----

group=/sys/fs/cgroup/dax-test
mountpoint -q /sys/fs/cgroup || { mount -t cgroup2 none /sys/fs/cgroup; on_exit "umount /sys/fs/cgroup"; }
echo +memory >/sys/fs/cgroup/cgroup.subtree_control || bail_out "the kernel has no memory cgroups"
mkdir $group
on_exit "rmdir $group"
# Not in /tmp, which has no file system for it.
swap=/var/tmp/dax-swap.$$
dd if=/dev/zero of=$swap bs=1M count=96 2>/dev/null
chmod 600 $swap
mkswap $swap >/dev/null
check "there is a swap file" swapon $swap
on_exit "swapoff $swap 2>/dev/null; rm -f $swap"
zswap=/sys/module/zswap/parameters/enabled
for with in N Y; do
	was=$(cat $zswap 2>/dev/null) || { skip "zswap" "the kernel has none"; break; }
	echo max >$group/memory.high
	echo 24M >$group/memory.max
	name=s$with what=$([ $with = Y ] && echo zswap || echo swap)
	echo $with >$zswap
	# Not --membind: while the node has no memory, the kernel would kill a program that may have no other.
	session $name numactl --preferred="$on" bash -c "echo \$BASHPID >$group/cgroup.procs && exec daxtest"
	ask $name mmap m anon 64M 0 rw private >/dev/null
	is "$what: a program on the node with a limit of 24 MiB fills 64 MiB" "$(ask $name fill m 0 64M 5 4K)" ok
	check "$what: its memory there is within the limit: $(pages $name "$on") pages" \
		test "$(pages $name "$on")" -le $((24 << 8)) -a "$(pages $name "$on")" -gt 0
	check "$what: the rest is swapped: $(cat $group/memory.swap.current)" \
		test "$(cat $group/memory.swap.current)" -ge $((36 << 20))
	[ $with = N ] || check "zswap: compressed: $(awk '$1 == "zswapped" { print $2 }' $group/memory.stat)" \
		test "$(awk '$1 == "zswapped" { print $2 }' $group/memory.stat)" -ge $((8 << 20))
	# None of the pages that offlining is about to move can be reclaimed, and a hard limit could kill the program.
	echo 24M >$group/memory.high
	echo max >$group/memory.max
	tell $name verify m 0 64M 5 4K
	check "$what: daxctl takes the memory offline while it is swapped in" offline
	is "$what: the program reads what it wrote" "$(answer $name)" ok
	check "$what: the memory comes back" online
	leave $name
	echo "$was" >$zswap
done
is "the limit killed nobody" "$(awk '$1 == "oom_kill" { print $2 }' $group/memory.events)" 0

# ---- a cpuset ----

if grep -qw cpuset /sys/fs/cgroup/cgroup.controllers; then
	echo +cpuset >/sys/fs/cgroup/cgroup.subtree_control
	echo max >$group/memory.high
	echo "$on" >$group/cpuset.mems
	(
		echo $BASHPID >$group/cgroup.procs
		# shellcheck disable=SC2005
		echo "$(echo text)" >"$TMP/piped"
	) 2>"$TMP/error"
	# The buffer of a pipe cannot be moved, and this memory is for what can be.
	is "in a cpuset with this node only, a program cannot write to a pipe: $(xargs <"$TMP/error")" \
		"$(cat "$TMP/piped") $(grep -c 'Cannot allocate memory' "$TMP/error")" " 1"
	echo 0 >$group/cpuset.mems
else
	skip "a cpuset" "the kernel has none"
fi

# ---- OOM ----

swapoff $swap
user "a bystander has 192 MiB elsewhere" by 192M --membind=0
user "a program has 32 MiB on the node" small 32M --membind="$on"
log_mark
session big numactl --membind="$on" daxtest
ask big mmap m anon 2G 0 rw private >/dev/null
is "a program wants more than the node has: it is killed" "$(ask big fill m 0 2G 7 4K)" "no answer"
wait "${pid_of[big]}"
is "by SIGKILL" $? $((128 + 9))
log_has "the log says that its policy was the reason" "oom-kill:constraint=CONSTRAINT_MEMORY_POLICY,.*pid=${pid_of[big]},"
is "the others go on" "$(ask by verify m 0 192M 7 4K) $(ask small verify m 0 32M 7 4K)" "ok ok"
leave big
leave by
check "the program on the node keeps its memory there" test "$(pages small "$on")" -ge $((31 << 8))
leave small

is "all blocks are still online" "$(daxctl list -d "$DEV" | jq '.[0].online_memblocks')" "$blocks"
check "daxctl makes it a device again" daxctl reconfigure-device -f -m devdax "$DEV"
dax "the device can be mapped" <<-DAX
	open f $NODE		= ok
	mmap m f 64M 0		= ok
	fill m 0 64M 9 4K	= ok
	verify m 0 64M 9 4K	= ok
DAX
done_testing
