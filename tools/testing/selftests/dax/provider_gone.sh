#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# User space cannot pin a provider. While it has an open file, a mapping, sysfs files or a file
# system, everything below the device can be removed, including the modules of the provider's bus.
# User space releases its references after that.
# machines: nvdimm legacy hmem cxl
# limit: 300
. ./lib.sh

FS=/sys/bus/dax/drivers/fsdev_dax
LIBNVDIMM="dax_pmem dax_pmem_compat nd_pmem nd_btt nfit nd_e820 libnvdimm"
CXL="dax_cxl dax_hmem cxl_pmem cxl_mem cxl_port cxl_acpi cxl_pci cxl_core"

loaded() { local m; for m in "$@"; do [ ! -d "/sys/module/$m" ] || echo "$m"; done; }
# unload MODULE...: unload those that are loaded, in this order; try again, since modules can refer
# to each other
unload()
{
	local m i
	for i in 1 2 3 4 5; do
		for m in $(loaded "$@"); do rmmod "$m" 2>/dev/null; done
		[ -n "$(loaded "$@")" ] || return 0
		sleep 0.5
	done
	echo "still loaded: $(loaded "$@")"
	return 1
}

# away, back: remove the provider and everything below it, and load all of it again
away()
{
	case $MACHINE in
	nvdimm | legacy)
		ndctl disable-region all >/dev/null 2>&1
		# shellcheck disable=SC2086
		unload $LIBNVDIMM
		;;
	hmem)
		echo hmem.0 >/sys/bus/platform/drivers/hmem/unbind
		echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/unbind
		unload dax_cxl dax_hmem
		;;
	cxl)
		cxl disable-region -f all >/dev/null 2>&1
		cxl destroy-region -f all >/dev/null 2>&1
		# shellcheck disable=SC2086
		unload $CXL
		;;
	esac
}
back()
{
	local i bus
	case $MACHINE in
	nvdimm | legacy)
		modprobe "$([ $MACHINE = legacy ] && echo nd_e820 || echo nfit)"
		for bus in /sys/bus/nd/devices/ndbus*; do cat "$bus/wait_probe" >/dev/null; done
		modprobe -a dax_pmem device_dax
		udevadm settle
		# Select this driver, whichever module udev loaded first.
		provided_by "$1"
		;;
	hmem)
		modprobe -a dax_hmem device_dax
		;;
	cxl)
		modprobe -a cxl_acpi cxl_pci cxl_port cxl_mem
		for i in 1 2 3 4 5 6 7 8; do
			udevadm settle
			cxl create-region -m -t ram -d decoder0.0 mem0 >/dev/null 2>&1 && break
			sleep 0.5
		done
		;;
	esac
	udevadm settle
	case $MACHINE in
	hmem | cxl)
		for i in 1 2 3 4 5 6 7 8; do [ ! -e "$BUS/$DEV" ] || break; sleep 0.5; done
		use_device "$DEV"
		[ "$(driver)" = none ] || echo "$DEV" >"$SYS/driver/unbind"
		echo "$DEV" >$DRV/new_id
		;;
	esac
	wait_bound
}
works()
{
	dax "$1" <<-DAX
		open f $NODE		= ok
		mmap m f 4M 0		= ok
		write m 0 5		= ok
		read m 0		= 5
	DAX
}

case $MACHINE in
nvdimm | legacy) dax_device 2M mem 256M ;;
*) any_device 256M ;;
esac
# below: print the provider's device. libnvdimm gives a new device the lowest free number.
below() { case $MACHINE in nvdimm | legacy) basename "$(readlink -f "$SYS/..")" ;; *) basename "${SYS%/*}" ;; esac; }
away >/dev/null
back dax_pmem
first=$(below)

# gone WHAT: remove the provider while user space holds a reference, then release it with "let_go"
gone()
{
	check "$1: the provider and its modules are removed" away
	check "$1: the device is gone from sysfs" test ! -e "$BUS/$DEV"
	check "$1: its memory is not reserved" bash -c "! grep -q ' : $DEV\$' /proc/iomem"
	let_go
	back "${2:-dax_pmem}"
	check "$1: after the release, the provider comes back" wait_bound
	is "$1: the provider's device has the same number" "$(below)" "$first"
	works "$1: the device works"
}

let_go() { leave a; }
session a
ask a open f "$NODE" >/dev/null
gone "an open file"

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 4M 0 >/dev/null
ask a write m 0 1 >/dev/null
ask a close f >/dev/null
gone "a mapping"

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 4M 0 >/dev/null
ask a write m 0 1 >/dev/null
is "a child reads through the mapping" "$(ask a child read m 0)" 1
away >/dev/null
is "an access after the removal raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "mmap after the removal fails" "$(ask a mmap n f 4M 0)" ENXIO
leave a
back dax_pmem
works "the device works again"

let_go() { exec {fd1}<&- {fd2}<&- {fd3}<&- {fd4}<&-; cd "$home" || exit; }
home=$PWD
exec {fd1}<"$SYS/size" {fd2}<"$SYS/../dax_region/id" {fd3}<"$SYS/uevent" {fd4}<"$SYS/align"
cd "$SYS" || exit
gone "files and a directory in sysfs"
if [ "$MACHINE" = nvdimm ] && ! in_c core dax_pmem; then
	in_class
	first=$(basename "$(readlink -f "$PLACE/$DEV/../..")")
	below() { basename "$(readlink -f "$PLACE/$DEV/../..")"; }
	use_device "$DEV"
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 4M 0 >/dev/null
	ask a write m 0 1 >/dev/null
	let_go() { leave a; }
	BUS=$CLASS
	gone "in the class, an open file and a mapping" dax_pmem_compat
	BUS=/sys/bus/dax/devices
	provided_by dax_pmem
	use_device "$DEV"
	below() { basename "$(readlink -f "$SYS/..")"; }
fi

# ---- a mounted file system ----

modprobe -a dax_onefile fsdev_dax
on_exit "rmmod dax_onefile"
mkdir "$TMP/mnt"
unbind
echo "$DEV" >$FS/new_id
check "a file system is mounted" mount -t onefile -o "size=$SIZE" "$NODE" "$TMP/mnt"
session a
ask a open f "$TMP/mnt/data" >/dev/null
ask a mmap m f 4M 0 >/dev/null
ask a write m 0 6 >/dev/null
let_go() { leave a; umount "$TMP/mnt"; echo "$DEV" >$FS/remove_id; }
gone "a file system"

# ---- references to pages, which keep the memmap ----

if ! in_c device_dax; then
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 4M 0 >/dev/null
	ask a write m 0 7 >/dev/null
	ask a pipe p m 0 16 >/dev/null
	ask a munmap m >/dev/null
	timeout $((2 * PACE)) bash -c "echo $DEV >$DRV/unbind"
	check "a page in a pipe: the provider and its modules are removed" away
	check "a page in a pipe: its memory stays reserved" grep -q " : $DEV\$" /proc/iomem
	# Without its region, CXL memory does not answer.
	[ "$MACHINE" = cxl ] || is "a page in a pipe: it has its data" "$(ask a piped p)" 7
	leave a
	for i in 1 2 3 4 5 6; do
		grep -q " : $DEV\$" /proc/iomem || break
		sleep $((1 * PACE))
	done
	check "a page in a pipe: the memory is free when the page is" bash -c "! grep -q ' : $DEV\$' /proc/iomem"
	back dax_pmem
	check "a page in a pipe: the provider comes back" wait_bound
	works "a page in a pipe: the device works"
fi

# ---- the sample's provider ----

if [ "$MACHINE" = nvdimm ]; then
	destroy_device >/dev/null
	ndctl disable-region all >/dev/null 2>&1
	on_exit "ndctl enable-region all >/dev/null 2>&1"
	start=0x$(sed -n 's/^ *\([0-9a-f]*\)-.* : Persistent Memory.*/\1/p' /proc/iomem | head -n 1)
	# shellcheck disable=SC2086
	modprobe rust_driver_dax start="$start" size=$((64 << 20))
	use_device dax1000.0
	[ "$(driver)" = device_dax ] || {
		echo "$DEV" >"$SYS/driver/unbind"
		bind
	}
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 4M 0 >/dev/null
	ask a write m 0 1 >/dev/null
	check "the sample: the module is removed while a file is open" within 20 rmmod rust_driver_dax
	check "the sample: its device is gone" test ! -e "$BUS/$DEV"
	leave a
	modprobe rust_driver_dax start="$start" size=$((64 << 20))
	check "the sample: the device is back" test -e "$BUS/$DEV"
	rmmod rust_driver_dax
fi
done_testing
