# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which machine this is, and how it has to be when a test begins. lib.sh uses it on any machine, and
# tools/testing/dax in its own.
#
# The tests know the machines of tools/testing/dax, see KINDS in its machine/vm.py. Any other machine
# is of such a kind if it has that memory, at that address where the tests name one:
#
#   nvdimm        an NVDIMM with labels (nvdimm2: two)
#   legacy        persistent memory of the kernel's command line: memmap=3G!0x180000000
#   hmem          soft-reserved memory: memmap=4G%0x180000000-1+0xefffffff (hmem-large: 20G)
#   hmat          the same over the boundary of two nodes: memmap=2560M%0x160000000-1+0xefffffff
#   cxl           volatile CXL memory that no region has
#   virtio-pmem   a pmem device of the virtio bus
#   nfit          the modules of tools/testing/nvdimm in place of those of libnvdimm

# head_of FILE KEY: what the head of a test says for KEY
head_of() { sed -n "s/^# $2: *//p" "$1" | head -1; }

# exists PATTERN: a file of this name
exists() { compgen -G "$1" >/dev/null; }

# soft_reserved START LENGTH: a region of dax_hmem is this
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
	legacy) exists '/sys/bus/platform/drivers/e820_pmem/*/ndbus*' && ! machine_is nfit ;;
	hmem) soft_reserved 0x180000000 $((4 << 30)) ;;
	hmem-large) soft_reserved 0x180000000 $((20 << 30)) ;;
	hmat) soft_reserved 0x160000000 $((512 << 20)) ;;
	cxl) exists '/sys/bus/cxl/devices/mem*/ram' && ! exists '/sys/bus/cxl/devices/region*' ;;
	virtio-pmem) exists '/sys/bus/virtio/drivers/virtio_pmem/virtio*' ;;
	nfit) modinfo nfit_test >/dev/null 2>&1 ;;
	*) return 1 ;;
	esac
}

# parts_in_c: the modules of drivers/dax, and the core, that are not Rust in the kernel that runs
parts_in_c()
{
	local module before
	before=$(lsmod)
	grep -q ' _R.*8dax_core' /proc/kallsyms || echo core
	for module in device_dax dax_pmem kmem dax_hmem dax_cxl fsdev_dax; do
		modprobe $module 2>/dev/null
		grep -q " _R.*\[$module\]" /proc/kallsyms || echo $module
	done
	# A test finds only those that the machine has use for. dax_cxl uses dax_hmem.
	for module in dax_cxl dax_hmem fsdev_dax kmem dax_pmem device_dax; do
		grep -q "^$module " <<<"$before" || rmmod $module 2>/dev/null
	done
}

# Labels, so that a region can hold many namespaces: once for new NVDIMMs.
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

# prepare: MACHINE is as each test expects it
prepare()
{
	local bus dev
	# The providers, and what they find. At boot udev has all of them loaded, but does not wait for
	# libnvdimm, which makes its devices in the background, and gives up after some minutes.
	case $MACHINE in
	nvdimm*) modprobe nfit ;;
	legacy) modprobe nd_e820 ;;
	# Not if hmem is switched off.
	hm*) [ ! -e /sys/bus/platform/devices/hmem_platform.0 ] || modprobe dax_hmem ;;
	esac
	for bus in /sys/bus/nd/devices/ndbus*; do
		[ ! -e "$bus" ] || cat "$bus/wait_probe" >/dev/null
	done
	udevadm settle --timeout=$((60 * PACE))
	case $MACHINE in
	nvdimm*) label >/dev/null 2>&1 ;;
	# The one namespace of the region: off, as ndctl leaves it when it destroys another mode's.
	legacy) [ -e /dev/pmem0 ] && ndctl disable-namespace namespace0.0 >/dev/null 2>&1 ;;
	esac
	# The drivers, so that each test finds the same; that they load by themselves has its own test.
	modprobe -a dax_pmem device_dax kmem fsdev_dax
	udevadm settle
	case $MACHINE in
	# All tests begin with devices that have all of the memory and are not bound; at boot kmem
	# takes them.
	hm*)
		for dev in /sys/bus/dax/drivers/kmem/dax*; do
			[ ! -e "$dev" ] || echo "${dev##*/}" >/sys/bus/dax/drivers/kmem/unbind
		done
		;;
	esac
	# Address space is what the tests reserve, not memory.
	echo 1 >/proc/sys/vm/overcommit_memory
}
