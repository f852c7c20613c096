#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the guest: prepares the devices of one part of the benchmark and runs it.
# usage: guest.sh PART [STOP...]

set -eu
part=$1
shift

empty_nvdimm()
{
	{ ndctl disable-region all; ndctl init-labels -f all; ndctl enable-region all; } >/dev/null 2>&1
}

# Print the device of a new namespace. usage: namespace SIZE ALIGN
namespace() {
	ndctl create-namespace -m devdax --map=mem -s "$1" -a "$2" |
		jq -r '"/dev/" + .daxregion.devices[0].chardev'
}

# Print the disk of a new namespace. usage: disk SIZE
disk()
{
	echo "/dev/$(ndctl create-namespace -m fsdax -s "$1" | jq -r .blockdev)"
}

# Mount a new file system, with files whose zeros are written and whose blocks fit 2 MiB.
# usage: files NAME FS DISK
files()
{
	local file
	case $2 in
	ext4) mkfs.ext4 -q -b 4096 -E stride=512,stripe_width=512 -F "$3" ;;
	xfs) mkfs.xfs -q -f -d su=2m,sw=1,agcount=2 -l size=64m "$3" ;;
	esac
	mkdir -p "/tmp/$1"
	mount -o dax=always "$3" "/tmp/$1"
	for file in 4k/64 2m/256; do
		fallocate -l "${file#*/}M" "/tmp/$1/${file%/*}"
		dd if=/dev/zero of="/tmp/$1/${file%/*}" bs=1M count="${file#*/}" conv=notrunc,fsync status=none
	done
}

# Print the disk of a device of the device mapper. usage: mapped NAME TABLE
mapped()
{
	dmsetup create "$1" --noudevrules --noudevsync --table "$2"
	echo "/dev/$(dmsetup info -c --noheadings -o blkdevname "$1")"
}

# Mount the sample file system on a new namespace that is bound to fsdev_dax.
onefile()
{
	local node fs=/sys/bus/dax/drivers/fsdev_dax
	node=$(namespace 512M 2M)
	modprobe -a fsdev_dax dax_onefile
	echo "${node#/dev/}" >/sys/bus/dax/drivers/device_dax/unbind
	echo "${node#/dev/}" >$fs/new_id
	mkdir -p /tmp/onefile
	mount -t onefile -o size=$((320 << 20)) "$node" /tmp/onefile
}

# Copy the program, so that page faults in it do not read from the host while it counts.
cp /mnt/bench/bench /tmp/bench

if [ "$part" = mapping ]; then
	empty_nvdimm
	huge=$(namespace 2G 1G)
	large=$(namespace 1040M 2M)
	small=$(namespace 256M 4K)
	set -- "4k=$small" "2m=$large" "1g=$huge"
elif [ "$part" = files ]; then
	empty_nvdimm
	modprobe daxfile 2>/dev/null || true
	for fs in ext4 xfs; do
		files $fs $fs "$(disk 768M)"
		set -- "$@" "$fs=/tmp/$fs"
	done
	modprobe dm-mod
	one=$(disk 512M)
	files linear ext4 "$(mapped linear "0 $((480 << 11)) linear $one 0")"
	one=$(disk 288M)
	two=$(disk 288M)
	files stripe ext4 "$(mapped stripe "0 $((480 << 11)) striped 2 4096 $one 0 $two 0")"
	onefile
	set -- "$@" - linear=/tmp/linear stripe=/tmp/stripe onefile=/tmp/onefile
elif [ "$part" = load ]; then
	empty_nvdimm
	for ((i = 0; i < $1; i++)); do
		namespace 32M 2M >/dev/null
	done
	set -- "$1" "$(modinfo -n device_dax)" "$(modinfo -n dax_pmem)"
	# Do not wait for grace periods: the TSC also counts while the processor is idle.
	echo 1 >/sys/kernel/rcu_expedited
else
	modprobe -a dax_hmem device_dax
fi

# Stop the only listener for uevents, so that it costs no instructions.
udevadm settle
kill "$(pidof systemd-udevd)"

[ -z "${BENCH_FOLLOW-}" ] || cat /proc/kallsyms >/mnt/bench/kallsyms

/tmp/bench "$part" "$@"
