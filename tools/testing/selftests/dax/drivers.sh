#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Drivers of the dax bus: matching by type and by name, one driver for a device, modules that load
# automatically and that cannot be removed while in use.
# machines: nvdimm
# limit: 240
. ./lib.sh
dax_device 2M mem 512M

# ---- one driver for a device ----

other=/sys/bus/dax/drivers/kmem
error() { daxtest <<<"put $1 $2"; }
bound() { basename "$(readlink "$SYS/driver" || echo none)"; }

is "a driver of another type does not bind to a device" "$(error $other/bind "$DEV")" ENODEV
is "a bound device is not bound again" "$(error $DRV/bind "$DEV")" EBUSY
is "a name given to another driver does not rebind a bound device" "$(error $other/new_id "$DEV")" ok
is "device_dax still has it" "$(bound)" device_dax
is "a second driver is refused while the first has it" "$(error $other/bind "$DEV")" EBUSY
is "unbind through a driver that does not have it is refused" "$(error $other/unbind "$DEV")" ENODEV
is "device_dax still has it" "$(bound)" device_dax
is "remove_id succeeds" "$(error $other/remove_id "$DEV")" ok
is "without the name the driver no longer matches" "$(error $other/bind "$DEV")" ENODEV

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 2M 0 >/dev/null
is "a mapping still works after all of this" "$(ask a write m 0 5) $(ask a read m 0)" "ok 5"
leave a

# ---- probing by name and by the bus ----

unbind
is "no driver is bound after unbind" "$(bound)" none
is "drivers_probe binds by type" "$(error /sys/bus/dax/drivers_probe "$DEV")" ok
is "device_dax has it" "$(bound)" device_dax
unbind
is "new_id binds an unbound device immediately" "$(error $DRV/new_id "$DEV")" ok
is "device_dax has it" "$(bound)" device_dax
is "remove_id leaves it bound" "$(error $DRV/remove_id "$DEV")/$(bound)" ok/device_dax
dax "the device works after remove_id" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	read m 0		= 5
DAX
echo 0 >/sys/bus/dax/drivers_autoprobe
ndctl disable-namespace "$NS" >/dev/null 2>&1
ndctl enable-namespace "$NS" >/dev/null 2>&1
# libnvdimm may give the device of the namespace another number.
use_device "$DEV"
is "without autoprobe a new device stays unbound" "$(bound)" none
echo 1 >/sys/bus/dax/drivers_autoprobe
bind

# ---- modules in use ----

session a
ask a open f "$NODE" >/dev/null
refuse "device_dax cannot be removed while a file is open" "in use" rmmod device_dax
ask a mmap m f 2M 0 >/dev/null
ask a close f >/dev/null
refuse "device_dax cannot be removed while a device is mapped" "in use" rmmod device_dax
is "the mapping still works" "$(ask a read m 0)" 5
ask a munmap m >/dev/null
check "it can be removed when everything is closed" rmmod device_dax
leave a
check "the device stays, without a driver" test -e "$SYS/size" -a ! -e "$SYS/driver"
is "a device without a driver cannot be opened" "$(daxtest <<<"open f $NODE")" ENXIO
check "the driver is gone from the bus" test ! -e $DRV
check "device_dax loads again" modprobe device_dax
is "it binds to the device" "$(bound)" device_dax

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 2M 0 >/dev/null
ask a read m 0 >/dev/null
check "dax_pmem can be removed while a device is mapped" within 20 rmmod dax_pmem
is "the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
check "the device is gone" test ! -e "/sys/bus/dax/devices/$DEV"
leave a
check "dax_pmem loads again" modprobe dax_pmem
udevadm settle
use_device "$DEV"
dax "the device is back, with its data" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	read m 0		= 5
DAX

turns=''
for _ in 1 2 3 4 5; do
	rmmod device_dax dax_pmem && modprobe -a device_dax dax_pmem || turns+=' failed'
done
is "device_dax and dax_pmem are removed and loaded five times" "$turns" ""

# ---- automatic loading ----

like "device_dax's alias" "$(modinfo -F alias device_dax)" '^dax:t0\*$'
like "dax_pmem's alias" "$(modinfo -F alias dax_pmem)" '^nd:t7\*$'
is "the device's modalias matches device_dax" "$(cat "$SYS/modalias")" dax:t0
destroy_device >/dev/null
check "all drivers are removed" rmmod dax_pmem kmem fsdev_dax device_dax
dax_device 2M mem 512M
check "udev loads dax_pmem for a new namespace" test -d /sys/module/dax_pmem
check "udev loads device_dax for the new device" test -d /sys/module/device_dax
is "device_dax binds to it" "$(bound)" device_dax
modprobe -a kmem fsdev_dax
done_testing
