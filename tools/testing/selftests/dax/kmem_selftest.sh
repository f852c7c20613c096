#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernel's own selftest of kmem, tools/testing/selftests/dax, unchanged.
# machines: nvdimm
. ./lib.sh
dax_device 2M mem 1G
daxctl reconfigure-device -N -m system-ram "$DEV" >/dev/null 2>&1
selftest "$DEV"
is "kmem still has the device" "$(driver)" kmem
# The selftest leaves it unplugged, a state that daxctl does not know.
echo "$DEV" >"$SYS/driver/unbind"
# Otherwise kmem takes the next device of this name if it was loaded before device_dax.
echo "$DEV" >$KMEM/remove_id
check "device_dax binds to it" bind
done_testing
