#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tracepoints: each event comes when it should, with the right fields, and only while enabled.
# machines: nvdimm hmem
# impl: rust - Linux has no such events
. ./lib.sh

T=/sys/kernel/tracing
[ -e $T/events ] || mount -t tracefs none $T || bail_out "there is no tracefs"
events() { for event in $T/events/dax/*/; do basename "$event"; done | xargs; }
on() { echo 1 >$T/events/dax/enable; }
off() { echo 0 >$T/events/dax/enable; }
forget() { echo >$T/trace; }
# traced [EVENT]: print the events since the last call
traced()
{
	grep -v '^#' $T/trace | sed -n 's/.*: \(dax_[a-z_]*: \)/\1/p' | grep "^${1-dax}"
	forget
}
on_exit "off; forget; echo 0 >$T/events/dax/dax_fault/filter"

# faults: print the fault events without their flags, which are those of mm
faults() { traced dax_fault | sed 's/flags=[A-Z_|0-9a-fx]*/flags=/'; }
AT=0x200000000000

is "there are five events" "$(events)" "dax_bind dax_fault dax_kill dax_range_alloc dax_range_free"
is "they are disabled" "$(cat $T/events/dax/enable)" 0
forget

if [ "$MACHINE" = nvdimm ]; then
	dax_device 2M mem 64M
	start=$(($(cat "$SYS/resource")))
	touched="open f $NODE		= ok
		mmap m f 16M 4M fixed=$AT	= ok
		read m $((0x201238))		= *
		write m $((0x201238)) 1		= ok
		store m 4M 8 8			= faults 1"

	dax "faults with the events disabled" <<<"$touched"
	is "these faults are not traced" "$(traced)" ""

	on
	dax "faults with the events enabled" <<<"$touched"
	is "these faults are traced, including the sizes that fall back" "$(faults)" \
"dax_fault: dev=$DEV address=0x200000201238 pgoff=0x601 size=0x40000000 flags= result=FALLBACK
dax_fault: dev=$DEV address=0x200000201238 pgoff=0x601 size=0x200000 flags= result=NOPAGE
dax_fault: dev=$DEV address=0x200000400000 pgoff=0x800 size=0x200000 flags= result=NOPAGE"

	echo "size == 0x200000" >$T/events/dax/dax_fault/filter
	dax "faults with a filter for one size" <<<"$touched"
	like "the flags show a write from user space" \
		"$(traced dax_fault)" "size=0x200000 flags=WRITE\|[A-Z_|]*USER[A-Z_|]* result=NOPAGE"
	echo 0 >$T/events/dax/dax_fault/filter
	dax "a fault beyond the end of the device" <<-DAX
		open f $NODE			= ok
		mmap m f 64M $SIZE fixed=$AT	= ok
		read m 0			= SIGBUS ADRERR at 0
	DAX
	like "a refused fault is traced with its result" \
		"$(faults)" "pgoff=$(printf '%#x' $((SIZE >> 12))) size=0x200000 flags= result=SIGBUS"

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
	dax "4K: two pages that are not adjacent are accessed" <<-DAX
		open f $NODE			= ok
		mmap m f 16M 0 fixed=$AT	= ok
		touch m 0 12K 8K r		= faults 2
	DAX
	is "4K: each fault is traced" "$(faults | grep -v FALLBACK)" \
"dax_fault: dev=$DEV address=0x200000000000 pgoff=0x0 size=0x1000 flags= result=NOPAGE
dax_fault: dev=$DEV address=0x200000002000 pgoff=0x2 size=0x1000 flags= result=NOPAGE"
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
