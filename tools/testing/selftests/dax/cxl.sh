#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Volatile CXL memory: the cxl tool makes a region of it. The memory is mapped, used as System RAM,
# and removed while in use. The test writes little, because CXL memory is slow in QEMU.
# machines: cxl
# needs: cxl
# limit: 240
. ./lib.sh

create() { cxl create-region -m -t ram -d decoder0.0 mem0 2>&1 && udevadm settle; }
gone() { cxl list -R 2>/dev/null | jq length; ls /sys/bus/dax/devices; }
node1() { numactl -H | sed -n "s/^node 1 $1: \([0-9]*\) MB/\1/p"; }
on_exit "daxctl offline-memory dax0.0; cxl disable-region -f all; cxl destroy-region -f all; echo dax0.0 >$DRV/remove_id"

# ---- from nothing to a device ----

# An earlier test may have left these loaded, in any order.
modprobe -r dax_cxl dax_hmem kmem device_dax
is "there is neither a region nor a device" "$(gone)" 0
check "dax_cxl is not loaded without a region" test ! -d /sys/module/dax_cxl
check "cxl create-region" create
udevadm settle
check "a region loads dax_cxl, which loads dax_hmem" test -d /sys/module/dax_cxl -a -d /sys/module/dax_hmem
is "dax_cxl's alias" "$(modinfo -F alias dax_cxl)" "cxl:t8*"
like "dax_cxl imports the CXL namespace" "$(modinfo -F import_ns dax_cxl)" '^CXL$'
use_device dax0.0
parent=${SYS%/*}
like "the device is below the CXL region" "$SYS" '/decoder0.0/region0/dax_region0/dax0.0$'
is "its driver, which has no bind files" \
	"$(basename "$(readlink "$parent/driver")") $(ls /sys/bus/cxl/drivers/cxl_dax_region | grep bind)" \
	"cxl_dax_region "
start=$(cxl list -R | jq '.[].resource')
is "the device has all of the memory" "$(cd "$SYS" && cat size resource target_node align | tr '\n' ' ')" \
	"2147483648 $(printf '%#x' "$start") 1 2097152 "
is "the dax region" "$(cd "$parent/dax_region" && cat id size available_size | tr '\n' ' ')" "0 2147483648 0 "
is "memmap_on_memory is on" "$(cat "$SYS/memmap_on_memory")" 1
is "kmem binds to it first" "$(basename "$(readlink "$SYS/driver")")" kmem
like "/proc/iomem lists the region in the CXL window" "$(grep -A2 -E 'CXL Window' /proc/iomem)" ': region0'

# ---- System RAM ----

is "daxctl lists it as System RAM" "$(daxctl list -d dax0.0 | jq -r '.[].mode')" system-ram
check "daxctl online-memory" daxctl online-memory dax0.0
is "node 1 has 2 GiB" "$(node1 size)" 2048
mkdir "$TMP/memory"
mount -t tmpfs -o mpol=bind:1 none "$TMP/memory"
head -c 4M /dev/urandom >"$TMP/data"
check "a tmpfs file on the CXL node is written" cp "$TMP/data" "$TMP/memory/data"
check "the file has the data that was written" cmp "$TMP/data" "$TMP/memory/data"
check "the file takes memory of node 1" test "$(node1 free)" -lt 2046
refuse "cxl destroy-region refuses memory that is in use" "active|online|busy" cxl destroy-region region0
is "the file is intact" "$(cmp "$TMP/data" "$TMP/memory/data" && echo same)" same
umount "$TMP/memory"
check "daxctl offline-memory" daxctl offline-memory dax0.0
is "node 1 has no memory" "$(node1 size)" 0

# ---- a device ----

check "daxctl reconfigures it to devdax" daxctl reconfigure-device -m devdax -f dax0.0
udevadm settle
# Not 1G: QEMU's window does not begin at a multiple of 1 GiB.
for align in 4K 2M; do
	unbind
	is "align $align" "$(result "$SYS/align" "$(bytes $align)")" ok
	bind
	dax "$align: mapped, written, read" <<-DAX
		open f $NODE		= ok
		mmap m f 2G 0		= ok
		fill m 512K 64K 5 4K	= ok
		verify m 512K 64K 5 4K	= ok
		write m 0x7ffff000 9	= ok
		read m 0x7ffff000	= 9
		smaps m KernelPageSize	= $(($(bytes $align) >> 10)) kB
	DAX
done

# ---- removal and return ----

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 1G 0 >/dev/null
ask a write m 0 7 >/dev/null
refuse "cxl destroy-region refuses an active region" "active" cxl destroy-region region0
is "the mapping still works" "$(ask a read m 0)" 7
check "cxl disable-region removes a device that is mapped" within 30 cxl disable-region region0
is "the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "there is no device" "$(ls /sys/bus/dax/devices)" ""
check "cxl enable-region" cxl enable-region region0
udevadm settle
check "the device is back" test -e "$SYS/size"
is "the old mapping still raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
leave a
# Both drivers match the device now; the first one loaded takes it.
[ "$(driver)" = device_dax ] || daxctl reconfigure-device -m devdax -f "$DEV" >/dev/null
dax "the device works, with its data" <<-DAX
	open f $NODE		= ok
	mmap m f 1G 0		= ok
	read m 0		= 7
DAX

check "dax_cxl can be unloaded" within 30 rmmod dax_cxl
is "its device is removed with it" "$(ls /sys/bus/dax/devices)" ""
refuse "dax_hmem cannot be unloaded while dax_cxl is loaded" "in use" bash -c "modprobe dax_cxl && rmmod dax_hmem"
check "dax_cxl, then dax_hmem can be unloaded" bash -c "rmmod dax_cxl && rmmod dax_hmem"
check "dax_cxl loads again" modprobe dax_cxl
wrong=
for _ in 1 2 3 4 5; do
	rmmod dax_cxl || wrong+='rmmod '
	modprobe dax_cxl || wrong+='modprobe '
	# Immediately: the work that it queued may not have started.
done
is "dax_cxl unloads immediately after it was loaded" "$wrong" ""
sleep 1
udevadm settle
check "the device is back after that" test -e "$SYS/size"
check "cxl destroy-region removes the region after it was disabled" \
	bash -c "cxl disable-region region0 && cxl destroy-region region0"
is "the region and the device are gone" "$(gone)" 0
is "the window is empty" "$(grep -A1 'CXL Window' /proc/iomem | grep -c ': region')" 0
check "cxl create-region with half of the memory" cxl create-region -m -t ram -s 1G -d decoder0.0 mem0
udevadm settle
is "the device has that size" "$(cat "$SYS/size")" 1073741824
check "cxl destroy-region -f" cxl destroy-region -f region0
is "the region and the device are gone" "$(gone)" 0
rmmod dax_cxl dax_hmem
done_testing
