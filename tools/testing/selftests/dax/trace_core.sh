#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The events of the core: bind, unbind, and memory that an instance gets or gives back.
# machines: nvdimm hmem
# impl: rust core - Linux has no such events
. ./lib.sh

T=/sys/kernel/tracing
[ -e $T/events ] || mount -t tracefs none $T || bail_out "there is no tracefs"
on() { echo 1 >$T/events/dax/enable; }
off() { echo 0 >$T/events/dax/enable; }
forget() { echo >$T/trace; }
# traced: print the events since the last call
traced()
{
	grep -v '^#' $T/trace | sed -n 's/.*: \(dax_[a-z_]*: \)/\1/p' | grep "^dax"
	forget
}
on_exit "off; forget"
forget

if [ "$MACHINE" = nvdimm ]; then
	dax_device 2M mem 64M
	start=$(($(cat "$SYS/resource")))
	on
	unbind
	is "an unbind is traced as dax_kill" "$(traced)" "dax_kill: dev=$DEV"
	bind
	is "a bind is traced with driver, align and size" "$(traced)" \
		"dax_bind: dev=$DEV driver=device_dax align=0x200000 ranges=1 size=$(printf '%#x' "$SIZE") error=0"
	wait_bound
	gone="dax_kill: dev=$DEV
dax_range_free: dev=$DEV start=$(printf '%#x' $start) end=$(printf '%#x' $((start + SIZE - 1)))"
	destroy_device >/dev/null
	is "removing a device is traced with its range" "$(traced)" "$gone"
	dax_device 4K mem 64M
	start=$(($(cat "$SYS/resource")))
	is "a new device is traced with its range" "$(traced)" \
"dax_range_alloc: dev=$DEV start=$(printf '%#x' $start) end=$(printf '%#x' $((start + SIZE - 1)))
dax_bind: dev=$DEV driver=device_dax align=0x1000 ranges=1 size=$(printf '%#x' "$SIZE") error=0"
	off
	done_testing
fi

dynamic_region
use_device "dax$R.0"
# range EVENT ID FROM TO: in MiB from the start of the region, as it is traced
range()
{
	printf 'dax_range_%s: dev=dax%s.%s start=%#x end=%#x\n' "$1" "$R" "$2" \
		$((START + ($3 << 20))) $((START + ($4 << 20) - 1))
}
size() { bytes "$2" >"$DEVICES/dax$R.$1/size"; }

on
size 0 64M
is "setting a size is traced" "$(traced)" "$(range alloc 0 0 64)"
new_device 64M
is "setting the size of another device is traced" "$(traced)" "$(range alloc 1 64 128)"
size 0 128M
is "a second range is traced" "$(traced)" "$(range alloc 0 128 192)"
size 0 160M
is "the extension of a range is traced" "$(traced)" "$(range alloc 0 192 224)"
size 0 32M
is "the ranges freed by a smaller size are traced" "$(traced)" "$(range free 0 128 224)
$(range free 0 32 64)"
printf '%#x-%#x\n' $((START + (256 << 20))) $((START + (288 << 20) - 1)) >"$DEVICES/dax$R.0/mapping"
is "a range added by mapping is traced" "$(traced)" "$(range alloc 0 256 288)"
refuse "a range in use is refused" "busy" bash -c "echo $(printf '%#x-%#x' $((START + (64 << 20))) $((START + (66 << 20) - 1))) >$DEVICES/dax$R.0/mapping"
is "a refused range is not traced" "$(traced)" ""
use_device "dax$R.0"
bind_to_device
is "a bind of two ranges is traced" "$(traced)" \
	"dax_bind: dev=dax$R.0 driver=device_dax align=0x200000 ranges=2 size=0x4000000 error=0"
unbind
is "an unbind is traced" "$(traced)" "dax_kill: dev=dax$R.0"
size 1 0
is "size 0 is traced" "$(traced)" "$(range free 1 64 128)"
off
size 0 0
is "nothing is traced when the events are disabled" "$(traced)" ""
done_testing
