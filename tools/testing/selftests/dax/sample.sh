#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The sample of a provider and a consumer, samples/rust/rust_driver_dax.rs: it works, and
# what it makes is a device like any other.
# machines: nvdimm legacy
# limit: 120
. ./lib.sh

# Memory that is nobody's as long as its libnvdimm region is disabled.
ndctl disable-region all >/dev/null 2>&1
on_exit "has_labels || ndctl disable-namespace all >/dev/null 2>&1"
on_exit "ndctl enable-region all >/dev/null 2>&1"
on_exit "rmmod rust_driver_dax 2>/dev/null"
start=0x$(sed -n 's/^ *\([0-9a-f]*\)-.* : Persistent Memory.*/\1/p' /proc/iomem | head -n 1)
size=$((64 << 20))
sample=/sys/bus/dax/drivers/rust_driver_dax
driver() { basename "$(readlink "$SYS/driver" || echo none)"; }

log_mark
refuse "without memory it does not load" "invalid" modprobe rust_driver_dax
log_has "and says which parameters are wrong" "rust_driver_dax: .*start= and size="
refuse "nor with what is no page" "invalid" modprobe rust_driver_dax start="$start" size=4097
check "with memory it does" modprobe rust_driver_dax start="$start" size=$size
use_device dax1000.0
udevadm settle
# device_dax is for such an instance, too, and may have been there before.
[ "$(driver)" = rust_driver_dax ] || {
	unbind
	check "bind" bash -c "echo $DEV >$sample/bind"
}
is "the instance is bound to the sample" "$(driver)" rust_driver_dax
is "it has all of the memory" "$SIZE" $size
is "and an align of one page" "$(cat "$SYS/align")" 4096
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
refuse "the module does not go while a file is open" "in use" rmmod rust_driver_dax
check "unbind" bash -c "echo $DEV >$sample/unbind"
is "what was mapped raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "the open file maps nothing more" "$(ask a mmap n f 4K 0)" ENXIO
leave a

is "the region is dynamic: the instance shrinks" "$(daxtest <<<"put $SYS/size $((size / 2))")" ok
is "and there is free memory" "$(cat "$SYS/../dax_region/available_size")" $((size / 2))
check "bind again" bash -c "echo $DEV >$sample/bind"
dax "half of it is there, with its data" <<-DAX
	open f $NODE			= ok
	mmap m f $size 0		= ok
	read m 1M			= 71
	read m $((size / 2))		= SIGBUS ADRERR at $(printf '%#x' $((size / 2)))
DAX
check "unbind" bash -c "echo $DEV >$sample/unbind"
modprobe device_dax
check "device_dax takes it as well" bash -c "echo $DEV >$DRV/bind"
dax "with the same data" <<-DAX
	open f $NODE			= ok
	mmap m f 2M 0			= ok
	read m 1M			= 71
DAX
check "the module goes, and the region with it" rmmod rust_driver_dax
check "there is no device left" test ! -e "/sys/bus/dax/devices/$DEV"
check "nor memory in its name" bash -c "! grep -q $DEV /proc/iomem"
done_testing
