#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxfile: a file whose blocks fit entries of 1 GiB. ext4 does not align blocks so far, and xfs needs more
# memory for it. So the test cuts off the front of a larger file.
# needs: mkfs.ext4 mkfs.xfs xfs_io filefrag
# limit: 240
. ./lib.sh

GIB=$((1 << 30))
modprobe daxfile || bail_out "there is no daxfile"
on_exit "modprobe -r daxfile"

# at_2g FILE: the offset of the block of the file that is 2 GiB behind the start of the file system
at_2g()
{
	filefrag -b4096 -v "$1" | tr -d .: | awk -v want=$((2 << 18)) \
		'$1 ~ /^[0-9]+$/ && $4 <= want && want <= $5 { printf "%d\n", ($2 + want - $4) * 4096 }'
}

for fs in ext4 xfs; do
	# The first GiB is not for data, so that the data starts at a multiple of the align.
	NAMESPACE="-s 4G -a 1G -M mem"
	# No metadata in the last GiB.
	case $fs in
	ext4) file_system ext4 -E packed_meta_blocks=1 ;;
	xfs) file_system xfs -d agcount=2 ;;
	esac
	f=$MNT/f
	fallocate -l $((2900 << 20)) "$f"
	offset=$(at_2g "$f")
	check "$fs: the file has the block at 2 GiB, at $offset" test "$offset" -ge 0
	[ "$offset" = 0 ] || check "$fs: the front of the file is cut off" fallocate -c -l "$offset" "$f"
	truncate -s 1G "$f"
	dd if=/dev/zero of="$f" bs=2M count=512 conv=notrunc status=none

	dax "$fs: it is sealed with an align of 1 GiB, and mapped with one entry" <<-DAX
		open f $f ro			= ok
		seal s f 1G			= ok
		mmap m s 1G 0			= ok
		touch m 0 1G 256M w		= faults 1
		smaps m KernelPageSize		= 1048576 kB
		fill m 0 1G 7 2M		= ok
		write m $((GIB - 8)) 8		= ok
		child read m $((GIB - 8))	= 8
		mmap n s 512M 0			= EINVAL
		mprotect m 0 512M r		= EINVAL
		mmap n s 2G 0			= ok
		read n $((GIB - 8))		= 8
		read n 1G			= SIGBUS ADRERR at 0x40000000
	DAX
	dax "$fs: with 2 MiB and 4 KiB as well" <<-DAX
		open f $f ro			= ok
		seal s f 2M			= ok
		mmap m s 1G 0			= ok
		smaps m KernelPageSize		= 2048 kB
		verify m 0 512M 7 2M		= ok
		munmap m			= ok
		close s				= ok
		seal s f 4K			= ok
		mmap m s 1G 0			= ok
		read m $((GIB - 8))		= 8
	DAX
	dax "$fs: after the seal, the file has the data" <<-DAX
		open f $f			= ok
		mmap m f 1G 0			= ok
		verify m 0 512M 7 2M		= ok
		read m $((GIB - 8))		= 8
	DAX

	fallocate -c -l 2M "$f"
	dd if=/dev/zero of="$f" bs=2M count=1 seek=511 conv=notrunc status=none
	dax "$fs: if the blocks start 2 MiB later, the seal is refused, with the align that fits" <<-DAX
		open f $f ro			= ok
		seal s f 1G			= ERANGE 0x200000
		seal s f 2M			= ok
	DAX
	drop_file_system
done
done_testing
