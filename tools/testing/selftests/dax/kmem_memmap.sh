#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# memmap_on_memory: the memmap of hot-added memory is in that memory, if the kernel allows it.
# machines: nvdimm
# append: memory_hotplug.memmap_on_memory=on
. ./lib.sh
dax_device 2M mem 1G
unit=$(block_size)
on_node=/sys/devices/system/node/node1
node_kb() { awk '/MemTotal/ { print $4 }' $on_node/meminfo; }
map_kb() { awk '/^nr_memmap_pages/ { print $2 * 4 }' /proc/vmstat; }

is "memmap_on_memory is off by default" "$(cat "$SYS/memmap_on_memory")" 0
daxctl reconfigure-device -N -m system-ram "$DEV" >/dev/null 2>&1
count=$(blocks)
count=${count%/*}
is "it cannot be changed while kmem has the device" "$(daxtest <<<"put $SYS/memmap_on_memory 1")" EBUSY
is "the memory is unplugged" "$(memory_state unplugged)" ok
map=$(map_kb)
is "the memory is online without memmap_on_memory" "$(memory_state online_movable)" ok
# A struct page for each page; page table checking adds 8 bytes to each.
per_page=64
! configured PAGE_TABLE_CHECK || per_page=72
is "the memmap takes 64 bytes for each page" $(($(map_kb) - map)) $((count * unit / 4096 * per_page / 1024))
is "the memmap is in other memory: the node has all of each block" "$(node_kb)" $((count * unit / 1024))
daxctl reconfigure-device -f -m devdax "$DEV" >/dev/null 2>&1

is "memmap_on_memory is switched on" "$(daxtest <<<"put $SYS/memmap_on_memory 1")" ok
daxctl reconfigure-device -N -m system-ram "$DEV" >/dev/null 2>&1
is "the memory is unplugged again" "$(memory_state unplugged)" ok
is "the memory is online with memmap_on_memory" "$(memory_state online_movable)" ok
is "the memmap takes 1/64 of each block" "$(node_kb)" $((count * unit / 1024 / 64 * 63))
is "all blocks are online" "$(blocks)" "$count/$count"
session user numactl --membind=1 daxtest
ask user mmap m anon 128M 0 rw private >/dev/null
is "a program uses the memory" "$(ask user fill m 0 128M 7 4K)" ok
is "the memory is unplugged while the program uses it" "$(memory_state unplugged)" ok
is "the program reads what it wrote" "$(ask user verify m 0 128M 7 4K)" ok
leave user
is "the memory is added again" "$(memory_state online_movable)/$(blocks)" "ok/$count/$count"
check "daxctl reconfigures it to devdax" daxctl reconfigure-device -f -m devdax "$DEV"
check "no System RAM is left" test "$(grep -c kmem /proc/iomem)" = 0
done_testing
