#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory tiers: the memory of a device is the slower tier. Pages of Redis go there when its cgroup is
# asked to give up memory, and those that are used come back.
# machines: nvdimm hmem
# image: programs
# needs: redis-server redis-benchmark numactl
# limit: 300
# tier: all
. ./lib.sh

any_device 1G
on=$(cat "$SYS/target_node")
check "daxctl makes the device System RAM" daxctl reconfigure-device -m system-ram "$DEV"
on_exit "daxctl reconfigure-device -m devdax --force $DEV >/dev/null 2>&1"
tier_of()
{
	grep -lE "(^|,)$1(\$|,)" /sys/devices/virtual/memory_tiering/memory_tier*/nodelist |
		sed 's/.*memory_tier\([0-9]*\).*/\1/'
}
check "its node $on is in a slower tier than node 0" test "$(tier_of "$on")" -gt "$(tier_of 0)"

group=/sys/fs/cgroup/dax-test
mountpoint -q /sys/fs/cgroup || { mount -t cgroup2 none /sys/fs/cgroup; on_exit "umount /sys/fs/cgroup"; }
echo +memory >/sys/fs/cgroup/cgroup.subtree_control || skip_all "the kernel has no memory cgroups"
mkdir $group
on_exit "rmdir $group"

demotion=$(cat /sys/kernel/mm/numa/demotion_enabled)
balancing=$(cat /proc/sys/kernel/numa_balancing)
on_exit "echo $demotion >/sys/kernel/mm/numa/demotion_enabled"
on_exit "echo $balancing >/proc/sys/kernel/numa_balancing"
echo 1 >/sys/kernel/mm/numa/demotion_enabled

count() { awk -v name="$1" '$1 ~ "^" name { sum += $2 } END { print sum + 0 }' /proc/vmstat; }
redis() { redis-cli -s "$TMP/redis" "$@" 2>&1; }
# megabytes NODE: the megabytes that the server has there
megabytes()
{
	awk -v want="N$1=" '{
		size = 4
		for (i = 1; i <= NF; i++) if ($i ~ /^kernelpagesize_kB=/) size = substr($i, 19)
		for (i = 1; i <= NF; i++) if (index($i, want) == 1) sum += substr($i, length(want) + 1) * size
	} END { print int(sum / 1024) }' /proc/$server/numa_maps
}

(
	echo $BASHPID >$group/cgroup.procs
	exec redis-server --port 0 --unixsocket "$TMP/redis" --save '' --appendonly no --dir "$TMP" \
		--enable-debug-command yes
) >"$TMP/redis.log" 2>&1 &
server=$!
for ((i = 0; i < 100 * PACE; i++)); do
	[ "$(redis ping)" != PONG ] || break
	sleep 0.1
done
is "Redis runs in a cgroup" "$(redis ping)" PONG
check "redis-benchmark sets keys" redis-benchmark -s "$TMP/redis" -q -t set -n 40000 -r 30000 -d 2048 -P 16 -c 4
sum=$(redis debug digest)
like "Redis sums its keys and values up" "$sum" "^[0-9a-f]{40}\$"
fast=$(megabytes 0) slow=$(megabytes "$on")
check "its memory is ordinary memory: $fast MiB there, $slow MiB in that of the device" \
	test "$fast" -gt 50 -a "$slow" -lt 4

demoted=$(count pgdemote_)
# The kernel gives up pages of files as well.
for ((i = 0; i < 4 && slow < 30; i++)); do
	echo 40M >$group/memory.reclaim
	fast=$(megabytes 0) slow=$(megabytes "$on")
done
demoted=$(($(count pgdemote_) - demoted))
check "asked $i times to give up 40 MiB, it has $slow MiB in the memory of the device and $fast MiB elsewhere" \
	test "$slow" -ge 30
check "the kernel counts the pages as demoted: $demoted" test "$demoted" -ge $((30 << 8))
is "nothing was swapped" "$(cat $group/memory.swap.current 2>/dev/null || echo 0)" 0
is "Redis has all of its data" "$(redis debug digest)" "$sum"

# The kernel looks for pages that are used every second or so.
promoted=$(count pgpromote_success)
echo 2 >/proc/sys/kernel/numa_balancing
back=$slow
for ((i = 0; i < 30 * PACE && back > slow / 2; i++)); do
	redis-benchmark -s "$TMP/redis" -q -t get -n 20000 -r 30000 -P 16 -c 4 >/dev/null
	back=$(megabytes "$on")
done
promoted=$(($(count pgpromote_success) - promoted))
check "pages that are used come back: $back of $slow MiB are left in the memory of the device" \
	test "$back" -le $((slow / 2))
check "the kernel counts them as promoted: $promoted" test "$promoted" -gt 1000
is "Redis has all of its data" "$(redis debug digest)" "$sum"
redis shutdown nosave >/dev/null
wait $server
done_testing
