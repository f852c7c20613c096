#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# QEMU with the memory of its guests in a device of each align: from an offset, two guests in one
# device, memory that two guests share, save and restore without a copy of the RAM. The guests run a
# program that needs no kernel; prog_qemu_linux.sh has Linux.
# machines: nvdimm
# image: programs
# needs: qemu-system-x86_64
# limit: 300
# tier: all
. ./lib.sh
. ./qemu.sh

[ -e bare ] || skip_all "there is no program for a guest: bare.c is for x86 only"

for align in 4K 2M 1G; do
	# The parts of the device are: RAM of the first guest, RAM of the second one, what both share.
	case $align in
	4K | 2M) device=512M part=192M shared=64M ;;
	# Each part is an entry at least.
	1G) device=2G part=1G shared= ;;
	esac
	dax_device $align mem $device
	kb=$(($(bytes $align) >> 10)) second=$part

	refused "$align: more memory than the device has is refused" \
		"is too small for 'size' option 0x[0-9a-f]+ plus 'offset' option" "$(memory m 0 3G align=$align)"
	refused "$align: memory that reaches beyond the device is refused" \
		"is too small for 'size' option 0x[0-9a-f]+ plus 'offset' option" \
		"$(memory m $part $device align=$align)"
	refused "$align: a private mapping is refused" "Invalid argument" \
		"memory-backend-file,id=m,mem-path=$NODE,size=$part,align=$align,share=off"
	if [ $align != 4K ]; then
		# QEMU knows the device's align if it was built with libdaxctl. Debian's was not.
		refused "$align: an align that is smaller than the device's is refused" \
			"Invalid argument|backing store align 0x[0-9a-f]+ is larger" "$(memory m 0 $part align=4K)"
		refused "$align: an offset that is not a multiple of the align is refused" \
			"Invalid argument|multiple" "$(memory m 4K 4K align=$align)"
		refused "$align: a size that is not a multiple of the align is refused" \
			"Invalid argument|multiple" "$(memory m 0 $((($(bytes $part) >> 20) - 1))M align=$align)"
	fi

	# ---- save and restore ----

	start a $part -object "$(memory ram 0 $part align=$align prealloc=on)"
	check "$align: a guest with its RAM in the device comes up" up a
	is "$align: it has $part of RAM" \
		$((($(guest a memory) + 1024) >> 10)) $(($(bytes $part) >> 20))
	is "$align: the entries of QEMU's mapping have this size" "$(entries a)" $kb
	at=$(guest a place "in-RAM-$$")
	is "$align: a text in the guest's RAM at $at is in the device there" "$(text "$at")" "in-RAM-$$"
	is "$align: the guest fills 32 MiB with a pattern" "$(guest a fill 32)" ok
	is "$align: it counts" "$(guest a count)" 1
	check "$align: it is saved" save a "$TMP/saved"
	size=$(stat -c %s "$TMP/saved")
	check "$align: what was saved does not have the RAM: $size bytes" test "$size" -lt $((4 << 20))
	is "$align: the RAM stayed in the device" "$(text "$at")" "in-RAM-$$"
	start a $part -object "$(memory ram 0 $part align=$align)" -incoming defer
	restore a "$TMP/saved"
	is "$align: a new QEMU goes on with the guest: it counts on" "$(guest a count)" 2
	is "$align: its 32 MiB have the pattern" "$(guest a verify)" ok
	guest a place "again-$$" >/dev/null
	is "$align: what it writes now is in the device, too" "$(text "$at")" "again-$$"
	check "$align: it ends" end a
	is "$align: after the end its RAM is in the device" "$(text "$at")" "again-$$"

	# ---- two guests ----

	# The last part of a device of 1 GiB entries has no room for a second guest.
	[ -n "$shared" ] || { destroy_device >/dev/null; continue; }
	for name in a b; do
		offset=$([ $name = a ] && echo 0 || echo $second)
		start $name $part -object "$(memory ram "$offset" $part align=$align)" \
			-object "$(memory both 384M $shared align=$align)" -device ivshmem-plain,memdev=both
	done
	check "$align: two guests: the first one comes up" up a
	check "$align: two guests: the second one, from an offset, comes up" up b
	guest a place "of-a-$$" >/dev/null
	guest b place "of-b-$$" >/dev/null
	is "$align: the RAM of the first one is in the first part of the device" "$(text "$at")" "of-a-$$"
	is "$align: the RAM of the second one is behind it" "$(text $((at + $(bytes $second))))" "of-b-$$"
	is "$align: the first one writes to memory that both share" "$(guest a share "from-a-$$")" ok
	is "$align: the second one reads it" "$(guest b shared)" "from-a-$$"
	is "$align: and answers" "$(guest b share "from-b-$$")" ok
	is "$align: the first one reads that" "$(guest a shared)" "from-b-$$"
	check "$align: the first one ends" end a
	is "$align: the second one goes on" "$(guest b shared)" "from-b-$$"
	check "$align: the second one ends" end b
	is "$align: what they shared is in the device" "$(text 0x18000000)" "from-b-$$"
	check "$align: nothing keeps the device: it is unbound" unbind
	check "$align: and bound" bind
	destroy_device >/dev/null
done
done_testing
