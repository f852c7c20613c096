#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A device is unbound, or removed, while it is open and mapped. The next access raises SIGBUS and
# never reaches stale memory. Nothing waits for the process.
# machines: nvdimm legacy
# limit: 360
. ./lib.sh

for align in "${ALIGNS[@]}"; do
	dax_device $align mem "$(room $align)"
	last=$((SIZE - $(bytes $align)))

	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f "$SIZE" 0 >/dev/null
	ask a write m 0 31 >/dev/null
	check "$align: unbind while the device is mapped" within 20 bash -c "echo $DEV >$DRV/unbind"
	is "$align: a read of the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
	is "$align: a write raises SIGBUS" "$(ask a write m 8 1)" "SIGBUS ADRERR at 0x8"
	is "$align: a read of memory that was never touched raises SIGBUS" \
		"$(ask a read m $last)" "SIGBUS ADRERR at $(printf '%#x' $last)"
	is "$align: a read by a child raises SIGBUS" "$(ask a child read m 0)" "SIGBUS ADRERR at 0"
	is "$align: mmap on the open file fails" "$(ask a mmap n f $align 0)" ENXIO
	c_known_wrong device_dax open-dead "open finds the dead device by the inode, and makes a file without a device"
	is "$align: the device cannot be opened while an old file is open" "$(ask a open g "$NODE")" ENXIO
	is "$align: the dead mapping can be protected" "$(ask a mprotect m 0 "$SIZE" r)" ok
	is "$align: the dead mapping can be unmapped" "$(ask a munmap m)" ok
	leave a
	check "$align: bind again" bind
	dax "$align: the device can be opened at once, with its data" <<-DAX
		open f $NODE		= ok
		mmap m f $align 0	= ok
		read m 0		= 31
		write m 8 32		= ok
	DAX

	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f "$SIZE" 0 >/dev/null
	# When one thread drops an entry of 1 GiB just as another one creates it, mm reports it as
	# corrupt, even across processes; see upstream-bugs/pud-zap-race.
	case $align in "$PUD") apart=apart threads=2 ;; *) apart='' threads=4 ;; esac
	is "$align: threads fault all the time" "$(ask a storm m $threads $align $apart)" ok
	check "$align: unbind ends while threads fault" within 40 bash -c "echo $DEV >$DRV/unbind"
	is "$align: each of the threads gets SIGBUS" "$(ask a calm)" "$threads SIGBUS 0 other"
	leave a
	bind

	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f "$SIZE" 0 >/dev/null
	ask a write m 0 33 >/dev/null
	check "$align: the namespace is disabled while the device is mapped" \
		within 20 ndctl disable-namespace "$NS"
	is "$align: a read of the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
	is "$align: mmap on the file of a removed device fails" "$(ask a mmap n f $align 0)" ENXIO
	is "$align: the file of a removed device cannot be read" "$(ask a sysread f)" EINVAL
	check "$align: the device is gone from /sys" test ! -e "/sys/bus/dax/devices/$DEV"
	check "$align: the device is gone from /dev" test ! -e "$NODE"
	check "$align: its memory is free in /proc/iomem" bash -c "! grep -q $DEV /proc/iomem"
	check "$align: the namespace can be enabled while the old file is open" \
		within 20 ndctl enable-namespace "$NS"
	udevadm settle
	dax "$align: the new device works, with the data" <<-DAX
		open f $NODE		= ok
		mmap m f $align 0	= ok
		read m 0		= 33
	DAX
	is "$align: the old mapping still raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
	is "$align: mmap on the old file still fails" "$(ask a mmap n f $align 0)" ENXIO
	leave a
	dax "$align: closing the old file does not affect the device" <<-DAX
		open f $NODE		= ok
		mmap m f $align 0	= ok
		read m 0		= 33
	DAX

	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f $align 0 >/dev/null
	ask a read m 0 >/dev/null
	check "$align: the namespace is destroyed while the device is mapped" \
		within 20 ndctl destroy-namespace -f "$NS"
	is "$align: a read of the mapping raises SIGBUS again" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
	leave a
done
done_testing
