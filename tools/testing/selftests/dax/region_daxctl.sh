#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxctl divides a dynamic region: create-device, also from a file of mappings,
# reconfigure-device, disable-device, enable-device, destroy-device.
# machines: hmem
# limit: 180
. ./lib.sh
dynamic_region
first=dax$R.0

# of FILTER ARGS...: what daxctl list says
of() { local filter=$1; shift; daxctl list "$@" | jq -c "$filter"; }

is "daxctl lists the region" "$(of '.[] | [.id, .size, .available_size, .align]' -R)" "[$R,$LENGTH,$LENGTH,2097152]"

check "daxctl creates a device" daxctl create-device -r "$R" -s 256M
is "of that size, bound to device_dax" \
	"$(of '.[] | [.chardev, .size, .align, .mode]' -d "dax$R.1")" "[\"dax$R.1\",268435456,2097152,\"devdax\"]"
is "with one range" "$(of '.[].mappings | map([.page_offset, .start, .end])' -M -d "dax$R.1")" \
	"[[0,$((START)),$((START + (256 << 20) - 1))]]"
dax "it works" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 256M 0		= ok
	write m 0 17		= ok
	phys m 0		= $(printf '%#x' $((START)))
DAX
check "and another, with an align of 4K" daxctl create-device -r "$R" -s 64M -a 4K
is "which it has" "$(of '.[] | [.size, .align]' -d "dax$R.2")" "[67108864,4096]"
dax "and works" <<-DAX
	open f /dev/dax$R.2	= ok
	mmap m f 4K 4K		= ok
	write m 0 18		= ok
	phys m 0		= $(printf '%#x' $((START + (256 << 20) + 4096)))
DAX
# The core in C takes any gigabyte. device_dax in C is bound to that, the one in Rust is not.
in_c device_dax || c_known_wrong core "which no entry of a gigabyte can map"
check "and one of gigabytes" daxctl create-device -r "$R" -s 1G -a 1G
c_known_wrong core "takes any gigabyte"
is "which is aligned" "$(ranges "dax$R.3")" "1024+1024"
in_c device_dax || c_known_wrong core "follows from that"
check "and the rest" daxctl create-device -r "$R"
c_known_wrong core "follows from that"
is "in pieces" "$(ranges "dax$R.4")" "320+704 2048+2048"
refuse "then nothing is left" "no space|created 0|not enough" daxctl create-device -r "$R"

# ---- disable, enable ----

check "disable" daxctl disable-device "dax$R.1"
is "it is shown so" "$(of '.[] | [.chardev, .state]' -i -d "dax$R.1")" "[\"dax$R.1\",\"disabled\"]"
check "enable" daxctl enable-device "dax$R.1"
dax "its data is there" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 2M 0		= ok
	read m 0		= 17
DAX

# ---- reconfigure ----

refuse "a device that is bound cannot be destroyed" "destroyed 0|must be|fail|disable" daxctl destroy-device "dax$R.2"
check "smaller" bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 128M dax$R.1"
is "it is" "$(of '.[].size' -d "dax$R.1")" $((128 << 20))
check "larger again, into the gap" \
	bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 192M dax$R.1"
is "it is" "$(ranges "dax$R.1")" "0+192"
check "another align" bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 192M -a 4K dax$R.1"
is "it is" "$(of '.[] | [.size, .align]' -d "dax$R.1")" "[$((192 << 20)),4096]"
refuse "larger than what is left" "fail|reconfigured 0" \
	bash -c "daxctl disable-device dax$R.1; daxctl reconfigure-device -m devdax -s 3G dax$R.1"
refuse "an align that its ranges do not fit" "fail|reconfigured 0|align" \
	bash -c "daxctl disable-device dax$R.1; daxctl reconfigure-device -m devdax -a 1G dax$R.1"
is "it is what it was" "$(of '.[] | [.size, .align]' -i -d "dax$R.1")" "[$((192 << 20)),4096]"
check "and can be enabled" daxctl enable-device "dax$R.1"

# ---- destroy ----

check "disable all" daxctl disable-device -r "$R" all
check "destroy one" daxctl destroy-device "dax$R.2"
in_c device_dax || c_known_wrong core "follows from that"
is "its memory is free" "$(of '.[].available_size' -R)" $((128 << 20))
check "destroy all" daxctl destroy-device -r "$R" all
is "all is free" "$(of '.[].available_size' -R)" "$LENGTH"
is "the first device stays" "$(ls /sys/bus/dax/devices)" "$first"

# ---- from a file: the same ranges as another device had, in their order ----

check "a device, and one behind it" bash -c "daxctl create-device -r $R -s 64M && daxctl create-device -r $R -s 64M"
check "and a third" daxctl create-device -r "$R" -s 64M
check "the second goes" bash -c "daxctl disable-device dax$R.2 && daxctl destroy-device dax$R.2"
check "the first takes its place and more" \
	bash -c "daxctl disable-device dax$R.1 && daxctl reconfigure-device -m devdax -s 192M dax$R.1"
check "daxctl enables it" daxctl enable-device "dax$R.1"
was=$(ranges "dax$R.1")
is "two ranges" "$was" "0+128 192+64"
dax "it takes data" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 192M 0		= ok
	fill m 0 192M 9 4K	= ok
DAX
daxctl list -M -d "dax$R.1" | jq '.[0]' >"$TMP/mappings.json"
check "it goes" bash -c "daxctl disable-device dax$R.1 && daxctl destroy-device dax$R.1"
is "daxctl makes it again from what it listed" \
	"$(daxctl create-device -r "$R" --input "$TMP/mappings.json" | jq -r '.[].chardev')" "dax$R.1"
is "the ranges are those" "$(ranges "dax$R.1")" "$was"
dax "and so is the data" <<-DAX
	open f /dev/dax$R.1	= ok
	mmap m f 192M 0		= ok
	verify m 0 192M 9 4K	= ok
DAX
# In the other order.
check "it goes again" bash -c "daxctl disable-device dax$R.1 && daxctl destroy-device dax$R.1"
jq '.mappings |= (map(.page_offset) as $o | to_entries | map(.value.page_offset = $o[1 - .key] | .value))' \
	"$TMP/mappings.json" >"$TMP/reverse.json"
check "daxctl makes one with its ranges exchanged" daxctl create-device -r "$R" --input "$TMP/reverse.json"
is "the order is that of the file" "$(ranges "dax$R.1")" "192+64 0+128"
dax "as is what is mapped" <<-DAX
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
