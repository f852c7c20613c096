#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Modules are loaded and unloaded while each of their allocations fails in turn.
# machines: nvdimm
# tier: all
# kernel: debug
# limit: 300
. ./lib.sh
modules=(device_dax kmem fsdev_dax dax_pmem dax_pmem_compat dax_hmem dax_cxl daxfile)
# The modules that they depend on stay loaded.
modprobe -a "${modules[@]}"
udevadm settle
declare -A file
for module in "${modules[@]}"; do file[$module]=$(modinfo -n "$module"); done
on_exit "udevadm settle; modprobe -a dax_pmem device_dax kmem fsdev_dax; rmmod dax_cxl dax_hmem dax_pmem_compat daxfile"
can_inject
# Only in the modules' own code, not in the module loader.
only_in do_one_initcall

for ((i = ${#modules[@]} - 1; i >= 0; i--)); do rmmod "${modules[i]}"; done
for module in "${modules[@]}"; do
	watched=("/sys/module/$module" /sys/bus/{nd,platform,cxl}/drivers /sys/class/dax /proc/devices)
	# The driver core returns EINVAL if it cannot create the directory of a module's drivers,
	# and ignores failures to create a driver's files.
	inject "load $module" "ENOMEM|EBUSY|EINVAL|ok|ok, mended" load "${file[$module]}" <<-END
		mend unload $module
		mend load ${file[$module]}
		undo unload $module
	END
	# dax_pmem_compat would load device_dax, and dax_cxl calls dax_hmem.
	case $module in device_dax | dax_hmem) modprobe "$module" ;; esac
done
done_testing
