#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# One device, several processes.
# machines: nvdimm
. ./lib.sh

for align in "${ALIGNS[@]}"; do
	dax_device $align mem "$(room $align)"

	session one
	session two
	for who in one two; do
		ask $who open f "$NODE" >/dev/null
		ask $who mmap m f "$SIZE" 0 >/dev/null
	done
	ask one write m 0 11 >/dev/null
	is "$align: what one process writes another reads" "$(ask two read m 0)" 11
	ask two fill m $PAGE 64K 3 >/dev/null
	is "$align: and in the other direction" "$(ask one verify m $PAGE 64K 3)" ok
	leave one
	is "$align: a killed process does not affect the memory" "$(ask two verify m $PAGE 64K 3)" ok
	session one
	ask one open f "$NODE" >/dev/null
	ask one mmap m f "$SIZE" 0 r >/dev/null
	is "$align: a process that maps it later reads the same data" "$(ask one verify m $PAGE 64K 3)" ok
	leave one
	leave two

	dax "$align: fork shares the mapping" <<-DAX
		open f $NODE			= ok
		mmap m f $align 0		= ok
		write m 0 1			= ok
		child read m 0			= 1
		child write m 0 2		= ok
		read m 0			= 2
		child fill m 0 $PAGE 9		= ok
		verify m 0 $PAGE 9			= ok
	DAX

	dax "$align: a child takes its own faults, one for each entry" <<-DAX
		open f $NODE			= ok
		mmap m f $align 0		= ok
		child store m 0 8 8		= faults 1
		touch m 0 8 8 r			= faults 1
	DAX

	dax "$align: a child may unmap, protect and close what it inherited" <<-DAX
		open f $NODE			= ok
		mmap m f $align 0		= ok
		write m 0 1			= ok
		child munmap m			= ok
		child mprotect m 0 $align none	= ok
		child close f			= ok
		read m 0			= 1
		write m 0 5			= ok
		child read m 0			= 5
	DAX
	destroy_device >/dev/null
done
done_testing
