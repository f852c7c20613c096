#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxctl divides a dynamic region: create-device, also from a file of mappings, reconfigure-device,
# disable-device, enable-device, destroy-device.
# machines: hmem
# limit: 180
. ./lib.sh
dynamic_region
first=dax$R.0

# of FILTER ARGS...: filter the output of daxctl list
of() { local filter=$1; shift; daxctl list "$@" | jq -c "$filter"; }

is "daxctl lists the region" "$(of '.[] | [.id, .size, .available_size, .align]' -R)" "[$R,$LENGTH,$LENGTH,2097152]"

check "daxctl creates a device" daxctl create-device -r "$R" -s 256M
is "the device has that size, and device_dax binds to it" \
	"$(of '.[] | [.chardev, .size, .align, .mode]' -d "dax$R.1")" "[\"dax$R.1\",268435456,2097152,\"devdax\"]"
is "the device has one range" "$(of '.[].mappings | map([.page_offset, .start, .end])' -M -d "dax$R.1")" \
	"[[0,$((START)),$((START + (256 << 20) - 1))]]"
dax "the device works" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 256M 0		= ok
	write m 0 17		= ok
	phys m 0		= $(printf '%#x' $((START)))
DAX
check "daxctl creates another device, with an align of 4K" daxctl create-device -r "$R" -s 64M -a 4K
is "the second device has that align" "$(of '.[] | [.size, .align]' -d "dax$R.2")" "[67108864,4096]"
dax "the second device works" <<-DAX
	open f /dev/dax$R.2	= ok
	mmap m f 4K 4K		= ok
	write m 0 18		= ok
	phys m 0		= $(printf '%#x' $((START + (256 << 20) + 4096)))
DAX
# C's core takes 1 GiB at any address. C's device_dax binds to that, Rust's does not.
in_c device_dax || c_known_wrong core align-start "gives it 1 GiB at an address that no 1 GiB entry can map"
check "daxctl creates a device with an align of 1G" daxctl create-device -r "$R" -s 1G -a 1G
c_known_wrong core align-start "takes 1 GiB at any address"
is "the device with an align of 1G is aligned" "$(ranges "dax$R.3")" "1024+1024"
in_c device_dax || c_known_wrong core align-start "follows from the unaligned 1 GiB"
check "daxctl creates a device of the rest" daxctl create-device -r "$R"
c_known_wrong core align-start "follows from the unaligned 1 GiB"
is "the rest is two ranges" "$(ranges "dax$R.4")" "320+704 2048+2048"
refuse "no further device can be created" "no space|created 0|not enough" daxctl create-device -r "$R"

# ---- disable, enable ----

check "disable" daxctl disable-device "dax$R.1"
is "daxctl shows it as disabled" "$(of '.[] | [.chardev, .state]' -i -d "dax$R.1")" "[\"dax$R.1\",\"disabled\"]"
check "enable" daxctl enable-device "dax$R.1"
dax "its data is there" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 2M 0		= ok
	read m 0		= 17
DAX

# ---- reconfigure ----

refuse "a device that is bound cannot be destroyed" "destroyed 0|must be|fail|disable" daxctl destroy-device "dax$R.2"
check "reconfigure to a smaller size" \
	bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 128M dax$R.1"
is "the device has the smaller size" "$(of '.[].size' -d "dax$R.1")" $((128 << 20))
check "reconfigure to a larger size, into the gap" \
	bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 192M dax$R.1"
is "the device has the larger size" "$(ranges "dax$R.1")" "0+192"
check "reconfigure to another align" \
	bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 192M -a 4K dax$R.1"
is "the device has the other align" "$(of '.[] | [.size, .align]' -d "dax$R.1")" "[$((192 << 20)),4096]"
if rust_here core device_dax; then
	check "enable it" daxctl enable-device "dax$R.1"
	session a
	ask a open f "/dev/dax$R.1" >/dev/null
	ask a mmap m f 224M 0 >/dev/null
	check "reconfigure to a larger size while it is enabled" daxctl reconfigure-device -m devdax -s 208M "dax$R.1"
	is "the device has the larger size" "$(ranges "dax$R.1")" "0+208"
	check "reconfigure without a mode" daxctl reconfigure-device -s 224M "dax$R.1"
	is "its mapping finds the new memory" "$(ask a write m 220M 5)" ok
	is "it has that size and is enabled" "$(of '.[] | [.size, .mode, .state]' -d "dax$R.1")" \
		"[$((224 << 20)),\"devdax\",null]"
	refuse "a smaller size is refused while it is enabled" "failed to set size" \
		daxctl reconfigure-device -s 192M "dax$R.1"
	leave a
	check "reconfigure to a smaller size" \
		bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 192M dax$R.1"
fi
refuse "a size larger than the free memory is refused" "fail|reconfigured 0" \
	bash -c "daxctl disable-device dax$R.1; daxctl reconfigure-device -m devdax -s 3G dax$R.1"
refuse "an align that its ranges do not fit is refused" "fail|reconfigured 0|align" \
	bash -c "daxctl disable-device dax$R.1; daxctl reconfigure-device -m devdax -a 1G dax$R.1"
is "the device is unchanged" "$(of '.[] | [.size, .align]' -i -d "dax$R.1")" "[$((192 << 20)),4096]"
check "the device can be enabled" daxctl enable-device "dax$R.1"

# ---- destroy ----

check "disable all" daxctl disable-device -r "$R" all
check "destroy one" daxctl destroy-device "dax$R.2"
in_c device_dax || c_known_wrong core align-start "follows from the unaligned 1 GiB"
is "its memory is free" "$(of '.[].available_size' -R)" $((128 << 20))
check "destroy all" daxctl destroy-device -r "$R" all
is "all is free" "$(of '.[].available_size' -R)" "$LENGTH"
is "the first device stays" "$(ls /sys/bus/dax/devices)" "$first"

# ---- from a file: the ranges of another device, in the same order ----

check "daxctl creates two devices" bash -c "daxctl create-device -r $R -s 64M && daxctl create-device -r $R -s 64M"
check "daxctl creates a third device" daxctl create-device -r "$R" -s 64M
check "the second device is destroyed" bash -c "daxctl disable-device dax$R.2 && daxctl destroy-device dax$R.2"
check "the first device grows into the gap, and beyond" \
	bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 192M dax$R.1"
check "daxctl enables it" daxctl enable-device "dax$R.1"
was=$(ranges "dax$R.1")
is "it has two ranges" "$was" "0+128 192+64"
dax "data is written to it" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 192M 0		= ok
	fill m 0 192M 9 4K	= ok
DAX
daxctl list -M -d "dax$R.1" | jq '.[0]' >"$TMP/mappings.json"
check "the device is destroyed" bash -c "daxctl disable-device dax$R.1 && daxctl destroy-device dax$R.1"
is "daxctl creates it again from its own list of mappings" \
	"$(daxctl create-device -r "$R" --input "$TMP/mappings.json" | jq -r '.[].chardev')" "dax$R.1"
is "the ranges are the same" "$(ranges "dax$R.1")" "$was"
dax "the data is the same" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 192M 0		= ok
	verify m 0 192M 9 4K	= ok
DAX
# In reverse order.
check "the device is destroyed again" bash -c "daxctl disable-device dax$R.1 && daxctl destroy-device dax$R.1"
jq '.mappings |= (map(.page_offset) as $o | to_entries | map(.value.page_offset = $o[1 - .key] | .value))' \
	"$TMP/mappings.json" >"$TMP/reverse.json"
check "daxctl creates a device with the two ranges exchanged" daxctl create-device -r "$R" --input "$TMP/reverse.json"
is "the ranges are in the order of the file" "$(ranges "dax$R.1")" "192+64 0+128"
dax "the memory is mapped in the order of the file" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 192M 0		= ok
	phys m 0		= none
	read m 0		= *
	phys m 0		= $(printf '%#x' $((START + (192 << 20))))
	read m 64M		= *
	phys m 64M		= $(printf '%#x' $((START)))
DAX
refuse "a file whose ranges are in use is refused" "fail|created 0|busy|error" \
	daxctl create-device -r "$R" --input "$TMP/mappings.json"
daxctl disable-device -r "$R" all >/dev/null 2>&1
done_testing
