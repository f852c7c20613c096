#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A page fails in the RAM of a guest of QEMU, which is in a device of each align. Another guest in the same
# device must go on.
#
# With KVM, QEMU would give the guest a machine check. Without KVM, it can only end:
# - QEMU wants early signals. When the page of a running guest fails, Debian's QEMU 10.0 takes a lock of KVM
#   for the signal, which nobody has made without KVM, and aborts.
# - The signal of a touch kills it. So the guest never reads memory that has failed, and nor does it write there.
# machines: nvdimm
# image: programs
# needs: qemu-system-x86_64
# limit: 300
# splat: due to hardware memory corruption
# tier: all
. ./lib.sh
. ./qemu.sh

[ -e bare ] || skip_all "there is no program for a guest: bare.c is for x86 only"
can_fail

# part_of NAME: the option for QEMU that makes the guest's RAM; the rest are more options for the memory
part_of() { memory ram $([ "$1" = b ] && echo $part || echo 0) $part align=$align "${@:2}"; }
# dies NAME: wait until QEMU has ended by itself; where it does not because of a bug, not long
dies() { gone "$1" $(if has_bug failed-memory device_dax; then echo 2; else echo 60; fi); }
# refused_failed: how many faults were refused because memory has failed
refused_failed() { cat "$SYS/stats/refused_failed" 2>/dev/null; }

for align in 4K 2M 1G; do
	case $align in
	4K | 2M) device=512M part=192M ;;
	1G) device=3G part=1G ;;
	esac
	dax_device $align mem $device
	entry=$(bytes $align) second=$(bytes $part)
	for name in a b; do
		start $name $part -object "$(part_of $name prealloc=on)"
		check "$align: guest $name comes up" up $name
		is "$align: it fills 32 MiB with a pattern" "$(guest $name fill 32)" ok
	done
	guest b place "of-b-$$" >/dev/null

	# ---- memory of a running guest ----

	# In the pattern of the first guest, which is from 32 MiB on.
	bad=$((40 << 20))
	log_mark
	is "$align: a page of the RAM of the first guest fails" "$(fails $bad)" ok
	c_known_wrong device_dax failure-log "the log has a page frame number only"
	log_has "$align: the log says which device and which offset" \
		"$DEV: memory failed at offset $(hex $bad), .* touching $(hex "$entry") bytes from offset $(hex "$bad / entry * entry") on"
	log_has "$align: the log says which program gets a signal" "Sending SIGBUS to qemu-system-x86:${qemu[a]} "
	check "$align: QEMU ends" gone a
	wait "${qemu[a]}" 2>/dev/null
	is "$align: by an abort" $? $((128 + $(kill -l ABRT)))
	is "$align: the second guest goes on, with its pattern" "$(guest b verify) $(guest b fill 48) $(guest b verify)" "ok ok ok"
	is "$align: it writes to the device" "$(guest b place "still-b-$$"; text $((second + (16 << 20))))" \
		"$(hex $((16 << 20)))"$'\n'"still-b-$$"

	# ---- a new guest in the same memory ----

	before=$(refused_failed)
	start a $part -object "$(part_of a prealloc=on)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	check "$align: a new QEMU that touches all of its RAM at once ends" dies a
	wait "${qemu[a]}" 2>/dev/null
	status=$?
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: with the reason" "$status $(cat "$TMP/a.log")" \
		"1 qemu-system-x86_64: qemu_prealloc_mem: preallocating memory failed: Memory page has hardware error"

	# With an entry of 1 GiB, all of the guest's RAM is lost.
	start a $part -object "$(part_of a)"
	if [ $align != 1G ]; then
		check "$align: a guest that does not touch the entry comes up" up a
		tell a fill 32
	fi
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	check "$align: QEMU ends when the guest touches it" dies a
	wait "${qemu[a]}" 2>/dev/null
	status=$?
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: by SIGBUS" $status $((128 + $(kill -l BUS)))
	! rust_here device_dax || check "$align: refused faults are counted: $before, $(refused_failed)" \
		test "$before" -lt "$(refused_failed)"
	is "$align: the second guest goes on" "$(guest b verify)" ok

	# ---- memory elsewhere ----

	if [ $align != 1G ]; then
		start a 64M -object "$(memory ram 384M 64M align=$align prealloc=on)"
		check "$align: a new guest in another part of the device comes up" up a
		is "$align: it writes to its RAM, and it is in the device" \
			"$(guest a place "else-$$"; text $(((384 + 16) << 20)))" "$(hex $((16 << 20)))"$'\n'"else-$$"
		check "$align: it ends" end a
	fi

	# ---- memory that the guest has not touched ----

	if [ $align != 1G ]; then
		# With prealloc=on, QEMU has touched all entries, and would end at once.
		check "$align: the second guest ends" end b
		start b $part -object "$(part_of b)"
		check "$align: without prealloc=on it comes up" up b
		log_mark
		bad=$((second + (100 << 20)))
		is "$align: a page that it has not touched fails" "$(fails $bad)" ok
		is "$align: it goes on" "$(guest b fill 48) $(guest b verify)" "ok ok"
		tell b fill 96
		c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
		check "$align: QEMU ends when the guest touches it" dies b
		wait "${qemu[b]}" 2>/dev/null
		status=$?
		c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
		is "$align: by SIGBUS" $status $((128 + $(kill -l BUS)))
	else
		check "$align: the second guest ends" end b
	fi

	# ---- the next bind makes the memory usable again ----

	check "$align: unbind" unbind
	check "$align: bind" bind
	start a $part -object "$(part_of a prealloc=on)"
	check "$align: a guest in the memory that had failed comes up" up a
	is "$align: it fills 32 MiB with a pattern and reads it back" "$(guest a fill 32) $(guest a verify)" "ok ok"
	check "$align: it ends" end a
	destroy_device >/dev/null
done
done_testing
