#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The interface of Linux 4.7 to 5.0, as in Documentation/ABI/obsolete/sysfs-class-dax: files, modes,
# contents, uevents, numbers, and how today's tools handle it.
# machines: nvdimm legacy
# impl: rust core dax_pmem - Linux no longer has it
. ./lib.sh

in_class
events=$TMP/events
udevadm monitor --kernel --property --subsystem-match=dax >"$events" &
monitor=$!
until grep -q KERNEL "$events"; do sleep 0.1; done

dax_device 2M mem 512M
device=$(readlink -f "$SYS/device")
start=$(printf '%#x' $((16#$(sed -n "s/^ *\([0-9a-f]*\)-.* : $DEV\$/\1/p" /proc/iomem))))

in_c device_dax && stats= || stats="stats "
is "the device directory has exactly these files" \
	"$(find "$SYS/" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -v '^power$' | sort | tr '\n' ' ')" \
	"dev device size ${stats}subsystem uevent "
is "the dax_region directory has exactly these files" "$(ls "$device/dax_region" | tr '\n' ' ')" "align id size "
while read -r file mode value; do
	is "mode of $file" "$(stat -c %a "$SYS/$file")" "$mode"
	is "contents of $file" "$(daxtest <<<"get $SYS/$file")" "$value"
done <<-TABLE
	size 444 $SIZE
	dev 444 $(printf '%d:%d' $(stat -c '0x%t 0x%T' "$NODE"))
	device/dax_region/id 444 $(sed 's/dax\(.*\)\..*/\1/' <<<"$DEV")
	device/dax_region/size 444 $SIZE
	device/dax_region/align 444 2097152
TABLE
is "the mode of uevent" "$(stat -c %a "$SYS/uevent")" 644
is "the uevent has its three variables" "$(sed 's/=[0-9]*$/=N/' "$SYS/uevent" | tr '\n' ' ')" \
	"MAJOR=N MINOR=N DEVNAME=$DEV "
is "the major number is the one that /proc/devices lists for dax" "$(cut -d: -f1 "$SYS/dev")" \
	"$(awk '$2 == "dax" { print $1 }' /proc/devices)"
like "the parent is the dax device of the namespace" "$SYS" \
	"/ndbus[0-9]+/region[0-9]+/dax[0-9.]+/dax/$DEV\$"
is "nothing is on the bus" "$(ls $BUS)" ""
is "the driver of the namespace" "$(basename "$(readlink "$device/driver")")" dax_pmem_compat
like "the memory is reserved under the name of the device" "$(cat /proc/iomem)" \
	"^ *$(printf '%08x-%08x' $((start)) $((start + SIZE - 1))) : $DEV\$"

# How older releases of libpmem recognise device DAX, and find its size and align.
char=/sys/dev/char/$(cat "$SYS/dev")
is "an old libpmem recognises the device" \
	"$(readlink -f "$char/subsystem") $(cat "$char/size") $(cat "$char/device/align")" \
	"/sys/class/dax $SIZE 2097152"

# Among today's tools, libdaxctl looks for the class and for the bus.
is "daxctl list" "$(daxctl list -d "$DEV" | jq -c '.[] | [.chardev, .size, .mode]')" \
	"[\"$DEV\",$SIZE,\"devdax\"]"
is "daxctl list of the region" "$(daxctl list -R | jq -c '.[] | [.size, .align]')" "[$SIZE,2097152]"
check "libdaxctl opens the class" \
	bash -c "strace -f -e trace=openat daxctl list 2>&1 | grep -q 'openat.*\"/sys/class/dax\".* = [0-9]'"
like "libdaxctl takes the device for one of the class" \
	"$(strace -f -e trace=readlink,readlinkat daxctl list 2>&1)" '"/sys/class/dax"'
is "ndctl list" \
	"$(ndctl list -NXn "$NS" | jq -c '.[0] | [.mode, .map, .daxregion.devices[0].chardev, .daxregion.devices[0].size]')" \
	"[\"devdax\",\"mem\",\"$DEV\",$SIZE]"

# The dax bus does not know the device.
name=$DEV
for drv in device_dax kmem; do
	log_mark
	is "$drv: bind does not find the device" "$(daxtest <<<"put /sys/bus/dax/drivers/$drv/bind $name")" ENODEV
	daxtest <<<"put /sys/bus/dax/drivers/$drv/new_id $name" >/dev/null
	daxtest <<<"put /sys/bus/dax/drivers/$drv/remove_id $name" >/dev/null
	is "$drv: new_id does not bind it" "$(find "$SYS/driver" "/sys/bus/dax/drivers/$drv/$name" 2>/dev/null)" ""
	is "$drv: unbind does not find it" "$(daxtest <<<"put /sys/bus/dax/drivers/$drv/unbind $name")" ENODEV
done
refuse "daxctl cannot turn it into System RAM" "." daxctl reconfigure-device -m system-ram "$DEV"
refuse "daxctl cannot disable it" "." daxctl disable-device "$DEV"
dax "the device still works" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	write m 4096 3		= ok
	read m 4096		= 3
DAX
destroy_device >/dev/null
check "destroying the namespace removes the device" test ! -e "$SYS" -a ! -e "$NODE" -a ! -e "$device/dax_region"

udevadm settle
kill $monitor
is "one uevent for the addition, one for the removal, no others" \
	"$(sed -n 's/^ACTION=//p' "$events" | tr '\n' ' ')" "add remove "
like "DEVPATH is the device in the class" "$(cat "$events")" "^DEVPATH=/devices/.*/dax/$DEV\$"
is "no uevent names a driver or a modalias" "$(grep -E '^(DRIVER|MODALIAS)=' "$events")" ""
like "modprobe finds dax_pmem_compat by the alias of the namespace" "$(modinfo -F alias dax_pmem_compat)" '^nd:t7\*$'
done_testing
