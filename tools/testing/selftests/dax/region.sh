#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A dynamic region is divided again and again: create, size, mapping, align, delete. The test checks
# the ranges of the instances, and that exactly these are mapped.
# machines: hmem
. ./lib.sh
dynamic_region
first=dax$R.0

# ---- the files, their modes and contents ----

use_device "$first"
while read -r file mode value; do
	is "mode of $file" "$(stat -c %a "$SYS/$file" 2>&1)" "$mode"
	[ "$value" = . ] || is "contents of $file" "$(daxtest <<<"get $SYS/$file")" "$value"
done <<-TABLE
	size 644 0
	align 644 $(bytes "$PMD")
	mapping 200 .
	resource 400 $(printf '%#x' $((START)))
	target_node 444 1
	numa_node 444 $near
	modalias 444 dax:t0
	memmap_on_memory 644 0
	../dax_region/id 444 $R
	../dax_region/size 444 4294967296
	../dax_region/align 400 $(bytes "$PMD")
	../dax_region/available_size 444 4294967296
	../dax_region/create 644
	../dax_region/seed 444
	../dax_region/delete 200 .
TABLE
check "a device without memory has no mapping" test ! -e "$SYS/mapping0"
is "a device without memory cannot be bound" "$(result $DRV/bind "$first")" ENODEV
echo "$first" >$DRV/new_id 2>/dev/null
is "it cannot be bound by name either" "$(result $DRV/bind "$first")" ENXIO
echo "$first" >$DRV/remove_id

# ---- create, seed, delete ----

is "create" "$(result "$REGION/create" 1)" ok
is "create shows the new device" "$(cat "$REGION/create")" "dax$R.1"
is "the new device is the seed" "$(cat "$REGION/seed")" "dax$R.1"
is "create another device" "$(result "$REGION/create" '1\n')" ok
is "create shows the last device" "$(cat "$REGION/create")" "dax$R.2"
is "the seed is still the first" "$(cat "$REGION/seed")" "dax$R.1"
is "create accepts other notations of 1" "$(result "$REGION/create" +0x1)" ok
is "delete the last device" "$(result "$REGION/delete" "dax$R.3")" ok
is "create then shows none" "$(cat "$REGION/create")" ""
is "delete, as daxctl writes it" "$(result "$REGION/delete" "dax$R.1\\0")" ok
is "there is no seed then" "$(cat "$REGION/seed")" ""
is "a new device gets the lowest free number" \
	"$(result "$REGION/create" 1) $(cat "$REGION/create")" "ok dax$R.1"
is "delete all" "$(result "$REGION/delete" "dax$R.1") $(result "$REGION/delete" "dax$R.2")" "ok ok"
is "only the first device is left" "$(ls /sys/bus/dax/devices)" "$first"

# ---- size: lowest address first, shrink from the end, several ranges ----

new_device 256M; a=$DEV
new_device 256M; b=$DEV
new_device 256M; c=$DEV
is "three devices in a row" "$(ranges $a) $(ranges $b) $(ranges $c)" "0+256 256+256 512+256"
is "the rest is free" "$(cat "$REGION/available_size")" $((LENGTH - (768 << 20)))
use_device $b
echo 0 >"$SYS/size"
is "a device that shrinks to nothing has no range" "$(ranges)" ""
is "its memory is free" "$(cat "$REGION/available_size")" $((LENGTH - (512 << 20)))
echo $((128 << 20)) >"$SYS/size"
is "it gets the lowest addresses" "$(ranges)" "256+128"
use_device $a
echo $((448 << 20)) >"$SYS/size"
is "a device that grows fills the gap, then continues behind the others" "$(ranges)" "0+256 384+128 768+64"
is "page offsets are consecutive" "$(cat "$SYS"/mapping?/page_offset | xargs)" "0x0 0x10000 0x18000"
is "resource is its start" "$(cat "$SYS/resource")" "$(printf '%#x' $((START)))"
echo $((512 << 20)) >"$SYS/size"
is "the last range grows in place" "$(ranges)" "0+256 384+128 768+128"
echo $((320 << 20)) >"$SYS/size"
is "the device shrinks from the end" "$(ranges)" "0+256 384+64"
echo $((256 << 20)) >"$SYS/size"
is "a whole range is removed" "$(ranges)" "0+256"
check "its mapping is gone" test ! -e "$SYS/mapping1"
is "the same size again changes nothing" "$(result "$SYS/size" $((256 << 20))) $(ranges)" "ok 0+256"
is "size accepts hexadecimal" "$(result "$SYS/size" 0x20000000) $(ranges)" "ok 0+256 384+128 768+128"
is "size accepts octal" "$(result "$SYS/size" 0$(printf %o $((256 << 20)))) $(ranges)" "ok 0+256"
echo 0 >"$SYS/size"
use_device $b
echo $((2 << 20)) >"$SYS/size"
is "the smallest device" "$(ranges)" "256+2"
is "a device takes all free memory" "$(result "$SYS/size" $((LENGTH - (256 << 20)))) $(cat "$REGION/available_size")" "ok 0"
is "it has these ranges" "$(ranges)" "256+2 0+256 258+254 768+3328"
is "no device can be created when no memory is free" "$(result "$REGION/create" 1)" ENOSPC
empty_region
is "all is free again" "$(cat "$REGION/available_size")" $LENGTH

# ---- mapping: ranges with given addresses ----

new_device
is "mapping adds a range" "$(result "$SYS/mapping" "$(printf '%x-%x' $((START + (64 << 20))) $((START + (128 << 20) - 1)))")" ok
is "mapping adds a second range, before the first" \
	"$(result "$SYS/mapping" "$(printf '%#x-%#x' $((START))  $((START + (4 << 20) - 1)))\\n")" ok
is "the ranges are in the order of the writes" "$(ranges)" "64+64 0+4"
is "the size is the sum" "$(cat "$SYS/size")" $((68 << 20))
is "the device grows behind its last range" "$(result "$SYS/size" $((72 << 20))) $(ranges)" "ok 64+64 0+8"

# ---- bound: the mapped memory is in these ranges ----

check "device_dax binds" bind_to_device
is "its ranges are reserved under its name" "$(grep -c " : $DEV\$" /proc/iomem)" 2
dax "each page is where the ranges say" <<-DAX
	open f $NODE		= ok
	mmap m f 72M 0		= ok
	fill m 0 72M 7 4K	= ok
	verify m 0 72M 7 4K	= ok
	write m 64M 42		= ok
	phys m 0		= $(printf '%#x' $((START + (64 << 20))))
	phys m 62M		= $(printf '%#x' $((START + (126 << 20))))
	phys m 64M		= $(printf '%#x' $((START)))
	phys m 70M		= $(printf '%#x' $((START + (6 << 20))))
DAX
dax "an access behind the end raises SIGBUS" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 72M		= ok
	read m 0		= SIGBUS*
DAX
is "a device that was bound is not the seed" "$(cat "$REGION/seed")" ""
unbind
check "an unbound device has no reservation" bash -c "! grep -q ' : $DEV\$' /proc/iomem"
# A new device gets the range at the start of the region, with the data in it.
two=$DEV
new_device
is "a range that one device gave up goes to another one" \
	"$(result "$DEVICES/$two/size" $((64 << 20))) $(result "$SYS/mapping" "$(printf '%x-%x' $((START)) $((START + (8 << 20) - 1)))")" "ok ok"
check "device_dax binds" bind_to_device
dax "the data of the first device is there" <<-DAX
	open f $NODE		= ok
	mmap m f 8M 0		= ok
	read m 0		= 42
DAX
empty_region

# ---- align ----

new_device 1026M
is "an align of 4K fits any range" "$(result "$SYS/align" 4096) $(cat "$SYS/align")" "ok 4096"
check "device_dax binds" bind_to_device
dax "it maps pages of 4 KiB" <<-DAX
	open f $NODE		= ok
	mmap m f 8K 4K		= ok
	fill m 0 8K 7		= ok
	phys m 0		= $(printf '%#x' $((START + 4096)))
	smaps m KernelPageSize	= 4 kB
DAX
unbind
if [ -n "$PUD" ]; then
	is "1G does not fit" "$(result "$SYS/align" $((1 << 30))) $(cat "$SYS/align")" "EINVAL 4096"
	echo $((1 << 30)) >"$SYS/size"
	is "1G fits a size of 1 GiB" "$(result "$SYS/align" $((1 << 30))) $(cat "$SYS/align")" "ok 1073741824"
	bind
	dax "it maps entries of 1 GiB" <<-DAX
		open f $NODE		= ok
		mmap m f 1G 0		= ok
		fill m 0 1G 7 2M	= ok
		smaps m KernelPageSize	= 1048576 kB
	DAX
	unbind
	new_device 2M
	new_device; big=$DEV
	c_known_wrong core align-start "gives it 1 GiB at any address"
	is "with an align of 1G, a device gets aligned memory" \
		"$(result "$SYS/align" $((1 << 30))) $(result "$SYS/size" $((1 << 30))) $(ranges)" "ok ok 2048+1024"
	c_known_wrong core align-start "continues at the unaligned address"
	is "it grows in place" "$(result "$SYS/size" $((2 << 30))) $(ranges)" "ok 2048+2048"
fi
empty_region

# ---- uevents ----

udevadm monitor --kernel --property --subsystem-match=dax >"$TMP/events" &
monitor=$!
for turn in $(seq 50); do grep -q KERNEL "$TMP/events" && break; sleep 0.1; done
new_device 64M
bind_to_device
unbind
echo "$DEV" >$DRV/remove_id
echo 0 >"$SYS/size"
echo "$DEV" >"$REGION/delete"
sleep 0.5
kill $monitor
wait $monitor 2>/dev/null
is "the uevents of a device from create to delete" \
	"$(sed -n 's/^ACTION=//p' "$TMP/events" | xargs)" "add bind unbind remove"
for line in "DEVPATH=${DEVICES#/sys}/$DEV" SUBSYSTEM=dax "DEVNAME=/dev/$DEV" MAJOR= MINOR=; do
	is "each uevent has $line" "$(grep -c "^$line" "$TMP/events")" 4
done
is "each uevent but unbind has MODALIAS" "$(grep -c "^MODALIAS=dax:t0\$" "$TMP/events")" 3

# ---- fragments ----

# 64 devices of 2 MiB. Every other one is deleted, and one device takes all the holes.
for i in $(seq 64); do new_device 2M; done
for i in $(seq 2 2 64); do
	echo 0 >"$DEVICES/dax$R.$i/size"
	echo "dax$R.$i" >"$REGION/delete"
done
new_device 64M
is "a device takes all holes, and nothing else" "$(ranges)" "$(for i in $(seq 2 4 126); do echo $i+2; done | xargs)"
is "it has 32 ranges" "$(ls -d "$SYS"/mapping[0-9]* | wc -l)" 32
check "device_dax binds" bind_to_device
{
	printf 'open f %s = ok\nmmap m f 64M 0 = ok\nfill m 0 64M 7 2M = ok\nverify m 0 64M 7 2M = ok\n' "$NODE"
	for i in $(seq 0 31); do printf 'phys m %dM = %#x\n' $((i * 2)) $((START + ((4 * i + 2) << 20))); done
} >"$TMP/holes"
dax "each entry is mapped in its hole" <"$TMP/holes"
unbind
for dev in "$DEVICES"/dax"$R".*; do
	[ "$dev" = "$SYS" ] || echo 0 >"$dev/size"
done
echo $((192 << 20)) >"$SYS/size"
is "when the others are gone, it takes their memory, then the memory behind" \
	"$(ranges | tr ' ' '\n' | tail -n 2 | xargs)" "124+2 128+64"
empty_region
is "only the first device is left, and all memory is free" \
	"$(ls /sys/bus/dax/devices) $(cat "$REGION/available_size")" "$first $LENGTH"
done_testing
