#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernel's own test of kmem, tools/testing/selftests/dax, as it is.
# machines: nvdimm
. ./lib.sh
dax_device 2M mem 1G
daxctl reconfigure-device -N -m system-ram "$DEV" >/dev/null 2>&1
selftest "$DEV"
is "kmem still has the device" "$(driver)" kmem
# It is unplugged, of which daxctl knows nothing.
echo "$DEV" >"$SYS/driver/unbind"
# Or kmem takes the next device of that name, if device_dax was loaded after it.
echo "$DEV" >$KMEM/remove_id
check "device_dax takes it" bind
done_testing
