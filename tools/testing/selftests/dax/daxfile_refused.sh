#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxfile: files that cannot be sealed are refused, each with its error and a reason in the log.
# needs: mkfs.ext4 mkfs.xfs xfs_io
# limit: 240
. ./lib.sh

modprobe daxfile seals_per_user=2 || bail_out "there is no daxfile"
on_exit "modprobe -r daxfile"
chmod 0666 /dev/daxfile

# no DESCRIPTION ERROR REASON FILE ALIGN: the file is refused with the error; the log matches
no()
{
	dax "$fs: $1: $2" <<-DAX
		open f $4 ro		= ok
		seal s f $5		= $2
	DAX
	says "$fs: $1: the log says why" "daxfile: daxtest\[[0-9]+\]: seal refused: .*$3" <<-DAX
		open f $4 ro
		seal s f $5
	DAX
}

fs=tmpfs
echo x >"$TMP/x"
no "a file without dax" EOPNOTSUPP "mounted with -o dax" "$TMP/x" 4K

for fs in ext4 xfs; do
	file_system $fs
	f=$MNT/f
	written "$f" 4M

	no "an align that is no size of an entry" EINVAL "0x200000" "$f" 8K
	no "an align of 0" EINVAL "0x200000" "$f" 0
	no "a directory" EINVAL "regular file" "$MNT" 4K
	touch "$MNT/empty"
	no "an empty file" EINVAL "multiple of the align" "$MNT/empty" 4K
	written "$MNT/short" 3M
	no "a length that the align does not divide" EINVAL "0x300000" "$MNT/short" 2M
	truncate -s 4M "$MNT/hole"
	no "a file that is one hole" ENODATA "offset 0x0;" "$MNT/hole" 4K
	written "$MNT/part" 4M
	fallocate -p -o 1M -l 4K "$MNT/part"
	no "a file with a hole" ENODATA "offset 0x100000;" "$MNT/part" 4K
	fallocate -l 4M "$MNT/unwritten"
	no "unwritten extents" ENODATA "offset 0x0;" "$MNT/unwritten" 4K
	# Two files that grow by turns.
	for ((n = 0; n < 16; n++)); do
		for each in s t; do head -c 128K /dev/zero >>"$MNT/$each"; sync "$MNT/$each"; done
	done
	no "extents that do not fit the align" "ERANGE 0x1000" "largest that would do is 0x1000" "$MNT/s" 2M
	if [ $fs = xfs ]; then
		cp --reflink=always "$f" "$MNT/shared"
		no "shared blocks" EMLINK "shares blocks" "$f" 4K
		rm "$MNT/shared"
		dax "$fs: they are not shared any more" <<-DAX
			open f $f ro		= ok
			seal s f 4K		= ok
		DAX
	fi

	xfs_io -r -c "chattr +i" "$f"
	no "an immutable file" EPERM "immutable" "$f" 4K
	xfs_io -r -c "chattr -i +a" "$f"
	no "an append-only file" EPERM "append-only" "$f" 4K
	xfs_io -r -c "chattr -a" "$f"

	session w
	ask w open f "$f" >/dev/null
	no "a file that is open for writing" ETXTBSY "open for writing" "$f" 4K
	ask w mmap m f 4M 0 >/dev/null
	ask w close f >/dev/null
	no "a file that is mapped for writing" ETXTBSY "mapped so" "$f" 4K
	leave w
	sleep 0.2
	dax "$fs: the descriptor of the caller must not be open for writing" <<-DAX
		open f $f		= ok
		seal s f 4K		= ETXTBSY
		open g $f wo		= ok
		seal s g 4K		= EBADF
	DAX
	dax "$fs: a file can be sealed once" <<-DAX
		open f $f ro		= ok
		seal s f 4K		= ok
		seal t f 2M		= EBUSY
		close s			= ok
		seal t f 2M		= ok
	DAX

	# Who may. The user opens the file while still root, so that the mode of directories is no matter.
	chmod 0666 "$f"
	dax "$fs: not another user, even if they may write" <<-DAX
		open f $f ro		= ok
		uid 1000		= ok
		seal s f 4K		= EPERM
	DAX
	chown 1000 "$f"
	chmod 0444 "$f"
	dax "$fs: not the owner without write access" <<-DAX
		open f $f ro		= ok
		uid 1000		= ok
		seal s f 4K		= EACCES
	DAX
	chmod 0600 "$f"
	written "$MNT/2" 1M
	written "$MNT/3" 1M
	chown 1000 "$MNT/2" "$MNT/3"
	dax "$fs: the owner, but not too many files" <<-DAX
		open f $f ro		= ok
		open g $MNT/2 ro	= ok
		open h $MNT/3 ro	= ok
		uid 1000		= ok
		seal s f 4K		= ok
		seal t g 4K		= ok
		seal u h 4K		= EUSERS
		close s			= ok
		seal u h 4K		= ok
		mmap m u 1M 0		= ok
		write m 0 1		= ok
	DAX
	dax "$fs: the limit is not for the privileged" <<-DAX
		open f $f ro		= ok
		open g $MNT/2 ro	= ok
		open h $MNT/3 ro	= ok
		seal s f 4K		= ok
		seal t g 4K		= ok
		seal u h 4K		= ok
	DAX

	mount -o remount,ro "$MNT"
	no "a file system that is read-only" EROFS "read-only" "$f" 4K
	mount -o remount,rw "$MNT"
	mkdir -p "$TMP/ro"
	mount --bind "$MNT" "$TMP/ro"
	mount -o remount,bind,ro "$TMP/ro"
	no "a mount that is read-only" EROFS "read-only" "$TMP/ro/f" 4K
	umount "$TMP/ro"

	umount "$MNT"
	mount -o dax=never "$PMEM" "$MNT"
	no "a file system without dax" EOPNOTSUPP "mounted with -o dax" "$f" 4K
	drop_file_system
done
done_testing
