#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The interface of Linux 4.7 to 5.0, as Documentation/ABI/obsolete/sysfs-class-dax has it:
# files, modes, contents, uevents, numbers; and what today's tools make of it.
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
is "the folder of the device has these files, no more" \
	"$(find "$SYS/" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -v '^power$' | sort | tr '\n' ' ')" \
	"dev device size ${stats}subsystem uevent "
is "that of the region has these" "$(ls "$device/dax_region" | tr '\n' ' ')" "align id size "
while read -r file mode value; do
	is "mode of $file" "$(stat -c %a "$SYS/$file")" "$mode"
	is "$file" "$(daxtest <<<"get $SYS/$file")" "$value"
done <<-TABLE
	size 444 $SIZE
	dev 444 $(printf '%d:%d' $(stat -c '0x%t 0x%T' "$NODE"))
	device/dax_region/id 444 $(sed 's/dax\(.*\)\..*/\1/' <<<"$DEV")
	device/dax_region/size 444 $SIZE
	device/dax_region/align 444 2097152
TABLE
is "the mode of uevent" "$(stat -c %a "$SYS/uevent")" 644
is "a uevent says what it always said" "$(sed 's/=[0-9]*$/=N/' "$SYS/uevent" | tr '\n' ' ')" \
	"MAJOR=N MINOR=N DEVNAME=$DEV "
is "the major number is that of dax" "$(cut -d: -f1 "$SYS/dev")" \
	"$(awk '$2 == "dax" { print $1 }' /proc/devices)"
like "the device stands below its namespace's dax device" "$SYS" \
	"/ndbus[0-9]+/region[0-9]+/dax[0-9.]+/dax/$DEV\$"
is "nothing is on the bus" "$(ls $BUS)" ""
is "the driver of the namespace" "$(basename "$(readlink "$device/driver")")" dax_pmem_compat
like "the memory is reserved in the name of the device" "$(cat /proc/iomem)" \
	"^ *$(printf '%08x-%08x' $((start)) $((start + SIZE - 1))) : $DEV\$"

# How older releases of libpmem tell device DAX from a file, and find size and align.
char=/sys/dev/char/$(cat "$SYS/dev")
is "an old libpmem knows it" \
	"$(readlink -f "$char/subsystem") $(cat "$char/size") $(cat "$char/device/align")" \
	"/sys/class/dax $SIZE 2097152"

# Of today's tools, libdaxctl looks for the class and the bus.
is "daxctl list" "$(daxctl list -d "$DEV" | jq -c '.[] | [.chardev, .size, .mode]')" \
	"[\"$DEV\",$SIZE,\"devdax\"]"
is "daxctl list of the region" "$(daxctl list -R | jq -c '.[] | [.size, .align]')" "[$SIZE,2097152]"
check "which libdaxctl finds in the class" \
	bash -c "strace -f -e trace=openat daxctl list 2>&1 | grep -q 'openat.*\"/sys/class/dax\".* = [0-9]'"
like "and not on the bus" "$(strace -f -e trace=readlink,readlinkat daxctl list 2>&1)" '"/sys/class/dax"'
is "ndctl list" \
	"$(ndctl list -NXn "$NS" | jq -c '.[0] | [.mode, .map, .daxregion.devices[0].chardev, .daxregion.devices[0].size]')" \
	"[\"devdax\",\"mem\",\"$DEV\",$SIZE]"

# Nothing of the bus.
name=$DEV
for drv in device_dax kmem; do
	log_mark
	is "$drv does not find it: bind" "$(daxtest <<<"put /sys/bus/dax/drivers/$drv/bind $name")" ENODEV
	daxtest <<<"put /sys/bus/dax/drivers/$drv/new_id $name" >/dev/null
	daxtest <<<"put /sys/bus/dax/drivers/$drv/remove_id $name" >/dev/null
	is "nor new_id" "$(find "$SYS/driver" "/sys/bus/dax/drivers/$drv/$name" 2>/dev/null)" ""
	is "nor unbind" "$(daxtest <<<"put /sys/bus/dax/drivers/$drv/unbind $name")" ENODEV
done
refuse "daxctl cannot make System RAM of it" "." daxctl reconfigure-device -m system-ram "$DEV"
refuse "nor disable it" "." daxctl disable-device "$DEV"
dax "it works after all of this" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	write m 4096 3		= ok
	read m 4096		= 3
DAX
destroy_device >/dev/null
check "destroyed, it is gone" test ! -e "$SYS" -a ! -e "$NODE" -a ! -e "$device/dax_region"

udevadm settle
kill $monitor
is "a uevent when it came, one when it went, and no others" \
	"$(sed -n 's/^ACTION=//p' "$events" | tr '\n' ' ')" "add remove "
like "with its place" "$(cat "$events")" "^DEVPATH=/devices/.*/dax/$DEV\$"
is "nothing of a driver" "$(grep -E '^(DRIVER|MODALIAS)=' "$events")" ""
like "modprobe finds dax_pmem_compat by the namespace" "$(modinfo -F alias dax_pmem_compat)" '^nd:t7\*$'
done_testing
