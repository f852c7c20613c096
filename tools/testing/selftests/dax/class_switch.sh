#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The namespaces belong to the module that is loaded first: dax_pmem (bus) or dax_pmem_compat
# (class). Switching keeps the data, a deny-list chooses, and no device is in both places.
# machines: nvdimm legacy
# limit: 180
# impl: rust core dax_pmem - Linux no longer has it
. ./lib.sh

on_exit "provided_by dax_pmem"
conf=/etc/modprobe.d/dax-test.conf
on_exit "rm -f $conf /etc/modprobe.d/daxctl.conf"

loaded() { lsmod | awk '/^dax_pmem/ { print $1 }' | sort | tr '\n' ' '; }
places() { echo "bus:$(ls $BUS | tr '\n' ' ') class:$(ls $CLASS | tr '\n' ' ')"; }
deny() { echo "blacklist $1" >$conf; udevadm control --reload; }
# Load by alias, as udev does for a new namespace.
by_alias() { modprobe nd:t7 && udevadm settle; }

# ---- the default ----

provided_by dax_pmem
dax_device 2M dev 512M
on_bus="bus:$DEV  class:" in_class="bus: class:$DEV "
is "dax_pmem has the namespaces; the device is on the bus" "$(places)" "$on_bus"
dax "write" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	fill m 0 $SIZE 5 $((4096 * 61 + 8)) = ok
DAX
modprobe -r dax_pmem dax_pmem_compat
log_mark
by_alias
is "the alias loads both" "$(loaded)" "dax_pmem dax_pmem_compat "
is "the first module has the namespaces; the device is on the bus" "$(places)" "$on_bus"
log_has "the second module logs that it is idle, and how to switch" \
	"dax_pmem_compat: idle, since dax_pmem has the namespaces, on the dax bus; for /sys/class/dax: modprobe -r dax_pmem dax_pmem_compat; modprobe dax_pmem_compat"
check "the second module has no driver on libnvdimm's bus" test ! -e /sys/bus/nd/drivers/dax_pmem_compat
rmmod dax_pmem
is "the second module stays idle when the first is removed" "$(places)" "bus: class:"
modprobe dax_pmem
is "the first module takes the namespaces again when it is loaded" "$(places)" "$on_bus"

# ---- to the class, as the message says, and back ----

log_mark
modprobe -r dax_pmem dax_pmem_compat
is "without both modules there is no device" "$(places)" "bus: class:"
modprobe dax_pmem_compat
PLACE=$CLASS
use_device "$DEV"
is "the device is now in the class" "$(places)" "$in_class"
log_has "the module logs the class, and how to switch back" \
	"dax_pmem_compat: devices appear under /sys/class/dax; for the dax bus: modprobe -r dax_pmem_compat dax_pmem; modprobe dax_pmem"
wait_bound
dax "the data is still there" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	verify m 0 $SIZE 5 $((4096 * 61 + 8)) = ok
DAX

log_mark
by_alias
is "dax_pmem can also be loaded" "$(loaded)" "dax_pmem dax_pmem_compat "
is "this does not move the device" "$(places)" "$in_class"
log_has "dax_pmem logs that it is idle" \
	"dax_pmem: idle, since dax_pmem_compat has the namespaces, under /sys/class/dax; for the dax bus: modprobe -r dax_pmem_compat dax_pmem; modprobe dax_pmem"
ndctl disable-namespace "$NS" >/dev/null 2>&1
is "a disabled namespace has no device" "$(places)" "bus: class:"
check "ndctl enables the namespace" ndctl enable-namespace "$NS"
is "the device is in the class again" "$(places)" "$in_class"

modprobe -r dax_pmem_compat dax_pmem
modprobe dax_pmem
PLACE=$BUS
use_device "$DEV"
is "the device is back on the bus" "$(places)" "$on_bus"
wait_bound
dax "the data is still there" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	verify m 0 $SIZE 5 $((4096 * 61 + 8)) = ok
DAX

# A namespace that is created while both modules are loaded.
provided_by dax_pmem_compat
modprobe dax_pmem
has_labels && {
	other=$(ndctl create-namespace -m devdax -s 256M | jq -r .dev)
	is "a new namespace goes to the class, like the others" \
		"$(ls $BUS) $(ls $CLASS | tr '\n' ' ')" " $DEV ${other/namespace/dax} "
	ndctl destroy-namespace -f "$other" >/dev/null 2>&1
}

# ---- deny-lists ----

modprobe -r dax_pmem dax_pmem_compat
deny dax_pmem
by_alias
is "with dax_pmem deny-listed, the alias loads dax_pmem_compat only" "$(loaded)" "dax_pmem_compat "
is "the device is in the class" "$(places)" "$in_class"
ndctl disable-namespace "$NS" >/dev/null 2>&1
check "ndctl enables a namespace" ndctl enable-namespace "$NS"
is "the device is in the class; dax_pmem is not loaded" "$(places) $(loaded)" "$in_class dax_pmem_compat "
rm $conf

modprobe -r dax_pmem dax_pmem_compat
check "daxctl migrate-device-model writes its deny-list" daxctl migrate-device-model
udevadm control --reload
by_alias
is "with that deny-list, the alias loads dax_pmem only" "$(loaded)" "dax_pmem "
is "the device is on the bus" "$(places)" "$on_bus"
rm /etc/modprobe.d/daxctl.conf

# ---- modules ----

provided_by dax_pmem_compat
refuse "device_dax cannot be removed while dax_pmem_compat has the namespaces" "in use" rmmod device_dax
destroy_device >/dev/null
refuse "device_dax cannot be removed while dax_pmem_compat is loaded" "in use" rmmod device_dax
check "dax_pmem_compat can be removed" rmmod dax_pmem_compat
check "device_dax can then be removed" rmmod device_dax
check "dax_pmem_compat loads again" modprobe dax_pmem_compat
check "it loads device_dax" test -d /sys/module/device_dax
rmmod dax_pmem_compat device_dax
deny device_dax
log_mark
refuse "dax_pmem_compat does not load without device_dax" "could not insert" modprobe dax_pmem_compat
log_has "it logs the reason" \
	"dax_pmem_compat: device_dax, which serves the devices, cannot be loaded: .*modprobe device_dax"
rm $conf
provided_by dax_pmem
modprobe device_dax
done_testing
