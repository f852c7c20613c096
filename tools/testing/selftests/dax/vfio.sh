#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A PCI device reads and writes the memory of a device by DMA, behind an IOMMU. iommufd pins the pages, and
# an unbind waits for that. VFIO's own container (type 1) never drops its pins of device memory, see
# upstream-bugs/vfio-pins. So it gets memory without struct pages only, which it does not pin.
# machines: nvdimm-iommu
# append: intel_iommu=on
# limit: 240
. ./lib.sh

# The emulated IOMMU does not remap interrupts.
modprobe -a iommufd vfio_iommu_type1 vfio_pci 2>/dev/null
for unsafe in /sys/module/{iommufd,vfio_iommu_type1}/parameters/allow_unsafe_interrupts; do
	[ ! -e $unsafe ] || echo 1 >$unsafe
done
pci=$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1)
pci=$(basename "$(dirname "$pci")")
[ -e /sys/bus/pci/drivers/vfio-pci ] || skip_all "the kernel is built without CONFIG_VFIO_PCI"
[ -e "/sys/bus/pci/devices/$pci/iommu_group" ] || skip_all "$pci is behind no IOMMU that the kernel uses"
echo vfio-pci >"/sys/bus/pci/devices/$pci/driver_override"
echo "$pci" >/sys/bus/pci/drivers_probe
on_exit "echo $pci >/sys/bus/pci/drivers/vfio-pci/unbind; echo >/sys/bus/pci/devices/$pci/driver_override"
check "vfio-pci has the PCI device" test -e "/sys/bus/pci/drivers/vfio-pci/$pci"

# begin: let "vfio" use the device; it answers when it is ready
begin()
{
	local reply=
	session v vfio "$pci" "$NODE" $length "$how"
	read -rt $((30 * PACE)) reply <&"${out_of[v]}"
	answer=$reply
}

unbind_behind()
{
	rm -f "$TMP/ended"
	bash -c 'echo "$1" >"$2"; echo $? >"$3"' - "$DEV" "$DRV/unbind" "$TMP/ended" 2>/dev/null &
}

iommufd=/dev/vfio/devices/$(ls /dev/vfio/devices 2>/dev/null)
[ -c "$iommufd" ] || skip_all "the kernel is built without CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV"
for align in 4K 2M 1G; do
	dax_device $align mem "$([ $align = 1G ] && echo 2G || echo 256M)"
	length=$([ $align = 1G ] && echo $((1 << 30)) || echo $((8 << 20)))
	# The PCI device has 28 bits of address.
	last=$(((8 << 20) - 4096))
	page=$(has_bug unbind-references device_dax && echo 4096 || echo 8192)
	what=$align how=$iommufd
	begin
	is "$what: a program has the PCI device" "$answer" ready
	is "$what: it gives it the mapping" "$(ask v map)" ok
	is "$what: the PCI device reads the last page" "$(ask v fill $last 5; ask v read $last)" "$(printf 'ok\nok')"
	is "$what: and writes it to the first one" "$(ask v write 0)" ok
	is "$what: it is the same" "$(ask v same 0 5)" ok
	is "$what: the program has no mapping any more" "$(ask v munmap)" ok
	is "$what: the PCI device still writes to the second page" "$(ask v write 4096)" ok
	if ! has_bug unbind-references device_dax; then
		unbind_behind
		sleep $((2 * PACE))
		check "$what: an unbind waits" test ! -e "$TMP/ended"
		is "$what: meanwhile, the PCI device reads and writes the same memory" \
			"$(ask v read 4096; ask v write 8192)" "$(printf 'ok\nok')"
		is "$what: the program ends the DMA" "$(ask v unmap)" ok
		check "$what: the unbind ends" within 20 bash -c "until [ -e $TMP/ended ]; do sleep 0.1; done"
		check "$what: it is bound again" bind
	fi
	leave v
	begin
	is "$what: the PCI device has written both pages" "$(ask v same 4096 5; ask v same $page 5)" "$(printf 'ok\nok')"
	leave v
	destroy_device >/dev/null
done

# Without struct pages there is nothing to pin.
if rust_here core device_dax; then
	align=2M length=$((8 << 20))
	dax_device $align mem 256M
	unbind
	echo 0 >"$SYS/memmap"
	bind
	for how in type1 $iommufd; do
		begin
		if [ "$how" = type1 ]; then
			is "without struct pages, VFIO: a program gives the PCI device the mapping" "$(ask v map)" ok
			is "without struct pages, VFIO: the PCI device reads a page, and writes it to another one" \
				"$(ask v fill 0 7; ask v read 0; ask v write 4096; ask v same 4096 7)" "$(printf 'ok\nok\nok\nok')"
			is "without struct pages, VFIO: the program ends that" "$(ask v unmap)" ok
		else
			is "without struct pages, iommufd: the mapping is refused" "$(ask v map)" "Bad address"
		fi
		leave v
	done
	destroy_device >/dev/null
fi
done_testing
