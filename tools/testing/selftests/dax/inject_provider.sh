#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Soft-reserved and CXL memory becomes a region with an instance; each allocation fails in turn.
# machines: hmem cxl
# tier: all
# kernel: debug
# limit: 300
. ./lib.sh
# kmem would bind to the instance at once, so it is unloaded, and udev must not load it again.
conf=/etc/modprobe.d/dax-test.conf
on_exit "udevadm control --reload"
on_exit "rm -f $conf"
on_exit 'for dev in $KMEM/dax*; do [ ! -e "$dev" ] || echo "${dev##*/}" >$KMEM/unbind; done'
on_exit "modprobe kmem; udevadm settle"
echo "blacklist kmem" >$conf
udevadm control --reload
rmmod kmem
can_inject

hmem()
{
	local driver dev watched
	for driver in /sys/bus/platform/drivers/{hmem,hmem_platform}; do
		dev=$(readlink -f "$driver"/*[0-9])
		watched=("$dev")
		dev=${dev##*/}
		echo "$dev" >"$driver/unbind"
		# A provider of several ranges continues with the others when one of them fails.
		inject "bind $dev to ${driver##*/}" "ENOMEM|EBUSY|EINVAL|ok|ok, mended" put "$driver/bind" "$dev" <<-END
			mend put $driver/unbind $dev
			mend put $driver/bind $dev
			undo put $driver/unbind $dev
		END
		echo "$dev" >"$driver/bind"
		inject "unbind $dev from ${driver##*/}" "ENOMEM|ok" put "$driver/unbind" "$dev" <<-END
			undo put $driver/bind $dev
		END
	done
}

# The driver of dax_cxl has no bind files. By default it probes in a thread of its own, where no
# failures are injected, so drivers_probe makes it probe in this task.
cxl()
{
	local bus=/sys/bus/cxl watched=(/sys/bus/cxl/devices)
	local driver=$bus/drivers/cxl_region
	on_exit "command cxl destroy-region -f all >/dev/null 2>&1"
	command cxl create-region -m -t ram -d decoder0.0 mem0 >/dev/null 2>"$TMP/cxl" ||
		bail_out "cxl create-region: $(cat "$TMP/cxl")"
	udevadm settle
	on_exit "echo 1 >$bus/drivers_autoprobe"
	echo 0 >$bus/drivers_autoprobe
	echo region0 >$driver/unbind
	echo region0 >$driver/bind
	# drivers_probe does not return the result of a probe.
	inject "probe dax_region0" "ENOMEM|EINVAL|ok|ok, mended" put $bus/drivers_probe dax_region0 <<-END
		mend put $driver/unbind region0
		mend put $driver/bind region0
		mend put $bus/drivers_probe dax_region0
		undo put $driver/unbind region0
		undo put $driver/bind region0
	END
	echo dax_region0 >$bus/drivers_probe
	inject "unbind region0, and with it dax_region0" "ENOMEM|ok" put $driver/unbind region0 <<-END
		undo put $driver/bind region0
		undo put $bus/drivers_probe dax_region0
	END
}

"$MACHINE"
done_testing
