#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the guest: prepares the devices of one part of the benchmark and runs it.
# usage: guest.sh PART [STOP...]

set -eu
part=$1
shift

# Print the device of a new namespace. usage: namespace SIZE ALIGN
namespace() {
	ndctl create-namespace -m devdax --map=mem -s "$1" -a "$2" |
		jq -r '"/dev/" + .daxregion.devices[0].chardev'
}

# Copy the program, so that page faults in it do not read from the host while it counts.
cp /mnt/bench/bench /tmp/bench

if [ "$part" = mapping ]; then
	{ ndctl disable-region all; ndctl init-labels -f all; ndctl enable-region all; } >/dev/null 2>&1
	huge=$(namespace 2G 1G)
	large=$(namespace 1040M 2M)
	small=$(namespace 256M 4K)
	set -- "4k=$small" "2m=$large" "1g=$huge"
else
	modprobe -a dax_hmem device_dax
fi

# Stop the only listener for uevents, so that it costs no instructions.
udevadm settle
kill "$(pidof systemd-udevd)"

[ -z "${BENCH_FOLLOW-}" ] || cat /proc/kallsyms >/mnt/bench/kallsyms

/tmp/bench "$part" "$@"
