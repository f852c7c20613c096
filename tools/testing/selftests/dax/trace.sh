#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tracepoints: each event comes when it should, with the right fields, and none when they are off.
# machines: nvdimm hmem
# impl: rust - Linux has no such events
. ./lib.sh

T=/sys/kernel/tracing
[ -e $T/events ] || mount -t tracefs none $T || bail_out "there is no tracefs"
events() { for event in $T/events/dax/*/; do basename "$event"; done | xargs; }
on() { echo 1 >$T/events/dax/enable; }
off() { echo 0 >$T/events/dax/enable; }
forget() { echo >$T/trace; }
# traced [EVENT]: what was traced since it was asked last
traced()
{
	grep -v '^#' $T/trace | sed -n 's/.*: \(dax_[a-z_]*: \)/\1/p' | grep "^${1-dax}"
	forget
}
on_exit "off; forget; echo 0 >$T/events/dax/dax_fault/filter"

# faults: of whatever flags, which are mm's
faults() { traced dax_fault | sed 's/flags=[A-Z_|0-9a-fx]*/flags=/'; }
AT=0x200000000000

is "there are five events" "$(events)" "dax_bind dax_fault dax_kill dax_range_alloc dax_range_free"
is "they are off" "$(cat $T/events/dax/enable)" 0
forget

if [ "$MACHINE" = nvdimm ]; then
	dax_device 2M mem 64M
	start=$(($(cat "$SYS/resource")))
	touched="open f $NODE		= ok
		mmap m f 16M 4M fixed=$AT	= ok
		read m $((0x201238))		= *
		write m $((0x201238)) 1		= ok
		store m 4M 8 8			= faults 1"

	dax "faults while they are off" <<<"$touched"
	is "are not traced" "$(traced)" ""

	on
	dax "faults while they are on" <<<"$touched"
	is "are traced, also those that mm tries in vain" "$(faults)" \
"dax_fault: dev=$DEV address=0x200000201238 pgoff=0x601 size=0x40000000 flags= result=FALLBACK
dax_fault: dev=$DEV address=0x200000201238 pgoff=0x601 size=0x200000 flags= result=NOPAGE
dax_fault: dev=$DEV address=0x200000400000 pgoff=0x800 size=0x200000 flags= result=NOPAGE"

	echo "size == 0x200000" >$T/events/dax/dax_fault/filter
	dax "only those of one size" <<<"$touched"
	like "who wrote is in the flags" "$(traced dax_fault)" "size=0x200000 flags=WRITE\|[A-Z_|]*USER[A-Z_|]* result=NOPAGE"
	echo 0 >$T/events/dax/dax_fault/filter
	dax "and what is refused" <<-DAX
		open f $NODE			= ok
		mmap m f 64M $SIZE fixed=$AT	= ok
		read m 0			= SIGBUS ADRERR at 0
	DAX
	like "is said to be" "$(faults)" "pgoff=$(printf '%#x' $((SIZE >> 12))) size=0x200000 flags= result=SIGBUS"

	unbind
	is "an unbind kills the device" "$(traced)" "dax_kill: dev=$DEV"
	bind
	is "a bind says what is bound" "$(traced)" \
		"dax_bind: dev=$DEV driver=device_dax align=0x200000 ranges=1 size=$(printf '%#x' "$SIZE") error=0"
	wait_bound
	gone="dax_kill: dev=$DEV
dax_range_free: dev=$DEV start=$(printf '%#x' $start) end=$(printf '%#x' $((start + SIZE - 1)))"
	destroy_device >/dev/null
	is "a device that goes gives its memory back" "$(traced)" "$gone"
	dax_device 4K mem 64M
	start=$(($(cat "$SYS/resource")))
	is "and one that comes gets some" "$(traced)" \
"dax_range_alloc: dev=$DEV start=$(printf '%#x' $start) end=$(printf '%#x' $((start + SIZE - 1)))
dax_bind: dev=$DEV driver=device_dax align=0x1000 ranges=1 size=$(printf '%#x' "$SIZE") error=0"
	dax "4K: touched here and there" <<-DAX
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
is "a device gets memory" "$(traced)" "$(range alloc 0 0 64)"
new_device 64M
is "another one, too" "$(traced)" "$(range alloc 1 64 128)"
size 0 128M
is "one that grows gets a second range" "$(traced)" "$(range alloc 0 128 192)"
size 0 160M
is "which is extended" "$(traced)" "$(range alloc 0 192 224)"
size 0 32M
is "one that shrinks loses what is at its end" "$(traced)" "$(range free 0 128 224)
$(range free 0 32 64)"
printf '%#x-%#x\n' $((START + (256 << 20))) $((START + (288 << 20) - 1)) >"$DEVICES/dax$R.0/mapping"
is "a range may be given" "$(traced)" "$(range alloc 0 256 288)"
refuse "one that is taken is refused" "busy" bash -c "echo $(printf '%#x-%#x' $((START + (64 << 20))) $((START + (66 << 20) - 1))) >$DEVICES/dax$R.0/mapping"
is "and nothing is traced" "$(traced)" ""
use_device "dax$R.0"
bind_to_device
is "the bind of two ranges" "$(traced)" \
	"dax_bind: dev=dax$R.0 driver=device_dax align=0x200000 ranges=2 size=0x4000000 error=0"
unbind
is "and the unbind" "$(traced)" "dax_kill: dev=dax$R.0"
size 1 0
is "a device that loses all of its memory" "$(traced)" "$(range free 1 64 128)"
off
size 0 0
is "off again" "$(traced)" ""
done_testing
