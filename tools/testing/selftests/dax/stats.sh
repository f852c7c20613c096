#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The counters of faults and mappings of a device, in the directory "stats" of its sysfs directory.
# machines: nvdimm
# splat: due to hardware memory corruption
# impl: rust device_dax - C counts nothing
. ./lib.sh

# counted: print the counters that are not 0, as "NAME=NUMBER ..."
counted() { (cd "$SYS/stats" && grep -Hv '^0$' -- * | tr ':\n' '= ' | sed 's/ $//'); }

for align in "${ALIGNS[@]}"; do
	case $align in "$PAGE") name=pte ;; "$PMD") name=pmd ;; *) name=pud ;; esac
	case $align in 1G) size=4G ;; *) size=$(room $align) ;; esac
	dax_device $align mem $size
	a=$(bytes $align)
	is "$align: all counters exist, and are read-only" "$(cd "$SYS/stats" && stat -c '%n %a' -- * | xargs)" \
		"entries_ahead 444 faults_pmd 444 faults_pte 444 faults_pud 444 refused_align 444 refused_failed 444 refused_mmap 444 refused_offset 444"
	is "$align: all counters begin with 0" "$(counted)" ""
	dax "$align: a mapping that is not touched" <<-DAX
		open f $NODE		= ok
		mmap m f $SIZE 0	= ok
	DAX
	is "$align: a mapping alone is not counted" "$(counted)" ""
	dax "$align: two entries" <<-DAX
		open f $NODE		= ok
		mmap m f $((3 * a)) 0 fixed=0x200000000000	= ok
		touch m 0 $((2 * a)) $a r	= faults 2
		touch m 0 $((2 * a)) $a w	= faults 0
	DAX
	# Fault-around makes the third entry with the second.
	is "$align: two faults are counted" "$(counted)" "entries_ahead=1 faults_$name=2"
	dax "$align: refused requests" <<-DAX
		open f $NODE		= ok
		mmap p f $align 0 private	= EINVAL
		mmap p f $((SIZE + a)) 0	= ok
		read p $SIZE		= SIGBUS ADRERR at $(printf '%#x' "$SIZE")
	DAX
	is "$align: refused requests are counted by reason" \
		"$(counted)" "entries_ahead=1 faults_$name=2 refused_mmap=1 refused_offset=1"
	unbind
	is "$align: without a driver there are no counters" "$(ls "$SYS/stats" 2>&1)" \
		"ls: cannot access '$SYS/stats': No such file or directory"
	bind
	wait_bound
	is "$align: each bind begins with 0" "$(counted)" ""
	destroy_device >/dev/null
done

dax_device 4K mem 64M
dax "pages are accessed one after the other" <<-DAX
	open f $NODE		= ok
	mmap m f 4M 0 fixed=0x200000000000	= ok
	touch m 0 4M 4K w	= faults 66
DAX
is "most of the pages are mapped ahead" "$(counted)" "entries_ahead=958 faults_pte=66"
modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
on_exit "rmmod hwpoison_inject"
before=$(cat "$SYS/stats/refused_failed")
dax "accesses to a failed page raise SIGBUS" <<-DAX
	open f $NODE		= ok
	mmap m f 4M 0		= ok
	read m 8K		= *
	madvise m 8K 4K hwpoison	= *
	read m 8K		= SIGBUS MCEERR_AR *
	read m 8K		= SIGBUS MCEERR_AR *
DAX
is "each refused fault of a failed page is counted" "$before $(cat "$SYS/stats/refused_failed")" "0 2"
done_testing
