#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Addresses that the kernel chooses are aligned; fixed addresses and hints are used as they are.
# machines: nvdimm
. ./lib.sh

for align in "${ALIGNS[@]:1}"; do
	dax_device $align mem "$(room $align)"
	a=$(bytes $align)

	dax "$align: mappings without an address are aligned, whatever mappings are around them" <<-DAX
		open f $NODE			= ok
		mmap x1 anon 4K 0 private	= ok
		mmap m1 f $align 0		= ok
		addr m1 $align			= 0
		mmap x2 anon 36K 0 private	= ok
		mmap m2 f $align 0		= ok
		addr m2 $align			= 0
		mmap m3 f $align $((SIZE - a))	= ok
		addr m3 $align			= 0
		mmap m4 f $((SIZE)) 0		= ok
		addr m4 $align			= 0
		write m4 0 3			= ok
		read m1 0			= 3
		read m2 0			= 3
	DAX

	dax "$align: an aligned address, fixed or a hint, is used as it is" <<-DAX
		open f $NODE				= ok
		mmap m f $align 0			= ok
		write m 0 77				= ok
		munmap m				= ok
		mmap n f $align 0 fixed=0x200000000000	= ok
		addr n					= 0x200000000000
		read n 0				= 77
		mmap o f $align 0 hint=0x300000000000	= ok
		addr o					= 0x300000000000
		read o 0				= 77
	DAX

	dax "$align: a fixed mapping replaces an existing mapping" <<-DAX
		open f $NODE				= ok
		mmap hole anon $((4 * a)) 0 private fixed=0x200000000000	= ok
		write hole 0 1				= ok
		write hole $align 2			= ok
		mmap m f $align 0 fixed=hole+$align	= ok
		read m 0				= 77
		read hole 0				= 1
		mmap back anon $align 0 private fixed=m	= ok
		read back 0				= 0
	DAX
	destroy_device >/dev/null
done
done_testing
