#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory of a device that is System RAM fails: what its processes see, that the rest can be taken
# away nevertheless, and what is left of it when the device has the memory again.
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
# one NAME: a process that has 16 MiB of its own in the memory
one()
{
	session "$1" numactl --membind="$node"
	ask "$1" mmap m anon 16M 0 rw private >/dev/null
	ask "$1" fill m 0 16M 3 4K >/dev/null
}
# ours PHYS: whether that is an address of the device
ours() { [ $(($1)) -ge $first ] && [ $(($1)) -lt $((first + SIZE)) ]; }
# marked PHYS: whether mm keeps the page for failed
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

# ---- who has it mapped ----

before=$(failed_kb)
one a
one b
phys=$(ask a phys m $bad)
check "a process has memory of the device" ours "$phys"
log_mark
is "what fails raises SIGBUS, one page of it" "$(ask a madvise m $bad 4K hwpoison)" "$(lost $bad)"
log_has "the log says which page" "$(hex "phys >> 12"): recovery action for dirty .*LRU page: Recovered"
is "who touches it again gets SIGBUS" "$(ask a read m $bad)" "$(lost $bad)"
is "and a child" "$(ask a child read m $bad)" "$(lost $bad)"
is "what the kernel does for the process fails" "$(ask a procread m $bad)" EIO
is "the rest of its memory is there" "$(whole a)" $'ok\nok'
is "so is all of another process" "$(ask b verify m 0 16M 3 4K)" ok
is "it is counted" $(($(failed_kb) - before)) 4
is "mm keeps it from others" "$(marked "$phys")" 1

# ---- from elsewhere ----

elsewhere=$(ask b phys m 8M)
is "a failure is injected" "$(result $INJECT/corrupt-pfn "$(hex "elsewhere >> 12")")" ok
is "its process gets SIGBUS when it touches it" "$(ask b read m 8M)" "$(lost $((8 << 20)))"
free=$(hex "first + SIZE - 4096")
is "a failure of memory that is free" "$(result $INJECT/corrupt-pfn "$(hex "free >> 12")") $(marked "$free")" "ok 1"
from=$(ask b phys m 12M)
is "soft offline" "$(ask b madvise m 12M 4K soft_offline)" ok
check "moves what is in the page" test "$from" != "$(ask b phys m 12M)"
is "and takes the page away" "$(ask b verify m 12M 4K 3 4K) $(marked "$from")" "ok 1"
is "all is counted" $(($(failed_kb) - before)) 16

# ---- the memory is taken away ----

leave b
is "with failed memory in it and in use, all of it can be unplugged" "$(memory_state unplugged)" ok
is "nothing of it is System RAM" "$(its_memory)" ""
is "what failed with it is not counted any more" $(($(failed_kb) - before)) 0
is "what was in it is elsewhere" "$(whole a)" $'ok\nok'
is "but for what was lost" "$(ask a read m $bad)" "$(lost $bad)"
leave a

# ---- and comes back ----

# mm's marks are in the page structs, which went with the memory.
is "it can be System RAM again" "$(memory_state online_movable)" ok
is "with no marks" "$(marked "$phys") $(marked "$elsewhere") $(marked "$free")" "0 0 0"
one c
is "and is in use" "$(ask c verify m 0 16M 3 4K)" ok
phys=$(ask c phys m $bad)
is "a failure again" "$(ask c madvise m $bad 4K hwpoison)" "$(lost $bad)"
leave c
is "and once more it goes" "$(memory_state unplugged)" ok
is "kmem lets go of it" "$(result $KMEM/unbind "$DEV")" ok
check "as memory to be mapped" bind_to_device
dax "of which all is there" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	read m $((phys - first))	= *([0-9])
	fill m 0 $SIZE 4 1M	= ok
	verify m 0 $SIZE 4 1M	= ok
DAX
unbind
done_testing
