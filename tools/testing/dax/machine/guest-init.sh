#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Process 1 of the reference machine: sets up what the tools need, runs the command
# that vm.py left in /job, writes its status there, and powers off.

export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=${TERM:-linux} LANG=C.UTF-8
cd /root
touch /job/up

# udev leaves these to systemd.
ln -sfn /proc/self/fd /dev/fd
ln -sfn /proc/self/fd/1 /dev/stdout

mount_9p() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,$3" "$1" "$2"; }

mount -t tmpfs none /run
mount -t tmpfs none /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
mount -t debugfs none /sys/kernel/debug 2>/dev/null
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
mkdir -p /usr/lib/modules
mount_9p modules /usr/lib/modules cache=loose
while read -r share; do
	mkdir -p "/mnt/$share"
	mount_9p "$share" "/mnt/$share" cache=none
done </job/shares
# After a kexec by session.sh.
kernel=$(sed -n 's/.* kexec=//p' /proc/cmdline)
[ -z "$kernel" ] || mount --bind "/mnt/tests/kexec/$kernel/modules" /usr/lib/modules

# Devices get their drivers the ordinary way: uevent, modalias, modprobe. Existing devices without a
# modalias are left out, because a uevent for each of them would take long.
/usr/lib/systemd/systemd-udevd --daemon 2>/dev/null
udevadm trigger --action=add --attr-match=modalias
udevadm settle --timeout=60

if [ -e /job/shell ]; then
	echo "Type 'exit' to power off."
	tty=/dev/$(cat /sys/class/tty/console/active)
	setsid -c -w bash -l <"$tty" >"$tty" 2>&1
else
	bash /job/command </dev/null >>/job/output 2>&1
	echo $? >/job/status
fi

sync
umount -a -t ext4,xfs 2>/dev/null
echo 1 >/proc/sys/kernel/sysrq
echo o >/proc/sysrq-trigger
while :; do :; done
