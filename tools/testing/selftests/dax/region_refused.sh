#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Requests that a dynamic region refuses: invalid strings for each file, and impossible changes. The
# test checks the errno, the reason in the log, and that nothing has changed.
# machines: hmem
# limit: 180
. ./lib.sh
dynamic_region
new_device 64M; neighbour=$DEV
new_device
echo 4096 >"$SYS/align"
echo $((64 << 20)) >"$SYS/size"
range() { printf '%#x-%#x' $((START + ($1))) $((START + ($2) - 1)); }
M=1048576

state_of()
{
	grep -rs . "$DEVICES" --exclude-dir=power --exclude-dir=subsystem --exclude-dir=driver |
		grep -v /uevent: | sort
	ls /sys/bus/dax/devices $DRV
	readlink "$SYS/driver"
}
before=$(state_of)
unchanged() { is "$1: nothing has changed" "$(diff <(echo "$before") <(state_of))" ""; }

# refused FILE ERRNO VALUE...: each of these values must be refused
refused()
{
	local file=$1 errno=$2 value result
	shift 2
	while read -r result; do
		is "${file##*/}: $errno for \"${1:0:40}\"" "$result" "$errno"
		shift
	done < <(for value in "$@"; do echo "put $file $value"; done | daxtest)
}

# wrong ERRNO FILE VALUE REGEX: the value must be refused, with the reason in the log
wrong()
{
	local errno=$1 file=$2 value=$3 regex=$4
	is "${file##*/}: $errno for \"$value\"" "$(result "$file" "$value")" "$errno"
	# C logs nothing, or another message.
	in_c core || says "the log has the reason: $regex" "$DEV: .*$regex" <<<"put $file $value"
}

# ---- strings that a file does not accept ----

junk=('\n' x -1 ' 1' '1 ' 1x 0x '\xff' '\*5000:z' 1.5 '1\n\n')
refused "$SYS/size" EINVAL "${junk[@]}" $((64 * M + 1)) $((64 * M + 4096)) $((65 * M))
refused "$SYS/size" ERANGE 99999999999999999999 0x10000000000000000
refused "$SYS/align" ENXIO "${junk[@]}" 99999999999999999999
# Rust refuses a string that continues after a NUL; C ignores the rest.
in_c core || refused "$SYS/align" ENXIO '4096\01'
refused "$SYS/align" EINVAL 0 1 4095 4097 8192 1048576 4194304 4294967296
refused "$SYS/mapping" EINVAL "${junk[@]}" - 1- -1 '180000000 - 1801fffff' 0x180000000 \
	180000000-1801fffffx 180000000-180000000-1 g-h 180000000,1801fffff
refused "$SYS/mapping" ERANGE 10000000000000000-1 0-10000000000000000
refused "$SYS/memmap_on_memory" EINVAL '\n' x 2 -1 '\xff' '\*5000:z' ' 1'
refused "$REGION/create" EINVAL "${junk[@]}" 0 2 100
refused "$REGION/create" ERANGE 4294967296 99999999999999999999
refused "$REGION/delete" ENXIO '\n' x dax "dax$R" "dax$R." "dax$R.x" "dax$R.99" "dax$((R + 1)).1" \
	"dax0$R.1" "dax$R.01" "dax$R.-1" "dax$R.1x" '\xff' '\*5000:d' "dax$R.1/mapping0"
for file in resource target_node numa_node modalias dev mapping0/start mapping0/end mapping0/page_offset; do
	refused "$SYS/$file" EACCES 0 '\n'
done
for file in id size align available_size seed; do
	refused "$REGION/$file" EACCES 0 '\n'
done
unchanged "after junk"

# ---- changes that are impossible ----

wrong EINVAL "$SYS/size" $((65 * M)) "size 0x4100000 refused: the size must be a multiple of 0x200000"
wrong ENOSPC "$SYS/size" $((LENGTH)) "refused: only 0xf8000000 bytes are free"
wrong ENOSPC "$SYS/size" $((1 << 62)) "refused: only .* bytes are free"
if [ -n "$PUD" ]; then
	valid="pte, pmd or pud \(4096, 2097152 or 1073741824\)"
	huge="start and length of .* must be multiples of 0x40000000"
else
	# No entry is that large.
	valid="pte or pmd \(4096 or 2097152\)"
	huge="it must be the size of a $valid"
fi
wrong EINVAL "$SYS/align" 8192 "align 8192 refused: it must be the size of a $valid"
wrong EINVAL "$SYS/align" $((1 << 30)) "align 1073741824 refused: $huge"
c_known_wrong core mapping-errno "returns ENOMEM"
wrong EINVAL "$SYS/mapping" "$(range -2*M 0)" "mapping .* refused: outside of the region"
c_known_wrong core mapping-errno "returns ENOMEM"
wrong EINVAL "$SYS/mapping" "$(range LENGTH LENGTH+2*M)" "mapping .* refused: outside of the region"
c_known_wrong core mapping-errno "returns ENOMEM"
wrong EINVAL "$SYS/mapping" "$(range 0-2*M LENGTH+2*M)" "mapping .* refused: outside of the region"
c_known_wrong core mapping-errno "returns ENOMEM"
wrong EBUSY "$SYS/mapping" "$(range 0 2*M)" "mapping .* refused: in use by a device"
c_known_wrong core mapping-errno "returns ENOMEM"
wrong EBUSY "$SYS/mapping" "$(range 62*M 66*M)" "mapping .* refused: in use by a device"
c_known_wrong core mapping-errno "returns ENOMEM"
wrong EBUSY "$SYS/mapping" "$(range 64*M 66*M)" "mapping .* refused: in use by a device"
c_known_wrong core mapping-ignored "success for a range that it ignores"
wrong EINVAL "$SYS/mapping" "$(range 200*M 201*M)" "mapping .* refused: start and length"
c_known_wrong core align-start "accepts a range that starts anywhere"
wrong EINVAL "$SYS/mapping" "$(range 201*M 203*M)" "mapping .* refused: start and length"
result "$SYS/size" $((64 * M)) >/dev/null	# C added that range
c_known_wrong core mapping-reversed "treats a range that ends before it starts as empty, and leaves a device of size 0"
is "mapping: EINVAL for a range that ends before it starts" "$(result "$SYS/mapping" "$(printf '%x-%x' $((START + 4 * M)) $START)")" EINVAL
unchanged "after impossible changes"

wrong EBUSY "$REGION/delete" "$DEV" "delete refused: it has memory; write 0 to its size first"
DEV=dax$R.0 wrong EBUSY "$REGION/delete" "dax$R.0" "delete refused: the first instance of a region stays"
unchanged "after delete"

# A size for which there are enough bytes, but not enough aligned ranges.
if [ -n "$PUD" ]; then
	keep=$DEV
	new_device
	echo $((1 << 30)) >"$SYS/align"
	c_known_wrong core align-start "gives the device ranges that its align cannot map"
	is "a device takes all aligned memory" "$(result "$SYS/size" $((3 << 30))) $(ranges)" "ok 1024+3072"
	c_known_wrong core align-start "takes the unaligned rest, and keeps it"
	is "size: ENOSPC if the rest is not aligned, and nothing has changed" \
		"$(result "$SYS/size" $((4 << 30))) $(ranges)" "ENOSPC 1024+3072"
	echo 0 >"$SYS/size"
	echo "$DEV" >"$REGION/delete"
	use_device "$keep"
fi

# ---- while a driver is bound ----

bind_to_device || bail_out "$DEV is not bound"
session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 2M 0 >/dev/null
ask a write m 0 5 >/dev/null
before=$(state_of)
if in_c device_dax; then
	why="bound to device_dax, which takes no more memory; unbind it first"
else
	why="bound to a driver, so it can only grow; unbind it first"
fi
wrong EBUSY "$SYS/size" 0 "size 0x0 refused: $why"
refused "$SYS/size" EBUSY $((2 * M))
wrong EBUSY "$SYS/align" $((2 * M)) "align 2097152 refused: bound to a driver; unbind it first"
refused "$SYS/align" EBUSY 4096
wrong EBUSY "$REGION/delete" "$DEV" "delete refused: bound to a driver; unbind it first"
refused $DRV/bind EBUSY "$DEV"
unchanged "while it is bound"
is "the mapping works" "$(ask a read m 0)" 5
leave a

# grow.sh is about drivers that take more memory.
unbind
echo "$DEV" >$DRV/remove_id
echo "$DEV" >/sys/bus/dax/drivers/fsdev_dax/new_id
on_exit "echo $DEV >/sys/bus/dax/drivers/fsdev_dax/remove_id"
before=$(state_of)
wrong EBUSY "$SYS/size" $((128 * M)) "size 0x8000000 refused: bound to fsdev_dax, which takes no more memory; unbind it first"
# With the bug, the driver in C takes it that the range has struct pages, and the kernel oopses at the unbind.
has_bug mapping-bound core ||
	wrong EBUSY "$SYS/mapping" "$(range 256*M 258*M)" "mapping .* refused: bound to fsdev_dax, which takes no more memory"
unchanged "while fsdev_dax has it"
done_testing
