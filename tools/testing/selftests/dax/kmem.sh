#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory of each kind becomes System RAM, is used as such, and comes back: with daxctl, as
# its user would do it.
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
# The tiers are numbered by their distance.
tier_of()
{
	grep -lE "(^|,)$1(\$|,)" /sys/devices/virtual/memory_tiering/memory_tier*/nodelist |
		sed 's/.*memory_tier\([0-9]*\).*/\1/'
}
node_kb() { awk '/MemTotal/ { print $4 }' "$on_node/meminfo" 2>/dev/null || echo 0; }

check "no memory of its node is System RAM before" test ! -e "$on_node/memory$first"
total=$(mem_total)

# ---- to System RAM ----

check "daxctl makes System RAM of it" daxctl reconfigure-device -m system-ram "$DEV"
is "kmem has it" "$(driver)" kmem
is "all whole blocks are online, as movable" "$(field)" "[\"system-ram\",$count,$count,true]"
is "in /proc/iomem, below the device" "$(its_memory)" "$range"
is "in MemTotal" $(($(mem_total) - total)) $ram_kb
is "in the memory of its node" "$(node_kb)" $ram_kb
is "its blocks are those of the node" "$(find "$on_node/" -maxdepth 1 -name 'memory*[0-9]' | wc -l)" $count
is "in the zone for what can be moved" "$(cat "$on_node"/memory*/valid_zones | sort -u)" Movable
check "its node is in a slower tier than ordinary memory" \
	test "$(tier_of "$NODE_NR")" -gt "$(tier_of 0)"
is "it is no device any more" "$(daxtest <<<"open f $NODE")" ENXIO

# ---- a workload ----

# Emulated CXL memory is slow.
case $MACHINE in cxl*) MB=8 ;; *) MB=192 ;; esac
session user numactl --membind="$NODE_NR"
ask user mmap m anon ${MB}M 0 rw private >/dev/null
is "a program has its memory there" "$(ask user fill m 0 ${MB}M 7 512)" ok
# numa_maps counts in the page size that it names.
pages()
{
	awk -v want="N$1=" '/anon=/ {
		size = 4
		for (i = 1; i <= NF; i++) if ($i ~ /^kernelpagesize_kB=/) size = substr($i, 19)
		for (i = 1; i <= NF; i++) if (index($i, want) == 1) sum += substr($i, length(want) + 1) * size / 4
	} END { print sum + 0 }' "/proc/${pid_of[user]}/numa_maps"
}
check "numa_maps says so" test "$(pages "$NODE_NR")" -ge $((MB * 256))
is "and it is what was written" "$(ask user verify m 0 ${MB}M 7 512)" ok

# Locked or not, a page in this zone can be moved.
ask user mlock m 0 4M >/dev/null
check "the memory is taken back under the program" daxctl offline-memory "$DEV"
is "all blocks are offline" "$(field)" "[\"system-ram\",0,$count,null]"
is "MemTotal is as before" "$(mem_total)" "$total"
is "the program has its memory elsewhere" "$(pages "$NODE_NR")" 0
is "with what was in it" "$(ask user verify m 0 ${MB}M 7 512)" ok
check "daxctl brings it online again" daxctl online-memory "$DEV"
is "all of it" "$(field)" "[\"system-ram\",$count,$count,true]"
leave user

# ---- back ----

refuse "not back while it is online, if not forced" "online|busy|failed|in use" \
	daxctl reconfigure-device -m devdax "$DEV"
is "it is still System RAM" "$(field)" "[\"system-ram\",$count,$count,true]"
refuse "nor can the device be disabled" "only applicable in devdax mode|online" daxctl disable-device "$DEV"
check "forced, daxctl takes it offline and makes a device of it" \
	daxctl reconfigure-device -f -m devdax "$DEV"
is "device_dax has it" "$(driver)" device_dax
is "no System RAM is left" "$(grep -c kmem /proc/iomem) $(mem_total)" "0 $total"
check "nor the node" test ! -e "$on_node/memory$first"
dax "it is mapped" <<-DAX
	open f $NODE		= ok
	mmap m f 64M 0		= ok
	fill m 0 64M 9 4K	= ok
	verify m 0 64M 9 4K	= ok
DAX

check "with --no-online it is added only" daxctl reconfigure-device -N -m system-ram "$DEV"
is "all blocks are offline" "$(field)" "[\"system-ram\",0,$count,null]"
is "which is what its state says" "$(cat "$SYS/state")" offline
is "there is no more memory" "$(mem_total)" "$total"
check "daxctl brings it online" daxctl online-memory "$DEV"
is "then there is" $(($(mem_total) - total)) $ram_kb
check "and back" daxctl reconfigure-device -f -m devdax "$DEV"

# ---- nothing is lost ----

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
is "ten times there and back" "$wrong" ""
is "leaves all as it was" "$(diff "$TMP/before" <(state))" ""
more=$(($(kernel_kb) - kernel))
check_memory "takes no memory of the kernel ($more KiB more)" test $more -lt 1500
more=$(($(kernfs) - objects))
# A block has more than ten files.
check "and leaves no files in sysfs ($more more objects)" test $more -lt 60
done_testing
