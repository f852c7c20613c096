#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in a booted machine for lib/guest.py: takes one order after the other and carries it out. An
# order is a line in the file "order" of /mnt/session:
#
#   test NAME BOOT   a test of the kernel's tools/testing/selftests/dax; looks afterwards whether it left
#                    anything behind
#   script NAME      a script in /mnt/session
#   leaks            have memory that is lost reported, in a kernel that looks for that
#   end              power off
#
# The lines of its output with ## are for guest.py. From there: IN_C, MACHINE, PERSIST, and PACE, by
# which time limits are multiplied.

cd /mnt/tests/dax || exit 1
. ./machine.sh
mkfifo /tmp/never
exec {never}<>/tmp/never

# The next order, in "order".
take_order()
{
	local file=/mnt/session/order
	# A pause that starts no process.
	until [ -e $file ]; do read -rt 0.05 <&$never; done
	read -ra order <$file
	rm $file
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

# What it finds is in the kernel's log; the stack of each allocation tells whose it was.
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

# limited LIMIT COMMAND...: run it; if it does not even end by itself some time after its limit, say what
# is blocked, and power off
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
	# What is to live through a reboot may stay.
	if [ -z "$(head_of "$file" boots)$(head_of "$file" leaves)" ] && ! left=$(diff <(echo "$before") <(state)); then
		echo "not ok 0 nothing is left behind, and nothing is missing"
		sed 's/^/# /' <<<"$left"
	fi
	return $status
}

prepare
# It is asked at the end.
[ ! -w /sys/kernel/debug/kmemleak ] || echo scan=off >/sys/kernel/debug/kmemleak
echo "## ready"
while take_order; do
	echo "## begin ${order[*]}"
	echo "dax-test: $MACHINE ${order[*]} begins" >/dev/kmsg
	case ${order[0]} in
	test) run_test "${order[@]:1}" ;;
	script) limited $((120 * PACE)) bash "/mnt/session/${order[1]}" ;;
	leaks) leaks ;;
	end) exit 0 ;;
	esac
	status=$?
	echo "dax-test: $MACHINE ${order[*]} ended" >/dev/kmsg
	echo "## end $status"
done
