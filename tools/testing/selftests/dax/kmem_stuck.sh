#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory that is online when its device is unbound stays until the next boot; what that
# means for the rest of the device, for the module, and for who looks at it. And memory
# that the kernel itself uses.
# machines: hmem
# append: dax_test_alone
# leaves: memory that is online
# limit: 180
. ./lib.sh
tells() { c_known_wrong kmem "says less"; log_has "$@"; }
unit=$(block_size)
total=$(mem_total)
now() { cat "$SYS/state"; }
MIB=$((1 << 20))

# The memory in four pieces of 512 MiB: two for the first device, with a gap, one for
# each of two others.
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
is "the range with blocks that are online stays, the other one goes" "$(its_memory)" "$(piece 0)"
is "under the name of the device" "$(grep -c " : $DEV\$" /proc/iomem)" 1
tells "the log has the blocks, and what to do" \
	"mapping0: .* stays System RAM until the next boot, .* blocks: memory$first, memory$((first + 2))-memory$((first + 3)); before an unbind: daxctl offline-memory $DEV"
is "nothing is said of the other range" "$(log_since | grep -c "mapping1")" 0
is "its memory is used" $(($(mem_total) - total)) $((3 * unit / 1024))
session user numactl --membind=1
ask user mmap m anon 64M 0 rw private >/dev/null
is "by whom it is given" "$(ask user fill m 0 64M 7 4K) $(ask user verify m 0 64M 7 4K)" "ok ok"
leave user
check "the module goes" rmmod kmem
like "and the names are still there" "$(cat /proc/iomem)" "$(piece 0) : System RAM \(kmem\)"
like "all of them" "$(cat /proc/iomem)" "$(piece 0) : $DEV\$"
check "a block goes offline and online without it" \
	bash -c "echo offline >$MEM/memory$first/state && echo online_movable >$MEM/memory$first/state"
modprobe kmem
udevadm settle

# The device is there, without what is stuck.
[ "$(driver)" = none ] || echo $DEV >"$SYS/driver/unbind"
log_mark
c_known_wrong kmem "no, since it is the first range"
is "bound again, it has what can be had" "$(daxtest <<<"put $KMEM/bind $DEV")/$(driver)" ok/kmem
log_has "and the log says what not" "mapping0: .* could not (reserve region|be reserved, somebody else)"
if ! in_c kmem; then
	is "the second range" "$(its_memory | tr '\n' ' ')" "$(piece 0) $(piece 1024) "
	is "it comes and goes" "$(memory_state unplugged) $(memory_state online_movable) $(memory_state unplugged)" "ok ok ok"
	is "and leaves the first one alone" "$(its_memory)" "$(piece 0)"
	echo $DEV >$KMEM/unbind
	is "with the device" "$(its_memory)" "$(piece 0)"
fi

# ---- the kernel's own test, with the unbind that it asks for by name ----

use_device dax0.1
[ "$(driver)" = kmem ] || echo $DEV >$KMEM/bind
DAX_KMEM_TEST_UNBIND=1 selftest $DEV

# ---- what the kernel uses ----

use_device dax0.2
[ "$(driver)" = kmem ] || echo $DEV >$KMEM/bind
memory_state unplugged >/dev/null
before=$(mem_total)
echo $DEV >$KMEM/unbind
check "daxctl makes System RAM for the kernel of it" \
	daxctl reconfigure-device --no-movable -m system-ram $DEV
is "all of its blocks are online, and not movable" \
	"$(daxctl list -d $DEV | jq -c '.[] | [.mode, .online_memblocks, .movable]')" '["system-ram",4,false]'
is "in the zone for that" "$(cat $MEM/memory$(((base + 3072 * MIB) / unit))/valid_zones)" Normal
# A page of slab objects has no reference, so mm takes it for free, and waits for it until a signal
# comes. KASAN keeps objects, and with them such pages.
if configured KASAN; then
	skip "nobody uses it, so it can be taken back" "mm would wait for slab pages"
else
	is "nobody uses it, so it can be taken back" "$(memory_state unplugged) $(mem_total)" "ok $before"
	is "for the kernel" "$(memory_state online_kernel)/$(now)" ok/online_kernel
fi
state=$(now)
is "in its zone" "$(cat $MEM/memory$(((base + 3072 * MIB) / unit))/valid_zones)" Normal
# What is in a pipe is the kernel's, and stays where it is.
cat >"$TMP/hold" <<'PERL'
for (1 .. 64) { pipe(my $r, my $w); syswrite($w, "x" x 65536); push @all, $r, $w; }
print "held\n"; close STDOUT; sleep 60;
PERL
numactl --membind=1 perl "$TMP/hold" >"$TMP/held" &
for _ in $(seq 50); do [ -s "$TMP/held" ] && break; sleep 0.1; done
log_mark
is "cannot be taken back" "$(memory_state unplugged)/$(now)" "EBUSY/$state"
is "all of it is online" "$(blocks) $(($(mem_total) - before))" "4/4 $((512 * 1024))"
tells "the log says why, and how to find out more" \
	"state unplugged refused: some of the memory is in use and cannot be moved away, error -16; .*daxctl offline-memory $DEV"
refuse "daxctl says which block it is" "memory[0-9]+.*(busy|offline)" daxctl offline-memory $DEV
daxctl online-memory $DEV >/dev/null 2>&1
log_mark
echo $DEV >$KMEM/unbind
tells "unbound, it stays" "mapping0: .* stays System RAM until the next boot"
done_testing
