# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Find out which machine this is, and prepare it for a test. lib.sh uses this on any machine;
# tools/testing/dax uses it in its own.
#
# The kinds of machine are those of tools/testing/dax, see KINDS in its machine/vm.py. Any other
# machine is of a kind if it has the same memory, at the same address if one is given:
#
#   nvdimm        an NVDIMM with labels (nvdimm2: two)
#   nvdimm-iommu  the same behind an IOMMU, with QEMU's PCI device "edu"
#   legacy        persistent memory from the kernel's command line: memmap=3G!0x180000000
#   hmem          soft-reserved memory: memmap=4G%0x180000000-1+0xefffffff (hmem-large: 20G,
#                 hmem-huge: 64G)
#   hmat          the same across the boundary of two nodes: memmap=2560M%0x160000000-1+0xefffffff
#   cxl           volatile CXL memory that no CXL region uses
#   virtio-pmem   a pmem device of the virtio bus
#   nfit          the modules of tools/testing/nvdimm in place of the kernel's libnvdimm

# head_of FILE KEY: print the value of KEY in the head of a test
head_of() { sed -n "s/^# $2: *//p" "$1" | head -1; }

# exists PATTERN: true if a file matches
exists() { compgen -G "$1" >/dev/null; }

# soft_reserved START LENGTH: true if dax_hmem has a region with this range
soft_reserved()
{
	local dev
	modprobe dax_hmem 2>/dev/null
	for dev in /sys/bus/dax/devices/dax*.0; do
		[[ $(readlink -f "$dev") = */hmem.* ]] &&
			[ "$(cat "$dev/resource" "$dev/../dax_region/size" 2>/dev/null)" = "$1"$'\n'"$2" ] && return
	done
	return 1
}

# machine_is KIND
machine_is()
{
	case $1 in
	nvdimm) exists '/sys/bus/nd/devices/nmem*/available_slots' ;;
	nvdimm2) exists '/sys/bus/nd/devices/nmem1/available_slots' ;;
	nvdimm-iommu) machine_is nvdimm && grep -qs 0x11e8 /sys/bus/pci/devices/*/device ;;
	legacy) exists '/sys/bus/platform/drivers/e820_pmem/*/ndbus*' && ! machine_is nfit ;;
	hmem) soft_reserved 0x180000000 $((4 << 30)) ;;
	hmem-large) soft_reserved 0x180000000 $((20 << 30)) ;;
	hmem-huge) soft_reserved 0x180000000 $((64 << 30)) ;;
	hmat) soft_reserved 0x160000000 $((512 << 20)) ;;
	cxl) exists '/sys/bus/cxl/devices/mem*/ram' && ! exists '/sys/bus/cxl/devices/region*' ;;
	virtio-pmem) exists '/sys/bus/virtio/drivers/virtio_pmem/virtio*' ;;
	nfit) modinfo nfit_test >/dev/null 2>&1 ;;
	*) return 1 ;;
	esac
}

# parts_in_c: print the drivers of drivers/dax, or "core", that are C in the running kernel
parts_in_c()
{
	local module before
	before=$(lsmod)
	grep -q ' _R.*8dax_core' /proc/kallsyms || echo core
	for module in device_dax dax_pmem kmem dax_hmem dax_cxl fsdev_dax; do
		modprobe $module 2>/dev/null
		grep -q " _R.*\[$module\]" /proc/kallsyms || echo $module
	done
	# Unload those that were not loaded before, dax_cxl before dax_hmem, which it uses.
	for module in dax_cxl dax_hmem fsdev_dax kmem dax_pmem device_dax; do
		grep -q "^$module " <<<"$before" || rmmod $module 2>/dev/null
	done
}

# Write labels once to new NVDIMMs, so that a libnvdimm region can hold several namespaces.
label()
{
	local dimm
	for dimm in $(ndctl list -D | jq -r '.[].dev'); do
		ndctl check-labels "$dimm" >/dev/null 2>&1 && continue
		ndctl disable-region all
		ndctl init-labels -f "$dimm"
		ndctl enable-region all
	done
}

# prepare: bring MACHINE into the state that each test expects
prepare()
{
	local bus dev
	# Load the providers, and wait for their devices. udev loads all providers at boot, but it
	# does not wait for libnvdimm, which probes in the background, and gives up in the end.
	case $MACHINE in
	nvdimm*) modprobe nfit ;;
	legacy) modprobe nd_e820 ;;
	# Unless the kernel was started with hmem disabled.
	hm*) [ ! -e /sys/bus/platform/devices/hmem_platform.0 ] || modprobe dax_hmem ;;
	esac
	for bus in /sys/bus/nd/devices/ndbus*; do
		[ ! -e "$bus" ] || cat "$bus/wait_probe" >/dev/null
	done
	udevadm settle --timeout=$((60 * PACE))
	case $MACHINE in
	nvdimm*) label >/dev/null 2>&1 ;;
	# Disable the only namespace, as ndctl does when it destroys a namespace.
	legacy) [ -e /dev/pmem0 ] && ndctl disable-namespace namespace0.0 >/dev/null 2>&1 ;;
	esac
	# Load the drivers, so that each test finds the same; other tests cover automatic loading.
	modprobe -a dax_pmem device_dax kmem fsdev_dax
	udevadm settle
	case $MACHINE in
	# kmem takes the devices at boot. Each test begins with devices that have all of the
	# memory and no driver.
	hm*)
		for dev in /sys/bus/dax/drivers/kmem/dax*; do
			[ ! -e "$dev" ] || echo "${dev##*/}" >/sys/bus/dax/drivers/kmem/unbind
		done
		;;
	esac
	# The tests map large amounts of address space without memory behind it.
	echo 1 >/proc/sys/vm/overcommit_memory
}
