#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest under KVM, with its RAM in a device of each align, with and without struct pages. KVM's own
# counters say how large the entries of the nested page table are.
# machines: nvdimm
# image: programs
# needs: qemu-system-x86_64
# limit: 400
# tier: all
. ./lib.sh
. ./qemu.sh

[ -e bare ] || skip_all "there is no program for a guest: bare.c is for x86 only"
modprobe -a kvm_amd kvm_intel 2>/dev/null
[ -e /dev/kvm ] || skip_all "there is no KVM: $(dmesg | grep -i 'kvm.*\(disabled\|not supported\|no.*support\)' | tail -n 1)"
accel=(-accel kvm -cpu host)

# nested: the entries of the only guest's nested page table, as 4K=N 2M=N 1G=N
nested()
{
	local size
	for size in 4k 2m 1g; do
		echo "${size^^}=$(cat /sys/kernel/debug/kvm/pages_$size)"
	done | xargs
}

# has_size SIZE: true if the nested page table has entries of this size
has_size()
{
	local found
	found=$(nested | grep -oP "$1=\K\d+")
	[ "$found" -gt 0 ] || { echo "its nested page table has the entries $(nested)"; return 1; }
}

for memmap in 1 0; do
	[ $memmap = 1 ] || rust_here core device_dax || break
	for align in 4K 2M 1G; do
		what="$align$([ $memmap = 1 ] || echo ", without struct pages")"
		dax_device $align mem "$([ $align = 1G ] && echo 3G || echo 256M)"
		if [ $memmap = 0 ]; then
			unbind
			echo 0 >"$SYS/memmap"
			bind
		fi
		size=$([ $align = 1G ] && echo 2G || echo 192M)
		# The RAM of a guest has a hole below 1 MiB, so its first GiB never has an entry of 1 GiB. Put
		# the second one at 4 GiB.
		start a $size -machine max-ram-below-4g=1G -object "$(memory ram 0 $size align=$align)"
		check "$what: a guest under KVM with its RAM in the device comes up" up a
		at=$(guest a place "in-RAM-$$")
		is "$what: a text in the guest's RAM at $at is in the device there" "$(text "$at")" "in-RAM-$$"
		is "$what: the guest fills 64 MiB with a pattern" "$(guest a fill 64)" ok
		is "$what: it reads it back" "$(guest a verify)" ok
		if [ $align = 1G ]; then
			is "$what: it writes to its RAM at 4 GiB" "$(guest a far "far-$$")" "far-$$"
			is "$what: the text is in the device, in the second entry" "$(text $((1 << 30)))" "far-$$"
		fi
		check "$what: the entries of the nested page table: $(nested)" has_size $align
		check "$what: it ends" end a
		check "$what: nothing keeps the device: it is unbound" unbind
		destroy_device >/dev/null
	done
done
done_testing
