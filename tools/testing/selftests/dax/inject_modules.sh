#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Modules are loaded and unloaded while each allocation of theirs fails in turn.
# machines: nvdimm
# tier: all
# kernel: debug
# limit: 300
. ./lib.sh
modules=(device_dax kmem fsdev_dax dax_pmem dax_pmem_compat dax_hmem dax_cxl)
# What they need stays.
modprobe -a "${modules[@]}"
udevadm settle
declare -A file
for module in "${modules[@]}"; do file[$module]=$(modinfo -n "$module"); done
on_exit "udevadm settle; modprobe -a dax_pmem device_dax kmem fsdev_dax; rmmod dax_cxl dax_hmem dax_pmem_compat"
can_inject
# Not what it takes to load any module.
only_in do_one_initcall

for ((i = ${#modules[@]} - 1; i >= 0; i--)); do rmmod "${modules[i]}"; done
for module in "${modules[@]}"; do
	watched=("/sys/module/$module" /sys/bus/{nd,platform,cxl}/drivers /sys/class/dax /proc/devices)
	# The driver core tells EINVAL if it cannot make the folder of a module's drivers, and for the
	# files of a driver it does not fail.
	inject "load $module" "ENOMEM|EBUSY|EINVAL|ok|ok, mended" load "${file[$module]}" <<-END
		mend unload $module
		mend load ${file[$module]}
		undo unload $module
	END
	# dax_pmem_compat would load the one, and dax_cxl calls the other.
	case $module in device_dax | dax_hmem) modprobe "$module" ;; esac
done
done_testing
