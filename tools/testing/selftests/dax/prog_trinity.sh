#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# trinity: random system calls that take an address or a file descriptor, with one file that is named to it, as a
# user and as root: the device, a sealed file, or the file that seals.
# machines: nvdimm
# needs: trinity setpriv mkfs.ext4 daxfile
# limit: 1200
. ./lib.sh

calls="mmap munmap mremap mprotect pkey_mprotect madvise process_madvise mlock mlock2 munlock msync mincore
	remap_file_pages mbind move_pages migrate_pages get_mempolicy userfaultfd
	process_vm_readv process_vm_writev vmsplice splice tee sendfile copy_file_range
	read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 lseek fallocate ftruncate
	newfstat ioctl fcntl flock fsync fdatasync sync_file_range fadvise64 readahead dup dup2 dup3
	io_uring_setup io_uring_register io_uring_enter"
options=()
for call in $calls; do options+=(-c "$call"); done

# fuzz FILE NUMBER [COMMAND...]: that many calls from four processes, started by COMMAND; again and again if MINUTES
# is set, until they are over
fuzz()
{
	local end=$((SECONDS + 60 * ${MINUTES:-0}))
	while trinity_once "$@"; do [ $SECONDS -lt $end ] || return 0; done
	return 1
}

trinity_once()
{
	local file=$1 number=$2
	shift 2
	rm -rf "$TMP/work"
	mkdir -p "$TMP/work"
	chmod 777 "$TMP" "$TMP/work"
	(cd "$TMP/work" && "$@" timeout -k 10 $((240 * PACE)) trinity -q --dangerous -a 64 -l off -C 4 -N "$number" -V "$file" \
		--enable-fds=pseudo "${options[@]}" >"$TMP/trinity" 2>&1)
	# trinity ends by a signal of its own now and then.
	made=$(grep -oP 'Ran \K\d+(?= syscalls)' "$TMP/trinity" | tail -n 1)
	[ "${made:-0}" -ge $((number / 2)) ] || { tail -n 8 "$TMP/trinity"; return 1; }
	echo "$made" >>"$TMP/made"
}

user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
for align in 4K 2M; do
	dax_device $align mem 256M
	chmod 666 "$NODE"
	check "$align: 20,000 calls as a user" fuzz "$NODE" 20000 "${user[@]}"
	check "$align: 20,000 calls as root" fuzz "$NODE" 20000
	! rust_here device_dax || check "$align: it has mapped the device, or was refused" \
		awk '{ n += $1 } END { exit !n }' "$SYS"/stats/*
	dax "$align: the device can be used as before" <<-DAX
		open f $NODE		= ok
		mmap m f $SIZE 0	= ok
		fill m 0 $SIZE 9 2M	= ok
		verify m 0 $SIZE 9 2M	= ok
	DAX
	check "$align: nothing keeps the device: it is unbound" within 30 bash -c "echo $DEV >$DRV/unbind"
	check "$align: and bound" bind
	destroy_device >/dev/null
done
if modprobe -q daxfile; then
	file_system ext4
	f=$MNT/f
	chmod 755 "$MNT"
	check "a file is made" daxfile create "$f" 32M
	chmod 666 "$f" /dev/daxfile
	dax "it gets a pattern" <<-DAX
		open f $f ro		= ok
		seal s f 2M		= ok
		mmap m s 32M 0		= ok
		fill m 0 32M 9		= ok
	DAX
	daxfile seal "$f" sleep 100000 &
	sealer=$!
	sleep 1
	check "sealed file: 10,000 calls as a user" fuzz "$f" 10000 "${user[@]}"
	check "sealed file: 10,000 calls as root" fuzz "$f" 10000
	check "/dev/daxfile: 10,000 calls as a user" fuzz /dev/daxfile 10000 "${user[@]}"
	check "/dev/daxfile: 10,000 calls as root" fuzz /dev/daxfile 10000
	dax "no call has changed the sealed file" <<-DAX
		open f $f ro		= ok
		fstat f			= *size $((32 << 20))
		mmap m f 32M 0 r	= ok
		verify m 0 32M 9	= ok
	DAX
	pkill -P $sealer
	kill $sealer
	wait $sealer 2>/dev/null
	check "after the seal it can be removed" rm "$f"
	drop_file_system
	check "no seal is left: the module is removed" modprobe -r daxfile
fi
echo "# count: $(awk '{ n += $1 } END { print n }' "$TMP/made") system calls by trinity"
done_testing
