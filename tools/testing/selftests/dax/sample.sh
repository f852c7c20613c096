#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The sample of a provider and a consumer, samples/rust/rust_driver_dax.rs: it works, and its
# instance is like any other.
# machines: nvdimm legacy
# limit: 120
. ./lib.sh

# Use memory of a libnvdimm region, which nobody uses while the region is disabled.
ndctl disable-region all >/dev/null 2>&1
on_exit "has_labels || ndctl disable-namespace all >/dev/null 2>&1"
on_exit "ndctl enable-region all >/dev/null 2>&1"
on_exit "rmmod rust_driver_dax 2>/dev/null"
start=0x$(sed -n 's/^ *\([0-9a-f]*\)-.* : Persistent Memory.*/\1/p' /proc/iomem | head -n 1)
size=$((64 << 20))
sample=/sys/bus/dax/drivers/rust_driver_dax
driver() { basename "$(readlink "$SYS/driver" || echo none)"; }

log_mark
refuse "the sample does not load without parameters" "invalid" modprobe rust_driver_dax
log_has "it logs which parameters are wrong" "rust_driver_dax: .*start= and size="
refuse "it does not load with a size that is not a multiple of a page" \
	"invalid" modprobe rust_driver_dax start="$start" size=4097
check "it loads with start and size" modprobe rust_driver_dax start="$start" size=$size
use_device dax1000.0
udevadm settle
# device_dax also matches such an instance, and may have been loaded before.
[ "$(driver)" = rust_driver_dax ] || {
	unbind
	check "the sample is bound" bash -c "echo $DEV >$sample/bind"
}
is "the instance is bound to the sample" "$(driver)" rust_driver_dax
is "it has all of the memory" "$SIZE" $size
is "its align is one page" "$(cat "$SYS/align")" 4096
like "its memory is reserved" "$(cat /proc/iomem)" \
	"^ *$(printf '%08x-%08x' $((start)) $((start + size - 1))) : $DEV\$"

dax "it is mapped, page by page, and shared" <<-DAX
	open f $NODE			= ok
	mmap m f 4M 0			= ok
	mmap n f 1M 1M			= ok
	touch m 0 64K 4K w		= faults 16
	write m 1M 71			= ok
	read n 0			= 71
	mmap p f 4K 0 private		= EINVAL
	mmap b f $((size + 4096)) 0	= ok
	write b $((size - 8)) 72	= ok
	read b $size			= SIGBUS ADRERR at $(printf '%#x' $size)
	munmap m 4K 4K			= ok
DAX

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 4M 0 >/dev/null
ask a read m 1M >/dev/null
refuse "the module cannot be removed while a file is open" "in use" rmmod rust_driver_dax
check "unbind" bash -c "echo $DEV >$sample/unbind"
is "the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "mmap on the open file fails" "$(ask a mmap n f 4K 0)" ENXIO
leave a

is "the region is dynamic: the instance shrinks" "$(daxtest <<<"put $SYS/size $((size / 2))")" ok
is "the rest of the region is free" "$(cat "$SYS/../dax_region/available_size")" $((size / 2))
check "bind again" bash -c "echo $DEV >$sample/bind"
dax "half of the memory is there, with its data" <<-DAX
	open f $NODE			= ok
	mmap m f $size 0		= ok
	read m 1M			= 71
	read m $((size / 2))		= SIGBUS ADRERR at $(printf '%#x' $((size / 2)))
DAX
check "unbind" bash -c "echo $DEV >$sample/unbind"
modprobe device_dax
check "device_dax binds to it as well" bash -c "echo $DEV >$DRV/bind"
dax "device_dax maps the same data" <<-DAX
	open f $NODE			= ok
	mmap m f 2M 0			= ok
	read m 1M			= 71
DAX
check "the module is removed, with its region" rmmod rust_driver_dax
check "no device is left" test ! -e "/sys/bus/dax/devices/$DEV"
check "no reservation is left" bash -c "! grep -q $DEV /proc/iomem"
done_testing
