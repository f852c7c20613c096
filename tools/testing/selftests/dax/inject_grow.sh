#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A bound instance gets more memory, while each allocation fails in turn. A failure changes nothing.
# machines: hmem
# tier: all
# kernel: debug
# impl: rust core device_dax kmem - in C a bound instance keeps its size
# splat: at (arch_add_memory|add_pages)\+|Modules linked in:|Call Trace:
# limit: 1200
. ./lib.sh
can_inject
# As in inject_kmem.sh.
spare fail_page_alloc kasan_mem_notifier
dynamic_region
M=1048576
# range FROM LENGTH: a range as the file "mapping" takes it, from MiB in the region
range() { printf '%x-%x' $((START + $1 * M)) $((START + ($1 + $2) * M - 1)); }

# ---- device_dax ----

new_device
watched=("$DEVICES" "$NODE")
echo "$(range 0 8)" >"$SYS/mapping"
bind_to_device
session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 64M 0 >/dev/null
kinds=1
[ ! -e "$SYS/memmap" ] || kinds='1 0'
for memmap in $kinds; do
	unbind
	[ ! -e "$SYS/memmap" ] || echo "$memmap" >"$SYS/memmap"
	for align in 4096 $((2 * M)); do
		echo $align >"$SYS/align"
		bind
		[ "$align" = 4096 ] && name="4 KiB" || name="2 MiB"
		[ "$memmap" = 1 ] || name+=", no struct pages"
		ask a munmap m >/dev/null
		ask a mmap m f 64M 0 >/dev/null
		ask a fill m 0 8M 7 4K >/dev/null
		# The undo ends with a bind, too, which clears the counters.
		unbind
		bind
		inject "$name: size, a range is added" "ENOMEM|EBUSY|ok" put "$SYS/size" $((16 * M)) <<-INPUT
			undo put $DRV/unbind $DEV
			undo put $SYS/size $((8 * M))
			undo put $DRV/bind $DEV
		INPUT
		inject "$name: mapping" "ENOMEM|EBUSY|ok" put "$SYS/mapping" "$(range 64 8)" <<-INPUT
			undo put $DRV/unbind $DEV
			undo put $SYS/size $((8 * M))
			undo put $DRV/bind $DEV
		INPUT
		is "$name: the mapping is as it was" "$(ask a verify m 0 8M 7 4K)" ok
		is "$name: nothing is behind the end" "$(ask a read m 8M)" "SIGBUS ADRERR at 0x800000"
		is "$name: the instance grows" "$(result "$SYS/size" $((16 * M)))" ok
		is "$name: the mapping finds the memory" "$(ask a write m 12M 5) $(ask a read m 12M)" "ok 5"
		unbind
		echo $((8 * M)) >"$SYS/size"
	done
done
leave a
echo "$DEV" >$DRV/remove_id
echo 0 >"$SYS/size"

# ---- kmem ----

unit=$(block_size)
policy=$MEM/auto_online_blocks
was=$(cat $policy)
on_exit "echo $was >$policy"
echo offline >$policy
# block_at N: memory block N of the region
block_at() { printf '%x-%x' $((START + $1 * unit)) $((START + ($1 + 1) * unit - 1)); }
# This device keeps the node online; see inject_kmem.sh.
new_device
echo "$(block_at 0)" >"$SYS/mapping"
echo "$DEV" >$KMEM/bind
new_device
echo "$(block_at 2)" >"$SYS/mapping"
echo "$DEV" >$KMEM/bind
watched=("$DEVICES" /sys/bus/memory/devices /sys/devices/system/node/{has_memory,online})
for at in 2 4; do watched+=("$MEM/memory$((START / unit + at))"); done
inject "kmem: mapping" "ENOMEM|EBUSY|EEXIST|ok|ok, mended" put "$SYS/mapping" "$(block_at 4)" <<-INPUT
	mend put $KMEM/unbind $DEV
	mend put $KMEM/bind $DEV
	undo put $SYS/state unplugged
	undo put $KMEM/unbind $DEV
	undo put $SYS/size $unit
	undo put $KMEM/bind $DEV
INPUT
memory_state unplugged >/dev/null
echo "$DEV" >$KMEM/unbind
done_testing
