#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The examples of the admin guide for daxfile, in C and in Rust: each appends to a log what the other reads.
# needs: mkfs.ext4 mkfs.xfs xfs_io daxfile daxfile-example daxfile-example-rs
# limit: 240
. ./lib.sh

modprobe daxfile || bail_out "there is no daxfile"
on_exit "modprobe -r daxfile"

for fs in ext4 xfs; do
	file_system $fs
	f=$MNT/log
	check "$fs: a log is made" daxfile create "$f" 2M
	is "$fs: C appends the first record" "$(daxfile-example "$f" one 2>&1)" "1 one"
	is "$fs: Rust reads it, and appends the second one" "$(daxfile-example-rs "$f" two 2>&1)" "1 one
2 two"
	is "$fs: C reads both" "$(daxfile-example "$f" three 2>&1)" "1 one
2 two
3 three"
	is "$fs: after the seal the file has the records" "$(tr -d '\0\1\2\3' <"$f" | head -c 64)" onetwothree
	check "$fs: and can be removed" rm "$f"

	scattered "$f" 512
	dd if=/dev/zero of="$f" bs=2M count=1 conv=notrunc status=none
	is "$fs: C takes the align that the blocks fit" "$(daxfile-example "$f" x 2>&1)" "1 x"
	is "$fs: Rust, too" "$(daxfile-example-rs "$f" y 2>&1)" "1 x
2 y"
	python3 - <<-'PYTHON' >"$f"
		import struct, sys
		for number in range(1, 2**15 + 1):
		    sys.stdout.buffer.write(struct.pack("<Q56s", number, b"x"))
	PYTHON
	refuse "$fs: C: the log is full" "is full" daxfile-example "$f" z
	refuse "$fs: Rust: the log is full" "no storage space" daxfile-example-rs "$f" z
	truncate -s 0 "$f"
	truncate -s 2M "$f"
	for program in daxfile-example daxfile-example-rs; do
		refuse "$fs: $program: a file with a hole cannot be sealed" "No data available" $program "$f" z
		refuse "$fs: $program: nor one that is open for writing" "Text file busy" bash -c "exec 3<>$f; $program $f z"
	done
	drop_file_system
done
for program in daxfile-example daxfile-example-rs; do
	refuse "$program: a missing argument is reported" "give me a file" $program "$TMP/x"
done
done_testing
