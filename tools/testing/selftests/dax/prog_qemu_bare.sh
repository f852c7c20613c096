#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# QEMU with the RAM and the NVDIMM of its guest in a device without struct pages, of each align.
# machines: nvdimm
# image: programs
# impl: rust core device_dax - C always makes struct pages
# needs: qemu-system-x86_64
# limit: 300
# tier: all
. ./lib.sh
. ./qemu.sh

[ -e bare ] || skip_all "there is no program for a guest: bare.c is for x86 only"

# words NAME ADDRESS: two words of 8 bytes at a physical address of the guest, by QEMU's monitor
words()
{
	local i
	: >"$TMP/$1.said"
	monitor "$1" "xp /2xg $2"
	for ((i = 0; i < 100 * PACE; i++)); do
		sed -n 's/^[0-9a-f]*: \(0x[0-9a-f]* 0x[0-9a-f]*\).*/\1/p' "$TMP/$1.said" | grep . && return
		sleep 0.1
	done
	tail -n 5 "$TMP/$1.said"
}

for align in 4K 2M 1G; do
	# The RAM is the first part of the device, and the NVDIMM the second one.
	case $align in
	4K | 2M) device=512M ram=192M nvdimm=128M ;;
	1G) device=3G ram=1G nvdimm=1G ;;
	esac
	dax_device $align mem $device
	unbind
	echo 0 >"$SYS/memmap"
	bind
	is "$align: the device has no struct pages" "$(driver) $(cat "$SYS/memmap")" "device_dax 0"
	second=$(bytes $ram) kb=$(($(bytes $align) >> 10))
	dax "$align: the NVDIMM gets two words" <<-DAX
		open f $NODE					= ok
		mmap m f $(bytes $nvdimm) $second		= ok
		write m 0 $((0x6d656d6f7279))			= ok
		write m 8 17					= ok
	DAX
	objects=(-object "$(memory nv "$second" $nvdimm align=$align)" -device nvdimm,memdev=nv)

	start a $ram -object "$(memory ram 0 $ram align=$align prealloc=on)" "${objects[@]}"
	check "$align: a guest with its RAM and an NVDIMM in the device comes up" up a
	is "$align: it has $ram of RAM" $((($(guest a memory) + 1024) >> 10)) $(($(bytes $ram) >> 20))
	is "$align: the entries of QEMU's mappings have this size" "$(entries a)" $kb
	is "$align: the NVDIMM is in the guest's memory" "$(words a 0x100000000)" \
		"0x00006d656d6f7279 0x0000000000000011"
	at=$(guest a place "in-RAM-$$")
	is "$align: a text in the guest's RAM at $at is in the device there" "$(text "$at")" "in-RAM-$$"
	is "$align: the guest fills 32 MiB with a pattern" "$(guest a fill 32)" ok
	is "$align: it counts" "$(guest a count)" 1
	check "$align: it is saved" save a "$TMP/saved"

	start a $ram -object "$(memory ram 0 $ram align=$align)" "${objects[@]}" -incoming defer
	restore a "$TMP/saved"
	is "$align: a new QEMU goes on with the guest: it counts on" "$(guest a count)" 2
	is "$align: its 32 MiB have the pattern" "$(guest a verify)" ok
	check "$align: it ends" end a
	is "$align: after the end its RAM is in the device" "$(text "$at")" "in-RAM-$$"
	check "$align: it is unbound" unbind
	echo 1 >"$SYS/memmap"
	destroy_device >/dev/null
done
done_testing
