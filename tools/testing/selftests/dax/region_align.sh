#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A dynamic region is divided in units of this machine's pmd: 2 MiB with pages of 4 KiB, 512 MiB with
# pages of 64 KiB. Eight units are enough. region.sh divides into finer pieces where the pmd allows it.
# machines: hmem
# limit: 240
. ./lib.sh
dynamic_region
u=$(bytes "$PMD")

# in_units: print the ranges of DEV as start+size, in units
in_units()
{
	local start length out=
	while read -r start length; do
		[ -z "$length" ] || out+="$(((start << 20) / u))+$(((length << 20) / u)) "
	done < <(ranges "$@" | tr ' +' '\n ')
	echo "${out% }"
}
# size UNITS
size() { result "$SYS/size" $(($1 * u)); }
# range START END: a range in units, for the file mapping
range() { printf '%x-%x' $((START + $1 * u)) $((START + $2 * u - 1)); }
at() { printf '%#x' $((START + $1)); }

# ---- align ----

use_device "dax$R.0"
is "the region and its instance have the align of a pmd" "$(cat "$REGION/align" "$SYS/align" | xargs)" "$u $u"
for align in "${ALIGNS[@]}"; do
	is "an instance can have an align of $align" "$(result "$SYS/align" "$(bytes "$align")")" ok
done
for align in 512 $((page / 2)) $((page * 2)) $((u / 2)) $((u * 2)); do
	is "an align of $align is refused" "$(result "$SYS/align" $align)" EINVAL
done
[ -n "$PUD" ] || is "an align of 1 GiB is refused" "$(result "$SYS/align" $((1 << 30)))" EINVAL
echo "$u" >"$SYS/align"

# ---- size and mapping ----

new_device; size 2 >/dev/null; a=$DEV
new_device; size 1 >/dev/null; b=$DEV
new_device; size 2 >/dev/null; c=$DEV
is "three devices in a row" "$(in_units $a) $(in_units $b) $(in_units $c)" "0+2 2+1 3+2"
is "the rest is free" "$(cat "$REGION/available_size")" $((LENGTH - 5 * u))
use_device $b
is "a device gives up its memory" "$(size 0) $(in_units)" "ok "
use_device $a
is "a device grows into the hole, then behind the others" "$(size 4) $(in_units)" "ok 0+3 5+1"
is "it shrinks from the end" "$(size 2) $(in_units)" "ok 0+2"
use_device $b
is "mapping adds the range that it names" "$(result "$SYS/mapping" "$(range 6 7)") $(in_units)" "ok 6+1"
is "and another one before it" "$(result "$SYS/mapping" "$(range 2 3)") $(in_units)" "ok 6+1 2+1"
is "page offsets are consecutive" "$(cat "$SYS"/mapping?/page_offset | xargs)" "0x0 $(printf '%#x' $((u / page)))"

before=$(in_units; cat "$REGION/available_size")
is "a size of half an entry is refused" "$(result "$SYS/size" $((u / 2)))" EINVAL
is "more than the region has is refused" "$(result "$SYS/size" $LENGTH)" ENOSPC
c_known_wrong core mapping-errno "returns ENOMEM"
is "a range that begins in the middle of an entry is refused" \
	"$(result "$SYS/mapping" "$(printf '%x-%x' $((START + 7 * u - u / 2)) $((START + 7 * u + u / 2 - 1)))")" EINVAL
c_known_wrong core mapping-errno "returns ENOMEM"
is "a range of another device is refused" "$(result "$SYS/mapping" "$(range 4 6)")" EBUSY
c_known_wrong core mapping-errno "returns ENOMEM"
is "a range outside of the region is refused" "$(result "$SYS/mapping" "$(range $((LENGTH / u)) $((LENGTH / u + 1)))")" EINVAL
is "nothing has changed" "$(in_units; cat "$REGION/available_size")" "$before"

# ---- bound: entries of a pmd ----

use_device $b
check "device_dax binds" bind_to_device
dax "each entry is where the ranges say" <<-DAX
	open f $NODE		= ok
	mmap m f $((3 * u)) 0	= ok
	addr m $PMD		= 0
	write m 0 61		= ok
	write m $u 62		= ok
	smaps m KernelPageSize	= $((u >> 10)) kB
	phys m 0		= $(at $((6 * u)))
	phys m $((u - page))	= $(at $((7 * u - page)))
	phys m $u		= $(at $((2 * u)))
	phys m $((2 * u - page))	= $(at $((3 * u - page)))
	read m $((2 * u))	= SIGBUS ADRERR at $(printf '%#x' $((2 * u)))
	read m 0		= 61
	read m $u		= 62
DAX
is "a bound device refuses to shrink" "$(size 1)" EBUSY
if ! in_c core device_dax; then
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f $((3 * u)) 0 >/dev/null
	ask a write m 8 63 >/dev/null
	is "it grows while it is mapped" "$(size 3) $(in_units)" "ok 6+1 2+1 5+1"
	is "the mapping finds the new memory" "$(ask a write m $((2 * u)) 64) $(ask a phys m $((2 * u)))" "ok $(at $((5 * u)))"
	is "and the memory from before" "$(ask a read m 8)" 63
	leave a
fi
unbind
is "its memory goes to another device" "$(size 0) $(use_device $a; result "$SYS/mapping" "$(range 6 7)")" "ok ok"
use_device $a
check "device_dax binds" bind_to_device
dax "which finds the data" <<-DAX
	open f $NODE		= ok
	mmap m f $((3 * u)) 0	= ok
	read m $((2 * u))	= 61
DAX
unbind
empty_region

# ---- bound: entries of a pte ----

# memremap_pages() takes units of 2 MiB. Two devices do not share a page of the memmap either, see
# upstream-bugs/memmap-page.
least=$((page * page / 64 > 2 << 20 ? page * page / 64 : 2 << 20))
new_device
echo "$page" >"$SYS/align"
is "an align of $PAGE fits any range" "$(result "$SYS/size" $((u + least))) $(cat "$SYS/size")" "ok $((u + least))"
check "device_dax binds" bind_to_device
dax "it maps pages of $PAGE" <<-DAX
	open f $NODE		= ok
	mmap m f $((2 * page)) $page	= ok
	fill m 0 $((2 * page)) 7	= ok
	phys m 0		= $(at "$page")
	phys m $page		= $(at $((2 * page)))
	smaps m KernelPageSize	= $((page >> 10)) kB
	mmap n f $page $((u + least - page))	= ok
	write n 0 5		= ok
	phys n 0		= $(at $((u + least - page)))
DAX
unbind
[ "$u" = $((2 << 20)) ] || is "an align of $PMD does not fit" "$(result "$SYS/align" "$u")" EINVAL
empty_region

new_device; a=$DEV
echo "$page" >"$SYS/align"
is "less than the least unit is refused" "$(result "$SYS/size" $((least / 2)))" EINVAL
is "a device has the least unit" "$(result "$SYS/size" $least)" ok
check "device_dax binds" bind_to_device
new_device; b=$DEV
echo "$page" >"$SYS/align"
is "so has its neighbour" "$(result "$SYS/size" $least)" ok
check "device_dax binds" bind_to_device
use_device $a
unbind
use_device $b
dax "the neighbour works when the device is unbound" <<-DAX
	open f $NODE		= ok
	mmap m f $least 0	= ok
	fill m 0 $least 7 $page	= ok
	verify m 0 $least 7 $page	= ok
DAX
unbind
empty_region

# ---- all of it ----

new_device
is "a device takes all of the memory" "$(result "$SYS/size" "$LENGTH") $(cat "$REGION/available_size")" "ok 0"
is "then no other device can be created" "$(result "$REGION/create" 1)" ENOSPC
check "device_dax binds" bind_to_device
dax "the first and the last entry" <<-DAX
	open f $NODE		= ok
	mmap m f $LENGTH 0	= ok
	write m 0 1		= ok
	write m $((LENGTH - 8)) 2	= ok
	phys m $((LENGTH - page))	= $(at $((LENGTH - page)))
DAX
unbind
empty_region
is "all of it is free again" "$(cat "$REGION/available_size")" "$LENGTH"

# ---- System RAM ----

new_device
block=$(block_size)
many=$((u > block ? 2 * u : 2 * block))
echo $many >"$SYS/size"
total=$(mem_total)
echo "$DEV" >$KMEM/new_id
on_exit "echo $DEV >$KMEM/remove_id 2>/dev/null"
is "kmem has it" "$(driver)" kmem
is "all of its blocks are online" \
	"$(result "$SYS/state" unplugged) $(result "$SYS/state" online_movable) $(blocks)" \
	"ok ok $((many / block))/$((many / block))"
is "MemTotal includes it" $(($(mem_total) - total)) $((many >> 10))
is "it is given back" "$(result "$SYS/state" unplugged) $(echo "$DEV" >$KMEM/unbind; driver)" "ok none"
is "MemTotal is as before" "$(mem_total)" "$total"
empty_region
done_testing
