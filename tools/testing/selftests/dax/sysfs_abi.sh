#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Each attribute of Documentation/ABI/testing/sysfs-bus-dax that a static device has: mode and
# contents. Also uevents and /proc/iomem.
# machines: nvdimm legacy
. ./lib.sh

for map in mem dev; do
	align=2M
	dax_device $align $map 512M
	region=$(readlink -f "$SYS/..")/dax_region
	start=$(cat "$SYS/resource")
	# The nodes that libnvdimm shows for the namespace.
	node=$(ndctl list -vNn "$NS" | jq -r '.[0].numa_node // 0')
	target=$(ndctl list -vNn "$NS" | jq -r '.[0].target_node // empty')

	if has_labels; then
		is "$map: target_node is the node of the NVDIMM" "$(cat "$SYS/target_node")" 1
		is "$map: numa_node is the nearest node with a processor" "$(cat "$SYS/numa_node")" 0
	fi
	while read -r file mode value; do
		is "$map: mode of $file" "$(stat -c %a "$SYS/$file" 2>&1)" "$mode"
		[ "$value" = . ] || is "$map: contents of $file" "$(daxtest <<<"get $SYS/$file")" "$value"
	done <<-TABLE
		size 444 $((SIZE))
		align 444 $(bytes $align)
		resource 400 $start
		numa_node 444 $node
		modalias 444 dax:t0
		memmap_on_memory 644 0
		dev 444 .
		uevent 644 .
		mapping0/start 400 $start
		mapping0/end 400 $(printf '%#x' $((start + SIZE - 1)))
		mapping0/page_offset 400 0x0
		../dax_region/id 444 $(sed 's/dax\(.*\)\..*/\1/' <<<"$DEV")
		../dax_region/size 444 $SIZE
		../dax_region/align 400 $(bytes $align)
		$( [ -z "$target" ] || echo target_node 444 "$target")
	TABLE
	is "$map: ndctl shows the same size" \
		"$(ndctl list -NXn "$NS" | jq '.[0].daxregion.devices[0].size')" "$SIZE"

	for file in mapping mapping1 state; do
		check "$map: a static device has no $file" test ! -e "$SYS/$file"
	done
	for file in available_size create delete seed; do
		check "$map: a static region has no $file" test ! -e "$region/$file"
	done
	is "$map: the bus" "$(readlink -f "$SYS/subsystem")" /sys/bus/dax
	is "$map: the driver" "$(basename "$(readlink -f "$SYS/driver")")" device_dax
	like "$map: the parent is the dax device of the namespace" "$SYS" "/ndbus[0-9]+/region[0-9]+/dax[0-9.]+/$DEV\$"
	is "$map: the char device has the number in sysfs" \
		"$(printf '%d:%d' $(stat -c '0x%t 0x%T' "$NODE"))" "$(cat "$SYS/dev")"

	uevent=$(cat "$SYS/uevent")
	for line in "MAJOR=$(cut -d: -f1 "$SYS/dev")" "MINOR=$(cut -d: -f2 "$SYS/dev")" \
		"DEVNAME=$DEV" DRIVER=device_dax MODALIAS=dax:t0; do
		like "$map: the uevent has $line" "$uevent" "^$line\$"
	done
	is "$map: daxctl shows the same size and align" \
		"$(daxctl list -d "$DEV" | jq -c '.[] | [.size, .align, .mode]')" \
		"[$SIZE,$(bytes $align),\"devdax\"]"

	# Info block (and memmap) are reserved for the namespace, the rest for the device.
	like "$map: the device's memory is reserved under its name" "$(cat /proc/iomem)" \
		"^ *$(printf '%08x-%08x' $((start)) $((start + SIZE - 1))) : $DEV\$"
	space=$(grep -B3 " : $DEV\$" /proc/iomem | grep -c " : $NS\$")
	is "$map: the memory before it is reserved for the namespace" "$space" 1
	like "$map: that reservation ends where the device begins" "$(cat /proc/iomem)" \
		"^ *[0-9a-f]+-$(printf '%08x' $((start - 1))) : $NS\$"

	unbind
	for file in size align resource modalias dev mapping0/start ../dax_region/size; do
		check "$map: $file stays without a driver" cat "$SYS/$file"
	done
	check "$map: without a driver the memory is not reserved" bash -c "! grep -q ' : $DEV\$' /proc/iomem"
	bind
	destroy_device >/dev/null
done

check "the bus has drivers_probe and drivers" test -w /sys/bus/dax/drivers_probe -a -d /sys/bus/dax/drivers
for file in new_id remove_id bind unbind; do
	is "mode of the driver's $file" "$(stat -c %a $DRV/$file)" 200
done
is "the driver's module" "$(basename "$(readlink -f $DRV/module)")" device_dax
done_testing
