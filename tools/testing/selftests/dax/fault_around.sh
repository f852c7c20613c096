#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fault-around: when 4 KiB pages are touched one after the other, a fault also maps the pages that
# follow, and only those that it may. /proc/PID/pagemap shows which pages are mapped.
# machines: nvdimm hmem
# splat: due to hardware memory corruption
# impl: rust device_dax - C maps one page for each fault
. ./lib.sh

# An address aligned far beyond a page table. At an address that the kernel chooses, the page table
# may end anywhere in the mapping.
AT=0x200000000000

# A device of 64 MiB. In the dynamic region it has two ranges that are not adjacent.
case $MACHINE in
nvdimm) dax_device 4K mem 64M ;;
hmem)
	dynamic_region
	use_device "dax$R.0"
	echo 4096 >"$SYS/align"
	for range in "0 32M" "64M 32M"; do
		from=$((START + $(bytes "${range% *}")))
		printf '%#x-%#x\n' $from $((from + $(bytes "${range#* }") - 1)) >"$SYS/mapping"
	done
	bind_to_device
	use_device "dax$R.0"
	;;
esac
script="open f $NODE			= ok
	mmap m f 16M 0 fixed=$AT	= ok"

for access in "touch r" "touch w" "store"; do
	read -r how mode <<<"$access"
	dax "$access: a fault next to a mapped page also maps the fifteen pages that follow" <<-DAX
		$script
		$how m 0 4K 4K $mode		= faults 1
		mapped m 0 1M			= 0
		$how m 4K 4K 4K $mode		= faults 1
		mapped m 0 1M			= 0-16
		smaps m Rss			= 68 kB
		smaps m KernelPageSize		= 4 kB
		$how m 0 68K 4K $mode		= faults 0
		store m 0 68K 4K		= faults 0
		$how m 68K 4K 4K $mode		= faults 1
		mapped m 0 1M			= 0-32
		$how m 0 16M 4K $mode		= faults $((8 * 33 - 3))
		mapped m 0 16M			= 0-4095
		smaps m Rss			= 16384 kB
		munmap m			= ok
	DAX

	dax "$access: pages that are not adjacent are mapped one at a time" <<-DAX
		$script
		$how m 4K 32K 8K $mode		= faults 4
		mapped m 0 1M			= 1 3 5 7
		$how m 512K 4K 4K $mode		= faults 1
		$how m 508K 4K 4K $mode		= faults 1
		mapped m 256K 1M		= 63-64
	DAX
done

dax "each page is mapped at the right offset" <<-DAX
	$script
	fill m 0 1M 5			= ok
	munmap m			= ok
	mmap m f 16M 0			= ok
	verify m 0 1M 5			= ok
	write m 64K 1			= ok
	mmap n f 4K 64K			= ok
	read n 0			= 1
DAX

dax "only pages that were written are dirty" <<-DAX
	open f $NODE			= ok
	mmap m f 1M 40M fixed=$AT	= ok
	store m 0 1M 4K			= faults *
	smaps m Private_Dirty		= 1024 kB
	munmap m			= ok
	mmap m f 1M 40M fixed=$AT	= ok
	store m 0 8K 4K			= faults 2
	smaps m Private_Dirty		= 8 kB
	smaps m Private_Clean		= 60 kB
	store m 8K 4K 4K		= faults 0
	smaps m Private_Dirty		= 12 kB
DAX

dax "fault-around stops at the end of the mapping" <<-DAX
	$script
	mmap n f 20K 16M fixed=0x200040000000	= ok
	mmap o f 1M 0 fixed=0x200040005000	= ok
	touch n 0 8K 4K r		= faults 2
	mapped n 0 20K			= 0-4
	mapped o 0 1M			= none
DAX

dax "fault-around stops at the end of the page table" <<-DAX
	$script
	touch m 2032K 8K 4K r		= faults 2
	mapped m 0 4M			= 508-511
	touch m 2M 4K 4K r		= faults 1
	mapped m 2M 2M			= 0
	touch m $((0x201000)) 4K 4K r	= faults 1
	mapped m 2M 2M			= 0-16
DAX

dax "fault-around stops at a page that is already mapped" <<-DAX
	$script
	write m 32K 77			= ok
	write m 128K 78			= ok
	touch m 0 8K 4K r		= faults 2
	mapped m 0 1M			= 0-8 32
	touch m 36K 4K 4K r		= faults 1
	mapped m 0 1M			= 0-24 32
	touch m 100K 4K 4K w		= faults 1
	mapped m 0 1M			= 0-32
	read m 32K			= 77
	read m 128K			= 78
DAX

dax "the preceding page does not count if it belongs to another VMA" <<-DAX
	$script
	touch m 12K 4K 4K r		= faults 1
	mprotect m 16K 1M r		= ok
	touch m 16K 4K 4K r		= faults 1
	mapped m 0 1M			= 3-4
	touch m 20K 4K 4K r		= faults 1
	mapped m 0 1M			= 3-20
	write m 24K 1			= SIGSEGV ACCERR at 0x6000
	mprotect m 16K 1M rw		= ok
	write m 24K 1			= ok
	mprotect m 0 1M none		= ok
	read m 28K			= SIGSEGV ACCERR at 0x7000
DAX

dax "a child starts with nothing mapped, and takes its own faults" <<-DAX
	$script
	touch m 0 68K 4K w		= faults 2
	child mapped m 0 1M		= none
	child touch m 0 68K 4K r	= faults 2
	mapped m 0 1M			= 0-16
DAX

dax "pages dropped by MADV_DONTNEED are mapped again" <<-DAX
	$script
	touch m 0 68K 4K w		= faults 2
	madvise m 8K 1M dontneed	= ok
	mapped m 0 1M			= 0-1
	touch m 8K 60K 4K r		= faults 1
	mapped m 0 1M			= 0-17
DAX

dax "populate and mlock map all pages" <<-DAX
	open f $NODE			= ok
	mmap m f 4M 0 populate		= ok
	mapped m 0 4M			= 0-1023
	store m 0 4M 4K			= faults 0
	munmap m			= ok
	mmap m f 4M 0			= ok
	mlock m 0 4M			= ok
	mapped m 0 4M			= 0-1023
	smaps m Rss			= 4096 kB
DAX

end=$((SIZE - 16384))
dax "fault-around stops at the end of the device" <<-DAX
	open f $NODE			= ok
	mmap m f 1M $end fixed=$AT	= ok
	touch m 0 8K 4K r		= faults 2
	mapped m 0 1M			= 0-3
	read m 16K			= SIGBUS ADRERR at 0x4000
	mapped m 0 1M			= 0-3
DAX

if [ "$MACHINE" = hmem ]; then
	dax "fault-around continues in the next range, at its own address" <<-DAX
		open f $NODE			= ok
		mmap m f 1M $(((32 << 20) - 32768)) fixed=$AT	= ok
		touch m 0 8K 4K r		= faults 2
		mapped m 0 1M			= 0-16
		phys m 28K			= $(printf '%#x' $((START + (32 << 20) - 4096)))
		phys m 32K			= $(printf '%#x' $((START + (64 << 20))))
		phys m 64K			= $(printf '%#x' $((START + (64 << 20) + 32768)))
	DAX
fi

[ "$MACHINE" = nvdimm ] || done_testing

modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
on_exit "rmmod hwpoison_inject"
dax "fault-around stops at a poisoned page" <<-DAX
	$script
	read m 48K			= *
	madvise m 48K 4K hwpoison	= *
	munmap m			= ok
	mmap m f 16M 0 fixed=$AT	= ok
	touch m 0 8K 4K r		= faults 2
	mapped m 0 1M			= 0-11
	read m 48K			= SIGBUS MCEERR_AR at 0xc000*
	mapped m 0 1M			= 0-11
	touch m 52K 8K 4K w		= faults 2
	mapped m 0 1M			= 0-11 13-29
DAX

# with [PARAMETER]: load the module again, with this parameter
with() { modprobe -r device_dax && modprobe device_dax "$@" && wait_bound; }

on_exit with
for bytes in 0 4095 4096 8191; do
	with "fault_around_bytes=$bytes"
	dax "fault_around_bytes=$bytes: a fault maps one page" <<-DAX
		$script
		touch m 0 4M 4K r		= faults 1024
		munmap m			= ok
		mmap m f 16M 0 fixed=$AT	= ok
		store m 0 64K 4K		= faults 16
		mapped m 0 1M			= 0-15
		mmap n f 4M 0 populate		= ok
		mapped n 0 4M			= 0-1023
	DAX
done
with fault_around_bytes=8192
dax "fault_around_bytes=8192: a fault maps two pages" <<-DAX
	$script
	touch m 0 8K 4K r		= faults 2
	mapped m 0 1M			= 0-2
DAX
with fault_around_bytes=4294967295
dax "fault_around_bytes=4294967295: a fault maps up to the end of the page table" <<-DAX
	$script
	touch m 0 8K 4K r		= faults 2
	mapped m 0 16M			= 0-511
DAX
with
dax "the default maps sixteen pages again" <<-DAX
	$script
	touch m 0 8K 4K r		= faults 2
	mapped m 0 1M			= 0-16
DAX
done_testing
