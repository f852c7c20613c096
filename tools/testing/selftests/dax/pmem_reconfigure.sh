#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A namespace changes from devdax to fsdax, sector and raw mode and back, and keeps its name. It is
# unbound and disabled, and the modules are reloaded.
# machines: nvdimm legacy
# limit: 180
. ./lib.sh

mode_of() { ndctl list -Nin "$NS" | jq -r '.[0].mode'; }
reconfigure() { ndctl create-namespace -f -e "$NS" "$@" 2>&1; }

dax_device 2M dev 512M
# Without labels, libnvdimm does not distinguish raw mode from fsdax mode.
for mode in fsdax sector $(has_labels && echo raw); do
	args=(-m $mode)
	[ $mode != fsdax ] || args+=(-M mem)
	check "from devdax to $mode" reconfigure "${args[@]}"
	is "$NS is in $mode mode" "$(mode_of)" $mode
	check "the dax device is gone" test ! -e "/sys/bus/dax/devices/$DEV" -a ! -e "$NODE"
	check "a block device is there" test -b /dev/"$(ndctl list -n "$NS" | jq -r '.[0].blockdev')"
	check "from $mode to devdax" reconfigure -m devdax -a 2M -M dev
	is "$NS is in devdax mode" "$(mode_of)" devdax
	use_device "${NS/namespace/dax}"
	check "its device is bound" wait_bound
	dax "the device works" <<-DAX
		open f $NODE		= ok
		mmap m f 2M 0		= ok
		write m 4096 3		= ok
		read m 4096		= 3
	DAX
done

reserved() { grep -E " : ($NS|$DEV)\$" /proc/iomem; }
before=$(reserved) size=$SIZE

printf '%s\n' "open f $NODE" "mmap m f 2M 0" "write m 77 5" | daxtest >/dev/null
for turn in 1 2 3 4 5 6 7 8; do
	ndctl disable-namespace "$NS" >/dev/null 2>&1 || break
	[ -z "$(reserved)" ] && [ ! -e "$NODE" ] || break
	ndctl enable-namespace "$NS" >/dev/null 2>&1 && wait_bound || break
	[ "$(reserved)" = "$before" ] && [ "$(cat "$SYS/size")" = "$size" ] || break
done
is "the namespace is unchanged after each of 8 disables and enables" "$turn $(reserved)" "8 $before"

use_device "$DEV"
nd=$(basename "$(readlink -f "$SYS/..")")
for turn in 1 2 3 4 5 6 7 8; do
	echo "$nd" >/sys/bus/nd/drivers/dax_pmem/unbind || break
	[ -z "$(reserved)" ] && [ ! -e "$SYS" ] && [ ! -e "$SYS/../dax_region" ] || break
	echo "$nd" >/sys/bus/nd/drivers/dax_pmem/bind && wait_bound || break
	[ "$(reserved)" = "$before" ] || break
done
is "the namespace is unchanged after each of 8 unbinds and binds" "$turn $(reserved)" "8 $before"

check "dax_pmem can be unloaded" modprobe -r dax_pmem
is "no device and no reservation is left" "$(reserved)$(ls /sys/bus/dax/devices)" ""
check "dax_pmem is loaded again" modprobe dax_pmem
check "the device is back" wait_bound
is "its reservations are the same" "$(reserved)" "$before"
dax "its data is still there" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	read m 77		= 5
DAX

# A disable during use must not hang, and ends the mapping.
session user
ask user open f "$NODE" >/dev/null
ask user mmap m f 2M 0 >/dev/null
ask user read m 77 >/dev/null
check "a mapped namespace can be disabled" ndctl disable-namespace "$NS"
is "the mapping raises SIGBUS" "$(ask user read m 77)" "SIGBUS ADRERR at 0x4d"
check "the namespace is enabled again" ndctl enable-namespace "$NS"
leave user
done_testing
