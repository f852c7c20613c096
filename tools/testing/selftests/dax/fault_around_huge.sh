#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fault-around with large entries: when the memory of one entry is touched after that of the other, a
# fault also makes the entries that follow, and only those that it may.
# machines: nvdimm
# splat: due to hardware memory corruption
# impl: rust device_dax - C makes one entry for each fault
. ./lib.sh

# An address at the start of a page table, of pmd entries and of pud entries.
AT=0x200000000000
# rss N: the mapping has N entries. To read smaps removes entries of 1 GiB.
rss() { [ $align = "$PUD" ] || echo "smaps m Rss	= $(($1 * a >> 10)) kB"; }

for align in "${ALIGNS[@]:1}"; do
	a=$(bytes $align)
	case $align in 1G) size=4G many=3 ;; 2M) size=256M many=100 ;; *) size=$((6 * a)) many=4 ;; esac
	dax_device $align mem $size
	all=$((many * a))
	script="open f $NODE				= ok
		mmap m f $all 0 fixed=$AT		= ok"
	# A fault makes sixteen entries, as far as there are so many.
	first=$((many < 17 ? many : 17))

	for how in "touch r" "touch w" "store"; do
		read -r how mode <<<"$how"
		dax "$align: $how $mode: a fault behind an entry also makes those that follow" <<-DAX
			$script
			$how m 0 $align $align $mode		= faults 1
			$(rss 1)
			$how m $a $align $align $mode		= faults 1
			$(rss $first)
			$how m 0 $((first * a)) $align $mode	= faults 0
			store m 0 $((first * a)) $align		= faults 0
			$how m 0 $all $align $mode		= faults $(((many - 2) / 16))
			$(rss $many)
			munmap m				= ok
		DAX
	done

	dax "$align: entries that are not adjacent are made one at a time" <<-DAX
		$script
		touch m $((2 * a)) $align $align r	= faults 1
		touch m 0 $align $align r		= faults 1
		$(rss 2)
	DAX

	dax "$align: each entry maps the memory of its offset" <<-DAX
		$script
		fill m 0 $all 7 $align			= ok
		munmap m				= ok
		mmap m f $all 0				= ok
		verify m 0 $all 7 $align		= ok
		mmap n f $align $((2 * a))		= ok
		write n 0 77				= ok
		read m $((2 * a))			= 77
	DAX

	dax "$align: fault-around stops at an entry that exists, and at the end of the mapping" <<-DAX
		open f $NODE					= ok
		mmap m f $((3 * a)) 0 fixed=$AT			= ok
		mmap n f $align 0 fixed=$((AT + 3 * a))		= ok
		touch m 0 $((2 * a)) $align r			= faults 2
		$(rss 3)
		smaps n Rss					= 0 kB
		madvise m 0 $((2 * a)) dontneed			= ok
		touch m 0 $((2 * a)) $align r			= faults 2
		$(rss 3)
		smaps n Rss					= 0 kB
	DAX

	dax "$align: the preceding entry does not count if it belongs to another VMA" <<-DAX
		$script
		touch m 0 $align $align r		= faults 1
		mprotect m $a $((2 * a)) r		= ok
		touch m $a $align $align r		= faults 1
		touch m $((2 * a)) $align $align r	= faults 1
		mprotect m $a $((2 * a)) rw		= ok
		write m $a 1				= ok
	DAX

	dax "$align: populate makes all entries" <<-DAX
		open f $NODE			= ok
		mmap m f $all 0 populate	= ok
		$(rss $many)
		store m 0 $all $align		= faults 0
	DAX

	end=$((SIZE - 2 * a))
	dax "$align: fault-around stops at the end of the device" <<-DAX
		open f $NODE			= ok
		mmap m f $((4 * a)) $((end - a)) fixed=$AT	= ok
		touch m 0 $((2 * a)) $align r	= faults 2
		$(rss 3)
		read m $((3 * a))		= SIGBUS ADRERR at $(printf '%#x' $((3 * a)))
		$(rss 3)
	DAX
	ndctl destroy-namespace -f "$NS" >/dev/null 2>&1
done

# What follows has sizes for entries of 2 MiB.
if [ "$PMD" != 2M ]; then
	done_testing
	exit
fi
align=2M
dax_device $align mem 2G
a=$(bytes $align)
dax "fault-around stops at the end of the page table" <<-DAX
	open f $NODE				= ok
	mmap m f 1G 0 fixed=0x20003fc00000	= ok
	touch m 0 4M 2M r			= faults 2
	smaps m Rss				= 4096 kB
	touch m 4M 2M 2M r			= faults 1
	smaps m Rss				= 6144 kB
	touch m 6M 2M 2M r			= faults 1
	smaps m Rss				= 38912 kB
DAX

modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
on_exit "rmmod hwpoison_inject"
dax "fault-around stops at memory that has failed" <<-DAX
	open f $NODE				= ok
	mmap m f 64M 0 fixed=$AT		= ok
	read m 10M				= *
	madvise m 10M 4K hwpoison		= *
	munmap m				= ok
	mmap m f 64M 0 fixed=$AT		= ok
	touch m 0 4M 2M r			= faults 2
	$(rss 5)
	read m 10M				= SIGBUS MCEERR_AR at 0xa00000*
	$(rss 5)
	touch m 12M 4M 2M r			= faults 2
DAX

# with [PARAMETER]: load the module again, with this parameter
with() { modprobe -r device_dax && modprobe device_dax "$@" && wait_bound; }

on_exit with
for entries in 0 1; do
	with "fault_around_entries=$entries"
	dax "fault_around_entries=$entries: a fault makes one entry" <<-DAX
		open f $NODE				= ok
		mmap m f 64M 64M fixed=$AT		= ok
		touch m 0 64M 2M r			= faults 32
		munmap m				= ok
		mmap m f 64M 64M populate		= ok
		smaps m Rss				= 65536 kB
	DAX
done
with fault_around_entries=2
dax "fault_around_entries=2: a fault makes two entries" <<-DAX
	open f $NODE				= ok
	mmap m f 64M 64M fixed=$AT		= ok
	touch m 0 4M 2M r			= faults 2
	$(rss 3)
DAX
with fault_around_entries=4294967295
dax "fault_around_entries=4294967295: a fault makes entries up to the end of the page table" <<-DAX
	open f $NODE				= ok
	mmap m f 1G 64M fixed=$AT		= ok
	touch m 0 4M 2M r			= faults 2
	$(rss 512)
DAX
done_testing
