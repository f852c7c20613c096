#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Mappings and faults work for a device in the class as for a device on the bus.
# machines: nvdimm
# needs: fio
# limit: 120
# impl: rust core dax_pmem - Linux no longer has it
. ./lib.sh

in_class
for align in 4K 2M 1G; do
	case $align in 1G) size=3G ;; *) size=256M ;; esac
	dax_device $align mem $size
	kb=$(($(bytes $align) >> 10))
	case $align in 4K) part=16M n=4096 ;; 2M) part=64M n=32 ;; 1G) part=$SIZE n=$((SIZE >> 30)) ;; esac

	dax "$align: each fault installs one entry, of the right memory" <<-DAX
		open f $NODE				= ok
		mmap m f $SIZE 0			= ok
		addr m $align				= 0
		smaps m KernelPageSize			= $kb kB
		store m 0 8 8				= faults 1
		store m 0 $align $((kb << 6))		= faults 0
		store m 0 $part $((kb << 11))		= faults $(((n - 1) / 2))
		store m 0 $part $((kb << 6))		= faults $((n / 2))
		fill m 0 1M 7				= ok
		fill m $((SIZE - 65536)) 64K 7		= ok
		mmap b f $((SIZE + $(bytes $align))) 0	= ok
		verify b $((SIZE - 65536)) 64K 7	= ok
		read b $SIZE				= SIGBUS ADRERR at $(printf '%#x' "$SIZE")
		mmap p f $align 0 private		= EINVAL
		close f					= ok
		verify m 0 1M 7				= ok
	DAX
	case $align in 4K) level=pte ;; 2M) level=pmd ;; 1G) level=pud ;; esac
	in_c device_dax || is "$align: faults and refusals are counted" \
		"$(($(cat "$SYS/stats/faults_$level") > 0)) $(cat "$SYS"/stats/refused_{offset,mmap} | xargs)" "1 1 1"
	says "$align: a private mapping is refused with a reason" \
		"dax $DEV: .*mmap refused: a private mapping would copy pages on write" <<-DAX
		open f $NODE
		mmap p f $align 0 private
	DAX
	[ $align = 1G ] ||
		check "$align: fio's dev-dax engine, with verification" \
			fio --output-format=terse --minimal --name=write --ioengine=dev-dax --filename="$NODE" \
			--rw=write --bs=2M --size=16M --verify=crc32c --verify_fatal=1 --verify_state_save=0
	destroy_device >/dev/null
done
done_testing
