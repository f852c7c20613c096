#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The HMAT names nodes, of which a part is soft-reserved, over their boundary: two pieces,
# each with its node, and no System RAM among them.
# machines: hmat
. ./lib.sh

like "the kernel has read the HMAT" "$(dmesg)" 'acpi/hmat: Memory Flags:0001 Processor Domain:0 Memory Domain:1'
like "one range is soft-reserved" "$(dmesg)" 'user: \[mem 0x0*160000000-0x0*1ffffffff\]  soft reserved'
piece() { cd "/sys/bus/dax/devices/dax$1.0" && printf '%s+%#x in %s\n' "$(cat resource)" "$(cat size)" "$(cat target_node)"; }
c_known_wrong dax_hmem "offers the whole of node 0, of which a quarter is soft-reserved"
is "what is in node 0" "$(piece 0)" "0x160000000+0x20000000 in 0"
c_known_wrong dax_hmem "offers the whole of node 1, of which a half is soft-reserved"
is "what is in node 1" "$(piece 1)" "0x180000000+0x80000000 in 1"
is "no other" "$(ls /sys/bus/dax/devices | wc -w)" 2
is "System RAM is what was not marked" "$(grep -E '^[12][0-9a-f]{8}-.*System RAM' /proc/iomem | cut -d' ' -f1 | tr '\n' ' ')" \
	"100000000-15fffffff 200000000-27fffffff "

for dev in dax0.0 dax1.0; do
	echo $dev >$DRV/new_id 2>/dev/null
	udevadm settle
	c_known_wrong dax_hmem "the range is System RAM in part, so nothing can be bound"
	dax "$dev works" <<-DAX
		open f /dev/$dev	= ok
		mmap m f 512M 0		= ok
		fill m 0 4M 3 4K	= ok
		verify m 0 4M 3 4K	= ok
	DAX
	echo $dev >$DRV/remove_id
	[ ! -e /sys/bus/dax/devices/$dev/driver ] || echo $dev >/sys/bus/dax/devices/$dev/driver/unbind
done

check "the pieces go" rmmod dax_hmem
is "all of them" "$(ls /sys/bus/dax/devices /sys/bus/platform/devices | grep -E '^(dax|hmem\.)')" ""
check "and come back" modprobe dax_hmem
c_known_wrong dax_hmem "as above"
is "the same" "$(piece 0), $(piece 1)" "0x160000000+0x20000000 in 0, 0x180000000+0x80000000 in 1"
for dev in dax0.0 dax1.0; do
	[ ! -e /sys/bus/dax/devices/$dev/driver ] || echo $dev >/sys/bus/dax/devices/$dev/driver/unbind
done
done_testing
