#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A device in the class is removed with its namespace, even while it is in use, and leaves nothing
# behind.
# machines: nvdimm
# limit: 180
# impl: rust core dax_pmem - Linux no longer has it
. ./lib.sh

in_class
DRIVER=/sys/bus/nd/drivers/dax_pmem_compat

# user NAME VALUE: start a process that has the device open and mapped, and wrote VALUE to it
user()
{
	session "$1"
	is "$1: open, map, write" "$(ask "$1" open f "$NODE") $(ask "$1" mmap m f "$SIZE" 0) $(ask "$1" write m 0 "$2")" "ok ok ok"
}
dead()
{
	is "$1: the mapping raises SIGBUS" "$(ask "$1" read m 0)" "SIGBUS ADRERR at 0"
	is "$1: mmap on the open file fails" "$(ask "$1" mmap n f 2M 0)" ENXIO
}

dax_device 2M mem 512M
nd=$(basename "$(readlink -f "$SYS/device")")

user unbind 41
refuse "device_dax cannot be unloaded" "in use" rmmod device_dax
check "the namespace is unbound under a mapping" within 20 bash -c "echo $nd >$DRIVER/unbind"
check "the device is gone" test ! -e "$SYS" -a ! -e "$NODE" -a -z "$(grep " : $DEV\$" /proc/iomem)"
dead unbind
refuse "the open file keeps device_dax" "in use" rmmod device_dax
check "the namespace is bound again" bash -c "echo $nd >$DRIVER/bind"
wait_bound
dead unbind

user module 42
is "the data written before the unbind is still there" "$(ask module write m 8 0) $(ask module read m 0)" "ok 42"
check "dax_pmem_compat can be unloaded under a mapping" within 20 modprobe -r dax_pmem_compat
dead module
dead unbind
check "dax_pmem_compat is loaded again" modprobe dax_pmem_compat
wait_bound

user disable 43
check "the namespace is disabled under a mapping" within 20 ndctl disable-namespace "$NS"
dead disable
check "the namespace is enabled again" ndctl enable-namespace "$NS"
wait_bound

user destroy 44
check "the namespace is destroyed under a mapping" within 20 ndctl destroy-namespace -f "$NS"
dead destroy
dead disable
dax_device 2M mem 512M
dead destroy
for who in unbind module disable destroy; do leave $who; done
dax "the next device works" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	write m 0 45		= ok
	read m 0		= 45
DAX

# ---- unbind while threads fault ----
session threads
nd=$(basename "$(readlink -f "$SYS/device")")
wrong=''
for turn in 1 2 3 4 5 6; do
	ask threads open f "$NODE" >/dev/null
	ask threads mmap m f "$SIZE" 0 >/dev/null
	ask threads storm m 3 2M >/dev/null
	echo "$nd" >$DRIVER/unbind
	got=$(ask threads calm)
	[[ $got == "3 SIGBUS 0 other" || $got == "no faults at all" ]] || wrong+="turn $turn: $got; "
	echo "$nd" >$DRIVER/bind
done
is "each thread gets SIGBUS after an unbind" "$wrong" ""
leave threads

# ---- leaks ----

objects() { echo 1 >/sys/kernel/slab/dax_cache/shrink; sleep 0.2; awk '$1 == "dax_cache" { print $2 }' /proc/slabinfo; }
state()
{
	ls $CLASS $BUS
	grep -c . /proc/iomem
	find /sys/devices -name 'dax*' | wc -l
	lsmod | awk '/^(device_dax|dax_pmem_compat) / { print $1, $3 }'
}
free_kb() { sync; echo 3 >/proc/sys/vm/drop_caches; sleep 0.2; awk '/^MemFree/ { print $2 }' /proc/meminfo; }

cycle() { echo "$nd" >$DRIVER/unbind; echo "$nd" >$DRIVER/bind; }
cycle
udevadm settle
before=$(state) count=$(objects) start=$(free_kb)
for turn in $(seq 25); do cycle; done
udevadm settle
lost=$((start - $(free_kb)))
is "25 unbinds leave the same devices, reservations and modules" "$(diff <(echo "$before") <(state))" ""
check "no dax_device is left ($(($(objects) - count)) more)" \
	test $(($(objects) - count)) -le "$(awk '$1 == "dax_cache" { print $5 }' /proc/slabinfo)"
# Each memmap takes 2 MiB. Processes of udev also change the amount of free memory.
check "no memmap is left ($lost KiB less are free)" test $lost -lt 25000
destroy_device >/dev/null
provided_by dax_pmem
check "device_dax can be unloaded when no file and no device is left" rmmod device_dax
modprobe device_dax
done_testing
