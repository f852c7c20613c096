#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The machine is suspended to RAM, and its clock wakes it: a device that is mapped is as before, and so is its memory as
# System RAM.
# machines: nvdimm hmem
# needs: rtcwake numactl
# limit: 60
. ./lib.sh

grep -qw mem /sys/power/state || skip_all "the machine cannot be suspended to RAM: $(cat /sys/power/state)"
! grep -q ' 9p ' /proc/mounts || skip_all "Linux does not resume the virtio device of a 9p file system"
any_device 1G

# sleep_now: suspend until the clock wakes the machine, some seconds later. The clock may ring before the machine
# sleeps, and would never wake it. With the number of such events in wakeup_count, Linux then stays awake.
sleep_now()
{
	local try events
	for try in 1 2 3 4; do
		events=$(cat /sys/power/wakeup_count)
		rtcwake -m no -s $((5 * PACE * try)) 2>&1 || return
		# shellcheck disable=SC2320
		{ echo "$events" >/sys/power/wakeup_count && echo mem >/sys/power/state; } 2>&1 && return
	done
	return 1
}
slept() { cat /sys/power/suspend_stats/success; }

session user
ask user open f "$NODE" >/dev/null
is "a program maps the device and fills 64 MiB" "$(ask user mmap m f 64M 0; ask user fill m 0 64M 6 4K)" "$(printf 'ok\nok')"
before=$(slept)
check "the machine is suspended, and wakes" sleep_now
is "it was suspended" $(($(slept) - before)) 1
is "the program reads what it wrote" "$(ask user verify m 0 64M 6 4K)" ok
is "it touches more of the device" "$(ask user mmap n f 64M 64M; ask user fill n 0 64M 7 4K; ask user verify n 0 64M 7 4K)" \
	"$(printf 'ok\nok\nok')"
leave user

on=$(cat "$SYS/target_node")
check "daxctl makes the device System RAM" daxctl reconfigure-device -m system-ram "$DEV"
on_exit "daxctl reconfigure-device -m devdax --force $DEV >/dev/null 2>&1"
state=$(daxctl list -d "$DEV" | jq -c '.[0] | [.online_memblocks, .total_memblocks, .movable]')
total=$(mem_total)
session user numactl --membind="$on" daxtest
ask user mmap m anon 64M 0 rw private >/dev/null
is "a program fills 64 MiB of it" "$(ask user fill m 0 64M 8 4K)" ok
check "the machine is suspended, and wakes" sleep_now
is "it was suspended" $(($(slept) - before)) 2
is "the program reads what it wrote" "$(ask user verify m 0 64M 8 4K)" ok
is "the memory is online as before" "$(daxctl list -d "$DEV" | jq -c '.[0] | [.online_memblocks, .total_memblocks, .movable]') $(mem_total)" \
	"$state $total"
leave user
check "it is a device again" daxctl reconfigure-device -f -m devdax "$DEV"
done_testing
