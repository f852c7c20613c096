#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The memory map of the memory in the memory itself, where the kernel was told that it may.
# machines: nvdimm
# append: memory_hotplug.memmap_on_memory=on
. ./lib.sh
dax_device 2M mem 1G
unit=$(block_size)
on_node=/sys/devices/system/node/node1
node_kb() { awk '/MemTotal/ { print $4 }' $on_node/meminfo; }
map_kb() { awk '/^nr_memmap_pages/ { print $2 * 4 }' /proc/vmstat; }

is "not so by default" "$(cat "$SYS/memmap_on_memory")" 0
daxctl reconfigure-device -N -m system-ram "$DEV" >/dev/null 2>&1
count=$(blocks)
count=${count%/*}
is "not changed while kmem has it" "$(daxtest <<<"put $SYS/memmap_on_memory 1")" EBUSY
is "unplugged" "$(memory_state unplugged)" ok
map=$(map_kb)
is "without it" "$(memory_state online_movable)" ok
# A struct page for each page; and what else is kept of each, by the check of page tables.
per_page=64
! configured PAGE_TABLE_CHECK || per_page=72
is "the map takes 1/64 of it" $(($(map_kb) - map)) $((count * unit / 4096 * per_page / 1024))
is "which is elsewhere, for all of each block is memory" "$(node_kb)" $((count * unit / 1024))
daxctl reconfigure-device -f -m devdax "$DEV" >/dev/null 2>&1

is "now with it" "$(daxtest <<<"put $SYS/memmap_on_memory 1")" ok
daxctl reconfigure-device -N -m system-ram "$DEV" >/dev/null 2>&1
is "unplugged" "$(memory_state unplugged)" ok
is "online" "$(memory_state online_movable)" ok
is "1/64 of each block is the map" "$(node_kb)" $((count * unit / 1024 / 64 * 63))
is "blocks are whole all the same" "$(blocks)" "$count/$count"
session user numactl --membind=1
ask user mmap m anon 128M 0 rw private >/dev/null
is "a program uses it" "$(ask user fill m 0 128M 7 4K)" ok
is "taken back under the program" "$(memory_state unplugged)" ok
is "which has what it wrote" "$(ask user verify m 0 128M 7 4K)" ok
leave user
is "and added again" "$(memory_state online_movable)/$(blocks)" "ok/$count/$count"
check "back to a device" daxctl reconfigure-device -f -m devdax "$DEV"
check "of which nothing is System RAM" test "$(grep -c kmem /proc/iomem)" = 0
done_testing
