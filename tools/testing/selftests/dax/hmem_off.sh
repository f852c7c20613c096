#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# device_hmem.disable=1: the kernel makes no devices for soft-reserved memory.
# machines: hmem
# append: device_hmem.disable=1
. ./lib.sh
is "the parameter is set" "$(cat /sys/module/device_hmem/parameters/disable)" Y
like "firmware marked the memory" "$(dmesg)" 'user: \[mem 0x0*180000000-0x0*27fffffff\]  soft reserved'
is "the memory has no device on the platform bus" "$(ls /sys/bus/platform/devices | grep hmem)" ""
is "the memory has no device on the dax bus" "$(ls /sys/bus/dax/devices)" ""
check "dax_hmem is not loaded" test ! -d /sys/module/dax_hmem
check "dax_hmem can be loaded" modprobe dax_hmem
is "dax_hmem finds nothing" "$(ls /sys/bus/dax/devices)" ""
check "dax_hmem can be unloaded" rmmod dax_hmem
done_testing
