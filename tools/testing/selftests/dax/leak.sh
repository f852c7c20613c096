#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Leaks: devices, memory, device numbers, names.
# machines: nvdimm
# limit: 360
. ./lib.sh

# Shrink first, so that free objects in partial slabs do not count.
objects() { echo 1 >/sys/kernel/slab/dax_cache/shrink; sleep 0.2; awk '$1 == "dax_cache" { print $2 }' /proc/slabinfo; }
per_slab() { awk '$1 == "dax_cache" { print $5 }' /proc/slabinfo; }
state()
{
	ls /sys/bus/dax/devices
	grep -c . /proc/iomem
	find /sys/devices -name 'dax[0-9]*' | wc -l
	ls /dev | grep dax
	lsmod | awk '$1 ~ /dax/ { print $1, $3 }' | sort
	ls /sys/kernel/slab 2>/dev/null | grep -c dax
}

cycle()
{
	dax_device $1 $2 256M
	printf '%s\n' "open f $NODE" "mmap m f $1 0" "write m 0 1" | daxtest >/dev/null
	destroy_device >/dev/null
}
cycle 2M mem
before=$(state) minor=$(objects) slab=$(per_slab)
dax_device 2M mem 256M
number=$(cat "$SYS/dev")
destroy_device >/dev/null

for turn in $(seq 5); do
	cycle 2M mem
	cycle 4K dev
done
is "10 devices that came and went leave the same state" "$(diff <(echo "$before") <(state))" ""
grown=$(($(objects) - minor))
check "no dax_device is left in the slab cache ($grown more, a slab holds $slab)" \
	test $grown -le $slab
dax_device 2M mem 256M
is "the next device has the number of the first" "$(cat "$SYS/dev")" "$number"

before=$(state) minor=$(objects)
for turn in $(seq 60); do
	unbind
	bind
done
is "60 unbinds leave the same state" "$(diff <(echo "$before") <(state))" ""
grown=$(($(objects) - minor))
check "no dax_device is left in the slab cache ($grown more, a slab holds $slab)" \
	test $grown -le $slab

# All other allocations for a device: the amount of free memory does not shrink.
free_kb() { sync; echo 3 >/proc/sys/vm/drop_caches; sleep 0.2; awk '/^MemFree/ { print $2 }' /proc/meminfo; }
start=$(free_kb)
for turn in $(seq 40); do
	unbind
	bind
done
lost=$((start - $(free_kb)))
check_memory "40 unbinds leak no memory ($lost KiB less is free)" test $lost -lt 6000
done_testing
