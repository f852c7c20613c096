#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Soft-reserved and CXL memory becomes a region with a device, while each allocation fails in turn.
# machines: hmem cxl
# tier: all
# kernel: debug
# limit: 300
. ./lib.sh
# It would have the memory at once; nor is udev to load it again.
conf=/etc/modprobe.d/dax-test.conf
on_exit "udevadm control --reload"
on_exit "rm -f $conf"
on_exit 'for dev in $KMEM/dax*; do [ ! -e "$dev" ] || echo "${dev##*/}" >$KMEM/unbind; done'
on_exit "modprobe kmem; udevadm settle"
echo "blacklist kmem" >$conf
udevadm control --reload
rmmod kmem
case $MACHINE in
hmem) providers='platform/hmem platform/hmem_platform' ;;
cxl)
	# That of dax_cxl is not for hands; the device that it takes is made when this one is bound.
	providers='cxl/cxl_region'
	on_exit "cxl destroy-region -f all >/dev/null 2>&1"
	cxl create-region -m -t ram -d decoder0.0 mem0 >/dev/null 2>"$TMP/cxl" ||
		bail_out "cxl create-region: $(cat "$TMP/cxl")"
	udevadm settle
	;;
esac
can_inject

for provider in $providers; do
	driver=/sys/bus/${provider%/*}/drivers/${provider#*/}
	dev=$(readlink -f "$driver"/*[0-9])
	watched=("$dev")
	dev=${dev##*/}
	echo "$dev" >"$driver/unbind"
	# The provider of several pieces goes on with the others when one of them fails.
	inject "bind $dev to ${provider#*/}" "ENOMEM|EBUSY|EINVAL|ok|ok, mended" put "$driver/bind" "$dev" <<-END
		mend put $driver/unbind $dev
		mend put $driver/bind $dev
		undo put $driver/unbind $dev
	END
	echo "$dev" >"$driver/bind"
	inject "unbind $dev from ${provider#*/}" "ENOMEM|ok" put "$driver/unbind" "$dev" <<-END
		undo put $driver/bind $dev
	END
done
done_testing
