#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Somebody in the kernel says no when memory is to go online or offline; what becomes of "state".
# machines: hmem
# tier: all
# kernel: debug
. ./lib.sh
modprobe memory-notifier-error-inject || bail_out "there is no memory-notifier-error-inject"
on_exit "rmmod memory_notifier_error_inject"
# veto ONLINE|OFFLINE ERRNO: 0 for none
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
# What it is called, and what there is of it.
now() { echo "$(cat "$SYS/state") $(blocks) $(($(mem_total) - total))"; }

log_mark
veto ONLINE -12
check "a device whose memory must not go online is bound" bash -c "echo $DEV >$KMEM/bind"
is "its memory is there, and offline" "$(now)" "online_movable 2/0 0"
log_has "the log says so" ": 2 of 2 memory blocks are not online; to try again: daxctl online-memory $DEV"
is "it cannot be said to be online" "$(memory_state online_movable) $(now)" "EBUSY online_movable 2/0 0"
veto ONLINE 0
is "unplugged, and back without a veto" "$(memory_state unplugged) $(memory_state online_movable) $(now)" \
	"ok ok online_movable 2/2 $ram_kb"

log_mark
veto OFFLINE -12
is "what must not go offline is not unplugged" "$(memory_state unplugged)" ENOMEM
is "and stays as it is" "$(now)" "online_movable 2/2 $ram_kb"
log_has "the log says so" "kmem $DEV: state unplugged refused: error -12; all of the memory stays System RAM; write it again to try again"
veto OFFLINE 0
is "without the veto it goes" "$(memory_state unplugged) $(cat "$SYS/state") $(mem_total)" "ok unplugged $total"

log_mark
veto ONLINE -12
is "all of it comes, or nothing" "$(memory_state online_movable) $(cat "$SYS/state") $(mem_total)" "EIO unplugged $total"
is "there is no System RAM of it" "$(grep -c kmem /proc/iomem)" 0
veto ONLINE 0
is "without the veto it comes" "$(memory_state online_movable) $(now)" "ok online_movable 2/2 $ram_kb"
is "and goes" "$(memory_state unplugged)" ok
done_testing
