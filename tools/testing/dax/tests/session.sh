#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the guest: session.sh TEST... runs the tests one after the other, each in
# a process of its own, and looks after each whether it left anything behind. The
# lines with ## are for run_tests.py. From it: IN_C, MACHINE, BOOT, PERSIST, and PACE, by
# which time limits are multiplied.

cd "$(dirname "$0")" || exit 1
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
export PATH=$PWD:$PATH
head_of() { sed -n "s/^# $2: *//p" "$1.sh" | head -1; }

# Labels, so that a region can hold many namespaces: once for new NVDIMMs.
label()
{
	local dimm
	for dimm in $(ndctl list -D | jq -r '.[].dev'); do
		ndctl check-labels "$dimm" >/dev/null 2>&1 && continue
		ndctl disable-region all
		ndctl init-labels -f "$dimm"
		ndctl enable-region all
	done
}

# What has to be the same after a test as before.
state()
{
	ls /sys/bus/dax/devices /sys/bus/dax/drivers
	ls /sys/class/dax 2>/dev/null
	grep -E ' : (dax|namespace)' /proc/iomem
	ls /dev | grep -E '^(dax|pmem)'
	ndctl list -Ni | jq -c '.[] | select(.size > 0) | [.dev, .mode, .size]'
	lsmod | awk '/^(device_dax|dax_pmem|kmem) / { print $1, $3 }' | sort
	grep -E '/dev/(pmem|dax)' /proc/mounts
}

# Memory that nobody refers to any more, in a kernel that looks for that. What it finds is
# in its log, where run_tests.py sees it; the stack of each allocation tells whose it was.
leaks()
{
	local file=/sys/kernel/debug/kmemleak
	[ -w $file ] || return
	echo scan >$file
	# It takes an object for lost when it is older than this, in milliseconds.
	sleep 5
	echo scan >$file
	cat $file >/dev/kmsg
	echo clear >$file
}

# The providers, and what they find. At boot udev has all of them loaded, but does not wait for
# libnvdimm, which makes its devices in the background, and gives up after some minutes.
case $MACHINE in
nvdimm*) modprobe nfit ;;
legacy) modprobe nd_e820 ;;
# Not if hmem is switched off.
hm*) [ ! -e /sys/bus/platform/devices/hmem_platform.0 ] || modprobe dax_hmem ;;
esac
for bus in /sys/bus/nd/devices/ndbus*; do
	[ ! -e "$bus" ] || cat "$bus/wait_probe" >/dev/null
done
udevadm settle --timeout=$((60 * PACE))
case $MACHINE in
nvdimm*) label >/dev/null 2>&1 ;;
# The one namespace of the region: off, as ndctl leaves it when it destroys another mode's.
legacy) [ -e /dev/pmem0 ] && ndctl disable-namespace namespace0.0 >/dev/null 2>&1 ;;
esac
# The drivers, so that each test finds the same; that they load by themselves has its own test.
modprobe -a dax_pmem device_dax kmem fsdev_dax
udevadm settle
case $MACHINE in
# All tests begin with devices that have all of the memory and are not bound; at boot kmem
# takes them.
hm*)
	for dev in /sys/bus/dax/drivers/kmem/dax*; do
		[ ! -e "$dev" ] || echo "${dev##*/}" >/sys/bus/dax/drivers/kmem/unbind
	done
	;;
esac
# It is asked at the end.
[ ! -w /sys/kernel/debug/kmemleak ] || echo scan=off >/sys/kernel/debug/kmemleak
# Address space is what the tests reserve, not memory.
echo 1 >/proc/sys/vm/overcommit_memory

for name in "$@"; do
	limit=$(head_of "$name" limit)
	boots=$(head_of "$name" boots)
	leaves=$(head_of "$name" leaves)
	limit=$((${limit:-120} * PACE))
	before=$(state)
	echo "## begin $name"
	echo "dax-test: $MACHINE $name begins" >/dev/kmsg
	start=$EPOCHREALTIME
	timeout -k 5 "$limit" bash "./$name.sh" 2>&1 </dev/null &
	pid=$!
	(
		sleep $((limit + 15))
		echo "# hangs; what is blocked is in the kernel's log"
		echo w >/proc/sysrq-trigger
		sleep 2
		echo "## hung $name"
		sync
		echo o >/proc/sysrq-trigger
	) &
	dog=$!
	wait $pid
	status=$?
	# shellcheck disable=SC2046
	kill $dog $(ps -o pid= --ppid $dog) 2>/dev/null
	wait $dog 2>/dev/null
	udevadm settle
	# What is to live through a reboot may stay.
	if [ "${boots:-1}" = 1 ] && [ -z "$leaves" ] && ! left=$(diff <(echo "$before") <(state)); then
		sed 's/^/# /' <<<"$left"
		echo "## left $name"
	fi
	# Once for all tests: it takes longer than most of them.
	[ "$name" != "${!#}" ] || leaks
	echo "dax-test: $MACHINE $name ended" >/dev/kmsg
	echo "## end $name $status $(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")"
done
