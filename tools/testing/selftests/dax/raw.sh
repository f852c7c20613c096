#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The position of the data: data written through a device is in its namespace, read as a plain disk,
# from the offset where the device begins, and nowhere else.
# machines: nvdimm
# limit: 240
. ./lib.sh

for align in "${ALIGNS[@]}"; do for map in mem dev; do
	dax_device "$align" "$map" "$(room "$align")"
	# The step is not a power of two, so that the test notices a page at a wrong offset.
	step=$((SIZE / 61 / 4096 * 4096 + 4096 + 8))
	dax "$align, map in $map: write through the device" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		fill m 0 64K 5			= ok
		fill m $((SIZE - 65536)) 64K 5	= ok
		fill m 0 $SIZE 5 $step		= ok
	DAX
	start=$(($(cat "$SYS/resource") - $(cat "/sys/bus/nd/devices/$NS/resource")))
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	echo 1 >"/sys/bus/nd/devices/$NS/force_raw"
	ndctl enable-namespace "$NS" >/dev/null 2>&1
	udevadm settle
	disk=/dev/$(ndctl list -n "$NS" | jq -r '.[0].blockdev')
	dax "$align, map in $map: read from the disk, $start bytes in" <<-DAX
		expect $disk $start 64K 5 0	= ok
		expect $disk $((start + SIZE - 65536)) 64K 5 $((SIZE - 65536))	= ok
		expect $disk $start $SIZE 5 0 $step	= ok
		expect $disk $((start - 4096)) 4K 5 0	= differs at *
	DAX
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	echo 0 >"/sys/bus/nd/devices/$NS/force_raw"
	ndctl enable-namespace "$NS" >/dev/null 2>&1
	udevadm settle
	dax "$align, map in $map: the device has the same data again" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		verify m 0 $SIZE 5 $step	= ok
	DAX
	destroy_device >/dev/null
done; done
done_testing
