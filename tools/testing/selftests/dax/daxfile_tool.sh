#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The program daxfile makes, seals and lists files.
# needs: mkfs.ext4 mkfs.xfs daxfile
# limit: 240
. ./lib.sh

modprobe daxfile || bail_out "there is no daxfile"
on_exit "modprobe -r daxfile"

for fs in ext4 xfs; do
	file_system $fs
	f=$MNT/f
	# Leave the first free blocks where no entry of 2 MiB begins.
	head -c 12K /dev/zero >"$MNT/before"

	is "$fs: create" "$(daxfile create "$f" 16M 2>&1)" "$f: 16777216 bytes, align 0x200000"
	is "$fs: it leaves nothing else" "$(ls "$MNT" | grep -c daxfile)" 0
	refuse "$fs: create does not replace a file" "exists" daxfile create "$f" 16M
	refuse "$fs: the size must fit the align" "multiple of the align" daxfile create "$MNT/g" 3M
	refuse "$fs: no file is larger than the file system" "No space left" daxfile create "$MNT/g" 8G
	is "$fs: a failure leaves nothing" "$(ls "$MNT" | grep -c daxfile)" 0
	is "$fs: create with 4K" "$(daxfile create -a 4K "$MNT/k" 12K 2>&1)" "$MNT/k: 12288 bytes, align 0x1000"

	is "$fs: seal takes the largest align, and passes the descriptor on" \
		"$(daxfile seal "$f" bash -c 'grep -a daxfile-align /proc/self/fdinfo/$DAXFILE_FD' 2>&1)" \
		"daxfile-align:	2097152"
	is "$fs: with a smaller one on request" \
		"$(daxfile seal -a 4K "$f" bash -c 'grep -a daxfile-align /proc/self/fdinfo/$DAXFILE_FD' 2>&1)" \
		"daxfile-align:	4096"
	refuse "$fs: it is the status of the command" "" daxfile seal "$f" false
	refuse "$fs: a file that cannot be sealed" "Text file busy" bash -c "exec 3<>$f; daxfile seal $f true"

	mkfifo "$TMP/in"
	daxfile seal "$f" <"$TMP/in" >"$TMP/out" &
	holder=$!
	exec 9>"$TMP/in"
	for ((i = 0; i < 50 * PACE; i++)); do [ -s "$TMP/out" ] && break; sleep 0.1; done
	is "$fs: seal without a command" "$(cat "$TMP/out")" "$f: sealed, align 0x200000"
	like "$fs: info lists it" "$(daxfile info)" \
		"^$holder fd [0-9]+ align 2097152 size 16777216 extents [0-9]+ memory present sealer daxfile\[$holder\] path $f\$"
	refuse "$fs: meanwhile it cannot be removed" "not permitted" rm -f "$f"
	exec 9>&-
	wait $holder
	check "$fs: it can be removed when the input has ended" rm "$f"
	is "$fs: info lists nothing more" "$(daxfile info)" ""
	rm "$TMP/in" "$TMP/out"
	drop_file_system
done
done_testing
