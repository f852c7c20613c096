#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxfile: a sealed file is mapped like a device, and its blocks stay where they are. ext4 and xfs.
# needs: mkfs.ext4 mkfs.xfs xfs_io
# limit: 240
. ./lib.sh

modprobe daxfile || bail_out "there is no daxfile"
on_exit "modprobe -r daxfile"

for fs in ext4 xfs; do
	file_system $fs
	f=$MNT/f

	for align in 4K 2M; do
		rm -f "$f"
		written "$f" 8M
		dax "$fs, $align: what is written through a sealed mapping is read back through it" <<-DAX
			open f $f ro		= ok
			seal s f $align		= ok
			close f			= ok
			mmap m s 8M 0		= ok
			fill m 0 8M 3		= ok
			verify m 0 8M 3		= ok
			mmap n s 4M 4M		= ok
			verify n 0 4M 3		= ok
			mmap v s 4M 0 validate sync	= ok
			verify v 0 4M 3		= ok
			mmap r s 4M 4M r	= ok
			verify r 0 4M 3		= ok
			write r 0 1		= SIGSEGV*
			smaps m KernelPageSize	= $(($(bytes $align) >> 10)) kB
			close s			= ok
			verify m 0 8M 3		= ok
		DAX
		dax "$fs, $align: after the seal, the file has the data, and can be changed" <<-DAX
			open f $f		= ok
			mmap m f 8M 0		= ok
			verify m 0 8M 3		= ok
			fill m 0 8M 0		= ok
			fallocate f zero 0 4K	= ok
		DAX
	done
	rm "$f"
	written "$f" 8M

	scattered "$MNT/s" 64
	dax "$fs: a file with an extent for each page" <<-DAX
		open f $MNT/s ro	= ok
		seal s f 4K		= ok
		mmap m s 256K 0		= ok
		fill m 0 256K 5		= ok
		verify m 0 256K 5	= ok
		munmap m		= ok
		close s			= ok
		mmap n f 256K 0 r	= ok
		verify n 0 256K 5	= ok
	DAX

	dax "$fs: the rules of the mapping are those of device DAX" <<-DAX
		open f $f ro		= ok
		seal s f 2M		= ok
		mmap m s 8M 0 private	= EINVAL
		mmap m s 1M 0		= EINVAL
		mmap m s 4M 1M		= EINVAL
		mmap m s 16M 0		= ok
		read m $((0x7ffff8))	= 0
		read m 8M		= SIGBUS ADRERR at 0x800000
		munmap m		= ok
		mmap m s 8M 0		= ok
		mprotect m 0 4K r	= EINVAL
		mprotect m 0 2M r	= ok
		write m 0 1		= SIGSEGV*
		mprotect m 0 2M rw	= ok
		write m 0 1		= ok
		mremap m 0 8M 16M maymove	= EFAULT
		mremap m 0 8M 8M maymove	= ok
		read m 0		= 1
		child read m 0		= 1
		madvise m 0 8M dontneed	= EINVAL
		pread s 8 0		= E*
	DAX

	session a
	ask a open f "$f" ro >/dev/null
	is "$fs: seal" "$(ask a seal s f 4K)" ok
	is "$fs: map" "$(ask a mmap m s 8M 0)" ok
	info=$(cat /proc/"${pid_of[a]}"/fdinfo/* | grep -a '^daxfile-')
	like "$fs: fdinfo has the path" "$info" "^daxfile-path:	$f\$"
	like "$fs: fdinfo has the align" "$info" "^daxfile-align:	4096\$"
	like "$fs: fdinfo has the length" "$info" "^daxfile-size:	8388608\$"
	like "$fs: fdinfo has who sealed it" "$info" "^daxfile-sealer:	daxtest\[${pid_of[a]}\]\$"
	like "$fs: fdinfo has the extents" "$info" "^daxfile-extent:	0 [0-9]+\$"
	is "$fs: the last close of the descriptor" "$(ask a close s)" ok

	# The mapping alone keeps the seal.
	dax "$fs: a sealed file cannot be changed" <<-DAX
		open f $f ro		= ok
		seal t f 4K		= EBUSY
		open w $f		= ETXTBSY
		open w $f wo		= ETXTBSY
		open w $f trunc		= ETXTBSY
		truncate $f 4M		= ETXTBSY
		truncate $f 16M		= ETXTBSY
		fallocate f punch 0 4K	= EBADF
		mmap p f 8M 0		= EACCES
		mmap p f 8M 0 r		= ok
		read p 0		= 1
	DAX
	refuse "$fs: a sealed file cannot be removed" "not permitted" rm -f "$f"
	refuse "$fs: a sealed file cannot be renamed" "not permitted" mv "$f" "$MNT/g"
	touch "$MNT/g"
	refuse "$fs: a sealed file cannot be replaced" "not permitted" mv -f "$MNT/g" "$f"
	refuse "$fs: the mount cannot become read-only" "busy" mount -o remount,ro "$MNT"
	refuse "$fs: the file system cannot be unmounted" "busy" umount "$MNT"
	case $fs in
	ext4) like "$fs: a sealed file cannot be defragmented" "$(e4defrag "$f" 2>&1)" "Success:.*\[0/1\]" ;;
	xfs)
		refuse "$fs: the blocks cannot be shared" "busy" cp --reflink=always "$f" "$MNT/h"
		like "$fs: the blocks cannot be shared in part" \
			"$(xfs_io -f -c "reflink $f 0 0 4k" "$MNT/h" 2>&1)" "busy"
		;;
	esac
	is "$fs: what was stored is there" "$(ask a read m 0)" 1
	leave a
	sleep 0.2
	dax "$fs: when the process has ended, the file can be changed" <<-DAX
		open w $f		= ok
		ftruncate w 4M		= ok
	DAX
	check "$fs: and removed" rm "$f"
	drop_file_system
done
done_testing
