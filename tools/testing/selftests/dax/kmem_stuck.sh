#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory that is online when its device is unbound stays until the next boot. The test checks the
# rest of the device, the module, and /proc/iomem in this state. It also covers memory that the
# kernel itself uses.
# machines: hmem
# append: dax_test_alone
# leaves: memory that is online
# limit: 180
. ./lib.sh
tells() { c_known_wrong kmem kmem-log "logs less"; log_has "$@"; }
unit=$(block_size)
total=$(mem_total)
now() { cat "$SYS/state"; }
MIB=$((1 << 20))

# Four ranges of 512 MiB: two for the first device, with a gap between them, and one for each of two
# other devices.
use_device dax0.0
region=$(readlink -f "$SYS/..")/dax_region
[ "$(driver)" = none ] || echo dax0.0 >"$SYS/driver/unbind"
base=$(cat "$SYS/resource")
piece() { printf '%x-%x' $((base + $1 * MIB)) $((base + ($1 + 512) * MIB - 1)); }
echo 0 >"$SYS/size"
for at in 0 1024; do
	check "a range at $at MiB" bash -c "echo $(piece $at) >$SYS/mapping"
done
for at in 2048 3072; do
	echo 1 >"$region/create"
	echo "$(piece $at)" >"/sys/bus/dax/devices/$(cat "$region/create")/mapping"
done

# ---- one of two ranges is stuck ----

echo $DEV >$KMEM/bind
memory_state unplugged >/dev/null
is "both ranges are online" "$(memory_state online_movable)/$(its_memory | tr '\n' ' ')" "ok/$(piece 0) $(piece 1024) "
first=$((base / unit))
second=$(((base + 1024 * MIB) / unit))
for block in $second $((second + 1)) $((second + 2)) $((second + 3)) $((first + 1)); do
	echo offline >$MEM/memory$block/state
done
log_mark
check "unbind does not wait" within 20 bash -c "echo $DEV >$KMEM/unbind"
is "the range with online blocks stays, the other one is removed" "$(its_memory)" "$(piece 0)"
is "it is reserved under the name of the device" "$(grep -c " : $DEV\$" /proc/iomem)" 1
tells "the log names the blocks, and what to do before an unbind" \
	"mapping0: .* stays System RAM until the next boot, .* blocks: memory$first, memory$((first + 2))-memory$((first + 3)); before an unbind: daxctl offline-memory $DEV"
is "the log has nothing about the other range" "$(log_since | grep -c "mapping1")" 0
is "the online blocks are still used" $(($(mem_total) - total)) $((3 * unit / 1024))
session user numactl --membind=1 daxtest
ask user mmap m anon 64M 0 rw private >/dev/null
is "a program can use this memory" "$(ask user fill m 0 64M 7 4K) $(ask user verify m 0 64M 7 4K)" "ok ok"
leave user
check "kmem is unloaded" rmmod kmem
like "/proc/iomem still has the name System RAM" "$(cat /proc/iomem)" "$(piece 0) : System RAM \(kmem\)"
like "/proc/iomem still has the name of the device" "$(cat /proc/iomem)" "$(piece 0) : $DEV\$"
check "a block goes offline and online without kmem" \
	bash -c "echo offline >$MEM/memory$first/state && echo online_movable >$MEM/memory$first/state"
modprobe kmem
udevadm settle

# The device can be bound, without the range that is stuck.
[ "$(driver)" = none ] || echo $DEV >"$SYS/driver/unbind"
log_mark
c_known_wrong kmem kmem-first-range "bind fails if the first range is stuck"
is "kmem binds to the device again" "$(daxtest <<<"put $KMEM/bind $DEV")/$(driver)" ok/kmem
log_has "the log names the range that is left out" "mapping0: .* could not (reserve region|be reserved, somebody else)"
if ! in_c kmem; then
	is "the second range is System RAM again" "$(its_memory | tr '\n' ' ')" "$(piece 0) $(piece 1024) "
	is "the second range can be unplugged and online" \
		"$(memory_state unplugged) $(memory_state online_movable) $(memory_state unplugged)" "ok ok ok"
	is "the first range is not affected" "$(its_memory)" "$(piece 0)"
	echo $DEV >$KMEM/unbind
	is "an unbind does not affect the first range either" "$(its_memory)" "$(piece 0)"
fi

# ---- the kernel's own selftest, with its optional unbind ----

use_device dax0.1
[ "$(driver)" = kmem ] || echo $DEV >$KMEM/bind
DAX_KMEM_TEST_UNBIND=1 selftest $DEV

# ---- memory that the kernel uses ----

use_device dax0.2
[ "$(driver)" = kmem ] || echo $DEV >$KMEM/bind
memory_state unplugged >/dev/null
before=$(mem_total)
echo $DEV >$KMEM/unbind
check "daxctl reconfigures it to system-ram with --no-movable" \
	daxctl reconfigure-device --no-movable -m system-ram $DEV
is "all blocks are online, and not movable" \
	"$(daxctl list -d $DEV | jq -c '.[] | [.mode, .online_memblocks, .movable]')" '["system-ram",4,false]'
is "it is in the zone Normal" "$(cat $MEM/memory$(((base + 3072 * MIB) / unit))/valid_zones)" Normal
# A page of slab objects has no reference, so mm takes it for free and waits for it until a signal
# comes, see upstream-bugs/offline-slab. KASAN delays frees of objects, and so keeps such pages.
if configured KASAN; then
	skip "unused memory can be unplugged" "mm would wait for slab pages"
else
	is "unused memory can be unplugged" "$(memory_state unplugged) $(mem_total)" "ok $before"
	is "the memory is online_kernel" "$(memory_state online_kernel)/$(now)" ok/online_kernel
fi
state=$(now)
is "it is in the zone Normal again" "$(cat $MEM/memory$(((base + 3072 * MIB) / unit))/valid_zones)" Normal
# The buffers of a pipe belong to the kernel and cannot be moved.
cat >"$TMP/hold" <<'PERL'
for (1 .. 64) { pipe(my $r, my $w); syswrite($w, "x" x 65536); push @all, $r, $w; }
print "held\n"; close STDOUT; sleep 60;
PERL
numactl --membind=1 perl "$TMP/hold" >"$TMP/held" &
for _ in $(seq 50); do [ -s "$TMP/held" ] && break; sleep 0.1; done
log_mark
is "memory in use by the kernel cannot be unplugged" "$(memory_state unplugged)/$(now)" "EBUSY/$state"
is "all blocks are still online" "$(blocks) $(($(mem_total) - before))" "4/4 $((512 * 1024))"
tells "the log has the reason, and how to find out more" \
	"state unplugged refused: some of the memory is in use and cannot be moved away, error -16; .*daxctl offline-memory $DEV"
refuse "daxctl names the block" "memory[0-9]+.*(busy|offline)" daxctl offline-memory $DEV
daxctl online-memory $DEV >/dev/null 2>&1
log_mark
echo $DEV >$KMEM/unbind
tells "the memory stays after an unbind" "mapping0: .* stays System RAM until the next boot"
done_testing
