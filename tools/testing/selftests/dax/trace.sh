#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tracepoints, and the event of a fault: it comes when it should, with the right fields, and only
# while enabled.
# impl: rust device_dax - Linux has no such events
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

dax_device 2M mem 64M
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

destroy_device >/dev/null
dax_device 4K mem 64M
forget
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
