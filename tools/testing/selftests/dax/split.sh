#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An entry cannot be split: munmap, mprotect, mremap and madvise on a part of one are refused. On
# whole entries they work.
# machines: nvdimm
# With DEBUG_VM, mm warns of an entry of 1 GiB that is PROT_NONE, see upstream-bugs/pud-protnone.
# splat: at pudp_invalidate\+|Modules linked in:|Call Trace:
. ./lib.sh

for align in "${ALIGNS[@]}"; do
	dax_device $align mem "$(room $align)"
	a=$(bytes $align)
	# Two entries, and half of an entry.
	two=$((2 * a)) half=$((a / 2))
	script="open f $NODE		= ok
		mmap m f $two 0		= ok
		fill m 0 $PAGE 1		= ok
		fill m $align $PAGE 1	= ok"

	if [ $align != "$PAGE" ]; then
		dax "$align: munmap of part of an entry is refused" <<-DAX
			$script
			munmap m 0 $PAGE			= EINVAL
			munmap m $half $half		= EINVAL
			munmap m $half $align		= EINVAL
			munmap m $((two - page)) $PAGE	= EINVAL
			areas m				= 1
			verify m 0 $PAGE 1			= ok
			verify m $align $PAGE 1		= ok
		DAX

		dax "$align: mprotect of part of an entry is refused" <<-DAX
			$script
			mprotect m 0 $PAGE r		= EINVAL
			mprotect m $half $half r	= EINVAL
			mprotect m $PAGE $((2 * page)) none		= EINVAL
			areas m				= 1
			write m 0 3			= ok
			write m $half 3			= ok
		DAX

		dax "$align: mremap of part of an entry is refused" <<-DAX
			$script
			mremap m 0 $two $half			= EINVAL
			mremap m 0 $align $PAGE			= EINVAL
			mremap m 0 $PAGE $PAGE fixed=0x200000000000	= EINVAL
			mremap m $PAGE $PAGE $((2 * page)) maymove		= E*
			areas m					= 1
			verify m 0 $PAGE 1				= ok
			verify m $align $PAGE 1			= ok
		DAX

		dax "$align: advice that would split the VMA is refused for a part of an entry" <<-DAX
			$script
			madvise m 0 $PAGE dontfork		= EINVAL
			madvise m $half $half nohugepage	= EINVAL
			mlock m 0 $PAGE			= *
			areas m				= 1
			verify m 0 $PAGE 1			= ok
		DAX
	fi

	dax "$align: munmap of a whole entry leaves the other one mapped" <<-DAX
		$script
		munmap m 0 $align		= ok
		read m 0			= SIGSEGV MAPERR at 0
		verify m $align $PAGE 1		= ok
		areas m				= 1
	DAX

	dax "$align: mprotect of a whole entry" <<-DAX
		$script
		mprotect m 0 $align r		= ok
		areas m				= 2
		write m 0 3			= SIGSEGV ACCERR at 0
		write m $align 3		= ok
		mprotect m 0 $align rw		= ok
		write m 0 3			= ok
		mprotect m 0 $two none		= ok
		read m $align			= SIGSEGV ACCERR at $(printf '%#x' "$a")
		mprotect m 0 $two rw		= ok
		read m 0			= 3
		read m $align			= 3
	DAX

	dax "$align: mremap shrinks by whole entries" <<-DAX
		$script
		mremap m 0 $two $align			= ok
		verify m 0 $PAGE 1				= ok
		areas m					= 1
	DAX

	# mm/mremap.c treats an entry of 1G as corrupt ("bad pud"), and the message would fail this
	# test.
	moves=true
	[ $align = "$PUD" ] && has_bug pud-mremap device_dax && moves=false

	$moves && dax "$align: mremap moves whole entries" <<-DAX
		$script
		mremap m 0 $two $two fixed=0x200000000000	= ok
		addr m					= 0x200000000000
		verify m 0 $PAGE 1				= ok
		verify m $align $PAGE 1			= ok
		fill m 0 $PAGE 2				= ok
		mmap n f $align 0			= ok
		verify n 0 $PAGE 2				= ok
	DAX

	# The move may be refused or not, but never shows wrong memory.
	[ $align != "$PMD" ] || dax "$align: mremap to a misaligned address shows no wrong memory" <<-DAX
		$script
		mremap m 0 $two $two fixed=0x200000001000	= @(EINVAL|ok)
		verify m 0 $PAGE 1				= @(ok|SIGBUS*)
		verify m $align $PAGE 1			= @(ok|SIGBUS*)
	DAX

	$moves && dax "$align: a mapping that grows shows no memory past the end of the device" <<-DAX
		$script
		mremap m 0 $two $((SIZE + a)) maymove	= @(ok|E*)
		read m $((SIZE - 8))			= @([0-9]*|SIGSEGV*)
		read m $SIZE				= @(SIGBUS*|SIGSEGV*)
	DAX

	dax "$align: dropped entries are mapped again at the next access" <<-DAX
		$script
		madvise m 0 $two dontneed	= ok
		touch m 0 8 8 r			= faults 1
		verify m 0 $PAGE 1			= ok
		verify m $align $PAGE 1		= ok
	DAX

	dax "$align: advice cannot free or change the memory" <<-DAX
		$script
		madvise m 0 $align free		= EINVAL
		madvise m 0 $align wipeonfork	= EINVAL
		madvise m 0 $align remove	= E*
		madvise m 0 $align pageout	= *
		madvise m 0 $align collapse	= E*
		madvise m 0 $align populate_write	= ok
		verify m 0 $PAGE 1			= ok
	DAX
	destroy_device >/dev/null
done
done_testing
