#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in a booted machine for lib/guest.py: receives orders and carries them out, one after the
# other. An order is a line in the file "order" of /mnt/session:
#
#   test NAME BOOT   run a test of tools/testing/selftests/dax, and check that it leaves nothing behind
#   script NAME      run a script in /mnt/session
#   leaks            let kmemleak report leaks, if the kernel has it
#   kexec NAME       let the kernel in /mnt/tests/kexec/NAME take over; this script runs there again
#   kexec crash      crash, so that the kernel takes over that a test has loaded for that
#   end              power off
#
# Output lines with ## are for guest.py. It sets IN_C, C_FIXED, MACHINE, PERSIST and PACE;
# time limits are multiplied by PACE.

cd /mnt/tests/dax || exit 1
. ./machine.sh
mkfifo /tmp/never
exec {never}<>/tmp/never

# Wait for the next order and read it into the array "order".
take_order()
{
	local file=/mnt/session/order
	# Sleep without starting a process.
	until [ -e $file ]; do read -rt 0.05 <&$never; done
	read -ra order <$file
	rm $file
}

# Print the state that must be the same before and after a test.
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

# Let kmemleak scan, and copy its report with the allocation stacks to the kernel's log.
leaks()
{
	local file=/sys/kernel/debug/kmemleak
	[ -w $file ] || return
	echo scan >$file
	# kmemleak reports only objects that are older than five seconds.
	sleep 5
	echo scan >$file
	cat $file >/dev/kmsg
	echo clear >$file
}

# limited LIMIT COMMAND...: run COMMAND, which should end by itself after LIMIT. If it does not, log the
# blocked tasks and power off.
limited()
{
	local limit=$1 pid dog status
	shift
	"$@" 2>&1 </dev/null &
	pid=$!
	(
		sleep $((limit + 15))
		echo "# hangs; what is blocked is in the kernel's log"
		echo w >/proc/sysrq-trigger
		sleep 2
		echo "## hung $*"
		sync
		echo o >/proc/sysrq-trigger
	) &
	dog=$!
	wait $pid
	status=$?
	# shellcheck disable=SC2046
	kill $dog $(ps -o pid= --ppid $dog) 2>/dev/null
	wait $dog 2>/dev/null
	return $status
}

# run_test NAME BOOT
run_test()
{
	local file=$1.sh limit before left status
	limit=$(head_of "$file" limit)
	before=$(state)
	export BOOT=$2
	limited $((${limit:-120} * PACE)) bash "./$file"
	status=$?
	udevadm settle
	# Tests with several boots may leave things for the next boot.
	if [ -z "$(head_of "$file" boots)$(head_of "$file" leaves)" ] && ! left=$(diff <(echo "$before") <(state)); then
		echo "not ok 0 nothing is left behind, and nothing is missing"
		sed 's/^/# /' <<<"$left"
	fi
	return $status
}

# kexec_to NAME: boot this kernel. guest-init.sh takes its modules from the same directory.
kexec_to()
{
	local line
	if [ "$1" = crash ]; then
		sync
		echo 1 >/proc/sys/kernel/sysrq
		echo c >/proc/sysrq-trigger
	fi
	line=$(sed 's/ kexec=.*//' /proc/cmdline)
	kexec -l "/mnt/tests/kexec/$1/bzImage" --command-line="$line kexec=$1" || return
	sync
	kexec -e
}

kernel=$(sed -n 's/.* kexec=//p' /proc/cmdline)
# shellcheck source=/dev/null
[ -z "$kernel" ] || . "/mnt/tests/kexec/$kernel/env"

prepare
# "leaks" starts scans; turn automatic scans off.
[ ! -w /sys/kernel/debug/kmemleak ] || echo scan=off >/sys/kernel/debug/kmemleak
echo "## ready"
while take_order; do
	echo "## begin ${order[*]}"
	echo "dax-test: $MACHINE ${order[*]} begins" >/dev/kmsg
	case ${order[0]} in
	test) run_test "${order[@]:1}" ;;
	script) limited $((120 * PACE)) bash "/mnt/session/${order[1]}" ;;
	leaks) leaks ;;
	kexec) kexec_to "${order[1]}" 2>&1 ;;
	end) exit 0 ;;
	esac
	status=$?
	echo "dax-test: $MACHINE ${order[*]} ended" >/dev/kmsg
	echo "## end $status"
done
