#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An instance that is bound to kmem gets more memory: it becomes more System RAM, in the state that
# the instance has.
# machines: hmem
# impl: rust core kmem - in C a bound instance keeps its size
# limit: 240
. ./lib.sh
dynamic_region
unit=$(block_size)
U=$((unit >> 20))
((LENGTH >= 16 * unit)) || bail_out "memory blocks of $U MiB are too large for this region"
policy=$(cat $MEM/auto_online_blocks)
on_exit "echo $policy >$MEM/auto_online_blocks"
echo online_movable >$MEM/auto_online_blocks
range() { printf '%x-%x' $((START + $1 * unit)) $((START + ($1 + $2) * unit - 1)); }
# grow BYTES: set the size
grow() { result "$SYS/size" $(($1)); }
# numbers: print the numbers of DEV's memory blocks. daxctl knows only those of the first range.
numbers()
{
	local range
	for range in $(its_memory); do
		seq $((0x${range%-*} / unit)) $((0x${range#*-} / unit))
	done
}
# blocks: print the number of DEV's memory blocks, and how many are online, as "7/6"
blocks()
{
	local number all=0 online=0
	for number in $(numbers); do
		((all += 1))
		[ "$(cat "$MEM/memory$number/state")" != online ] || ((online += 1))
	done
	echo $all/$online
}
# each_block STATE: set the state of all of DEV's memory blocks
each_block()
{
	local number
	for number in $(numbers); do echo "$1" >"$MEM/memory$number/state" || return; done
}
state_of() { ranges; cat "$SYS/size" "$REGION/available_size" "$SYS/state"; blocks; its_memory; mem_total; }
before=''
refused() { is "$1: $2" "$3" "$2"; is "$1: nothing has changed" "$(diff <(echo "$before") <(state_of))" ""; }

at_first=$(mem_total)
new_device $((2 * unit))
echo "$DEV" >$KMEM/bind
is "kmem has two blocks" "$(driver) $(blocks)" "kmem 2/2"
is "the instance grows by two blocks" "$(grow 4*unit) $(ranges)" "ok 0+$((4 * U))"
is "they are online" "$(blocks) $(cat "$SYS/state")" "4/4 online_movable"
is "MemTotal includes them" $(($(mem_total) - at_first)) $((4 * unit / 1024))
is "/proc/iomem lists both parts" "$(its_memory | wc -l)" 2
is "mapping adds a range" "$(result "$SYS/mapping" "$(range 8 1)") $(blocks)" "ok 5/5"
is "MemTotal includes it" $(($(mem_total) - at_first)) $((5 * unit / 1024))

before=$(state_of)
refused "to shrink" EBUSY "$(grow 4*unit)"
log_mark
refused "less than a block" EINVAL "$(grow 5*unit+unit/2)"
log_has "the log says what a block is" "$DEV: mapping2: .* adds no whole memory block, which is $U MiB at a multiple of $U MiB; add more memory at a time"
refused "more than the region has" ENOSPC "$(grow 2*LENGTH)"

# ---- unplugged ----

is "all of it can be taken back" "$(memory_state unplugged) $(its_memory)" "ok "
is "MemTotal is as at first" "$(mem_total)" "$at_first"
is "it grows while it is unplugged" "$(grow 6*unit) $(its_memory)" "ok "
is "the new memory is added with the rest" "$(memory_state online_movable) $(blocks)" "ok 6/6"
is "MemTotal includes all" $(($(mem_total) - at_first)) $((6 * unit / 1024))

# ---- memory that is used ----

session user numactl --membind="$(cat "$SYS/target_node")" daxtest
ask user mmap m anon 128M 0 rw private >/dev/null
ask user fill m 0 128M 7 4K >/dev/null
is "it grows while its memory is used" "$(grow 7*unit) $(blocks)" "ok 7/7"
is "the program reads what it wrote" "$(ask user verify m 0 128M 7 4K)" ok
leave user
check "all of it can be taken offline" each_block offline
check "all of it can be brought online" each_block online_movable
is "all blocks are online" "$(blocks)" 7/7

# ---- offline, and unbound ----

echo offline >$MEM/auto_online_blocks
check "all of it can be taken offline" each_block offline
echo "$DEV" >$KMEM/unbind
is "an unbind removes all of it" "$(grep -c kmem /proc/iomem) $(mem_total)" "0 $at_first"
is "no memory is reserved" "$(grep -c " : $DEV\$" /proc/iomem)" 0
echo "$DEV" >$KMEM/bind
is "the next bind has all of it" "$(blocks) $(cat "$SYS/state")" "7/0 offline"
is "memory that is added is offline, too" "$(grow 8*unit) $(blocks)" "ok 8/0"
echo "$DEV" >$KMEM/unbind

# ---- a part of a block ----

empty_region
new_device $((unit + unit / 2))
echo "$DEV" >$KMEM/bind
is "a half block is not used" "$(blocks)" 1/0
is "an instance grows from such a half block" "$(grow 2*unit) $(blocks)" "ok 2/0"
is "/proc/iomem has it all" "$(its_memory | tail -n 1)" "$(range 1 1)"
echo "$DEV" >$KMEM/unbind
empty_region
is "all memory is free in the end" "$(cat "$REGION/available_size") $(mem_total)" "$LENGTH $at_first"
done_testing
