#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Several processes divide a region concurrently, bind the devices and remove them, while the
# provider is unbound and bound. No memory may be lost.
# machines: hmem
# impl: rust core - C locks up, because it holds the region's lock while it removes devices
# bug: region-lockup
# limit: 300
. ./lib.sh
dynamic_region
hmem=$(basename "$DEVICES")
driver=$(readlink -f "$DEVICES/driver")

# A worker's operations on its own device, or on one that another worker has just deleted. Each may
# be refused; none may hang or break anything.
cat >"$TMP/worker" <<'WORKER'
region=$1 turns=$2 RANDOM=$3
devices=${region%/dax_region}
drv=/sys/bus/dax/drivers/device_dax
exec 2>/dev/null
while ((turns-- > 0)); do
	echo 1 >$region/create
	dev=$(<$region/create)
	[ -n "$dev" ] || continue
	sys=$devices/$dev
	(( RANDOM % 4 )) || echo 4096 >$sys/align
	echo $(((RANDOM % 64 + 1) << 21)) >$sys/size
	(( RANDOM % 3 )) || echo $dev >$drv/new_id
	echo $(((RANDOM % 64 + 1) << 21)) >$sys/size
	head -c1 /dev/$dev
	cat $sys/mapping*/* $sys/size $sys/resource $region/available_size $region/seed >/dev/null
	echo $dev >$drv/unbind
	echo $dev >$drv/remove_id
	echo $(((RANDOM % 16) << 21)) >$sys/size
	(( RANDOM % 8 )) || continue
	echo 0 >$sys/size
	echo $dev >$region/delete
done
WORKER

overlaps()
{
	cat "$DEVICES"/dax*/mapping*/start "$DEVICES"/dax*/mapping*/end 2>/dev/null | sort | uniq -d
}

# race TURNS WORKERS
race()
{
	local i pids=()
	for i in $(seq "$2"); do
		bash "$TMP/worker" "$REGION" "$1" "$i$2" &
		pids+=($!)
	done
	wait "${pids[@]}"
}

race 60 4
sum=0
for size in $(cat "$DEVICES"/dax"$R".*/size); do sum=$((sum + size)); done
is "after the race, the sizes and the free memory add up to the region" \
	"$((sum + $(cat "$REGION/available_size")))" "$LENGTH"
is "no two ranges overlap" "$(overlaps)" ""
for dev in "$DEVICES"/dax"$R".*; do
	size=0
	for map in "$dev"/mapping[0-9]*; do
		[ ! -e "$map" ] || size=$((size + $(cat "$map/end") + 1 - $(cat "$map/start")))
	done
	[ $size = "$(cat "$dev/size")" ] || not_ok "the ranges of ${dev##*/} add up to its size" "$size, $(cat "$dev/size")"
done
empty_region
is "all devices can be deleted" "$(ls /sys/bus/dax/devices) $(cat "$REGION/available_size")" "dax$R.0 $LENGTH"

# The provider is unbound and bound while workers run.
race 40 3 &
race=$!
for turn in $(seq 12); do
	sleep 0.5
	echo "$hmem" >"$driver/unbind"
	echo "$hmem" >"$driver/bind"
done
check "its unbind does not wait for the workers" test "$(ls "$DEVICES" | grep -c dax_region)" = 1
wait $race
udevadm settle
# The device is bound to kmem when it comes back, as after boot.
echo "dax$R.0" >/sys/bus/dax/drivers/kmem/unbind 2>/dev/null
empty_region
is "all memory of the region is free" "$(ls /sys/bus/dax/devices) $(cat "$REGION/available_size")" "dax$R.0 $LENGTH"
is "no reservation is left" "$(grep -c ' : dax' /proc/iomem)" 0
new_device 64M
check "a new device can be bound" bind_to_device
dax "the new device works" <<-DAX
	open f $NODE		= ok
	mmap m f 64M 0		= ok
	fill m 0 64M 3 2M	= ok
	verify m 0 64M 3 2M	= ok
DAX
unbind
done_testing
