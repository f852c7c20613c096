#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A memory notifier does not let memory go online or offline: the effect on the file "state".
# machines: hmem
# tier: all
# kernel: debug
. ./lib.sh
modprobe memory-notifier-error-inject || bail_out "there is no memory-notifier-error-inject"
on_exit "rmmod memory_notifier_error_inject"
# veto ONLINE|OFFLINE ERRNO: let the notifier fail with this errno; 0 ends the veto
veto() { echo "$2" >/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_"$1"/error; }
on_exit "veto ONLINE 0; veto OFFLINE 0"
dynamic_region
unit=$(block_size)
policy=$MEM/auto_online_blocks
was=$(cat $policy)
on_exit "echo $was >$policy"
echo online_movable >$policy
new_device $((2 * unit))
on_exit "veto OFFLINE 0; echo unplugged >$SYS/state; echo $DEV >$KMEM/unbind"
total=$(mem_total)
ram_kb=$((2 * unit / 1024))
# now: print the state, the memory blocks, and the size of the online memory
now() { echo "$(cat "$SYS/state") $(blocks) $(($(mem_total) - total))"; }

log_mark
veto ONLINE -12
check "bind succeeds although the memory cannot go online" bash -c "echo $DEV >$KMEM/bind"
is "the memory was added, and is offline" "$(now)" "online_movable 2/0 0"
log_has "the log says that the blocks are not online" \
	": 2 of 2 memory blocks are not online; to try again: daxctl online-memory $DEV"
is "online_movable is refused" "$(memory_state online_movable) $(now)" "EBUSY online_movable 2/0 0"
veto ONLINE 0
is "without the veto, unplugged and online_movable succeed" \
	"$(memory_state unplugged) $(memory_state online_movable) $(now)" \
	"ok ok online_movable 2/2 $ram_kb"

log_mark
veto OFFLINE -12
is "unplugged fails" "$(memory_state unplugged)" ENOMEM
is "the memory stays online" "$(now)" "online_movable 2/2 $ram_kb"
log_has "the log says that the memory stays System RAM" \
	"kmem $DEV: state unplugged refused: error -12; all of the memory stays System RAM; write it again to try again"
veto OFFLINE 0
is "without the veto, unplugged succeeds" \
	"$(memory_state unplugged) $(cat "$SYS/state") $(mem_total)" "ok unplugged $total"

log_mark
veto ONLINE -12
is "online_movable fails, and leaves the memory unplugged" \
	"$(memory_state online_movable) $(cat "$SYS/state") $(mem_total)" "EIO unplugged $total"
is "none of the memory is System RAM" "$(grep -c kmem /proc/iomem)" 0
veto ONLINE 0
is "without the veto, online_movable succeeds" "$(memory_state online_movable) $(now)" "ok online_movable 2/2 $ram_kb"
is "unplugged succeeds" "$(memory_state unplugged)" ok
done_testing
