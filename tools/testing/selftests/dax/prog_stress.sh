#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# stress-ng: its stressor of devices on a device, and its stressors of memory on the same device as
# System RAM.
# machines: nvdimm
# needs: stress-ng numactl
# limit: 500
. ./lib.sh
: "${TIMES:=1}"

# on_node SECONDS OPTION...: the same with the memory of the device
under=()
on_node()
{
	local under=(numactl --membind="$on")
	stressed "$@"
}

# stressed SECONDS OPTION...: run stress-ng
stressed()
{
	local seconds=$(($1 * TIMES)) status
	shift
	"${under[@]}" stress-ng --timeout "${seconds}s" --temp-path "$TMP" --no-rand-seed --verify --metrics-brief "$@" \
		>"$TMP/stress" 2>&1
	status=$?
	# 3 and 4: it could not run here.
	[ $status != 0 ] || ! grep -q 'skipped: [1-9]' "$TMP/stress" || status=3
	[ $status = 0 ] || grep -vE 'info:.*(dispatching|setting|for a|defaulting)' "$TMP/stress" | tail -n 12
	return $status
}

for align in 4K 2M 1G; do
	case $align in 4K) name=pte ;; 2M) name=pmd ;; 1G) name=pud ;; esac
	dax_device $align mem "$([ $align = 1G ] && echo 2G || echo 256M)"
	a=$(bytes $align)
	session user
	ask user open f "$NODE" >/dev/null
	is "$align: a program fills the device" "$(ask user mmap m f "$SIZE" 0; ask user fill m 0 "$SIZE" 5 4096)" \
		"$(printf 'ok\nok')"
	check "$align: stress-ng --dev exercises the device with two processes" \
		stressed 20 --dev 2 --dev-file "$NODE"
	# It maps the device, and writes zeros to the first page, if at all.
	is "$align: the program's data is still there behind the first entry" \
		"$([ $align = 1G ] && echo ok || ask user verify m $a $((SIZE - a)) 5 4096)" ok
	leave user
	if rust_here device_dax; then
		before=$(($(cat "$SYS/stats/faults_$name") + $(cat "$SYS/stats/entries_ahead")))
		dax "$align: another program touches each entry" <<-DAX
			open f $NODE		= ok
			mmap m f $SIZE 0	= ok
			touch m 0 $SIZE $a r	= faults *
		DAX
		after=$(($(cat "$SYS/stats/faults_$name") + $(cat "$SYS/stats/entries_ahead")))
		is "$align: the counters have grown by the number of entries" $((after - before)) $((SIZE / a))
		is "$align: no entry of another size was made, and no memory has failed" \
			"$(cd "$SYS/stats" && cat $(ls -d faults_* | grep -v $name) refused_failed refused_align | xargs)" \
			"0 0 0 0"
	fi
	check "$align: nothing keeps the device: it is unbound" within 30 bash -c "echo $DEV >$DRV/unbind"
	check "$align: and bound" bind
	destroy_device >/dev/null
done

dax_device 2M mem 1G
on=$(cat "$SYS/target_node")
check "daxctl makes the device System RAM" daxctl reconfigure-device -m system-ram "$DEV"
on_exit "daxctl reconfigure-device -m devdax --force $DEV >/dev/null 2>&1"
check "stress-ng --mmap --mremap --madvise --userfaultfd --bad-altstack --vm with that memory" on_node 60 \
	--mmap 1 --mmap-bytes 64M --mremap 1 --mremap-bytes 32M --madvise 1 --userfaultfd 1 \
	--userfaultfd-bytes 32M --bad-altstack 1 --vm 1 --vm-bytes 64M
if grep -q '^Mems_allowed' /proc/self/status; then
	check "stress-ng --numa moves memory between the nodes" stressed 20 --numa 2 --numa-bytes 32M
else
	skip "stress-ng --numa" "the kernel has no cpusets"
fi
# stress-ng writes "online", which lets the kernel choose the zone. By its default policy that is a kernel zone, if
# the whole node was offline: what the kernel then puts there keeps the block online for good.
policy=/sys/module/memory_hotplug/parameters
for setting in online_policy=auto-movable auto_movable_numa_aware=N; do
	on_exit "echo $(cat $policy/${setting%=*}) >$policy/${setting%=*}"
	echo ${setting#*=} >$policy/${setting%=*}
done
under=(numactl --preferred="$on")
check "stress-ng --memhotplug takes blocks offline and online, while --vm uses them" stressed 30 \
	--memhotplug 1 --vm 1 --vm-bytes 64M
zones=$(for block in /sys/devices/system/node/node$on/memory*; do cat $block/valid_zones; done | sort -u)
is "each block is in a zone for memory that can move" "$zones" Movable
check "the memory is taken back" daxctl reconfigure-device -m devdax --force "$DEV"
done_testing
