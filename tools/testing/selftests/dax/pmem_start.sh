#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A namespace can begin at any address. With each align, and with the memmap in RAM or in the
# namespace, the whole device can be accessed. The compound pages of its dev_pagemap begin at the
# start of the data, not at the start of the namespace.
# machines: nvdimm
# needs: python3
# splat-in-c: at memmap_init_compound\+|Modules linked in:|Call Trace:
# limit: 240
. ./lib.sh

ND=/sys/bus/nd/devices
FS=/sys/bus/dax/drivers/fsdev_dax

# touched HOW: access the entries of the device, and its first and last word
touched()
{
	local align
	align=$(cat "$SYS/align")
	is "$1: begins and ends at multiples of the align" \
		"$(($(cat "$SYS/resource") % align)) $((SIZE % align))" "0 0"
	dax "$1: each entry can be accessed" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0 fixed=0x200000000000	= ok
		$([ "$align" -lt $((1 << 30)) ] || echo "store m 0 $SIZE $align	= faults $(in_a_row $((SIZE / align)))")
		$([ "$align" -ge $((1 << 30)) ] || echo "store m 0 64M $align	= faults *")
		write m 0 17			= ok
		write m $((SIZE - 8)) 18	= ok
		read m 0			= 17
		read m $((SIZE - 8))		= 18
		smaps m KernelPageSize		= $((align >> 10)) kB
	DAX
}

# Neither module handles this if both are C: there are two WARNs, and each access raises SIGBUS.
nobody_fits() { in_c dax_pmem && has_bug compound-start device_dax; }
WRONG="C: known wrong: compound-start: the compound pages begin at the start of the namespace"

# ---- behind another namespace ----

for before in 16M 64M 1G 1040M; do
	other=$(ndctl create-namespace -m fsdax -s $before | jq -r .dev)
	on_exit "ndctl destroy-namespace -f $other >/dev/null 2>&1"
	for align in 4K 2M 1G; do
		for map in mem dev; do
			how="$align, map in $map, $before behind the start of the region"
			dax_device $align $map 2G
			if [ $align$map = 1Gmem ] && [ $before != 1G ] && nobody_fits; then
				skip "$how" "$WRONG"
			else
				touched "$how"
			fi
			destroy_device >/dev/null
		done
	done
	ndctl destroy-namespace -f "$other" >/dev/null 2>&1
done

# ---- with padding, as written before Linux 5.1 ----

infoblock()
{
	local disk
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	echo 1 >$ND/$NS/force_raw
	echo "$NS" >/sys/bus/nd/drivers/nd_pmem/bind
	disk=$(ls $ND/$NS/block)
	./pmem_infoblock.py "/dev/$disk" "$@"
	echo "$NS" >/sys/bus/nd/drivers/nd_pmem/unbind
	echo 0 >$ND/$NS/force_raw
	ndctl enable-namespace "$NS" >/dev/null 2>&1
	udevadm settle
	use_device "$DEV"
}

if ! in_c dax_pmem; then
	# The namespace begins at a multiple of 1 GiB: 3 GiB of data begin 1 GiB behind its start.
	for pad in 2M 64M; do
		dax_device 1G mem 4G
		infoblock start_pad=$(bytes $pad) dataoff=$(((1 << 30) - $(bytes $pad)))
		is "start_pad $pad: the size" "$SIZE" $((3 << 30))
		touched "1G, map in mem, start_pad $pad"
		destroy_device >/dev/null
	done
fi

# ---- another driver, and device_dax again ----

other=$(ndctl create-namespace -m fsdax -s 64M | jq -r .dev)
on_exit "ndctl destroy-namespace -f $other >/dev/null 2>&1"
dax_device 1G mem 2G
if nobody_fits; then
	skip "another driver" "$WRONG"
else
	touched "first bind to device_dax"
	unbind
	is "fsdev_dax binds to it" "$(result $FS/new_id "$DEV")" ok
	is "fsdev_dax has it" "$(driver)" fsdev_dax
	echo "$DEV" >$FS/remove_id
	echo "$DEV" >$FS/unbind
	bind
	wait_bound
	dax "device_dax binds again: the data is there" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		read m 0			= 17
		read m $((SIZE - 8))		= 18
	DAX
fi
destroy_device >/dev/null
done_testing
