#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# virtio_pmem probes with this core, and works as before.
# machines: virtio-pmem
. ./lib.sh

check "virtio_pmem is loaded" test -d /sys/module/virtio_pmem
is "virtio_pmem is bound" "$(ls /sys/bus/virtio/drivers/virtio_pmem | grep -c '^virtio[0-9]')" 1
check "there is a pmem disk" test -b /dev/pmem0
is "the disk has the size of the device" "$(blockdev --getsize64 /dev/pmem0)" $((2 << 30))
is "the disk supports dax" "$(cat /sys/block/pmem0/queue/dax)" 1
is "the disk has a write cache that fsync flushes" "$(cat /sys/block/pmem0/queue/write_cache)" "write back"
check "make random data" dd if=/dev/urandom of="$TMP/data" bs=64K count=4 status=none
check "the data is written through the block layer" dd if="$TMP/data" of=/dev/pmem0 bs=64K oflag=direct status=none
check "the data can be read" cmp -n 262144 "$TMP/data" /dev/pmem0
log_mark
check "virtio_pmem is unbound" \
	bash -c 'echo virtio* >/dev/null; cd /sys/bus/virtio/drivers/virtio_pmem && ls -d virtio* >'"$TMP"'/id && cat '"$TMP"'/id >unbind'
check "the disk is gone" bash -c '! test -e /dev/pmem0'
check "virtio_pmem is bound again" bash -c "cat $TMP/id >/sys/bus/virtio/drivers/virtio_pmem/bind"
# libnvdimm probes asynchronously.
for _ in {1..100}; do
	[ -b /dev/pmem0 ] && break
	sleep 0.1
done
check "the disk is back, with its data" cmp -n 262144 "$TMP/data" /dev/pmem0
done_testing
