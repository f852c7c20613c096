#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory of each kind becomes System RAM, is used, and is given back, with daxctl, as by a user.
# machines: nvdimm hmem cxl
# limit: 180
. ./lib.sh
any_device 1G
NODE_NR=$(cat "$SYS/target_node")
on_node=/sys/devices/system/node/node$NODE_NR

start=$(cat "$SYS/resource")
unit=$(block_size)
first=$(((start + unit - 1) / unit))
end=$(((start + SIZE) / unit))
count=$((end - first))
range=$(printf '%x-%x' $((first * unit)) $((end * unit - 1)))
ram_kb=$((count * unit / 1024))

field() { daxctl list -d "$DEV" | jq -c ".[] | [.mode, .online_memblocks, .total_memblocks, .movable]"; }
# tier_of NODE: print the number of the node's memory tier; slower tiers have larger numbers
tier_of()
{
	grep -lE "(^|,)$1(\$|,)" /sys/devices/virtual/memory_tiering/memory_tier*/nodelist |
		sed 's/.*memory_tier\([0-9]*\).*/\1/'
}
node_kb() { awk '/MemTotal/ { print $4 }' "$on_node/meminfo" 2>/dev/null || echo 0; }

check "no memory of its node is System RAM at first" test ! -e "$on_node/memory$first"
total=$(mem_total)

# ---- to System RAM ----

check "daxctl reconfigures it to system-ram" daxctl reconfigure-device -m system-ram "$DEV"
is "kmem has it" "$(driver)" kmem
is "all whole blocks are online, as movable" "$(field)" "[\"system-ram\",$count,$count,true]"
is "/proc/iomem lists it below the device" "$(its_memory)" "$range"
is "MemTotal includes it" $(($(mem_total) - total)) $ram_kb
is "MemTotal of its node includes it" "$(node_kb)" $ram_kb
is "the node has these blocks and no others" "$(find "$on_node/" -maxdepth 1 -name 'memory*[0-9]' | wc -l)" $count
is "it is in the zone Movable" "$(cat "$on_node"/memory*/valid_zones | sort -u)" Movable
check "its node is in a slower tier than ordinary memory" \
	test "$(tier_of "$NODE_NR")" -gt "$(tier_of 0)"
is "the char device cannot be opened" "$(daxtest <<<"open f $NODE")" ENXIO

# ---- a workload ----

# Emulated CXL memory is slow.
case $MACHINE in cxl*) MB=8 ;; *) MB=192 ;; esac
session user numactl --membind="$NODE_NR" daxtest
ask user mmap m anon ${MB}M 0 rw private >/dev/null
is "a program allocates memory there" "$(ask user fill m 0 ${MB}M 7 512)" ok
check "numa_maps shows it on the node" test "$(pages user "$NODE_NR")" -ge $((MB * 256))
is "the program reads what it wrote" "$(ask user verify m 0 ${MB}M 7 512)" ok

# Pages in this zone can be moved, even if they are locked.
ask user mlock m 0 4M >/dev/null
check "daxctl takes the memory offline while the program uses it" daxctl offline-memory "$DEV"
is "all blocks are offline" "$(field)" "[\"system-ram\",0,$count,null]"
is "MemTotal is as at first" "$(mem_total)" "$total"
is "the program has its memory on other nodes" "$(pages user "$NODE_NR")" 0
is "the program reads what it wrote" "$(ask user verify m 0 ${MB}M 7 512)" ok
check "daxctl brings it online again" daxctl online-memory "$DEV"
is "all blocks are online" "$(field)" "[\"system-ram\",$count,$count,true]"
leave user

# ---- back to a device ----

refuse "daxctl refuses devdax while the memory is online, unless forced" "online|busy|failed|in use" \
	daxctl reconfigure-device -m devdax "$DEV"
is "it is still System RAM" "$(field)" "[\"system-ram\",$count,$count,true]"
refuse "daxctl refuses to disable the device" "only applicable in devdax mode|online" daxctl disable-device "$DEV"
check "with -f, daxctl takes it offline and reconfigures it to devdax" \
	daxctl reconfigure-device -f -m devdax "$DEV"
is "device_dax has it" "$(driver)" device_dax
is "no System RAM is left" "$(grep -c kmem /proc/iomem) $(mem_total)" "0 $total"
check "the node has no memory" test ! -e "$on_node/memory$first"
dax "the device can be mapped" <<-DAX
	open f $NODE		= ok
	mmap m f 64M 0		= ok
	fill m 0 64M 9 4K	= ok
	verify m 0 64M 9 4K	= ok
DAX

check "daxctl --no-online adds the memory" daxctl reconfigure-device -N -m system-ram "$DEV"
is "all blocks are offline" "$(field)" "[\"system-ram\",0,$count,null]"
is "the file state says offline" "$(cat "$SYS/state")" offline
is "MemTotal has not grown" "$(mem_total)" "$total"
check "daxctl brings it online" daxctl online-memory "$DEV"
is "MemTotal has grown" $(($(mem_total) - total)) $ram_kb
check "daxctl reconfigures it to devdax" daxctl reconfigure-device -f -m devdax "$DEV"

# ---- leaks ----

kernfs() { echo 1 >/sys/kernel/slab/kernfs_node_cache/shrink; awk '$1 == "kernfs_node_cache" { print $2 }' /proc/slabinfo; }
kernel_kb() { echo 3 >/proc/sys/vm/drop_caches; sleep 0.3; awk '/^SUnreclaim/ { print $2 }' /proc/meminfo; }
state() { cat /proc/iomem; mem_total; grep nr_memmap /proc/vmstat; ls $MEM /sys/bus/dax/devices /sys/devices/system/node; }
state >"$TMP/before"
objects=$(kernfs) kernel=$(kernel_kb) wrong=''
for turn in 1 2 3 4 5 6 7 8 9 10; do
	daxctl reconfigure-device -m system-ram "$DEV" >/dev/null 2>&1
	[ "$(field)" = "[\"system-ram\",$count,$count,true]" ] || wrong+="turn $turn: $(field); "
	daxctl reconfigure-device -f -m devdax "$DEV" >/dev/null 2>&1
	[ "$(driver)" = device_dax ] || wrong+="turn $turn: $(driver); "
done
is "ten changes to system-ram and back succeed" "$wrong" ""
is "they leave the same state" "$(diff "$TMP/before" <(state))" ""
more=$(($(kernel_kb) - kernel))
check_memory "they leak no kernel memory ($more KiB more)" test $more -lt 1500
more=$(($(kernfs) - objects))
# A block has more than ten files.
check "they leave no files in sysfs ($more more objects)" test $more -lt 60
done_testing
