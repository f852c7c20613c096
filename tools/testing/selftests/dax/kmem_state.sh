#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The file "state" of a device bound to kmem: valid and invalid values, single memory blocks, pinned
# memory, online policies. And devices that kmem refuses.
# machines: nvdimm
# limit: 180
. ./lib.sh
dax_device 2M mem 1G
unit=$(block_size)
total=$(mem_total)
reserved() { grep -c " : $DEV\$" /proc/iomem; }
now() { cat "$SYS/state"; }
kmem_bind() { echo "$DEV" >$KMEM/bind; }
kmem_unbind() { echo "$DEV" >$KMEM/unbind; }
# C logs less, or nothing.
tells() { c_known_wrong kmem kmem-log "logs less"; log_has "$@"; }

# ---- bound ----

log_mark
daxctl reconfigure-device -N -m system-ram "$DEV" >/dev/null 2>&1
tells "the log says how much memory stays unused" \
	"kmem $DEV: mapping0: .*1022 MiB, is trimmed to .* 896 MiB: .* blocks of 128 MiB; 126 MiB are not used"
count=$(blocks)
count=${count%/*}
ram_kb=$((count * unit / 1024))
is "all can read state, only root can write it" "$(stat -c %a "$SYS/state")" 644
is "state begins with the policy" "$(now)" offline
is "no memory is online" "$(mem_total) $(blocks)" "$total $count/0"

log_mark
for value in '\n' x offline 'offline\n' Online ' online' 'online ' 'online\n\n' onlin online_ online_moveable \
	unplug 0 -1 '\xff' '\*4000:o'; do
	is "EINVAL for \"${value:0:20}\"" "$(memory_state "$value")" EINVAL
done
tells "the log lists the valid values" "state refused: it takes unplugged, online, online_kernel or online_movable"
is "nothing has changed" "$(now) $(mem_total) $(blocks)" "offline $total $count/0"
log_mark
is "offline memory must be unplugged before it goes online" "$(memory_state online_movable)" EBUSY
tells "the log says what to write first" "state online_movable refused: it is offline; first write unplugged"

# ---- unplugged, and online again ----

is "the memory is unplugged" "$(memory_state 'unplugged\n')/$(now)" ok/unplugged
is "none of the memory is System RAM" "$(grep -c kmem /proc/iomem) $(mem_total)" "0 $total"
c_known_wrong kmem kmem-reservation "releases the reservation"
is "its memory is still reserved" "$(reserved)" 1
is "a second unplugged succeeds" "$(memory_state unplugged)/$(now)" ok/unplugged
is "the memory is online_movable" "$(memory_state online_movable)/$(now)" ok/online_movable
is "all blocks are online" "$(blocks) $(($(mem_total) - total))" "$count/$count $ram_kb"
is "it is in the zone Movable" \
	"$(cat /sys/devices/system/node/node1/memory*/valid_zones | sort -u)" Movable
is "a second online_movable succeeds" "$(memory_state online_movable)/$(now)" ok/online_movable
for other in online online_kernel; do
	log_mark
	is "online_movable memory must be unplugged before $other" "$(memory_state $other)/$(now)" EBUSY/online_movable
	tells "the log says what to write before $other" "state $other refused: it is online_movable; first write unplugged"
done

# ---- single blocks ----

block=$MEM/memory$((0x$(its_memory | cut -d- -f1) / unit))
echo offline >"$block/state"
is "state does not follow single blocks" "$(now)" online_movable
log_mark
c_known_wrong kmem kmem-offline-block "reports success while a block is offline"
is "online_movable is refused while a block is offline" "$(memory_state online_movable)" EBUSY
tells "the log says how many" ": 1 of $count memory blocks are not online; to try again: daxctl online-memory"
check "daxctl brings the block online" daxctl online-memory "$DEV"
is "online_movable then succeeds" "$(memory_state online_movable)" ok
echo offline >"$block/state"
is "unplugged succeeds while a block is offline" "$(memory_state unplugged)/$(now)" ok/unplugged
is "all memory is gone" "$(mem_total)" "$total"

# ---- memory that cannot be moved for some time ----

memory_state online_movable >/dev/null
# Pages in a pipe are pinned until they are read.
session p numactl --membind=1 daxtest
ask p mmap m anon 1M 0 rw private >/dev/null
ask p fill m 0 1M 7 4K >/dev/null
is "a process has pinned pages" "$(ask p pipe q m 0 16)" ok
log_mark
begin=$SECONDS
refuse "unplugged ends after a signal" "interrupted" \
	timeout -s INT 2 bash -c "trap : INT; exec 2>&1; echo unplugged >$SYS/state"
check "it ends soon" test $((SECONDS - begin)) -lt $((20 * PACE))
is "the memory is still online" "$(now) $(blocks) $(($(mem_total) - total))" "online_movable $count/$count $ram_kb"
tells "the log names the signal" "state unplugged refused: a signal came before"
timeout -s INT $((10 * PACE)) bash -c "trap : INT; echo unplugged >$SYS/state" 2>/dev/null &
writer=$!
sleep 0.5
check "a read of state does not wait for a write" \
	within 1 grep -q online_movable "$SYS/state"
leave p
wait $writer
is "the write succeeds when the pages are free" "$(now) $(mem_total)" "unplugged $total"

# ---- concurrent writes ----

toggle()
{
	for _ in 1 2 3 4 5 6; do
		memory_state online_movable
		memory_state unplugged
	done
}
toggle >"$TMP/one" &
one=$!
toggle >"$TMP/two" &
wait $one $!
is "two concurrent writers: each write succeeds or returns EBUSY" \
	"$(sort -u "$TMP/one" "$TMP/two" | grep -vE '^(ok|EBUSY)$')" ""
memory_state unplugged >/dev/null
is "state is the value written last" "$(now) $(mem_total)" "unplugged $total"

(while [ ! -e "$TMP/stop" ]; do
	cat "$SYS/state"
	echo unplugged >"$SYS/state"
done) >/dev/null 2>&1 &
busy=$!
for _ in $(seq 25); do
	kmem_unbind
	kmem_bind
done
touch "$TMP/stop"
wait $busy
is "unbind and bind work during reads and writes" "$(driver)" kmem
kmem_unbind
is "an unbound device has no reservation" "$(reserved) $(mem_total)" "0 $total"
check "an unbound device has no file state" test ! -e "$SYS/state"

# ---- policies ----

policy=$MEM/auto_online_blocks
was=$(cat $policy)
on_exit "echo $was >$policy"
echo online_movable >$policy
kmem_bind
is "bind follows the policy online_movable" "$(now) $(blocks)" "online_movable $count/$count"
echo offline >$policy
is "a later change of the policy has no effect" "$(now) $(blocks)" "online_movable $count/$count"
for each in "$MEM"/memory*/state; do
	[ -e "${each%/state}/node1" ] && echo offline >"$each"
done
kmem_unbind
is "an unbind while all blocks are offline removes everything, whatever state says" \
	"$(reserved) $(grep -c kmem /proc/iomem) $(mem_total)" "0 0 $total"
kmem_bind
is "the next bind follows the policy offline" "$(now) $(blocks)" "offline $count/0"
check "kmem can be unloaded while the memory is offline" rmmod kmem
is "unloading leaves no reservation" "$(driver) $(reserved) $(grep -c kmem /proc/iomem)" "none 0 0"
modprobe kmem
destroy_device >/dev/null

# ---- devices that kmem refuses ----

dax_device 2M mem 64M
unbind
log_mark
echo "$DEV" >$KMEM/new_id
is "a device without a whole block is refused" "$(daxtest <<<"put $KMEM/bind $DEV")/$(driver)" EINVAL/none
tells "the log has its size and that of a block" \
	"mapping0: .* 62 MiB, is left out: there is no whole memory block in it, which is 128 MiB"
tells "the log says what to do" "not System RAM: none of its ranges has a whole memory block; make it 128 MiB larger"
echo "$DEV" >$KMEM/remove_id
bind
is "device_dax can still use it" "$(daxtest <<<"open f $NODE")" ok
destroy_device >/dev/null

ndctl disable-region all >/dev/null 2>&1
on_exit "ndctl enable-region all >/dev/null 2>&1"
on_exit "rmmod rust_driver_dax 2>/dev/null"
at=0x$(sed -n 's/^ *\([0-9a-f]*\)-.* : Persistent Memory.*/\1/p' /proc/iomem | head -n 1)
modprobe rust_driver_dax start="$at" size=$((256 << 20)) || bail_out "no device without a node"
use_device dax1000.0
udevadm settle
echo "$DEV" >"$SYS/driver/unbind"
log_mark
echo "$DEV" >$KMEM/new_id
is "a device without a node is refused" "$(daxtest <<<"put $KMEM/bind $DEV")/$(driver)" EINVAL/none
tells "the log has the reason" "not System RAM: nobody said which NUMA node the memory is"
echo "$DEV" >$KMEM/remove_id
is "no memory was added" "$(mem_total)" "$total"
done_testing
