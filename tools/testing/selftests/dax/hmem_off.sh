#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# device_hmem.disable=1: soft-reserved memory stays alone.
# machines: hmem
# append: device_hmem.disable=1
. ./lib.sh
is "the parameter" "$(cat /sys/module/device_hmem/parameters/disable)" Y
like "the memory is marked" "$(dmesg)" 'user: \[mem 0x0*180000000-0x0*27fffffff\]  soft reserved'
is "it has no device on the platform bus" "$(ls /sys/bus/platform/devices | grep hmem)" ""
is "nor on the dax bus" "$(ls /sys/bus/dax/devices)" ""
check "so dax_hmem is not loaded" test ! -d /sys/module/dax_hmem
check "it can be" modprobe dax_hmem
is "and finds nothing" "$(ls /sys/bus/dax/devices)" ""
check "and goes" rmmod dax_hmem
done_testing
