#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# virtio_pmem probes on this core, and is what it was.
# machines: virtio-pmem
. ./lib.sh

check "virtio_pmem is loaded" test -d /sys/module/virtio_pmem
is "and bound" "$(ls /sys/bus/virtio/drivers/virtio_pmem | grep -c '^virtio[0-9]')" 1
check "there is a pmem disk" test -b /dev/pmem0
is "of the device's size" "$(blockdev --getsize64 /dev/pmem0)" $((2 << 30))
is "which can be used with dax" "$(cat /sys/block/pmem0/queue/dax)" 1
is "and has a write cache that fsync flushes" "$(cat /sys/block/pmem0/queue/write_cache)" "write back"
check "it can be written" dd if=/dev/urandom of="$TMP/data" bs=64K count=4 status=none
check "by the block layer" dd if="$TMP/data" of=/dev/pmem0 bs=64K oflag=direct status=none
check "and read" cmp -n 262144 "$TMP/data" /dev/pmem0
log_mark
check "it unbinds" bash -c 'echo virtio* >/dev/null; cd /sys/bus/virtio/drivers/virtio_pmem && ls -d virtio* >'"$TMP"'/id && cat '"$TMP"'/id >unbind'
check "and its disk goes" bash -c '! test -e /dev/pmem0'
check "it binds again" bash -c "cat $TMP/id >/sys/bus/virtio/drivers/virtio_pmem/bind"
# libnvdimm probes in its own time.
for _ in {1..100}; do
	[ -b /dev/pmem0 ] && break
	sleep 0.1
done
check "and its disk is back" cmp -n 262144 "$TMP/data" /dev/pmem0
done_testing
