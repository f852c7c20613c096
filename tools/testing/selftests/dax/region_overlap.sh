#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A provider registers memory that another provider already has. The errno and the log must give
# that reason, not a lack of memory, and the attempt leaves nothing behind.
# machines: nvdimm hmem
# limit: 120
. ./lib.sh

on_exit "rmmod rust_driver_dax 2>/dev/null"
# other SIZE: let another provider, the sample, take SIZE bytes from START on
other() { modprobe rust_driver_dax start="$START" size=$(($1)) 2>&1; }
left() { ls /sys/bus/dax/devices; }

# nothing_about_memory HOW: the log must not have messages about a lack of memory
nothing_about_memory()
{
	is "$1: nothing about a lack of memory" "$(log_since | grep -E 'free memory|error -12|ENOMEM|Cannot allocate')" ""
}

# The core's message; C's is different.
if in_c core; then
	core="dax_region resource conflict for"
else
	core="dax region of 0x[0-9a-f]+-0x[0-9a-f]+ refused: another region has some of it"
fi

# refused_now HOW: the sample must not get memory that another provider has
refused_now()
{
	log_mark
	refuse "$1: the sample cannot take the memory" "busy" other 0x200000
	log_has "$1: the core logs the reason" "$core"
	log_has "$1: the sample logs the reason" \
		"no region of 0x200000 bytes at $START: another provider has some of it"
	nothing_about_memory "$1"
}

case $MACHINE in
nvdimm)
	dax_device 2M mem 512M
	START=$(cat "$SYS/resource")
	before=$(left)
	refused_now "a namespace has it"
	is "the device is unchanged" "$(left)" "$before"
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	check "the sample takes the memory of a disabled namespace" other $((64 << 20))
	log_mark
	refuse "the namespace is not enabled" "failed to enable|busy" ndctl enable-namespace "$NS"
	log_has "the core logs the reason" "$core"
	if ! in_c dax_pmem; then
		log_has "dax_pmem logs how to resolve it" \
			"dax_pmem dax[0-9.]+: $NS: the dax core refuses it, see the message above; once that is settled: ndctl enable-namespace $NS\$"
		log_has "the driver core logs the error" "probe with driver dax_pmem failed with error -16"
		nothing_about_memory "the sample has it"
	fi
	is "only the sample's device is there" "$(left)" dax1000.0
	rmmod rust_driver_dax
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	check "the namespace is enabled when the sample is gone" ndctl enable-namespace "$NS"
	wait_bound
	is "the device is unchanged" "$(left)" "$before"
	if ! in_c core dax_pmem; then
		in_class
		use_device "$DEV"
		refused_now "a namespace in the class has it"
	fi
	destroy_device >/dev/null
	;;
hmem)
	START=0x180000000
	before=$(left)
	on_exit "modprobe dax_hmem; udevadm settle; echo dax0.0 >$KMEM/unbind 2>/dev/null"
	refused_now "hmem has it"
	rmmod dax_hmem
	udevadm settle
	check "without dax_hmem the sample takes the memory" other $((64 << 20))
	log_mark
	modprobe dax_hmem
	log_has "the core logs the reason" "$core"
	if ! in_c dax_hmem; then
		log_has "hmem logs how to resolve it" \
			"no instance for memory 0x180000000-0x27fffffff: error -16; unbind its user, see the message above and /proc/iomem, then bind this device to hmem again"
		nothing_about_memory "the sample has it"
	fi
	is "only the sample's device is there" "$(left)" dax1000.0
	rmmod rust_driver_dax
	is "hmem is bound when the sample is gone" "$(result /sys/bus/platform/drivers/hmem/bind hmem.0)" ok
	is "the device is unchanged" "$(left)" "$before"
	;;
esac
done_testing
