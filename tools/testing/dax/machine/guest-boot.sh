#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# /init of the guest image. It executes guest-init.sh, which the host provides, so that a
# change there needs no new image.
mount -t proc none /proc
mount -t sysfs none /sys
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 job /job
exec /job/init
