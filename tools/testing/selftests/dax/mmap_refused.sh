#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Mappings that a device cannot provide are refused, and the log has the reason. An access beyond
# the end of the device raises SIGBUS, and no other access does.
# machines: nvdimm legacy
# limit: 240
. ./lib.sh

for align in "${ALIGNS[@]}"; do
	dax_device $align mem "$(room $align)"
	a=$(bytes $align)

	dax "$align: a private mapping is refused" <<-DAX
		open f $NODE			= ok
		mmap m f $align 0 private	= EINVAL
		mmap m f $align 0 r private	= EINVAL
		mmap m f $align 0 shared	= ok
	DAX
	says "$align: the log names the device and the private mapping" "$DEV: .*private" <<-DAX
		open f $NODE
		mmap m f $align 0 private
	DAX

	if [ $align != "$PAGE" ]; then
		dax "$align: a misaligned length is refused" <<-DAX
			open f $NODE			= ok
			mmap m f $PAGE 0			= EINVAL
			mmap m f $((a - page)) 0	= EINVAL
			mmap m f $((a + page)) 0	= EINVAL
			mmap m f $align 0		= ok
		DAX
		says "$align: the log names the device and the alignment of a length" "$DEV: .*align" <<-DAX
			open f $NODE
			mmap m f $PAGE 0
		DAX

		dax "$align: a misaligned address is refused" <<-DAX
			open f $NODE				= ok
			mmap hole anon $((4 * a)) 0 none private	= ok
			mmap at f $align 0			= ok
			mmap m f $align 0 fixed=hole+$PAGE		= EINVAL
		DAX
		says "$align: the log names the device and the alignment of an address" "$DEV: .*align" <<-DAX
			open f $NODE
			mmap hole anon $((4 * a)) 0 none private
			mmap m f $align 0 fixed=hole+$PAGE
		DAX

		dax "$align: a misaligned offset is refused" <<-DAX
			open f $NODE			= ok
			mmap m f $align $PAGE		= EINVAL
			mmap m f $align $((a / 2))	= EINVAL
		DAX

		# Even if the address is aligned: an entry cannot begin in the middle of a folio.
		c_known_wrong device_dax offset-unaligned "does not check the offset; a fault then maps memory from the middle of a folio"
		dax "$align: a misaligned offset at an aligned address is refused" <<-DAX
			open f $NODE			= ok
			mmap m f $align $PAGE fixed=0x200000000000	= EINVAL
			mmap m f $align $((a / 2)) fixed=0x200000000000	= EINVAL
			mmap m f $align 0 fixed=0x200000000000	= ok
		DAX
	fi

	dax "$align: a length of zero and an offset that is not a multiple of a page are refused" <<-DAX
		open f $NODE			= ok
		mmap m f 0 0			= EINVAL
		mmap m f $align 512		= EINVAL
	DAX

	dax "$align: an access beyond the end raises SIGBUS, the rest works" <<-DAX
		open f $NODE				= ok
		mmap m f $((SIZE + a)) 0		= ok
		write m $((SIZE - 8)) 5			= ok
		read m $SIZE				= SIGBUS ADRERR at $(printf '%#x' "$SIZE")
		write m $SIZE 1				= SIGBUS ADRERR at $(printf '%#x' "$SIZE")
		read m $((SIZE + a - 8))		= SIGBUS ADRERR at $(printf '%#x' $((SIZE + a - 8)))
		read m $((SIZE - 8))			= 5
		mmap n f $align $SIZE			= ok
		read n 0				= SIGBUS ADRERR at 0
		mmap o f $align 0x7fffffc000000000	= ok
		read o 0				= SIGBUS ADRERR at 0
		read m $((SIZE - 8))			= 5
	DAX

	destroy_device >/dev/null
done
done_testing
