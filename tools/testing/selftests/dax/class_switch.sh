#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# One module has the namespaces, on the bus or in the class: the one that is loaded first.
# Switching keeps the data; deny-listing chooses; the devices are never in both places.
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
# As udev does it when it hears of a namespace.
by_alias() { modprobe nd:t7 && udevadm settle; }

# ---- the default ----

provided_by dax_pmem
dax_device 2M dev 512M
on_bus="bus:$DEV  class:" in_class="bus: class:$DEV "
is "dax_pmem has the namespaces, on the bus" "$(places)" "$on_bus"
dax "write" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	fill m 0 $SIZE 5 $((4096 * 61 + 8)) = ok
DAX
modprobe -r dax_pmem dax_pmem_compat
log_mark
by_alias
is "the alias loads both" "$(loaded)" "dax_pmem dax_pmem_compat "
is "the first has the namespaces, on the bus" "$(places)" "$on_bus"
log_has "the second says so, and how to switch" \
	"dax_pmem_compat: idle, since dax_pmem has the namespaces, on the dax bus; for /sys/class/dax: modprobe -r dax_pmem dax_pmem_compat; modprobe dax_pmem_compat"
check "it is not on libnvdimm's bus" test ! -e /sys/bus/nd/drivers/dax_pmem_compat
rmmod dax_pmem
is "it stays idle when the first goes" "$(places)" "bus: class:"
modprobe dax_pmem
is "which can come back" "$(places)" "$on_bus"

# ---- to the class, as the message says, and back ----

log_mark
modprobe -r dax_pmem dax_pmem_compat
is "without them nothing is anywhere" "$(places)" "bus: class:"
modprobe dax_pmem_compat
PLACE=$CLASS
use_device "$DEV"
is "now it is in the class" "$(places)" "$in_class"
log_has "the log says so, and how to switch back" \
	"dax_pmem_compat: devices appear under /sys/class/dax; for the dax bus: modprobe -r dax_pmem_compat dax_pmem; modprobe dax_pmem"
wait_bound
dax "with its data" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	verify m 0 $SIZE 5 $((4096 * 61 + 8)) = ok
DAX

log_mark
by_alias
is "dax_pmem can be loaded, too" "$(loaded)" "dax_pmem dax_pmem_compat "
is "which changes nothing" "$(places)" "$in_class"
log_has "it says so" \
	"dax_pmem: idle, since dax_pmem_compat has the namespaces, under /sys/class/dax; for the dax bus: modprobe -r dax_pmem_compat dax_pmem; modprobe dax_pmem"
ndctl disable-namespace "$NS" >/dev/null 2>&1
is "disabled, it is nowhere" "$(places)" "bus: class:"
check "ndctl enables it" ndctl enable-namespace "$NS"
is "in the class" "$(places)" "$in_class"

modprobe -r dax_pmem_compat dax_pmem
modprobe dax_pmem
PLACE=$BUS
use_device "$DEV"
is "it is back on the bus" "$(places)" "$on_bus"
wait_bound
dax "with its data" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	verify m 0 $SIZE 5 $((4096 * 61 + 8)) = ok
DAX

# A namespace that is made while both are loaded.
provided_by dax_pmem_compat
modprobe dax_pmem
has_labels && {
	other=$(ndctl create-namespace -m devdax -s 256M | jq -r .dev)
	is "a new namespace goes to where the others are" \
		"$(ls $BUS) $(ls $CLASS | tr '\n' ' ')" " $DEV ${other/namespace/dax} "
	ndctl destroy-namespace -f "$other" >/dev/null 2>&1
}

# ---- deny-lists ----

modprobe -r dax_pmem dax_pmem_compat
deny dax_pmem
by_alias
is "with dax_pmem deny-listed the alias loads the other one" "$(loaded)" "dax_pmem_compat "
is "and the devices are in the class" "$(places)" "$in_class"
ndctl disable-namespace "$NS" >/dev/null 2>&1
check "ndctl enables a namespace" ndctl enable-namespace "$NS"
is "in the class" "$(places) $(loaded)" "$in_class dax_pmem_compat "
rm $conf

modprobe -r dax_pmem dax_pmem_compat
check "daxctl migrate-device-model writes its list" daxctl migrate-device-model
udevadm control --reload
by_alias
is "with which the alias loads dax_pmem only" "$(loaded)" "dax_pmem "
is "and the devices are on the bus" "$(places)" "$on_bus"
rm /etc/modprobe.d/daxctl.conf

# ---- modules ----

provided_by dax_pmem_compat
refuse "device_dax cannot go while dax_pmem_compat has the namespaces" "in use" rmmod device_dax
destroy_device >/dev/null
refuse "not even when there is none" "in use" rmmod device_dax
check "dax_pmem_compat can" rmmod dax_pmem_compat
check "then device_dax can, too" rmmod device_dax
check "dax_pmem_compat loads it" modprobe dax_pmem_compat
check "device_dax is there" test -d /sys/module/device_dax
rmmod dax_pmem_compat device_dax
deny device_dax
log_mark
refuse "if it cannot, it is refused" "could not insert" modprobe dax_pmem_compat
log_has "with the reason" "dax_pmem_compat: device_dax, which serves the devices, cannot be loaded: .*modprobe device_dax"
rm $conf
provided_by dax_pmem
modprobe device_dax
done_testing
