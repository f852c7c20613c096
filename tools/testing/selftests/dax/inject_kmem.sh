#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An instance becomes System RAM, and is unbound again, while each allocation fails in turn.
# machines: hmem
# tier: all
# kernel: debug
# splat: at (arch_add_memory|add_pages)\+|Modules linked in:|Call Trace:
# limit: 600
. ./lib.sh
can_inject
# KASAN's shadow of memory that goes online, allocated page by page. This replaces the exception
# for page tables, which do not matter: all of the memory is in one GiB that has some already.
spare fail_page_alloc kasan_mem_notifier
dynamic_region
unit=$(block_size)
# block_at N: memory block N of the region, as the file "mapping" takes it
block_at() { printf '%x-%x' $((START + $1 * unit)) $((START + ($1 + 1) * unit - 1)); }
policy=$MEM/auto_online_blocks
was=$(cat $policy)
on_exit "echo $was >$policy"

# This device keeps the node online. Its first memory creates the node, and mm cannot undo that
# without a warning.
echo offline >$policy
new_device $unit
echo "$DEV" >$KMEM/bind

# ---- one range ----

# Never more than one memory block: if mm fails to add the second section of a range, it does not
# remove the first one, and nobody can add that section again; see upstream-bugs/add-pages-partial.
new_device $unit
# A device that was bound once is no longer the seed.
echo "$DEV" >$KMEM/bind
echo "$DEV" >$KMEM/unbind
# The list of all blocks, and the contents of those that come and go.
watched=("$DEVICES" /dev/"$DEV" /sys/bus/memory/devices /sys/devices/system/node/{has_memory,online})
for at in 1 2 4; do watched+=("$MEM/memory$((START / unit + at))"); done
# mm ignores failures to make links between blocks and nodes.
inject "bind, its memory stays offline" "ENOMEM|EBUSY|EEXIST|ok|ok, mended" put $KMEM/bind "$DEV" <<-EOF
	mend put $KMEM/unbind $DEV
	mend put $KMEM/bind $DEV
	undo put $KMEM/unbind $DEV
EOF
echo "$DEV" >$KMEM/bind
inject "unbind, its memory is offline" "ENOMEM|ok" put $KMEM/unbind "$DEV" <<-EOF
	undo put $KMEM/bind $DEV
EOF
memory_state unplugged >/dev/null
echo "$DEV" >$KMEM/unbind

echo online_movable >$policy
inject "bind, its memory goes online" "ENOMEM|EBUSY|EEXIST|ok|ok, mended" put $KMEM/bind "$DEV" <<-EOF
	mend put $SYS/state unplugged
	mend put $SYS/state online_movable
	undo put $SYS/state unplugged
	undo put $KMEM/unbind $DEV
EOF
echo offline >$policy

# ---- two ranges: both are added, or none ----

echo 0 >"$SYS/size"
for at in 2 4; do echo "$(block_at $at)" >"$SYS/mapping"; done
echo "$DEV" >$KMEM/bind
memory_state unplugged >/dev/null
inject "unplugged to online_movable" "ENOMEM|EEXIST|EIO|ok|ok, mended" put "$SYS/state" online_movable <<-EOF
	mend put $SYS/state unplugged
	mend put $SYS/state online_movable
	undo put $SYS/state unplugged
EOF
memory_state online_movable >/dev/null
inject "online_movable to unplugged" "ENOMEM|EBUSY|ok" put "$SYS/state" unplugged <<-EOF
	undo put $SYS/state online_movable
EOF
memory_state unplugged >/dev/null
done_testing
