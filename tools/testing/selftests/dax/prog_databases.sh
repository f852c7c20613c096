#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Redis, PostgreSQL and sysbench with their data in the memory of a device that is System RAM; it is taken away
# under them. Each is in a cgroup with a memory limit.
#
# Why these two: Debian has no database that maps a device itself. Its databases get such memory as
# System RAM, by a NUMA policy. Redis has all of its data in memory; it is what people buy more memory
# for. PostgreSQL is the other kind: processes with a large shared buffer.
# machines: nvdimm hmem
# image: programs
# needs: redis-server redis-benchmark numactl runuser sysbench
# limit: 600
# splat: due to hardware memory corruption
# tier: all
. ./lib.sh

PG=$(echo /usr/lib/postgresql/*/bin)
[ -x "$PG/postgres" ] || skip_all "there is no PostgreSQL in /usr/lib/postgresql"

any_device 1G
on=$(cat "$SYS/target_node")
check "daxctl makes the device System RAM" daxctl reconfigure-device -m system-ram "$DEV"
on_exit "daxctl reconfigure-device -m devdax --force $DEV >/dev/null 2>&1"

# megabytes_of PID: the megabytes that a process has on the node of the device, and elsewhere
megabytes_of()
{
	awk -v here="$on" '{
		size = 4
		for (i = 1; i <= NF; i++) if ($i ~ /^kernelpagesize_kB=/) size = substr($i, 19)
		# Files are where they were read.
		if (/ file=/ && !/ file=\/dev\/zero/) next
		for (i = 1; i <= NF; i++) if (split($i, part, "=") == 2 && part[1] ~ /^N[0-9]+$/)
			sum[part[1] == "N" here] += part[2] * size
	} END { print int(sum[1] / 1024), int(sum[0] / 1024) }' "/proc/$1/numa_maps"
}

# memory_of DESCRIPTION PID MINIMUM: the process must have so many megabytes there, and less than 4 elsewhere
memory_of()
{
	local here else
	read -r here else < <(megabytes_of "$2")
	check "$1: $here MiB there, $else MiB elsewhere" test "$here" -ge "$3" -a "$else" -lt 4
}
# Each program is in a cgroup with a limit, and prefers the node. With numactl --membind instead, the kernel would kill
# it when the node has no memory any more; so it would in a cpuset, and a pipe could have no buffer there.
group=/sys/fs/cgroup/dax-test
mountpoint -q /sys/fs/cgroup || { mount -t cgroup2 none /sys/fs/cgroup; on_exit "umount /sys/fs/cgroup"; }
echo +memory >/sys/fs/cgroup/cgroup.subtree_control || bail_out "the kernel has no memory cgroups"
mkdir $group
on_exit "rmdir $group"
echo 512M >$group/memory.max
enter() { echo $BASHPID >$group/cgroup.procs; }
policy=(numactl --preferred="$on")

taken() { daxctl reconfigure-device -m devdax --force "$DEV"; }
given() { daxctl reconfigure-device -m system-ram "$DEV"; }

# ---- Redis ----

# redis [-N] COMMAND...: ask a server, the first one or number N
redis()
{
	local nr=1
	case $1 in -[0-9]) nr=${1#-}; shift ;; esac
	redis-cli -s "$TMP/redis$nr" "$@" 2>&1
}

# start_redis NR: start a server, and wait until it answers
start_redis()
{
	local i
	(
		enter
		exec "${policy[@]}" redis-server --port 0 --unixsocket "$TMP/redis$1" --save '' --appendonly no \
			--dir "$TMP" --enable-debug-command yes
	) >"$TMP/redis$1.log" 2>&1 &
	server=$!
	for ((i = 0; i < 100 * PACE; i++)); do
		[ "$(redis -$1 ping)" != PONG ] || break
		sleep 0.1
	done
}

start_redis 1
is "Redis runs with the memory of the node" "$(redis ping)" PONG
check "redis-benchmark sets keys" within 100 \
	redis-benchmark -s "$TMP/redis1" -q -t set -n 40000 -r 30000 -d 2048 -P 16 -c 4
keys=$(redis dbsize)
memory_of "its data is in the memory of the device ($keys keys)" $server 50
sum=$(redis debug digest)
like "Redis sums its keys and values up" "$sum" "^[0-9a-f]{40}\$"

# Under load: the server is asked all the time while its memory is taken away.
redis-benchmark -s "$TMP/redis1" -q -t get -l -r 30000 -d 2048 -c 2 >/dev/null 2>&1 &
load=$!
check "daxctl takes the memory from under Redis" taken
kill $load
wait $load 2>/dev/null
is "the device is bound to device_dax" "$(driver)" device_dax
is "Redis has all keys" "$(redis dbsize)" "$keys"
is "with their values" "$(redis debug digest)" "$sum"
check "the memory is given again" given
check "redis-benchmark sets and gets keys" within 100 \
	redis-benchmark -s "$TMP/redis1" -q -t set,get -n 10000 -r 30000 -d 2048 -P 16 -c 4
redis shutdown nosave >/dev/null
wait $server

# ---- PostgreSQL ----

data=$(mktemp -d /var/tmp/postgres.XXXXXX)
on_exit "rm -rf $data"
chown postgres "$data"
as_postgres() { (cd "$data" && runuser -u postgres -- "$@"); }
ask_postgres() { as_postgres "$PG/psql" -h "$data" -XAtc "$1" pgbench 2>&1; }
check "PostgreSQL makes a data directory" within 200 runuser -u postgres -- "$PG/initdb" -D "$data/db" \
	--auth=trust --no-sync --locale=C --encoding=UTF8
start_postgres() { (enter; as_postgres "${policy[@]}" "$PG/pg_ctl" -D "$data/db" -l "$data/log" -w "$@" start); }
check "PostgreSQL starts with the memory of the node" start_postgres -t $((60 * PACE)) \
	-o "-k $data -c listen_addresses= -c shared_buffers=128MB -c huge_pages=off -c jit=off -c autovacuum=off"
on_exit "as_postgres $PG/pg_ctl -D $data/db -m immediate stop >/dev/null 2>&1"
as_postgres "$PG/createdb" -h "$data" pgbench
check "pgbench fills tables" as_postgres "$PG/pgbench" -h "$data" -q -i -s 2 pgbench
server=$(head -1 "$data/db/postmaster.pid")
ask_postgres 'select sum(abalance) from pgbench_accounts' >/dev/null
memory_of "its shared buffers are in the memory of the device" "$server" 8
transactions() { as_postgres "$PG/pgbench" -h "$data" -n -c 2 -t "$1" pgbench 2>&1; }
like "pgbench: 2 clients with 200 transactions each" "$(transactions 200)" "actually processed: 400/400"
transactions 500 >"$TMP/pgbench" &
load=$!
sleep 2
check "daxctl takes the memory from under PostgreSQL" taken
check "the load was still there" kill -0 $load
wait $load
like "pgbench: none of its transactions failed" "$(cat "$TMP/pgbench")" "actually processed: 1000/1000"
is "each transaction is in the tables once" "$(ask_postgres 'select count(*) from pgbench_history')" 1400
is "and the balances add up" "$(ask_postgres 'select (select sum(abalance) from pgbench_accounts) =
	(select sum(delta) from pgbench_history) and (select sum(tbalance) from pgbench_tellers) =
	(select sum(bbalance) from pgbench_branches)')" t
check "PostgreSQL stops" as_postgres "$PG/pg_ctl" -D "$data/db" -m fast -w -t $((60 * PACE)) stop

# ---- sysbench ----

check "the memory is given again" given
(
	enter
	exec "${policy[@]}" sysbench memory --memory-block-size=32M --memory-total-size=1T --time=$((15 * PACE)) run
) >"$TMP/sysbench" 2>&1 &
load=$!
sleep 3
check "daxctl takes the memory from under sysbench" taken
check "the load was still there" kill -0 $load
wait $load
is "sysbench ends well" $? 0
like "it has moved memory: $(grep -o '[0-9.]* MiB transferred' "$TMP/sysbench")" "$(cat "$TMP/sysbench")" "MiB transferred"

# ---- memory that fails ----

check "the memory is given again" given
modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
on_exit "rmmod hwpoison_inject"
start_redis 2
redis-benchmark -s "$TMP/redis2" -q -t set -n 1000 -r 1000 -d 100 -P 16 -c 1 >/dev/null
sum=$(redis -2 debug digest)
start_redis 1
redis-benchmark -s "$TMP/redis1" -q -t set -n 40000 -r 30000 -d 2048 -P 16 -c 4 >/dev/null
is "two servers of Redis run" "$(redis ping) $(redis -2 ping)" "PONG PONG"
# The page frame in the middle of the server's largest anonymous mapping, in the memory of the device.
frame=$(python3 - $server "$(cat "$SYS/resource")" "$SIZE" <<-'EOF'
	import sys
	pid, start, size = sys.argv[1], int(sys.argv[2], 16), int(sys.argv[3])
	areas = []
	for line in open(f"/proc/{pid}/maps"):
	    where, mode, _, _, inode, *name = line.split()
	    if mode == "rw-p" and inode == "0":
	        first, last = (int(x, 16) for x in where.split("-"))
	        areas.append((last - first, first))
	length, first = max(areas)
	with open(f"/proc/{pid}/pagemap", "rb") as pagemap:
	    for page in range(length >> 13, length >> 12):
	        pagemap.seek(((first >> 12) + page) * 8)
	        entry = int.from_bytes(pagemap.read(8), "little")
	        frame = entry & ((1 << 55) - 1)
	        if entry >> 63 and start <= frame << 12 < start + size:
	            print(hex(frame))
	            break
	EOF
)
is "a page of its data fails, page frame $frame" "$(result /sys/kernel/debug/hwpoison/corrupt-pfn "$frame")" ok
redis debug digest >/dev/null
wait $server
is "the server is killed by SIGBUS when it reads that" $? $((128 + $(kill -l BUS)))
is "the other one has its data" "$(redis -2 debug digest)" "$sum"
redis -2 shutdown nosave >/dev/null
check "daxctl takes the memory back nevertheless" taken
is "the limit killed nobody" "$(awk '$1 == "oom_kill" { print $2 }' $group/memory.events)" 0
done_testing
