#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# References to pages that outlive every mapping: in a pipe, and in a buffer registered with
# io_uring. An unbind waits for them. If it cannot wait, the memory stays reserved.
# machines: nvdimm hmem cxl
# impl: rust device_dax - C frees the struct pages of memory that is referenced, and panics later
# bug: unbind-references
# limit: 400
. ./lib.sh

# C does not log, and waits without end.
logs() { in_c device_dax || log_has "$@"; }

WAITS='unbind waits for [24] references to'
LEFT='unbound, but [24] references to .* remain'

# unbind_behind: start an unbind in the background; it writes its status to the file "ended"
unbind_behind()
{
	rm -f "$TMP/ended"
	# A process of its own, so that a signal reaches the task that waits.
	bash -c 'echo "$1" >"$2"; status=$?; echo $status >"$3"' - "$DEV" "$DRV/unbind" "$TMP/ended" 2>/dev/null &
	unbinder=$!
}
ended() { [ -e "$TMP/ended" ] || ! kill -0 $unbinder 2>/dev/null; }
# ends_within SECONDS: true if the unbind ends by then
ends_within()
{
	local i
	for ((i = 0; i < $1 * PACE * 10; i++)); do
		ended && return
		sleep 0.1
	done
	return 1
}
still_waits() { ! ended; }
reserved() { grep -q " : $DEV\$" /proc/iomem; }
# free_again: true if the reservation goes within some seconds; the kernel polls the references
free_again()
{
	local i
	for ((i = 0; i < 100 * PACE; i++)); do
		reserved || return 0
		sleep 0.1
	done
	return 1
}

# hold KIND: start a process that has references to two pages or entries, and no mapping
hold()
{
	session h
	ask h open f "$NODE" >/dev/null
	ask h mmap m f "$LENGTH" 0 >/dev/null
	ask h write m 0 71 >/dev/null
	ask h write m "$second" 72 >/dev/null
	case $1 in
	pipe)
		is "$align, $1: a page of it is in a pipe" "$(ask h pipe p m 0 16)" ok
		is "$align, $1: and a second one" "$(ask h pipe q m "$second" 16)" ok
		;;
	uring)
		is "$align, $1: a buffer in it is registered with io_uring" "$(ask h uring p m 0 8K)" ok
		is "$align, $1: and a second one" "$(ask h uring q m "$second" 8K)" ok
		;;
	esac
	ask h munmap m >/dev/null
	ask h close f >/dev/null
}
release() { ask h close p >/dev/null; ask h close q >/dev/null; }
right_data()
{
	[ "$1" != pipe ] || {
		is "$align, $1: the first pipe has the right data" "$(ask h piped p)" 71
		is "$align, $1: the second pipe has the right data" "$(ask h piped q)" 72
	}
}

# has_data DESCRIPTION: the device must have the data that hold wrote
has_data()
{
	dax "$1" <<-DAX
		open f $NODE		= ok
		mmap m f $LENGTH 0	= ok
		read m 0		= 71
		read m $second		= 72
	DAX
}

held()
{
	local kind=$1

	hold $kind
	log_mark
	unbind_behind
	sleep $((2 * PACE))
	check "$align, $kind: unbind waits" still_waits
	logs "$align, $kind: unbind logs the references and an offset" \
		"$DEV: $WAITS [24] pages or entries of the memory, the first at offset 0x0:"
	is "$align, $kind: the device cannot be opened meanwhile" "$(daxtest <<<"open f $NODE")" ENXIO
	right_data $kind
	release
	check "$align, $kind: unbind ends when the references are gone" ends_within 10
	logs "$align, $kind: unbind logs that it goes on" "$DEV: unbind goes on"
	is "$align, $kind: unbind returns no error" "$(cat "$TMP/ended")" 0
	check "$align, $kind: the memory is free" bash -c "! grep -q ' : $DEV\$' /proc/iomem"
	check "$align, $kind: it is bound again" bind
	has_data "$align, $kind: the data is still there"
	leave h

	hold $kind
	unbind_behind
	sleep $((1 * PACE))
	kill -KILL "${pid_of[h]}"
	check "$align, $kind: unbind ends when the process with the references is killed" ends_within 10
	leave h
	bind
	! in_c device_dax || return 0

	hold $kind
	log_mark
	unbind_behind
	sleep $((2 * PACE))
	kill -TERM $unbinder
	wait $unbinder 2>/dev/null
	log_has "$align, $kind: a signal ends the wait" "$DEV: $LEFT.*a signal ended the wait"
	is "$align, $kind: the device is unbound" "$(driver)" none
	check "$align, $kind: its memory stays reserved" reserved
	is "$align, $kind: it cannot be bound" "$(result $DRV/bind "$DEV")" EBUSY
	right_data $kind
	release
	check "$align, $kind: the memory is free when the references are gone" free_again
	log_has "$align, $kind: the log says that it can be bound again" \
		"$DEV: nobody refers to the memory any more; it can be bound again"
	check "$align, $kind: it is bound again" bind
	has_data "$align, $kind: the data is still there"
	leave h
}

aligns="4K 2M"
case $MACHINE in
nvdimm) aligns="4K 2M $PUD" ;;
esac
for align in $aligns; do
	case $MACHINE in
	nvdimm | legacy)
		case $align in 1G) size=3G ;; *) size=256M ;; esac
		# At the start of the region, see upstream-bugs/compound-start.
		[ -z "$NS" ] || destroy_device >/dev/null
		dax_device $align mem $size
		;;
	*)
		[ -n "$DEV" ] || any_device 256M
		unbind
		bytes $align >"$SYS/align"
		bind
		;;
	esac
	# The two addresses are in different entries. With 4 KiB they are also in different chunks
	# of the driver's own record.
	case $align in 4K) second=4100K ;; 2M) second=6M ;; 1G) second=1G ;; esac
	case $align in 1G) LENGTH=2G ;; *) LENGTH=16M ;; esac
	for kind in pipe uring; do held $kind; done
done
if in_c device_dax; then
	done_testing
	exit
fi
hold pipe
kind=pipe

# ---- deadlocks that must not happen ----

# The holder of the references itself unbinds. It can be killed.
tell h put $DRV/unbind "$DEV"
sleep $((2 * PACE))
is "a process that unbinds memory it refers to waits for itself" "$(driver)" none
kill -TERM "${pid_of[h]}"
leave h
check "after it was killed, the memory is free" free_again
check "the memory is bound again" bind

# The holder waits for the device lock, where it takes no signal.
hold pipe
log_mark
unbind_behind
# 2 s on slow kernels, too: after 10 s the unbind gives up.
sleep 2
tell h put $DRV/bind "$DEV"
sleep 2
check "an unbind waits while the holder of the references waits for the device lock" still_waits
check "the unbind gives up in the end" ends_within 20
log_has "it logs the reason" "$DEV: $LEFT.*another task waits for the device"
is "the holder's bind fails with EBUSY" "$(answer h)" EBUSY
release
leave h
check "the memory is free after that" free_again
check "the memory is bound again" bind

# ---- other ways to take the memory away ----

hold pipe
log_mark
timeout $((3 * PACE)) modprobe -r device_dax
is "removing the module waits, too" $? 124
log_has "it logs the references" "$DEV: $LEFT"
right_data pipe
release
check "the memory is free after that" free_again
leave h
modprobe device_dax
udevadm settle
case $MACHINE in hmem | cxl) echo "$DEV" >$DRV/new_id ;; esac
check "the module binds to the device after it was loaded again" wait_bound

case $MACHINE in
nvdimm | legacy)
	for map in mem dev; do
		[ $map = mem ] || { align=2M; dax_device 2M dev 256M; LENGTH=16M second=6M; }
		hold pipe
		log_mark
		timeout $((3 * PACE)) ndctl disable-namespace "$NS" >/dev/null 2>&1
		is "--map=$map: disabling the namespace waits, too" $? 124
		log_has "--map=$map: it logs the references" "$DEV: $LEFT"
		right_data pipe
		check "--map=$map: the data stays reserved" reserved
		ndctl disable-namespace "$NS" >/dev/null 2>&1
		if [ $map = dev ]; then
			sleep 1
			is "--map=$map: the memory of the memmap stays reserved, too" \
				"$(grep -c " : $DEV\$" /proc/iomem)" 2
		fi
		release
		leave h
		check "--map=$map: it is free when the reference is gone" free_again
		ndctl enable-namespace "$NS" >/dev/null 2>&1
		check "--map=$map: the namespace is enabled again" wait_bound
		has_data "--map=$map: the data is still there"
	done
	;;
hmem)
	hold pipe
	unbind_behind
	sleep $((1 * PACE))
	kill -TERM $unbinder
	wait $unbinder 2>/dev/null
	check "the memory stays reserved after an interrupted unbind" reserved
	echo "$DEV" >$DRV/remove_id
	echo "$DEV" >$KMEM/new_id
	is "kmem does not bind to memory that is still referenced" "$(driver)" none
	is "fsdev_dax does not bind to it either" \
		"$(result /sys/bus/dax/drivers/fsdev_dax/new_id "$DEV"; driver)" "$(printf 'ok\nnone')"
	echo "$DEV" >/sys/bus/dax/drivers/fsdev_dax/remove_id
	echo "$DEV" >$KMEM/remove_id
	right_data pipe
	release
	leave h
	check "it is free when the reference is gone" free_again
	echo "$DEV" >$DRV/new_id
	check "device_dax has it again" wait_bound
	;;
esac
done_testing
