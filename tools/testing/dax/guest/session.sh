#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the guest: session.sh TEST... runs the tests one after the other, each in
# a process of its own, and looks after each whether it left anything behind. The
# lines with ## are for run_tests.py. From it: IN_C, MACHINE, BOOT, PERSIST, and PACE, by
# which time limits are multiplied.

cd /mnt/tests/dax || exit 1
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
. ./machine.sh

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

prepare
# It is asked at the end.
[ ! -w /sys/kernel/debug/kmemleak ] || echo scan=off >/sys/kernel/debug/kmemleak

for name in "$@"; do
	limit=$(head_of "$name.sh" limit)
	boots=$(head_of "$name.sh" boots)
	leaves=$(head_of "$name.sh" leaves)
	limit=$((${limit:-120} * PACE))
	before=$(state)
	echo "## begin $name"
	echo "dax-test: $MACHINE $name begins" >/dev/kmsg
	start=$EPOCHREALTIME
	bash "./$name.sh" 2>&1 </dev/null &
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
