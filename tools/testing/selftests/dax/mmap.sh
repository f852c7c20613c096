#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Mapping a device: each fault installs one entry of the device's align, at the right address, for
# the right memory.
# machines: nvdimm legacy
# limit: 240
. ./lib.sh

for align in "${ALIGNS[@]}"; do
	dax_device $align mem "$(room $align)"
	len=$SIZE
	# Large enough to see that the next entry takes a fault of its own, and a multiple of the
	# align. Every other entry first, since fault-around maps pages next to one.
	a=$(bytes $align)
	case $align in "$PAGE") n=4096 ;; *) n=32 ;; esac
	n=$((n * a < len ? n : len / a))
	part=$((n * a))
	kb=$((a >> 10))

	dax "$align: open, map the whole device, write, read back" <<-DAX
		open f $NODE			= ok
		mmap m f $len 0			= ok
		addr m $align			= 0
		fill m 0 1M 7			= ok
		fill m $((len - 65536)) 64K 7	= ok
		verify m 0 1M 7			= ok
		verify m $((len - 65536)) 64K 7	= ok
		munmap m			= ok
		mmap m f $len 0 r		= ok
		verify m 0 1M 7			= ok
		verify m $((len - 65536)) 64K 7	= ok
		close f				= ok
		verify m 0 1M 7			= ok
	DAX

	dax "$align: smaps shows its page size" <<-DAX
		open f $NODE			= ok
		mmap m f $len 0			= ok
		write m 0 1			= ok
		smaps m KernelPageSize		= $kb kB
		smaps m MMUPageSize		= $kb kB
		smaps m Size			= $((len >> 10)) kB
	DAX

	dax "$align: each read fault installs one entry of $align" <<-DAX
		open f $NODE			= ok
		mmap m f $len 0			= ok
		touch m 0 8 8 r			= faults 1
		touch m 0 $align $((kb << 6)) r	= faults 0
		touch m 0 $part $((kb << 11)) r	= faults $(((n - 1) / 2))
		touch m 0 $part $((kb << 6)) r	= faults $((n / 2))
		touch m 0 $part $((kb << 6)) r	= faults 0
	DAX

	dax "$align: each write fault installs one entry of $align" <<-DAX
		open f $NODE			= ok
		mmap m f $len 0			= ok
		store m 0 8 8			= faults 1
		store m 0 $align $((kb << 6))	= faults 0
		store m 0 $part $((kb << 11))	= faults $(((n - 1) / 2))
		store m 0 $part $((kb << 6))	= faults $((n / 2))
		store m 0 $part $((kb << 6))	= faults 0
	DAX

	dax "$align: a write to an entry that a read installed succeeds" <<-DAX
		open f $NODE			= ok
		mmap m f $len 0			= ok
		touch m 0 8 8 r			= faults 1
		write m 0 99			= ok
		read m 0			= 99
		procread m 0			= 99
	DAX

	dax "$align: the offset of a mapping is an offset in the device" <<-DAX
		open f $NODE			= ok
		mmap a f $len 0			= ok
		write a $((len - a)) 4711	= ok
		mmap b f $align $((len - a))	= ok
		addr b $align			= 0
		read b 0			= 4711
		write b 8 4712			= ok
		read a $((len - a + 8))	= 4712
	DAX

	# The last word of the device is the last word of its memory. It lies past the info block
	# and, with --map=mem, at data offset + size.
	dax "$align: pages are mapped at the address that sysfs shows" <<-DAX
		open f $NODE			= ok
		mmap m f $len 0			= ok
		write m 0 1			= ok
		$( [ $align = "$PUD" ] || printf 'phys m 0 = %#x\n' "$(cat "$SYS/resource")")
		$( [ $align = "$PUD" ] || printf 'write m 6M 1 = ok\nphys m %d = %s\n' $(((6 << 20) + page)) \
			"$( [ $align = "$PAGE" ] && echo none || printf '%#x' $(($(cat "$SYS/resource") + (6 << 20) + page)))")
	DAX

	dax "$align: the mode of the file limits access to the mapping" <<-DAX
		open r $NODE ro			= ok
		mmap m r $align 0 rw		= EACCES
		mmap m r $align 0 r		= ok
		read m 0			= 1
		write m 0 2			= SIGSEGV ACCERR at 0
		mprotect m 0 $align rw		= EACCES
	DAX

	dax "$align: populate installs all entries in mmap" <<-DAX
		open f $NODE			= ok
		mmap m f $align 0 populate	= ok
		touch m 0 $align $((kb << 8)) r	= faults 0
		touch m 0 $align $((kb << 8)) w	= faults 0
	DAX

	dax "$align: MAP_SYNC is accepted" <<-DAX
		open f $NODE			= ok
		mmap m f $align 0 validate sync	= ok
		fill m 0 4K 5			= ok
		verify m 0 4K 5			= ok
	DAX
	destroy_device >/dev/null
done
done_testing
