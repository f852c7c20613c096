#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The HMAT names two nodes. A soft-reserved range crosses their boundary: it becomes one region in
# each node, without the System RAM of the nodes.
# machines: hmat
. ./lib.sh

like "the kernel has read the HMAT" "$(dmesg)" 'acpi/hmat: Memory Flags:0001 Processor Domain:0 Memory Domain:1'
like "one range is soft-reserved" "$(dmesg)" 'user: \[mem 0x0*160000000-0x0*1ffffffff\]  soft reserved'
piece() { cd "/sys/bus/dax/devices/dax$1.0" && printf '%s+%#x in %s\n' "$(cat resource)" "$(cat size)" "$(cat target_node)"; }
c_known_wrong dax_hmem hmem-parts "offers all of node 0, although only a quarter is soft-reserved"
is "the region in node 0" "$(piece 0)" "0x160000000+0x20000000 in 0"
c_known_wrong dax_hmem hmem-parts "offers all of node 1, although only half is soft-reserved"
is "the region in node 1" "$(piece 1)" "0x180000000+0x80000000 in 1"
is "there is no other instance" "$(ls /sys/bus/dax/devices | wc -w)" 2
is "the rest is System RAM" "$(grep -E '^[12][0-9a-f]{8}-.*System RAM' /proc/iomem | cut -d' ' -f1 | tr '\n' ' ')" \
	"100000000-15fffffff 200000000-27fffffff "

for dev in dax0.0 dax1.0; do
	echo $dev >$DRV/new_id 2>/dev/null
	udevadm settle
	c_known_wrong dax_hmem hmem-parts "a part of the range is System RAM, so no driver can be bound"
	dax "$dev works" <<-DAX
		open f /dev/$dev	= ok
		mmap m f 512M 0		= ok
		fill m 0 4M 3 4K	= ok
		verify m 0 4M 3 4K	= ok
	DAX
	echo $dev >$DRV/remove_id
	[ ! -e /sys/bus/dax/devices/$dev/driver ] || echo $dev >/sys/bus/dax/devices/$dev/driver/unbind
done

check "dax_hmem is unloaded" rmmod dax_hmem
is "all regions are gone" "$(ls /sys/bus/dax/devices /sys/bus/platform/devices | grep -E '^(dax|hmem\.)')" ""
check "dax_hmem is loaded again" modprobe dax_hmem
c_known_wrong dax_hmem hmem-parts "offers all of both nodes"
is "the regions are the same" "$(piece 0), $(piece 1)" "0x160000000+0x20000000 in 0, 0x180000000+0x80000000 in 1"
for dev in dax0.0 dax1.0; do
	[ ! -e /sys/bus/dax/devices/$dev/driver ] || echo $dev >/sys/bus/dax/devices/$dev/driver/unbind
done
done_testing
