#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Soft-reserved memory, from the devices on the platform bus to the mapped device: the state after
# boot, unbind and bind, reload, and a region that is divided before use (region_idle).
# On arm64 there is a device only with a patch, see upstream-bugs/efi-soft-reserve.
# machines: hmem
# limit: 180
. ./lib.sh

host=/sys/devices/platform/hmem_platform.0
piece=$host/hmem.0
dev=$piece/dax0.0
drivers=/sys/bus/platform/drivers
idle=/sys/module/dax_hmem/parameters/region_idle

# Restore the state that each test of this machine begins with, see machine.sh.
free_device() { [ ! -e $dev/driver ] || echo dax0.0 >$dev/driver/unbind; echo dax0.0 >$DRV/remove_id; }
on_exit "modprobe dax_hmem; echo N >$idle; for d in hmem_platform/hmem_platform.0 hmem/hmem.0; do" \
	"[ -e $drivers/\$d ] || echo \${d#*/} >$drivers/\${d%/*}/bind; done 2>/dev/null; udevadm settle; free_device 2>/dev/null"

# Bind to device_dax, whichever driver the region is for.
to_devdax() { free_device 2>/dev/null; use_device dax0.0; echo dax0.0 >$DRV/new_id; wait_bound; }
works()
{
	dax "$1" <<-DAX
		open f /dev/dax0.0	= ok
		mmap m f $PMD 0		= ok
		fill m 0 2M 3 4K	= ok
		verify m 0 2M 3 4K	= ok
	DAX
}
devices() { cd /sys/bus/platform/devices && echo hmem* | sed 's/hmem\*//'; cd "$OLDPWD" || exit; }

# ---- after boot ----

# A node is offline once its memory was System RAM and is not any more. The range is then in another node when it
# is found anew.
if [ "$near" = 1 ] && [ "$(cat /sys/devices/system/node/online)" = 0 ]; then
	modprobe -r dax_hmem && modprobe dax_hmem && udevadm settle
	free_device 2>/dev/null
	near=0
fi

check "dax_hmem was loaded for the memory" test -d /sys/module/dax_hmem
is "one platform device for all of the memory, and one for the range" "$(devices)" "hmem.0 hmem_platform.0"
is "each has its driver" "$(basename "$(readlink $host/driver)") $(basename "$(readlink $piece/driver)")" \
	"hmem_platform hmem"
is "modalias of the platform devices" \
	"$(cat $host/modalias $piece/modalias | tr '\n' ' ')" "platform:hmem_platform platform:hmem "
is "the module has these aliases" \
	"$(modinfo -F alias dax_hmem | sort | tr '\n' ' ')" "platform:hmem* platform:hmem_platform* "
is "numa_node of the range is that of the nearest node that is online" "$(cat $piece/numa_node)" $near
is "the dax region" "$(cd $piece/dax_region && cat id size align | tr '\n' ' ')" "0 4294967296 $(bytes "$PMD") "
is "its instance has all of the memory" \
	"$(cd $dev && cat resource size target_node numa_node memmap_on_memory | tr '\n' ' ')" \
	"0x180000000 4294967296 1 $near 0 "
is "region_idle, and its mode" "$(cat $idle) $(stat -c %a $idle)" "N 644"
is "device_hmem.disable, and its mode" \
	"$(cd /sys/module/device_hmem/parameters && echo "$(cat disable) $(stat -c %a disable)")" "N 444"
echo dax0.0 >/sys/bus/dax/drivers_probe
is "kmem binds by default" "$(basename "$(readlink $dev/driver)")" kmem
like "kmem reserves the memory" "$(cat /proc/iomem)" '^180000000-27fffffff : dax0.0$'

# ---- device_dax, with each align ----

use_device dax0.0
check "device_dax binds to it" to_devdax
like "device_dax reserves the memory" "$(cat /proc/iomem)" '^180000000-27fffffff : dax0.0$'
for align in "${ALIGNS[@]}"; do
	unbind
	is "align $align" "$(result $dev/align "$(bytes $align)")" ok
	bind
	dax "$align: the memory, from its first address to its last" <<-DAX
		open f /dev/dax0.0	= ok
		mmap m f 4G 0 fixed=0x200000000000	= ok
		store m 0 4G 1G		= faults $([ $align = "$PUD" ] && in_a_row 4 || echo 4)
		write m 0xfffff000 7	= ok
		read m 0xfffff000	= 7
		smaps m KernelPageSize	= $(($(bytes $align) >> 10)) kB
		$([ $align = "$PUD" ] || echo "phys m 3G = 0x240000000")
	DAX
done

# ---- unbind and unload at any moment ----

session a
ask a open f /dev/dax0.0 >/dev/null
ask a mmap m f 1G 0 >/dev/null
ask a read m 0 >/dev/null
check "hmem is unbound while the instance is mapped" within 20 bash -c "echo hmem.0 >$drivers/hmem/unbind"
is "the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
check "the instance is gone" test ! -e $dev -a ! -e $piece/dax_region
is "the platform device is still there" "$(devices)" "hmem.0 hmem_platform.0"
check "hmem is bound again" bash -c "echo hmem.0 >$drivers/hmem/bind"
check "the instance is back" to_devdax
works "the instance works again"
is "the old mapping still raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
leave a

check "hmem_platform is unbound" bash -c "echo hmem_platform.0 >$drivers/hmem_platform/unbind"
is "no range, no instance and no reservation is left" \
	"$(devices) $(ls /sys/bus/dax/devices) $(grep -c dax /proc/iomem)" "hmem_platform.0  0"
check "hmem_platform is bound again" bash -c "echo hmem_platform.0 >$drivers/hmem_platform/bind"
check "the instance is back" to_devdax
works "the instance works again"

wrong=
for _ in 1 2 3 4 5; do
	rmmod dax_hmem || wrong+='rmmod '
	[ "$(devices)" = hmem_platform.0 ] || wrong+="left: $(devices) "
	modprobe dax_hmem || wrong+='modprobe '
	[ "$(devices)" = "hmem.0 hmem_platform.0" ] || wrong+="back: $(devices) "
	[ "$(cat $dev/size)" = 4294967296 ] || wrong+='size '
done
is "five reloads of the module leave the same numbers" "$wrong" ""
check "device_dax binds to the instance" to_devdax
works "the instance works"

# ---- divided before use ----

rmmod dax_hmem
check "region_idle=1" modprobe dax_hmem region_idle=1
is "the instance has no memory" "$(cat $dev/size)" 0
is "all of the region is free" "$(cat $piece/dax_region/available_size)" 4294967296
check "the instance has no driver" test ! -e $dev/driver
is "the size is set; it takes no suffix" "$(result $dev/size 512M) $(result $dev/size $((512 << 20)))" "EINVAL ok"
echo dax0.0 >/sys/bus/dax/drivers_probe
is "device_dax binds to it without a name in new_id" "$(basename "$(readlink $dev/driver)")" device_dax
udevadm settle
works "the instance works"
is "the parameter can be changed" "$(result $idle 0)" ok
echo hmem.0 >$drivers/hmem/unbind
check "the instance goes with the unbind of hmem" test ! -e $dev
echo hmem.0 >$drivers/hmem/bind
is "with region_idle=0 the next instance has all memory" "$(cat $dev/size)" 4294967296
is "the parameter takes only a bool" "$(result $idle maybe)" EINVAL
is "the parameter can be changed back" "$(result $idle Y)" ok
echo hmem.0 >$drivers/hmem/unbind
echo hmem.0 >$drivers/hmem/bind
is "with region_idle=1 the next instance has no memory" "$(cat $dev/size)" 0
echo N >$idle
echo hmem.0 >$drivers/hmem/unbind
echo hmem.0 >$drivers/hmem/bind
is "the state is as after boot" "$(cat $dev/size) $(devices)" "4294967296 hmem.0 hmem_platform.0"

# ---- drivers bound by force to other devices ----

if has_bug hmem-override dax_hmem; then
	skip "binding hmem to another device" "C: known wrong: hmem-override: reads data that the device does not have"
else
	# A device that each PC has. Some kernels have a driver for it.
	other=/sys/devices/platform/pcspkr
	if [ -e $other ]; then
		[ ! -e $other/driver ] || echo pcspkr >$other/driver/unbind
		for driver in hmem hmem_platform; do
			echo $driver >$other/driver_override
			is "$driver does not bind to another device" "$(result $drivers/$driver/bind pcspkr)" ENODEV
			echo >$other/driver_override
		done
		echo pcspkr >/sys/bus/platform/drivers_probe
	fi
	echo hmem >$host/driver_override
	echo hmem_platform.0 >$drivers/hmem_platform/unbind
	is "hmem does not bind to the device for all memory" "$(result $drivers/hmem/bind hmem_platform.0)" ENODEV
	echo >$host/driver_override
	is "hmem_platform binds to it again" "$(result $drivers/hmem_platform/bind hmem_platform.0)" ok
fi
done_testing
