# SPDX-License-Identifier: GPL-2.0
modules="device_dax dax_pmem dax_hmem dax_cxl kmem fsdev_dax"

refresh() {
	depmod @RELEASE@
	# Only an initramfs that has them is made anew.
	initrd=/boot/initrd.img-@RELEASE@
	if [ -e $initrd ] && command -v update-initramfs >/dev/null &&
		lsinitramfs $initrd | grep -qE "/($(echo "$modules" | tr ' ' '|'))\.ko"; then
		update-initramfs -u -k @RELEASE@
	fi
}

# Whether unloading the modules would take memory from a program, or devices that are configured by hand.
in_use() {
	for device in /sys/bus/dax/drivers/kmem/dax* /sys/bus/dax/drivers/fsdev_dax/dax* \
		/sys/bus/platform/drivers/hmem/hmem.* /sys/bus/cxl/drivers/cxl_dax_region/dax_region*; do
		[ ! -e "$device" ] || return 0
	done
	for module in daxfile device_dax; do
		[ "$(cat /sys/module/$module/refcnt 2>/dev/null || echo 0)" = 0 ] || return 0
	done
	return 1
}

# Load the modules anew that are loaded.
switch() {
	[ "$(uname -r)" = @RELEASE@ ] && ! ischroot || return 0
	loaded=
	for module in $modules; do
		[ ! -d /sys/module/$module ] || loaded="$loaded $module"
	done
	[ -n "$loaded" ] || return 0
	# The kernel has no daxfile of its own, so modprobe may not know it any more.
	# shellcheck disable=SC2086
	if in_use || { [ -d /sys/module/daxfile ] && ! rmmod daxfile; } || ! modprobe -r $loaded; then
		echo "device DAX is in use: its modules are the ones $1 from the next boot on"
		return 0
	fi
	# When its file is gone, modprobe does not know that they depended on it.
	[ ! -d /sys/module/dax_rust ] || rmmod dax_rust || true
	# shellcheck disable=SC2086
	modprobe -a $loaded
	echo "device DAX: loaded the modules $1:$loaded"
}
