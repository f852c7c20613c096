#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory failure of mapped memory: the signals that processes get, the log, processes that must not
# be disturbed, and how the memory becomes usable again.
# machines: nvdimm hmem
# limit: 300
# splat: due to hardware memory corruption
. ./lib.sh

INJECT=/sys/kernel/debug/hwpoison
OFFLINE=/sys/devices/system/memory
modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
on_exit "rmmod hwpoison_inject"

hex() { printf '%#x' $(($1)); }
# inject PHYS: inject a failure; print "ok" or the name of the errno
inject() { result $INJECT/corrupt-pfn "$(hex "$1 >> 12")"; }
# read_by NAME OFFSET: let a session read; print the value or the signal
read_by() { ask "$1" read m "$2"; }
# lost OFFSET SIZE: the signal that an access to failed memory raises
lost() { echo "SIGBUS MCEERR_AR at $(hex "$1") size $(hex "$2")"; }
# mapped NAME LENGTH OFFSET: start a process that maps this range of the device
mapped()
{
	session "$1"
	ask "$1" open f "$NODE" >/dev/null
	is "$align: process $1 maps $(hex "$2") bytes from $(hex "$3") on" "$(ask "$1" mmap m f "$2" "$3")" ok
}

# Two devices. Nothing may happen to the second one, which has entries of 2 MiB.
case $MACHINE in
nvdimm)
	other_device() { dax_device 2M mem 64M; other=$NODE; }
	new_one() { dax_device "$1" "$2" "$3"; }
	drop_one() { destroy_device >/dev/null; }
	;;
hmem)
	dynamic_region
	# At the end of the region, behind any size that the first one gets.
	other_device()
	{
		new_device
		printf '%x-%x\n' $((START + LENGTH - (64 << 20))) $((START + LENGTH - 1)) >"$SYS/mapping"
		bind_to_device
		other=$NODE
	}
	new_one()
	{
		use_device "dax$R.0"
		echo $(($(bytes "$1"))) >"$SYS/align"
		bytes "$3" >"$SYS/size"
		bind_to_device
		use_device "dax$R.0"
	}
	drop_one() { unbind; echo "$DEV" >$DRV/remove_id; echo 0 >"$SYS/size"; }
	;;
esac

if [ "$MACHINE" = nvdimm ]; then kinds='4K/dev/64M 2M/mem/64M 1G/dev/3G'
else kinds='4K/mem/64M 2M/mem/64M 1G/mem/2G'; fi
[ "$MACHINE" = hmem ] || other_device
session o
for kind in $kinds; do
	IFS=/ read -r align map size <<<"$kind"
	new_one "$align" "$map" "$size"
	if [ -z "${other:-}" ]; then
		mine=$DEV
		other_device
		use_device "$mine"
	fi
	ask o open f "$other" >/dev/null
	ask o mmap m f 32M 0 >/dev/null
	ask o fill m 0 32M 9 4K >/dev/null
	entry=$(bytes "$align")
	# Distance of the words of a pattern; each entry has several.
	step=$((entry > 16 << 20 ? 1 << 20 : 4096))
	[ "$MACHINE" = nvdimm ] && align="$align, map=$map"

	# In the second entry, in the middle of it if it has more than one page.
	bad=$((entry + entry / 2 / 4096 * 4096))
	mapped a "$SIZE" 0
	mapped b $((2 * entry)) $entry 2>/dev/null
	mapped c "$SIZE" 0
	dax "$align: a pattern is written" <<-DAX
		open f $NODE		= ok
		mmap m f $SIZE 0	= ok
		fill m 0 $SIZE 5 $step	= ok
	DAX

	# ---- the process itself injects the failure ----

	read_by a $bad >/dev/null
	read_by b 0 >/dev/null
	# Not from pagemap, which does not show entries of 1 GiB.
	phys=$(hex "$(cat "$SYS/resource") + bad")
	log_mark
	is "$align: MADV_HWPOISON raises SIGBUS for the whole entry" \
		"$(ask a madvise m $bad 4K hwpoison)" "$(lost $entry $entry)"
	c_known_wrong device_dax failure-log "the log has a page frame number only"
	log_has "$align: the log says which device and which offset" \
		"$DEV: memory failed at offset $(hex $bad), physical address $phys; touching $(hex $entry) bytes from offset $(hex $entry) on"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: a second access raises SIGBUS" "$(read_by a $bad)" "$(lost $bad $entry)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: a write raises SIGBUS" "$(ask a write m $bad 1)" "$(lost $bad $entry)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: a process that maps it at another offset gets SIGBUS" \
		"$(read_by b $((bad - entry)))" "$(lost $((bad - entry)) $entry)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: a process that never touched it gets SIGBUS" "$(read_by c $bad)" "$(lost $bad $entry)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: a child gets SIGBUS" "$(ask c child read m $bad)" "$(lost $bad $entry)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: the whole entry is lost" "$(read_by c $((2 * entry - 8)))" "$(lost $((2 * entry - 8)) $entry)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: accesses by the kernel fail" \
		"$(ask c procread m $bad) $(ask c madvise m $bad 4K populate_read)" "EIO EHWPOISON"
	for process in a c; do
		is "$align: process $process can read the memory before the failed entry" \
			"$(ask $process verify m 0 $entry 5 $step)" ok
		[ "$SIZE" = $((2 * entry)) ] ||
			is "$align: process $process can read the memory behind the failed entry" \
				"$(ask $process verify m $((2 * entry)) $((SIZE - 2 * entry)) 5 $step)" ok
	done
	is "$align: the other device is intact" "$(ask o verify m 0 32M 9 4K)" ok
	for process in a b c; do leave $process; done
	mapped a "$SIZE" 0
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: a new process gets SIGBUS" "$(read_by a $bad)" "$(lost $bad $entry)"

	# ---- the next bind makes the memory usable again ----

	check "$align: unbind" unbind
	is "$align: after the unbind the mapping raises SIGBUS ADRERR" "$(read_by a 0)" "SIGBUS ADRERR at 0"
	leave a
	check "$align: bind again" bind
	c_known_wrong device_dax failed-memory "the write above reached the failed memory"
	dax "$align: the memory works again, with its data" <<-DAX
		open f $NODE		= ok
		mmap m f $SIZE 0	= ok
		verify m 0 $SIZE 5 $step	= ok
		touch m 0 $SIZE $entry w	= faults *
		fill m $entry $entry 6 $step	= ok
		verify m $entry $entry 6 $step	= ok
	DAX

	# ---- another process injects the failure ----

	mapped a "$SIZE" 0
	mapped b "$SIZE" 0
	mapped c "$SIZE" 0
	ask b early >/dev/null
	ask c early >/dev/null
	read_by a $bad >/dev/null
	read_by b $bad >/dev/null
	read_by c 0 >/dev/null
	log_mark
	is "$align: a failure is injected" "$(inject "$phys")" ok
	c_known_wrong device_dax failure-log "the log has a page frame number only"
	log_has "$align: the log says which device and which offset" "$DEV: memory failed at offset $(hex $bad),"
	log_has "$align: the kernel reports a recovery" "recovery action for dax page: Recovered"
	is "$align: a process with early kill gets a signal with address and size" \
		"$(ask b told m)" "SIGBUS MCEERR_AO at $(hex $entry) size $(hex $entry)"
	is "$align: a process that did not touch it gets none" "$(ask c told m)" nothing
	for process in a b c; do
		c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
		is "$align: process $process gets SIGBUS when it touches it" "$(read_by $process $bad)" "$(lost $bad $entry)"
		is "$align: process $process can read the memory before it" \
			"$(ask $process verify m 0 $entry 5 $step)" ok
	done
	is "$align: a second failure of the same page is accepted" "$(inject "$phys")" ok
	is "$align: mm does not unpoison the page" "$(result $INJECT/unpoison-pfn "$(hex "$phys >> 12")")" EIO
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: the page stays failed" "$(read_by a $bad)" "$(lost $bad $entry)"
	for process in a b c; do leave $process; done
	unbind
	bind

	# Never accessed since the bind, so the struct pages do not refer to the file.
	c_known_wrong device_dax failure-untouched "memory that was never mapped is not marked as failed"
	is "$align: a failure of memory that was never touched" "$(inject "$phys")" ok
	mapped a "$SIZE" 0
	c_known_wrong device_dax failure-untouched "memory that was never mapped is not marked as failed"
	is "$align: an access raises SIGBUS" "$(read_by a $bad)" "$(lost $bad $entry)"
	leave a
	unbind
	bind

	# ---- soft offline ----

	mapped a "$SIZE" 0
	read_by a $bad >/dev/null
	is "$align: soft offline is refused" "$(ask a madvise m $bad 4K soft_offline)" EIO
	is "$align: soft offline by address is refused" "$(result $OFFLINE/soft_offline_page "$phys")" EIO
	is "$align: the memory is intact" "$(ask a verify m $entry $entry 6 $step)" ok
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: hard offline works like a failure" \
		"$(result $OFFLINE/hard_offline_page "$phys") $(read_by a $bad)" "ok $(lost $bad $entry)"
	leave a
	is "$align: the other device is intact" "$(ask o verify m 0 32M 9 4K)" ok

	if [ "$MACHINE" = nvdimm ] && [ "$map" = dev ]; then
		from=0x$(sed -n "s/^ *\([0-9a-f]*\)-[0-9a-f]* : $DEV\$/\1/p" /proc/iomem)
		log_mark
		like "$align: a failure of the memmap itself cannot be handled" \
			"$(inject $((from - 4096)))" '^(ENXIO|EBUSY)$'
	fi
	drop_one
done

# ---- a device with two ranges ----

if [ "$MACHINE" = hmem ]; then
	align=2M
	leave o
	empty_region
	use_device "dax$R.0"
	bytes 4M >"$SYS/size"
	new_device 2M
	use_device "dax$R.0"
	bytes 8M >"$SYS/size"
	bind_to_device
	use_device "dax$R.0"
	is "the device has two ranges" "$(ranges)" "0+4 6+4"
	mapped a 8M 0
	ask a fill m 0 8M 3 >/dev/null
	phys=$(ask a phys m 5M)
	is "an address in the second range" "$phys" "$(hex "START + (7 << 20)")"
	log_mark
	is "a failure is injected" "$(inject "$phys")" ok
	c_known_wrong device_dax failure-log "the log has a page frame number only"
	log_has "the log has the offset in the device" "$DEV: memory failed at offset 0x500000, physical address $phys;"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "an access raises SIGBUS" "$(read_by a 4M)" "$(lost 4194304 2097152)"
	is "the rest is intact" "$(ask a verify m 0 4M 3) $(ask a verify m 6M 2M 3)" "ok ok"
	leave a
fi
done_testing
