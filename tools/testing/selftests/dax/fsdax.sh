#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# File systems that map persistent memory directly, with this core: ext4 and xfs with -o dax=always,
# fio with verification, mapped writes, remount, and the data after a reboot.
# machines: nvdimm virtio-pmem
# needs: fio mkfs.ext4 mkfs.xfs
# boots: 2
# limit: 480
. ./lib.sh

mnt=$TMP/mnt
mkdir "$mnt"

# Write with fio by write(2) and by a mapping; verify now and later.
job() { fio --output-format=terse --minimal --name="$1" --directory="$mnt" --filename="$1" --size=8M --bs=4k \
	--ioengine="$2" --rw="$3" --verify=crc32c --verify_fatal=1 --verify_state_save=0 --fallocate=none "${@:4}"; }

if has_labels; then systems='ext4 xfs'; else systems='ext4'; fi
for fs in $systems; do
	name=fsdax-$fs
	if [ "$BOOT" = 1 ]; then
		if has_labels; then
			json=$(ndctl create-namespace -m fsdax -s 512M -n "$name") || bail_out "no fsdax namespace"
			dev=/dev/$(jq -r .blockdev <<<"$json")
		else
			dev=/dev/pmem0
		fi
		case $fs in
		ext4) check "$fs: mkfs" mkfs.ext4 -q -b 4096 -F "$dev" ;;
		xfs) check "$fs: mkfs" mkfs.xfs -q -f "$dev" ;;
		esac
	elif has_labels; then
		dev=/dev/$(ndctl list -N | jq -r --arg n "$name" '.[] | select(.name == $n).blockdev')
	else
		dev=/dev/pmem0
	fi

	log_mark
	check "$fs: mount -o dax=always $dev" mount -o dax=always "$dev" "$mnt"
	like "$fs: it is mounted with dax" "$(grep " $mnt " /proc/mounts)" 'dax=always'

	if [ "$BOOT" = 2 ]; then
		check "$fs: after the reboot, fio verifies data written by write(2)" \
			job written psync read --verify_only
		check "$fs: after the reboot, fio verifies data written through a mapping" \
			job mapped mmap read --verify_only
		dax "$fs: after the reboot, the mapped file has its data" <<-DAX
			open f $mnt/map ro	= ok
			mmap m f 4M 0 r		= ok
			verify m 0 4M 3		= ok
		DAX
		umount "$mnt"
		case $fs in
		ext4) check "$fs: fsck" e2fsck -fn "$dev" ;;
		xfs) check "$fs: fsck" xfs_repair -n "$dev" ;;
		esac
		has_labels && check "$fs: the namespace is destroyed" ndctl destroy-namespace -f "$(
			ndctl list -N | jq -r --arg n "$name" '.[] | select(.name == $n).dev')"
		continue
	fi

	check "$fs: fio writes and verifies" job written psync randwrite --fsync=64
	check "$fs: fio writes through a mapping and verifies" job mapped mmap randwrite --fsync=64
	check "$fs: fio mixes reads and writes" job mixed psync randrw --fsync=32 --unlink=1
	! has_labels || check "$fs: fio with libpmem" job pmem libpmem randwrite --unlink=1

	# MAP_SYNC requires memory that is mapped directly and needs no flush.
	if has_labels; then sync=ok; else sync=EOPNOTSUPP; fi
	dax "$fs: mapped writes, fsync, and MAP_SYNC: $sync" <<-DAX
		open f $mnt/map creat		= ok
		ftruncate f 4M			= ok
		fallocate f alloc 0 4M		= ok
		mmap m f 4M 0			= ok
		fill m 0 4M 3			= ok
		msync m 0 4M			= ok
		fsync f				= ok
		mmap s f 4M 0 validate sync	= $sync
		open g $mnt/map ro		= ok
		mmap p g 4M 0 private rw	= ok
		verify p 0 4M 3			= ok
		write p 0 1			= ok
		verify m 0 4M 3			= ok
		fallocate f punch 0 4K		= ok
		read m 0			= 0
		fill m 0 4K 3			= ok
		ftruncate f 8M			= ok
		pread f 4K 4M			= 4096
		ftruncate f 4M			= ok
		mmap t f 8M 0			= ok
		read t 4M			= SIGBUS ADRERR at 0x400000
	DAX

	cp "$mnt/map" "$TMP/copy"
	check "$fs: remount" bash -c "umount $mnt && mount -o dax=always $dev $mnt"
	check "$fs: read(2) shows the data written through the mapping" cmp "$mnt/map" "$TMP/copy"
	check "$fs: after the remount, fio verifies data written by write(2)" job written psync read --verify_only
	check "$fs: after the remount, fio verifies data written through a mapping" job mapped mmap read --verify_only

	# A file system holds its dax device, so the namespace cannot be disabled.
	if has_labels; then
		refuse "$fs: the namespace cannot be disabled while it is mounted" "busy|in use|mounted|failed" \
			ndctl disable-namespace "$(jq -r .dev <<<"$json")"
	fi
	umount "$mnt"
	check "$fs: it mounts without dax" mount -o dax=never "$dev" "$mnt"
	check "$fs: the page cache has the same data" cmp "$mnt/map" "$TMP/copy"
	umount "$mnt"
	sync
done
done_testing
