#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An instance that is bound to device_dax gets more memory. Existing mappings stay, and find the new
# memory. A request that is refused, or fails, changes nothing.
# machines: hmem
# impl: rust core device_dax - in C a bound instance keeps its size
# limit: 240
# splat: due to hardware memory corruption
. ./lib.sh
dynamic_region
M=1048576
at() { printf '%#x' $((START + $1 * M)); }
range() { printf '%x-%x' $((START + $1 * M)) $((START + ($1 + $2) * M - 1)); }
state_of() { ranges; cat "$SYS/size" "$REGION/available_size"; ls "$SYS"; grep " : $DEV\$" /proc/iomem; }
reservations() { grep -c " : $DEV\$" /proc/iomem; }
memmap_pages() { awk '/^nr_memmap_pages / { print $2 }' /proc/vmstat; }
# grow SIZE: write a size in MiB
grow() { result "$SYS/size" $(($1 * M)); }

# ---- a mapping that reaches beyond the end ----

new_device 64M
none=$(memmap_pages)
bind_to_device || bail_out "$DEV is not bound"
pages=$(memmap_pages)
session a
ask a open f "$NODE" >/dev/null
is "a mapping can be longer than the instance" "$(ask a mmap m f 512M 0)" ok
ask a fill m 0 64M 7 2M >/dev/null
is "an access behind the end raises SIGBUS" "$(ask a read m 64M)" "SIGBUS ADRERR at 0x4000000"
is "the instance grows while it is mapped" "$(grow 128) $(ranges)" "ok 0+128"
is "the mapping finds the new memory" "$(ask a write m 64M 71)/$(ask a read m 64M)" ok/71
is "it is at the right address" "$(ask a phys m 64M)" "$(at 64)"
is "with an entry of the align" "$(ask a smaps m KernelPageSize)" "2048 kB"
is "up to the new end" "$(ask a write m 126M 72) $(ask a read m 128M)" "ok SIGBUS ADRERR at 0x8000000"
is "the old memory is mapped as before" "$(ask a verify m 0 64M 7 2M)" ok
is "the new memory is reserved" "$(reservations)" 2

# ---- ranges ----

is "mapping adds a range while it is bound" "$(result "$SYS/mapping" "$(range 256 2)") $(ranges)" "ok 0+128 256+2"
is "the mapping finds it" "$(ask a write m 128M 73) $(ask a phys m 128M)" "ok $(at 256)"
is "the old file can be mapped there" "$(ask a mmap n f 2M 128M) $(ask a read n 0)" "ok 73"
keep=$DEV
new_device 16M; neighbour=$DEV
use_device "$keep"
is "a size fills holes, joins and adds ranges" "$(grow 400) $(ranges)" "ok 0+128 256+2 144+112 258+158"
dax "each range is where it is shown" <<-DAX
	open f $NODE		= ok
	mmap m f 400M 0		= ok
	phys m 0		= *
	fill m 0 400M 9 2M	= ok
	verify m 0 400M 9 2M	= ok
	phys m 130M		= $(at 144)
	phys m 242M		= $(at 258)
	phys m 398M		= $(at 414)
DAX
is "there is a directory for each range" "$(ls -d "$SYS"/mapping[0-9]* | wc -l)" 4
is "page offsets are consecutive" "$(cat "$SYS"/mapping?/page_offset | xargs)" "0x0 0x8000 0x8200 0xf200"
check "the new memory has struct pages" test "$(memmap_pages)" -gt "$pages"

# ---- a child ----

is "the instance grows once more" "$(grow 402)" ok
is "a child finds the memory with the mapping that it inherits" \
	"$(ask a child write m 400M 74)/$(ask a read m 400M)" ok/74

# ---- refused ----

before=$(state_of)
refused() { is "$1: $2" "$3" "$2"; is "$1: nothing has changed" "$(diff <(echo "$before") <(state_of))" ""; }
refused "to shrink" EBUSY "$(grow 398)"
refused "no memory at all" EBUSY "$(grow 0)"
refused "not a multiple of the align" EINVAL "$(result "$SYS/size" $((403 * M)))"
refused "more than the region has" ENOSPC "$(result "$SYS/size" $LENGTH)"
refused "a range of another instance" EBUSY "$(result "$SYS/mapping" "$(range 128 2)")"
refused "a range outside" EINVAL "$(result "$SYS/mapping" "$(range -2 2)")"
refused "a range that the align cannot map" EINVAL "$(result "$SYS/mapping" "$(range 801 2)")"
refused "another align" EBUSY "$(result "$SYS/align" 4096)"
is "the same size is no change" "$(grow 402)" ok
says "the log says that it can only grow" "$DEV: size 0x0 refused: bound to a driver, so it can only grow; unbind it first" \
	<<<"put $SYS/size 0"

# ---- memory that somebody still uses ----

# The neighbour's memory is free for the region, but a page of it is in a pipe.
use_device "$neighbour"
bind_to_device
session h
ask h open f "$NODE" >/dev/null
ask h mmap m f 2M 0 >/dev/null
ask h write m 0 5 >/dev/null
ask h pipe p m 0 16 >/dev/null
ask h munmap m >/dev/null
ask h close f >/dev/null
timeout -s INT 2 bash -c "echo $DEV >$DRV/unbind"
echo 0 >"$SYS/size"
use_device "$keep"
before=$(state_of)
log_mark
refused "memory with a page that is in use" EBUSY "$(result "$SYS/mapping" "$(range 128 16)")"
log_has "the log says which range" "$DEV: mapping[0-9]: 0x.* could not be reserved, somebody else uses a part of it"
log_has "the log says what was refused" "$DEV: mapping .* refused: device_dax did not take the memory, error -16"
is "the instance works" "$(ask a read m 400M)" 74
leave h
for turn in $(seq 50); do grep -q " : $neighbour\$" /proc/iomem || break; sleep 0.2; done
is "when the page is free, the memory can be had" "$(result "$SYS/mapping" "$(range 128 16)")" ok
is "the mapping finds it" "$(ask a write m 402M 75) $(ask a phys m 402M)" "ok $(at 128)"

# ---- the end ----

shape=$(ranges)
is "a page of the new memory is in a pipe" "$(ask a pipe q m 402M 16)" ok
log_mark
bash -c "echo $DEV >$DRV/unbind" &
for turn in $(seq 100); do log_since | grep -q 'unbind waits' && break; sleep 0.1; done
log_has "an unbind waits for it" "$DEV: unbind waits for 1 references to 1 .* the first at offset 0x19200000"
ask a close q >/dev/null
wait $!
is "then the instance is unbound" "$(driver)" none
is "no memory is reserved" "$(reservations)" 0
is "no struct page is left" "$(memmap_pages)" "$none"
is "a mapping of it has nothing" "$(ask a read m 402M)" "SIGBUS ADRERR at 0x19200000"
bind
is "it is bound with the same ranges" "$(ranges)" "$shape"
is "the old mapping finds all of its memory" \
	"$(ask a read m 400M) $(ask a read m 402M) $(ask a verify m 0 400M 9 2M)" "74 75 ok"
leave a

# ---- entries of 4 KiB ----

empty_region
new_device 2M
echo 4096 >"$SYS/align"
bind_to_device
session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 8M 0 >/dev/null
ask a fill m 0 2M 3 4K >/dev/null
is "an instance with an align of 4K grows" "$(grow 4)" ok
ask a fill m 2M 2M 3 4K >/dev/null
is "all of it is mapped" "$(ask a verify m 0 4M 3 4K) $(ask a phys m 4092K)" "ok $(printf '%#x' $((START + 4092 * 1024)))"
is "a page of the new memory fails" "$(ask a madvise m 3M 4K hwpoison)" "SIGBUS MCEERR_AR at 0x300000 size 0x1000"
is "it is lost, and no other" "$(ask a read m 3M) $(ask a verify m 2M 1M 3 4K)" "SIGBUS MCEERR_AR at 0x300000 size 0x1000 ok"
leave a
unbind

# ---- entries of 1 GiB ----

if [ -n "$PUD" ]; then
	echo 0 >"$SYS/size"
	echo $((1 << 30)) >"$SYS/align"
	echo $((1 << 30)) >"$SYS/size"
	bind
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 2G 0 >/dev/null
	ask a write m 0 1 >/dev/null
	is "an instance with an align of 1G grows" "$(grow 2048)" ok
	is "with entries of 1 GiB" "$(ask a write m 1G 2) $(ask a smaps m KernelPageSize)" "ok 1048576 kB"
	leave a
	unbind
fi

# ---- a driver that cannot ----

echo "$DEV" >$DRV/remove_id
echo "$DEV" >/sys/bus/dax/drivers/fsdev_dax/new_id
on_exit "echo $DEV >/sys/bus/dax/drivers/fsdev_dax/remove_id"
is "fsdev_dax has it" "$(driver)" fsdev_dax
is "size: EBUSY" "$(grow 3072)" EBUSY
says "the log says that fsdev_dax cannot" "$DEV: size 0xc0000000 refused: bound to fsdev_dax, which takes no more memory; unbind it first" \
	<<<"put $SYS/size $((3072 * M))"
says "also for a range" "$DEV: mapping .* refused: bound to fsdev_dax, which takes no more memory" \
	<<<"put $SYS/mapping $(range 3072 1024)"
empty_region
is "all memory is free in the end" "$(cat "$REGION/available_size")" "$LENGTH"
done_testing
