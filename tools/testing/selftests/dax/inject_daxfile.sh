#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A file is sealed and mapped while each allocation fails in turn. A failure leaves no seal behind.
# needs: mkfs.ext4 mkfs.xfs xfs_io
# tier: all
# kernel: debug
# limit: 600
. ./lib.sh
modprobe daxfile || bail_out "there is no daxfile"
on_exit "modprobe -r daxfile"
can_inject

# Each seal holds the module.
watched=(/sys/module/daxfile/refcnt)
# An address that has no page tables yet.
far=0x100000000000
for fs in ext4 xfs; do
	file_system $fs
	f=$MNT/f
	for align in 4K 2M; do
		rm -f "$f"
		written "$f" 8M
		inject "$fs, $align: a seal" "ENOMEM|ok" seal s f $align <<-EOF
			open f $f ro
			undo close s
		EOF
		inject "$fs, $align: mmap" "ENOMEM|ok" mmap m s $align 0 <<-EOF
			open f $f ro
			seal s f $align
			undo munmap m
		EOF
		# mm tries again until there is memory.
		inject "$fs, $align: a fault" ok write m 0 1 <<-EOF
			open f $f ro
			seal s f $align
			mmap m s $align 0 hint=$far
			undo munmap m
			undo mmap m s $align 0 hint=$far
		EOF
		dax "$fs, $align: after that, the file can be changed" <<-DAX
			open f $f		= ok
			fallocate f zero 0 4K	= ok
		DAX
	done
	scattered "$MNT/s" 64
	inject "$fs: a seal of a file with 64 extents" "ENOMEM|ok" seal s f 4K <<-EOF
		open f $MNT/s ro
		undo close s
	EOF
	drop_file_system
done
done_testing
