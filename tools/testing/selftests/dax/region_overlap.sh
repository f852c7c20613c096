#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory that another provider has already: it is refused as what it is. Neither the errno nor the
# log speaks of a lack of memory, and nothing is left of the attempt.
# machines: nvdimm hmem
# limit: 120
. ./lib.sh

on_exit "rmmod rust_driver_dax 2>/dev/null"
# other SIZE: another provider, the sample, takes so much from START on
other() { modprobe rust_driver_dax start="$START" size=$(($1)) 2>&1; }
left() { ls /sys/bus/dax/devices; }

# nothing_about_memory HOW: what it does not say
nothing_about_memory()
{
	is "$1: nothing about a lack of memory" "$(log_since | grep -E 'free memory|error -12|ENOMEM|Cannot allocate')" ""
}

# The core's own sentence; in C it is another one.
if in_c core; then
	core="dax_region resource conflict for"
else
	core="dax region of 0x[0-9a-f]+-0x[0-9a-f]+ refused: another region has some of it"
fi

# refused_now HOW: the sample cannot have the memory that a provider has
refused_now()
{
	log_mark
	refuse "$1: the sample cannot have it, too" "busy" other 0x200000
	log_has "$1: the core says why" "$core"
	log_has "$1: and the sample" "no region of 0x200000 bytes at $START: another provider has some of it"
	nothing_about_memory "$1"
}

case $MACHINE in
nvdimm)
	dax_device 2M mem 512M
	START=$(cat "$SYS/resource")
	before=$(left)
	refused_now "a namespace has it"
	is "the device is as before" "$(left)" "$before"
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	check "the sample takes the memory of a namespace that is off" other $((64 << 20))
	log_mark
	refuse "the namespace is not enabled" "failed to enable|busy" ndctl enable-namespace "$NS"
	log_has "the core says why" "$core"
	if ! in_c dax_pmem; then
		log_has "dax_pmem says where to look" \
			"dax_pmem dax[0-9.]+: $NS: the dax core refuses it, see the message above; once that is settled: ndctl enable-namespace $NS\$"
		log_has "and with which error" "probe with driver dax_pmem failed with error -16"
		nothing_about_memory "the sample has it"
	fi
	is "the sample's device alone is there" "$(left)" dax1000.0
	rmmod rust_driver_dax
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	check "without the sample it is enabled" ndctl enable-namespace "$NS"
	wait_bound
	is "the device is as before" "$(left)" "$before"
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
	log_has "the core says why" "$core"
	if ! in_c dax_hmem; then
		log_has "hmem says what to do" \
			"no instance for memory 0x180000000-0x27fffffff: error -16; unbind its user, see the message above and /proc/iomem, then bind this device to hmem again"
		nothing_about_memory "the sample has it"
	fi
	is "the sample's device alone is there" "$(left)" dax1000.0
	rmmod rust_driver_dax
	is "without the sample it is bound" "$(result /sys/bus/platform/drivers/hmem/bind hmem.0)" ok
	is "the device is as before" "$(left)" "$before"
	;;
esac
done_testing
