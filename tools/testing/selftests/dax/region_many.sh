#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A region is divided into 10,000 devices, and emptied again. Then one device has 1,000 ranges.
# Nothing may be leaked.
# machines: hmem-large
# limit: 400
. ./lib.sh
dynamic_region
count=10000
echo "dax$R.0" >$DRV/new_id 2>/dev/null

# udev has nothing to do for the tens of thousands of devices, and would take minutes.
udev_off
on_exit udev_on

free_kb()
{
	sync
	# The first time spares what was in use lately.
	echo 3 >/proc/sys/vm/drop_caches
	echo 3 >/proc/sys/vm/drop_caches
	find /sys/kernel/slab -maxdepth 2 -name shrink -exec sh -c 'for f; do echo 1 >$f; done' x {} + 2>/dev/null
	sleep 1
	awk '/^MemFree/ { print $2 }' /proc/meminfo
}
objects() { echo 1 >/sys/kernel/slab/dax_cache/shrink; sleep 0.2; awk '$1 == "dax_cache" { print $2 }' /proc/slabinfo; }
# The size of all objects. The slabs that hold them can be half empty.
slab_kb() { awk 'NR > 2 { sum += $2 * $4 } END { print int(sum / 1024) }' /proc/slabinfo; }
state()
{
	ls /sys/bus/dax/devices /dev | grep dax
	cat /proc/iomem
	find /sys/devices -name 'dax[0-9]*' | wc -l
	cat "$REGION/available_size"
}

# create COUNT SIZE, destroy COUNT: print scripts for daxtest
create()
{
	for ((i = 1; i <= $1; i++)); do
		echo "put $REGION/create 1 = ok"
		echo "put $DEVICES/dax$R.$i/size $2 = ok"
	done
}

destroy()
{
	for ((i = $1; i >= 1; i--)); do
		echo "put $DEVICES/dax$R.$i/size 0 = ok"
		echo "put $REGION/delete dax$R.$i = ok"
	done
}

before=$(state) dax_devices=$(objects)

dax "$count devices of 2 MiB are created" < <(create $count 2097152)
is "the bus has them" "$(ls /sys/bus/dax/devices | wc -l)" $((count + 1))
is "each has a mapping in sysfs" "$(ls -d "$DEVICES"/dax"$R".*/mapping0 | wc -l)" $count
is "the rest of the region is free" "$(cat "$REGION/available_size")" $((LENGTH - count * 2097152))
{
	for ((i = 1; i <= count; i++)); do
		printf 'get %s/resource = %#x\n' "$DEVICES/dax$R.$i" $((START + (i - 1) * 2097152))
	done
} >"$TMP/where"
dax "each device begins where the one before ends" <"$TMP/where"
is "no two have the same device number" "$(cat "$DEVICES"/dax"$R".*/dev | sort -u | wc -l)" $((count + 1))

for i in 1 2 5000 9999 $count; do
	use_device "dax$R.$i"
	echo "$DEV" >$DRV/new_id
	dax "$DEV works" <<-DAX
		open f $NODE		= ok
		mmap m f 2M 0		= ok
		write m 0 $i		= ok
		read m 0		= $i
		phys m 0		= $(printf '%#x' $((START + (i - 1) * 2097152)))
	DAX
	unbind
	echo "$DEV" >$DRV/remove_id
done

# Every other device is deleted, so that the free memory is holes of 2 MiB.
dax "every other device is deleted" < <(for ((i = 2; i <= count; i += 2)); do
	echo "put $DEVICES/dax$R.$i/size 0 = ok"
	echo "put $REGION/delete dax$R.$i = ok"
done)
is "half of the memory is free" "$(cat "$REGION/available_size")" $((LENGTH - count / 2 * 2097152))

# ---- one device of 1,000 ranges, in the holes ----

use_device "dax$R.0"
is "one device takes 1000 holes" "$(result "$SYS/size" $((1000 * 2097152)))" ok
is "it has 1000 ranges" "$(ls -d "$SYS"/mapping[0-9]* | wc -l)" 1000
check "device_dax binds" bash -c "echo $DEV >$DRV/bind"
dax "each entry is mapped in its hole" < <(
	printf 'open f %s = ok\nmmap m f 2000M 0 = ok\nfill m 0 2000M 7 2M = ok\nverify m 0 2000M 7 2M = ok\n' "$NODE"
	for ((i = 0; i < 1000; i += 37)); do
		printf 'phys m %dM = %#x\n' $((i * 2)) $((START + (2 * i + 1) * 2097152))
	done
	printf 'phys m 1998M = %#x\n' $((START + 1999 * 2097152))
)
is "its ranges are reserved" "$(grep -c " : $DEV\$" /proc/iomem)" 1000
unbind
is "size 0 frees all ranges" "$(result "$SYS/size" 0) $(ls -d "$SYS"/mapping[0-9]* 2>/dev/null | wc -l)" "ok 0"

# ---- leaks ----

dax "the other devices are deleted" < <(for ((i = count - 1; i >= 1; i -= 2)); do
	echo "put $DEVICES/dax$R.$i/size 0 = ok"
	echo "put $REGION/delete dax$R.$i = ok"
done)
is "the state is the same as at first" "$(diff <(echo "$before") <(state))" ""
grown=$(($(objects) - dax_devices))
check "no dax_device is left in the slab cache ($grown more)" test $grown -le 64
# By now the caches have grown to the size that they need. Other programs of the system allocate memory as well,
# but not in each round.
lost=$((1 << 30)) objects=$((1 << 30))
for _ in 1 2 3; do
	free=$(free_kb) slab=$(slab_kb)
	dax "all devices are created and deleted again" < <(create $count 2097152; destroy $count)
	more=$((free - $(free_kb)))
	lost=$((more < lost ? more : lost))
	more=$(($(slab_kb) - slab))
	objects=$((more < objects ? more : objects))
	[ $lost -ge 6144 ] || [ $objects -ge 1024 ] || break
done
is "the state is the same as at first" "$(diff <(echo "$before") <(state))" ""
c_known_wrong core device-leak "in two of four runs, 1 KB for each device was not free again, outside of the slab caches"
check_memory "no memory is leaked ($lost KiB less is free, $((lost * 1024 / count)) bytes for each device)" test $lost -lt 6144
check_memory "no memory is left in slab caches ($objects KiB more, $((objects * 1024 / count)) bytes for each device)" test $objects -lt 1024

# Remove all devices at once, with their provider.
dax "1000 devices again" < <(create 1000 2097152)
check "the provider is removed" modprobe -r dax_hmem
is "the devices are removed with it" "$(ls /sys/bus/dax/devices)" ""
is "no reservation is left" "$(grep -c ' : dax' /proc/iomem)" 0
check "the provider is loaded again" modprobe dax_hmem
sleep 1
echo "dax$R.0" >/sys/bus/dax/drivers/kmem/unbind 2>/dev/null
is "it has its first device" "$(ls /sys/bus/dax/devices)" "dax$R.0"
echo "dax$R.0" >$DRV/remove_id
done_testing
