#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fsdev_dax offers an instance to file systems, and takes it back. The file system is the sample in
# samples/dax, which has one file with all of the memory.
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
	# The first instance has the whole region. Its memory is offline, so kmem can be unbound.
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
	# Two ranges, with the range of another instance between them.
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
is "device_dax has the instance at first" "$(bound)" device_dax

# ---- binding ----

is "fsdev_dax does not bind to a device automatically" "$(unbind; error $FS/bind "$DEV"; bind)" ENODEV
dax "device_dax: write data, with compound pages" <<-DAX
	open f $NODE			= ok
	mmap m f $SIZE 0		= ok
	fill m 0 8M 7			= ok
	fill m 248M 16M 7		= ok
	touch m 0 $SIZE 2M w		= faults *
DAX
refuse "a file system cannot mount it while device_dax has it" "not supported" mount_it
check "the instance moves from device_dax to fsdev_dax" to_fsdev
is "fsdev_dax has the instance" "$(bound)" fsdev_dax
udevadm settle
like "its memory is reserved" "$(cat /proc/iomem)" " : $DEV\$"
if [ -n "$hole" ]; then
	is "a bound instance refuses a new size" "$(error "$SYS/size" 0)" EBUSY
	is "the size has not changed" "$(cat "$SYS/size")" "$SIZE"
fi

# ---- the device node ----

dax "the node can be opened, but not mapped, read or written" <<-DAX
	open f $NODE			= ok
	open g $NODE ro			= ok
	mmap m f 2M 0			= ENODEV
	pread f 4K 0			= EINVAL
	pwrite f 4K 0			= EINVAL
DAX

# ---- a file system ----

check "a file system mounts it" mount_it
mkdir "$TMP/second"
refuse "a second holder is refused" "busy|already mounted" mount -t onefile -o "size=$SIZE" "$NODE" "$TMP/second"
dax "data written through device_dax is there; the file system chooses the entry size" <<-DAX
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
	c_known_wrong fsdev_dax fsdev-range-end "direct_access fails if the request crosses the end of a range"
	dax "I/O crosses the end of a range" <<-DAX
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

# ---- memory failure ----

hurt=258M
session a
ask a open f "$mnt/data" >/dev/null
ask a mmap m f "$SIZE" 0 >/dev/null
ask a write m $hurt 1 >/dev/null
phys=$(ask a phys m $hurt)
from=0x$(sed -n "s/^ *\([0-9a-f]*\)-[0-9a-f]* : $DEV\$/\1/p" /proc/iomem | head -n 1)
is "its physical address is right" "$phys" "$(printf '%#x' $((from + (258 << 20) + ${hole:-0})))"
log_mark
# As if this process had accessed the poisoned page.
is "a page fails, and the process that mapped it is killed" \
	"$(ask a put /sys/devices/system/memory/hard_offline_page "$phys")" "no answer"
log_has "the file system is notified, with the offset in the instance" "onefile: 4096 bytes at $((258 << 20)) failed"
log_has "the kernel reports a recovery" "recovery action for dax page: Recovered"
leave a
dax "the rest of the memory still works" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	verify m 0 8M 7			= ok
	verify m 260M 4M 7		= ok
	verify m $((258 * 1024 - 4))K 4K 7	= ok
	pread f 64K 4M			= 65536
DAX
c_known_wrong fsdev_dax fsdev-failed-memory "direct_access does not check for failed memory"
dax "the failed page stays failed until the instance is bound again" <<-DAX
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
	c_known_wrong fsdev_dax fsdev-failure-offset "the file system gets a notification for offset 2^64 - 1"
	is "a failure before the start of the data does not reach the file system" \
		"$(error /sys/devices/system/memory/hard_offline_page $((from - 4096))) $(log_since | grep -c onefile)" "ENXIO 0"
fi

# ---- unbind under the file system ----

session a
ask a open f "$mnt/data" >/dev/null
ask a mmap m f 256M 0 >/dev/null
ask a verify m 0 8M 7 >/dev/null
log_mark
check "unbind under the file system" bash -c "echo $DEV >$FS/unbind"
log_has "the file system is notified" "onefile: the memory goes away"
check "no page is still in use" bash -c "! dmesg | grep -q 'pages were still in use'"
is "the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "a read fails" "$(ask a pread f 4K 0)" EIO
like "the node cannot be opened" "$(daxtest <<<"open f $NODE")" "^(ENXIO|ENODEV)$"
leave a
check "umount" umount "$mnt"
check "bind again" bash -c "echo $DEV >$FS/bind"
check "mount again" mount_it
dax "the data is the same, and the failed page works again" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	verify m 0 8M 7			= ok
	write m $hurt 2			= ok
	pread f 4K $hurt		= 4096
DAX
umount "$mnt"
is "without a file system a failure is not handled" \
	"$(error /sys/devices/system/memory/hard_offline_page "$phys")" EBUSY
mount_it
c_known_wrong fsdev_dax fsdev-failed-memory "direct_access does not check for failed memory"
is "reads of the page fail after the next mount" \
	"$(printf '%s\n' "open f $mnt/data" "pread f 4K $hurt" | daxtest | tail -n 1)" EIO
umount "$mnt"
echo "$DEV" >$FS/unbind

# Bind, mount, read, write and fault, and unbind at some moment in between.
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
is "an unbind during reads, writes and faults ends all of them" "$turns" ""
check "no page is still in use after that" bash -c "! dmesg | grep -q 'pages were still in use'"
echo "$DEV" >$FS/bind
mount_it
dax "memory that was not written is unchanged; written memory is zero" <<-DAX
	open f $mnt/data		= ok
	mmap m f $SIZE 0		= ok
	verify m 0 8M 7			= ok
	read m 64M			= 0
	fill m 248M 16M 7		= ok
	fill m 32M 1M 8			= ok
	write m 33M 0			= ok
	write m $hurt 2			= ok
DAX
check "fsdev_dax is unloaded under a file system" rmmod fsdev_dax
is "the instance has no driver" "$(bound)" none
check "umount" umount "$mnt"
check "fsdev_dax loads again" modprobe fsdev_dax
is "the names given to new_id are forgotten" "$(error $FS/bind "$DEV")" ENODEV
check "device_dax binds to the instance" bind
dax "device_dax: the data, with compound pages" <<-DAX
	open f $NODE			= ok
	mmap m f $SIZE 0 fixed=0x200000000000	= ok
	touch m 0 16M 4K w		= faults $(in_a_row 8)
	verify m 0 8M 7			= ok
	verify m 32M 1M 8		= ok
	verify m 260M 4M 7		= ok
	read m 33M			= 0
	read m $hurt			= 2
DAX

# ---- between the two drivers, repeatedly ----

turns=''
for turn in 1 2 3; do
	to_fsdev && mount_it || turns+="turn $turn: no file system; "
	turns+=$(printf '%s\n' "open f $mnt/data" "mmap m f $SIZE 0" "verify m 0 8M 7" | daxtest | grep -v ok)
	umount "$mnt"
	to_device || turns+="turn $turn: not back; "
	turns+=$(printf '%s\n' "open f $NODE" "mmap m f $SIZE 0" "verify m 0 8M 7" | daxtest | grep -v ok)
done
is "three moves to fsdev_dax and back keep the data" "$turns" ""
if ! has_bug cdev-rebind fsdev_dax device_dax; then
	to_fsdev
	udevadm settle
	session a
	ask a open f "$NODE" >/dev/null
	refuse "fsdev_dax cannot be removed while the node is open" "in use" rmmod fsdev_dax
	check "an open file does not prevent the move to device_dax" to_device
	has_bug stale-file fsdev_dax device_dax ||
		is "the node cannot be opened while a file of the other driver is open" "$(daxtest <<<"open f $NODE")" ENXIO
	leave a
	is "it can be opened once that file is closed" "$(daxtest <<<"open f $NODE")" ok
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 2M 0 >/dev/null
	check "a mapping does not prevent the move to fsdev_dax" to_fsdev
	has_bug stale-file fsdev_dax device_dax ||
		is "the open file, the mapping and the node are dead" \
			"$(ask a mmap n f 2M 0) $(ask a read m 0) $(daxtest <<<"open f $NODE")" \
			"ENXIO SIGBUS ADRERR at 0 ENXIO"
	check "a file system can mount it nevertheless" mount_it
	umount "$mnt"
	leave a
	is "it can be opened once that file is closed" "$(daxtest <<<"open f $NODE")" ok
	to_device
fi

# ---- 1 GiB ----

if [ "$MACHINE" = nvdimm ] && [ -n "$PUD" ]; then
	destroy_device >/dev/null
	dax_device 1G dev 2G
	dax "device_dax: entries of 1 GiB" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		touch m 0 1G 256M w		= faults 1
		fill m 4M 1M 5			= ok
	DAX
	check "the instance moves to fsdev_dax, with the memmap in its own memory" to_fsdev
	check "a file system mounts it" mount_it
	dax "fsdev_dax: single pages, with the same data" <<-DAX
		open f $mnt/data		= ok
		mmap m f $SIZE 0		= ok
		touch m 0 16M 4K r		= faults 8
		verify m 4M 1M 5		= ok
		mmap s f 4K 1000M		= ok
		touch s 0 4K 4K r		= faults 1
	DAX
	umount "$mnt"
	check "the instance moves back to device_dax" to_device
	dax "device_dax: entries of 1 GiB again, with the data" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		touch m 0 1G 256M w		= faults 1
		verify m 4M 1M 5		= ok
	DAX
	check "the namespace is destroyed" destroy_device
fi
done_testing
