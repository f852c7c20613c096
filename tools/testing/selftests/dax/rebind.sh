#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A file stays open, and mapped, while the device is unbound and bound many times.
# machines: nvdimm legacy
# limit: 300
# impl: rust device_dax - C initialises the cdev that an open file still refers to
# bug: cdev-rebind
. ./lib.sh

for align in 4K 2M; do
	dax_device $align mem 256M
	session old
	ask old open f "$NODE" >/dev/null
	ask old mmap m f "$SIZE" 0 >/dev/null
	ask old write m 0 51 >/dev/null

	wrong=''
	for turn in $(seq 20); do
		unbind
		got=$(ask old read m 0)
		[ "$got" = "SIGBUS ADRERR at 0" ] || wrong+="turn $turn, unbound: $got; "
		got=$(ask old mmap n f $align 0)
		[ "$got" = ENXIO ] || wrong+="turn $turn, unbound: mmap of the old file: $got; "
		bind
		# Open immediately, without waiting for udev.
		got=$(printf '%s\n' "open f $NODE" "mmap m f $align 0" "read m 0" | daxtest | tr '\n' ' ')
		[ "$got" = "ok ok 51 " ] || wrong+="turn $turn, bound again: $got; "
		# The old file belongs to an earlier bind or to this one. Both are correct; stale
		# memory or a hang is not.
		case $(ask old read m 0) in
		51 | "SIGBUS ADRERR at 0") ;;
		*) wrong+="turn $turn, bound again: the old mapping has wrong data; " ;;
		esac
		# Keep one file of some binds open.
		[ $((turn % 7)) != 5 ] || {
			session "life$turn"
			ask "life$turn" open f "$NODE" >/dev/null
			ask "life$turn" mmap m f $align 0 >/dev/null
			ask "life$turn" read m 0 >/dev/null
		}
	done
	is "$align: 20 unbinds and rebinds with files open" "$wrong" ""

	check "$align: the device is removed while files of four binds are open" destroy_device
	for who in life5 life12 life19 old; do
		is "$align: the mapping of $who raises SIGBUS" "$(ask $who read m 0)" "SIGBUS ADRERR at 0"
		leave $who
	done

	# The other order: first the files are closed, then the device is removed.
	dax_device $align mem 256M
	session old
	ask old open f "$NODE" >/dev/null
	ask old mmap m f $align 0 >/dev/null
	for turn in 1 2 3; do
		unbind
		bind
	done
	leave old
	dax "$align: the last close of an old file does not affect the device" <<-DAX
		open f $NODE		= ok
		mmap m f $align 0	= ok
		write m 0 1		= ok
		read m 0		= 1
	DAX
	check "$align: the device is removed" destroy_device
done
# Open, fault and close at any moment, concurrently with unbind and bind.
dax_device 2M mem 256M
(
	while [ ! -e "$TMP/stop" ]; do
		daxtest <<-DAX
			open f $NODE
			mmap m f 64M 0
			store m 0 64M 2M
			mmap n f 2M 2M
			read n 0
			mremap m 0 64M 32M
			fill m 0 4K 1
			munmap m
			close f
		DAX
	done >"$TMP/any" 2>&1
) &
busy=$!
session old
for turn in $(seq 12); do
	ask old open f "$NODE" >/dev/null
	ask old mmap m f "$SIZE" 0 >/dev/null
	ask old storm m 3 2M >/dev/null
	unbind
	got=$(ask old calm)
	[[ $got == "3 SIGBUS 0 other" || $got == "no faults at all" ]] || echo "# turn $turn: $got" >>"$TMP/wrong"
	bind
done
touch "$TMP/stop"
wait $busy
is "each thread that faults gets SIGBUS after an unbind" "$(cat "$TMP/wrong" 2>/dev/null)" ""
is "each call has one of the allowed results" \
	"$(sort -u "$TMP/any" | grep -vE '^(ok|ENXIO|ENODEV|faults [0-9]+|[0-9]+|SIGBUS ADRERR at 0x?[0-9a-f]*|daxtest: nothing (open|mapped) of the name: .)$')" ""
like "some calls succeed" "$(sort -u "$TMP/any")" '^faults (32|[345])$'
leave old
check "the device is removed" destroy_device

check "closed files of earlier binds do not keep the module" modprobe -r device_dax
modprobe device_dax
done_testing
