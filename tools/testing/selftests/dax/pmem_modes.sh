#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Each align with each place of the memmap: where metadata and data are, the attributes of the
# device, and whether its memory works from end to end.
# machines: nvdimm legacy
# limit: 180
. ./lib.sh

memory() { grep -E ' : (Persistent Memory|namespace|dax)' /proc/iomem; }
idle=$(memory)

for align in "${ALIGNS[@]}"; do
	for map in mem dev; do
		how="$align, map in $map"
		dax_device $align $map 3G
		nd=$(readlink -f "$SYS/..")
		region=$(basename "$(readlink -f "$nd/..")")
		start=$(cat "$SYS/resource")

		is "$how: the device has the number of the namespace" "$DEV" "${NS/namespace/dax}"
		is "$how: the dax region has the number of libnvdimm's region" \
			"region$(cat "$nd/dax_region/id")" "$region"
		is "$how: align" "$(cat "$SYS/align") $(cat "$nd/dax_region/align")" \
			"$(bytes $align) $(bytes $align)"
		is "$how: it begins at a multiple of the align" $((start % $(bytes $align))) 0
		is "$how: it ends at a multiple of the align" $((SIZE % $(bytes $align))) 0
		is "$how: target_node is that of libnvdimm" "$(cat "$SYS/target_node")" "$(cat "$nd/../target_node")"
		is "$how: numa_node is that of libnvdimm" "$(cat "$SYS/numa_node")" "$(cat "$nd/numa_node")"
		is "$how: the driver on libnvdimm's bus" "$(basename "$(readlink -f "$nd/driver")")" dax_pmem
		is "$how: libnvdimm shows the same size and address" "$(cat "$nd/size" "$nd/resource")" \
			"$(echo "$SIZE"; printf '%#x' $((start)))"
		like "$how: the memmap is in the requested place" "$(cat "$nd/mode")" \
			"^$([ $map = mem ] && echo ram || echo pmem)\$"
		# A memmap in the namespace takes 64 bytes for each page of it.
		before=$((start - $(cat "/sys/bus/nd/devices/$NS/resource")))
		[ $map = mem ] || check "$how: the namespace has room for the memmap" test $before -ge $((SIZE / page * 64))
		is "$how: the metadata is reserved for the namespace" \
			"$(memory | grep " : $NS\$" | sed 's/^ *//')" \
			"$(printf '%08x-%08x : %s' $((start - before)) $((start - 1)) "$NS")"
		dax "$how: first and last word" <<-DAX
			open f $NODE			= ok
			mmap m f $SIZE 0		= ok
			write m 0 17			= ok
			write m $((SIZE - 8)) 18	= ok
			read m 0			= 17
			read m $((SIZE - 8))		= 18
		DAX
		check "$how: the namespace is destroyed" destroy_device
		check "$how: the device is gone with it" test ! -e "/sys/bus/dax/devices/$DEV" -a ! -e "$NODE"
	done
done

is "no reservation is left" "$(memory)" "$idle"

is "the module's alias" "$(modinfo -F alias dax_pmem)" "nd:t7*"
is "the module's name" "$(modinfo -F name dax_pmem)" dax_pmem
done_testing
