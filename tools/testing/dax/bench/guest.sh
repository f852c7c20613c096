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

# Mount a new file system, with files whose zeros are written and whose blocks fit 2 MiB.
# usage: files FS
files()
{
	local disk file
	disk=/dev/$(ndctl create-namespace -m fsdax -s 768M | jq -r .blockdev)
	case $1 in
	ext4) mkfs.ext4 -q -b 4096 -E stride=512,stripe_width=512 -F "$disk" ;;
	xfs) mkfs.xfs -q -f -d su=2m,sw=1 -l size=64m "$disk" ;;
	esac
	mkdir -p "/tmp/$1"
	mount -o dax=always "$disk" "/tmp/$1"
	for file in 4k/64 2m/256; do
		fallocate -l "${file#*/}M" "/tmp/$1/${file%/*}"
		dd if=/dev/zero of="/tmp/$1/${file%/*}" bs=1M count="${file#*/}" conv=notrunc,fsync status=none
	done
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
	modprobe daxfile
	for fs in ext4 xfs; do
		files $fs
		set -- "$@" "$fs=/tmp/$fs"
	done
else
	modprobe -a dax_hmem device_dax
fi

# Stop the only listener for uevents, so that it costs no instructions.
udevadm settle
kill "$(pidof systemd-udevd)"

[ -z "${BENCH_FOLLOW-}" ] || cat /proc/kallsyms >/mnt/bench/kallsyms

/tmp/bench "$part" "$@"
