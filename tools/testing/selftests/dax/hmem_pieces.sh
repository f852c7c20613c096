#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Soft-reserved memory that is not aligned: dax_hmem offers what can be mapped, and logs what it
# leaves unused.
# machines: hmem
# append: memmap=5124K%0x40000000-1+0xefffffff memmap=5M%0x48001000-1+0xefffffff memmap=4K%0x50003000-1+0xefffffff
. ./lib.sh

# region N: print range and target node of its instance
region() { cd "/sys/bus/dax/devices/dax$1.0" 2>/dev/null && printf '%s+%#x in %s\n' "$(cat resource)" "$(cat size)" "$(cat target_node)"; }

c_known_wrong dax_hmem hmem-unaligned "a range that is not aligned is not offered"
is "the aligned part of a range with an unaligned end" "$(region 0)" "0x40000000+0x400000 in 0"
c_known_wrong dax_hmem hmem-unaligned "a range that is not aligned is not offered"
is "the aligned part of a range with unaligned start and end" "$(region 1)" "0x48200000+0x200000 in 0"
like "the aligned range" "$(for n in 0 1 2 3; do region $n; done)" '^0x180000000\+0x100000000 in 1$'
while read -r message; do
	c_known_wrong dax_hmem hmem-unaligned "logs nothing"
	like "the log says: $message" "$(dmesg)" "hmem_platform.0: $message"
done <<-LOG
	memory 0x40000000-0x40500fff is not aligned to 0x200000; 0x101000 bytes at its ends stay unused
	memory 0x48001000-0x48500fff is not aligned to 0x200000; 0x300000 bytes at its ends stay unused
	memory 0x50003000-0x50003fff stays unused: no part of it is aligned to 0x200000
LOG

if ! in_c dax_hmem; then
	DEV=dax0.0
	echo dax0.0 >$DRV/new_id
	udevadm settle
	dax "the aligned part works" <<-DAX
		open f /dev/dax0.0	= ok
		mmap m f 4M 0		= ok
		fill m 0 4M 3 4K	= ok
		verify m 0 4M 3 4K	= ok
		phys m 2M		= 0x40200000
	DAX
	echo dax0.0 >$DRV/remove_id
	echo dax0.0 >$DRV/unbind
fi
done_testing
