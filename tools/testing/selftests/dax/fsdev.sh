#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fsdev_dax: an instance is offered to file systems, and taken back. The file system is
# the sample in samples/dax: one file, all of the memory.
# machines: nvdimm hmem
# limit: 240
# splat: due to hardware memory corruption
. ./lib.sh

FS=/sys/bus/dax/drivers/fsdev_dax
mnt=$TMP/mnt
mkdir "$mnt"
modprobe dax_onefile || bail_out "there is no dax_onefile"
on_exit "rmmod dax_onefile"

bound() { basename "$(readlink "$SYS/driver" || echo none)"; }
error() { daxtest <<<"put $1 $2"; }
to_fsdev() { unbind && echo "$DEV" >$FS/new_id; }
to_device() { echo "$DEV" >$FS/remove_id && echo "$DEV" >$FS/unbind && bind; }
mount_it() { mount -t onefile -o "size=$SIZE" "$NODE" "$mnt"; }
on_exit "umount $mnt 2>/dev/null"

case $MACHINE in
nvdimm)
	dax_device 2M mem 512M
	hole=
	;;
hmem)
	# The first instance has all of the region. Its memory is offline, so kmem lets go.
	first=dax0.0
	other=/sys/bus/dax/drivers/kmem
	region=$(readlink -f /sys/bus/dax/devices/$first)/../dax_region
	whole=$(cat "$region/size")
	was=$(basename "$(readlink "/sys/bus/dax/devices/$first/driver")")
	echo $first >"/sys/bus/dax/drivers/$was/unbind"
	echo 0 >/sys/bus/dax/devices/$first/size
	cat "$region/create" >/dev/null
	echo 1 >"$region/create"
	between=$(cat "$region/create")
	use_device $first
	on_exit "echo $first >/sys/bus/dax/drivers/$was/bind"
	on_exit "echo $whole >$SYS/size"
	on_exit "echo 0 >$SYS/size; echo $between >$region/delete"
	on_exit "echo 0 >/sys/bus/dax/devices/$between/size"
	on_exit "echo $first >$DRV/remove_id; echo $first >$DRV/unbind 2>/dev/null"
	# Two ranges, with another instance in between.
	echo $((256 << 20)) >"$SYS/size"
	echo $((2 << 20)) >"/sys/bus/dax/devices/$between/size"
	echo $((512 << 20)) >"$SYS/size"
	use_device $first
	is "the instance has two ranges" "$(ls -d "$SYS"/mapping? | wc -l)" 2
	[ "$was" = device_dax ] || echo $first >$DRV/new_id
	[ "$(bound)" = device_dax ] || bind
	hole=$((2 << 20))
	;;
esac
udevadm settle
is "to begin with, device_dax has it" "$(bound)" device_dax

# ---- who it is bound to ----

is "fsdev_dax takes no device by itself" "$(unbind; error $FS/bind "$DEV"; bind)" ENODEV
dax "device_dax: data, and compound pages" <<-DAX
	open f $NODE			= ok
	mmap m f $SIZE 0		= ok
	fill m 0 8M 7			= ok
	fill m 248M 16M 7		= ok
	touch m 0 $SIZE 2M w		= faults *
DAX
refuse "a file system cannot have it from device_dax" "not supported" mount_it
check "from device_dax to fsdev_dax" to_fsdev
is "it is bound" "$(bound)" fsdev_dax
udevadm settle
like "its memory is reserved" "$(cat /proc/iomem)" " : $DEV\$"
if [ -n "$hole" ]; then
	is "size is refused meanwhile" "$(error "$SYS/size" 0)" EBUSY
	is "and has not changed" "$(cat "$SYS/size")" "$SIZE"
fi

# ---- the device node ----

dax "the node opens; it is neither mapped nor read nor written" <<-DAX
	open f $NODE			= ok
	open g $NODE ro			= ok
	mmap m f 2M 0			= ENODEV
	pread f 4K 0			= EINVAL
	pwrite f 4K 0			= EINVAL
DAX

# ---- a file system ----

check "a file system takes it" mount_it
mkdir "$TMP/second"
refuse "there is one holder" "busy|already mounted" mount -t onefile -o "size=$SIZE" "$NODE" "$TMP/second"
dax "what device_dax wrote is there; entries are as large as the file system likes" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	verify m 0 8M 7			= ok
	verify m 248M 16M 7		= ok
	touch m 16M 16M 4K r		= faults 8
	mmap s f 4K 64M			= ok
	touch s 0 4K 4K r		= faults 1
	fill m 32M 2M 8			= ok
	pread f 8M 0			= 8388608
	mmap b anon 8M 0		= ok
	pread f 2M 32M b 0		= 2097152
	fill b 0 2M 9			= ok
	pwrite f 2M 34M b 0		= 2097152
	pread f 4K $SIZE		= 0
	pwrite f 4K $SIZE		= EFBIG
	fallocate f zero 33M 8K		= ok
	read m 33M			= 0
	read m $((33 * 1024 + 4))K	= 0
	verify m 32M 1M 8		= ok
	verify m $((33 * 1024 + 8))K 512K 8	= ok
	fsync f				= ok
DAX
if [ -n "$hole" ]; then
	c_known_wrong fsdev_dax "direct_access fails if what is asked for crosses the end of a range"
	dax "I/O goes on over the end of a range" <<-DAX
		open f $mnt/data		= ok
		mmap b anon 4M 0		= ok
		pread f 4M 254M b 0		= 4194304
		pwrite f 4M 254M b 0		= 4194304
		mmap m f $SIZE 0		= ok
		verify m 248M 16M 7		= ok
		fallocate f zero $((256 * 1024 - 4))K 8K	= ok
		read m 256M			= 0
		read m $((256 * 1024 - 4))K	= 0
		verify m 248M 7M 7		= ok
	DAX
fi

# ---- memory that fails ----

hurt=258M
session a
ask a open f "$mnt/data" >/dev/null
ask a mmap m f "$SIZE" 0 >/dev/null
ask a write m $hurt 1 >/dev/null
phys=$(ask a phys m $hurt)
from=0x$(sed -n "s/^ *\([0-9a-f]*\)-[0-9a-f]* : $DEV\$/\1/p" /proc/iomem | head -n 1)
is "its place is known" "$phys" "$(printf '%#x' $((from + (258 << 20) + ${hole:-0})))"
log_mark
# As if it were the access of this process that found out.
is "a page of it fails, under a process that gets a signal" \
	"$(ask a put /sys/devices/system/memory/hard_offline_page "$phys")" "no answer"
log_has "the file system is told, by the offset in the instance" "onefile: 4096 bytes at $((258 << 20)) failed"
log_has "and has done what there was to do" "recovery action for dax page: Recovered"
leave a
dax "the rest of the memory works" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	verify m 0 8M 7			= ok
	verify m 260M 4M 7		= ok
	verify m $((258 * 1024 - 4))K 4K 7	= ok
	pread f 64K 4M			= 65536
DAX
c_known_wrong fsdev_dax "direct_access does not know that memory has failed"
dax "the page does not, until the instance is bound again" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	read m $hurt			= SIGBUS MCEERR_AR at $(printf '%#x' $((258 << 20))) size 0x1000
	pread f 4K $hurt		= EIO
	pwrite f 4K $hurt		= EIO
	fallocate f zero $hurt 4K	= EIO
	pread f 12K $((258 * 1024 - 8))K	= 8192
DAX
if [ "$MACHINE" = nvdimm ]; then
	log_mark
	c_known_wrong fsdev_dax "the file system is told of a failure at offset 2^64 - 1"
	is "what is in front of the data is not the file system's" \
		"$(error /sys/devices/system/memory/hard_offline_page $((from - 4096))) $(log_since | grep -c onefile)" "ENXIO 0"
fi

# ---- taking it away ----

session a
ask a open f "$mnt/data" >/dev/null
ask a mmap m f 256M 0 >/dev/null
ask a verify m 0 8M 7 >/dev/null
log_mark
check "unbind under the file system" bash -c "echo $DEV >$FS/unbind"
log_has "it is told" "onefile: the memory goes away"
check "and has let go" bash -c "! dmesg | grep -q 'pages were still in use'"
is "what was mapped raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "nothing can be read" "$(ask a pread f 4K 0)" EIO
like "nor opened" "$(daxtest <<<"open f $NODE")" "^(ENXIO|ENODEV)$"
leave a
check "umount" umount "$mnt"
check "bind again" bash -c "echo $DEV >$FS/bind"
check "mount again" mount_it
dax "with the same data, and no page that fails" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	verify m 0 8M 7			= ok
	write m $hurt 2			= ok
	pread f 4K $hurt		= 4096
DAX
umount "$mnt"
is "without a file system nobody can be told of a failure" \
	"$(error /sys/devices/system/memory/hard_offline_page "$phys")" EBUSY
mount_it
c_known_wrong fsdev_dax "direct_access does not know that memory has failed"
is "the page fails nevertheless" "$(printf '%s\n' "open f $mnt/data" "pread f 4K $hurt" | daxtest | tail -n 1)" EIO
umount "$mnt"
echo "$DEV" >$FS/unbind

# At any moment: a bind, a mount, reads, writes and faults, and an unbind under all of it.
turns=''
for turn in 1 2 3 4; do
	echo "$DEV" >$FS/bind && mount_it || turns+="turn $turn: no file system; "
	session a
	ask a open f "$mnt/data" >/dev/null
	ask a mmap m f 64M 0 >/dev/null
	ask a storm m 3 2M >/dev/null
	dd if="$mnt/data" of=/dev/null bs=64K 2>/dev/null &
	reader=$!
	dd if=/dev/zero of="$mnt/data" bs=64K seek=1024 conv=notrunc 2>/dev/null &
	writer=$!
	sleep "0.$turn"
	echo "$DEV" >$FS/unbind
	got=$(ask a calm)
	[[ $got == "3 SIGBUS 0 other" || $got == "no faults at all" ]] || turns+="turn $turn: $got; "
	leave a
	wait $reader $writer
	umount "$mnt" || turns+="turn $turn: umount; "
done
is "under reads, writes and faults: nothing survives an unbind" "$turns" ""
check "and no page stays in use" bash -c "! dmesg | grep -q 'pages were still in use'"
echo "$DEV" >$FS/bind
mount_it
dax "what was not written is as it was; with zeros where it was" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	verify m 0 8M 7			= ok
	read m 64M			= 0
	fill m 248M 16M 7		= ok
	fill m 32M 1M 8			= ok
	write m 33M 0			= ok
	write m $hurt 2			= ok
DAX
check "the driver's module goes under a file system" rmmod fsdev_dax
is "and leaves the device" "$(bound)" none
check "umount" umount "$mnt"
check "the module comes" modprobe fsdev_dax
is "its names are forgotten" "$(error $FS/bind "$DEV")" ENODEV
check "back to device_dax" bind
dax "data and compound pages" <<-DAX
	open f $NODE			= ok
	mmap m f $SIZE 0		= ok
	touch m 0 16M 4K w		= faults 8
	verify m 0 8M 7			= ok
	verify m 32M 1M 8		= ok
	verify m 260M 4M 7		= ok
	read m 33M			= 0
	read m $hurt			= 2
DAX

# ---- to and fro ----

turns=''
for turn in 1 2 3; do
	to_fsdev && mount_it || turns+="turn $turn: no file system; "
	turns+=$(printf '%s\n' "open f $mnt/data" "mmap m f $SIZE 0" "verify m 0 8M 7" | daxtest | grep -v ok)
	umount "$mnt"
	to_device || turns+="turn $turn: not back; "
	turns+=$(printf '%s\n' "open f $NODE" "mmap m f $SIZE 0" "verify m 0 8M 7" | daxtest | grep -v ok)
done
is "three times, with data" "$turns" ""
if ! in_c fsdev_dax device_dax; then
	# C: the cdev that an open file refers to is initialised by the next bind.
	to_fsdev
	udevadm settle
	session a
	ask a open f "$NODE" >/dev/null
	refuse "the module does not go while the node is open" "in use" rmmod fsdev_dax
	check "a file that is open does not keep the instance" to_device
	is "meanwhile nobody opens it as another driver's" "$(daxtest <<<"open f $NODE")" ENXIO
	leave a
	is "when it is closed, they do" "$(daxtest <<<"open f $NODE")" ok
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 2M 0 >/dev/null
	check "the other way round" to_fsdev
	is "likewise" "$(ask a mmap n f 2M 0) $(ask a read m 0) $(daxtest <<<"open f $NODE")" \
		"ENXIO SIGBUS ADRERR at 0 ENXIO"
	check "file systems do not need to open it" mount_it
	umount "$mnt"
	leave a
	is "when it is closed, they do" "$(daxtest <<<"open f $NODE")" ok
	to_device
fi

# ---- 1 GiB ----

if [ "$MACHINE" = nvdimm ]; then
	destroy_device >/dev/null
	dax_device 1G dev 2G
	dax "device_dax with 1 GiB" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		touch m 0 1G 256M w		= faults 1
		fill m 4M 1M 5			= ok
	DAX
	check "to fsdev_dax, with the page map in the memory" to_fsdev
	check "mount" mount_it
	dax "single pages, and data" <<-DAX
		open f $mnt/data		= ok
		mmap m f $SIZE 0		= ok
		touch m 0 16M 4K r		= faults 8
		verify m 4M 1M 5		= ok
		mmap s f 4K 1000M		= ok
		touch s 0 4K 4K r		= faults 1
	DAX
	umount "$mnt"
	check "and back" to_device
	dax "1 GiB" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		touch m 0 1G 256M w		= faults 1
		verify m 4M 1M 5		= ok
	DAX
	check "the device goes" destroy_device
fi
done_testing
