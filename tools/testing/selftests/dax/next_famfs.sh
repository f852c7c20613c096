#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxctl reconfigures a device to famfs mode, which is the driver fsdev_dax, and back. Only the tools of
# Debian's next release know this mode.
# machines: nvdimm hmem
# tools: next
. ./lib.sh
any_device 512M

mode() { daxctl list -d "$DEV" | jq -r '.[].mode'; }
holds() { printf '%s\n' "open f $NODE" "mmap m f $SIZE 0" "verify m 0 16M 5 4K" | daxtest; }

dax "data is written to the device" <<-DAX
	open f $NODE		= ok
	mmap m f $SIZE 0	= ok
	fill m 0 16M 5 4K	= ok
DAX
is "daxctl lists it in devdax mode" "$(mode)" devdax
if has_bug stale-file fsdev_dax device_dax; then
	check "daxctl reconfigures it to famfs" daxctl reconfigure-device -m famfs "$DEV"
else
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 2M 0 >/dev/null
	check "daxctl reconfigures it to famfs, although it is mapped" daxctl reconfigure-device -m famfs "$DEV"
	is "the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
	leave a
fi
is "fsdev_dax has it" "$(driver)" fsdev_dax
is "daxctl lists it in famfs mode" "$(mode)" famfs
like "the node cannot be mapped" "$(printf '%s\n' "open f $NODE" "mmap m f 2M 0" | daxtest)" "ENODEV"
check "the same mode once more succeeds" daxctl reconfigure-device -m famfs "$DEV"
is "fsdev_dax still has it" "$(driver)" fsdev_dax
check "daxctl reconfigures it to devdax" daxctl reconfigure-device -m devdax "$DEV"
is "device_dax has it" "$(driver)" device_dax
is "the data is there" "$(holds | tail -n 1)" ok

check "from famfs to System RAM" \
	bash -c "daxctl reconfigure-device -m famfs $DEV && daxctl reconfigure-device -N -m system-ram $DEV"
is "kmem has it" "$(driver)" kmem
refuse "from System RAM to famfs only by way of devdax" "must be in devdax mode" \
	daxctl reconfigure-device -f -m famfs "$DEV"
is "kmem still has it" "$(driver)" kmem
check "from System RAM to devdax" daxctl reconfigure-device -f -m devdax "$DEV"
is "device_dax has it" "$(driver)" device_dax

wrong=''
for turn in 1 2 3 4 5; do
	daxctl reconfigure-device -m famfs "$DEV" >/dev/null 2>&1
	[ "$(driver) $(mode)" = "fsdev_dax famfs" ] || wrong+="turn $turn: $(driver); "
	daxctl reconfigure-device -m devdax "$DEV" >/dev/null 2>&1
	[ "$(driver) $(mode)" = "device_dax devdax" ] || wrong+="turn $turn: $(driver); "
done
is "five changes to famfs and back succeed" "$wrong" ""
done_testing
