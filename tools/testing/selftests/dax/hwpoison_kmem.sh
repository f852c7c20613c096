#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory failure of an instance that is System RAM: the signals that its processes get, how the rest
# is hot-removed nevertheless, and the state after the instance was bound again.
# machines: hmem
# limit: 240
# splat: due to hardware memory corruption
. ./lib.sh

INJECT=/sys/kernel/debug/hwpoison
modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
on_exit "rmmod hwpoison_inject"
dynamic_region
new_device $((4 * $(block_size)))
use_device "$DEV"
node=$(cat "$SYS/target_node")
policy=$MEM/auto_online_blocks
was=$(cat $policy)
on_exit "echo $was >$policy"
on_exit "echo unplugged >$SYS/state; echo $DEV >$KMEM/unbind" 2>/dev/null
echo online_movable >$policy
is "the device becomes System RAM" "$(result $KMEM/bind "$DEV")" ok
first=$(($(cat "$SYS/resource")))

hex() { printf '%#x' $(($1)); }
# one NAME: start a process with 16 MiB of anonymous memory on the node
one()
{
	session "$1" numactl --membind="$node" daxtest
	ask "$1" mmap m anon 16M 0 rw private >/dev/null
	ask "$1" fill m 0 16M 3 4K >/dev/null
}
# ours PHYS: true if the address belongs to the device
ours() { [ $(($1)) -ge $first ] && [ $(($1)) -lt $((first + SIZE)) ]; }
# marked PHYS: print 1 if mm has marked the page as failed
marked()
{
	local flags
	flags=$(dd if=/proc/kpageflags bs=8 skip=$(($1 >> 12)) count=1 2>/dev/null | od -An -td8)
	[ -n "$flags" ] && echo $((flags >> 19 & 1)) || echo none
}
failed_kb() { awk '/^HardwareCorrupted:/ { print $2 }' /proc/meminfo; }
lost() { echo "SIGBUS MCEERR_AR at $(hex "$1") size 0x1000"; }
bad=$((5 << 20)) next=$(((5 << 20) + 4096))
whole() { ask "$1" verify m 0 $bad 3 4K; ask "$1" verify m $next $(((16 << 20) - next)) 3 4K; }

# No failed page of tmpfs is hot-removed here, see upstream-bugs/tmpfs-offline.

# ---- the process that has it mapped ----

before=$(failed_kb)
one a
one b
phys=$(ask a phys m $bad)
check "a process uses memory of the device" ours "$phys"
log_mark
is "a failure raises SIGBUS for one page" "$(ask a madvise m $bad 4K hwpoison)" "$(lost $bad)"
log_has "the log says which page" "$(hex "phys >> 12"): recovery action for dirty .*LRU page: Recovered"
is "a second access raises SIGBUS" "$(ask a read m $bad)" "$(lost $bad)"
is "an access by a child raises SIGBUS" "$(ask a child read m $bad)" "$(lost $bad)"
is "an access by the kernel fails" "$(ask a procread m $bad)" EIO
is "the rest of its memory is intact" "$(whole a)" $'ok\nok'
is "the memory of another process is intact" "$(ask b verify m 0 16M 3 4K)" ok
is "HardwareCorrupted counts the page" $(($(failed_kb) - before)) 4
is "mm has marked the page" "$(marked "$phys")" 1

# ---- a failure that another process injects ----

elsewhere=$(ask b phys m 8M)
is "a failure is injected" "$(result $INJECT/corrupt-pfn "$(hex "elsewhere >> 12")")" ok
is "the process that has the page gets SIGBUS when it touches it" "$(ask b read m 8M)" "$(lost $((8 << 20)))"
free=$(hex "first + SIZE - 4096")
is "a failure of free memory is injected" "$(result $INJECT/corrupt-pfn "$(hex "free >> 12")") $(marked "$free")" "ok 1"
from=$(ask b phys m 12M)
is "soft offline of a page succeeds" "$(ask b madvise m 12M 4K soft_offline)" ok
check "it moves the contents of the page" test "$from" != "$(ask b phys m 12M)"
is "it removes the page from use" "$(ask b verify m 12M 4K 3 4K) $(marked "$from")" "ok 1"
is "HardwareCorrupted counts all four pages" $(($(failed_kb) - before)) 16

# ---- hot-remove ----

leave b
is "all of the memory can be unplugged, with failed pages and while in use" "$(memory_state unplugged)" ok
is "none of the memory is System RAM" "$(its_memory)" ""
is "HardwareCorrupted no longer counts its pages" $(($(failed_kb) - before)) 0
is "the contents have moved to other memory" "$(whole a)" $'ok\nok'
is "the failed page is lost" "$(ask a read m $bad)" "$(lost $bad)"
leave a

# ---- hot-add again ----

# The marks were in the struct pages, which were removed with the memory.
is "the memory can be System RAM again" "$(memory_state online_movable)" ok
is "its pages have no marks" "$(marked "$phys") $(marked "$elsewhere") $(marked "$free")" "0 0 0"
one c
is "a process uses it" "$(ask c verify m 0 16M 3 4K)" ok
phys=$(ask c phys m $bad)
is "another failure is injected" "$(ask c madvise m $bad 4K hwpoison)" "$(lost $bad)"
leave c
is "the memory is unplugged again" "$(memory_state unplugged)" ok
is "kmem is unbound" "$(result $KMEM/unbind "$DEV")" ok
check "device_dax is bound" bind_to_device
dax "all of the memory can be mapped" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	read m $((phys - first))	= *([0-9])
	fill m 0 $SIZE 4 1M	= ok
	verify m 0 $SIZE 4 1M	= ok
DAX
unbind
done_testing
