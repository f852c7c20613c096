#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Other operations of mm on a mapping: userfaultfd, guard pages, soft-dirty, locks, advice,
# policies, seals, disabled huge pages; and its observers: idle pages, KSM, DAMON, NUMA balancing,
# memory cgroups. Each access ends at once, with the memory or with the right signal. Written data
# stays, and the memory can be used again. The table in
# Documentation/admin-guide/device-dax.rst says the same.
# machines: nvdimm
# limit: 400
# With DEBUG_VM mm warns of an entry of 1 GiB that mprotect() made PROT_NONE, as in split.sh, see
# upstream-bugs/pud-protnone.
# splat: due to hardware memory corruption|at pudp_invalidate\+|Modules linked in:|Call Trace:
. ./lib.sh

# charged: the bytes that the memory cgroup of the test pays for, of the kinds that a shared mapping can be
charged() { awk '/^(anon_thp|file|file_mapped|shmem) / { sum += $2 } END { print sum }' "$TMP/cgroup/dax/memory.stat"; }

# A fault that never ends must not hang the whole test.
daxtest() { timeout -k 1 $((30 * PACE)) ./daxtest; }

modprobe hwpoison_inject && on_exit "rmmod hwpoison_inject"
THP=/sys/kernel/mm/transparent_hugepage/enabled
thp=$(sed 's/.*\[\(.*\)\].*/\1/' $THP)
on_exit "echo $thp >$THP"

# mine DESCRIPTION <<EOF: map the device as m in a new process, and run this script
mine()
{
	dax "$align: $1" <<-DAX
		open f $NODE			= ok
		mmap m f $len 0			= ok
		$(cat)
	DAX
}

# DAMON has one user at a time, and Debian's kernels start their own at boot.
own=/sys/module/damon_stat/parameters/enabled
if [ "$(cat $own 2>/dev/null)" = Y ]; then
	echo N >$own
	on_exit "echo Y >$own"
fi

# Bytes of an entry and of a mapping, steps that fit several times into each entry, and the result
# of an access where a table of smaller entries is in the way.
for align in 4K 2M 1G; do
	case $align in
	4K) size=64M len=$(bytes 8M) step=4096 ;;
	2M) size=64M len=$(bytes 8M) step=65536 ;;
	1G) size=3G len=$(bytes 2G) step=$(bytes 128M) ;;
	esac
	a=$(bytes $align)
	dax_device $align mem $size
	if [ $align = 4K ]; then blocked='+([0-9])' written=ok; else blocked='SIGBUS ADRERR at *' written=$blocked; fi
	mine "a pattern is written" <<-DAX
		fill m 0 $len 5 $step		= ok
		write m 8 11			= ok
	DAX

	# ---- userfaultfd ----

	mine "userfaultfd accepts only asynchronous write protection" <<-DAX
		uffd m missing			= EINVAL
		uffd m minor			= EINVAL
		uffd m rwp			= EINVAL
		uffd m rwp sync			= EINVAL
		uffd m wp sync			= EINVAL
		verify m 0 $len 5 $step		= ok
	DAX
	[ $align != 4K ] || c_known_wrong device_dax pte-markers "a read of a page that is protected and not mapped never ends"
	mine "a page that is protected before the first access can be read, and stays protected" <<-DAX
		uffd m wp			= ok
		protect m 0 $len		= ok
		pagemap m 0			= *wp
		read m 8			= $blocked
		pagemap m 0			= *wp
		$( [ $align != 4K ] || printf 'verify m 0 %s 5 %s = ok\n' "$len" "$step")
		$( [ $align != 4K ] || echo "smaps m Rss = $((len >> 10)) kB")
		$( [ $align != 4K ] || echo "pagemap m $((len - a)) = present*wp")
	DAX
	# A WARN and SIGBUS.
	has_bug pte-markers device_dax || mine "such a page can be written, which removes the protection" <<-DAX
		uffd m wp			= ok
		protect m 0 $len		= ok
		write m 8 11			= $written
		$( [ $align != 4K ] || echo "pagemap m 0 = present dirty")
		$( [ $align != 4K ] || echo "pagemap m 4K = *wp")
		$( [ $align != 4K ] || echo "read m 8 = 11")
	DAX
	mine "a mapped page that is protected stays so, or is unmapped" <<-DAX
		touch m 0 $len $step r		= faults *
		uffd m wp			= ok
		protect m 0 $len		= ok
		pagemap m 0			= *wp
		read m 8			= $blocked
		write m 8 11			= $written
		$( [ $align != 4K ] || echo "pagemap m 0 = present dirty")
	DAX
	[ $align != 4K ] || c_known_wrong device_dax pte-markers "a read of a page that is protected and not mapped never ends"
	mine "without userfaultfd the memory can be used again, at the latest after a new mmap" <<-DAX
		uffd m wp			= ok
		protect m 0 $len		= ok
		read m 8			= *
		unwatch m			= ok
		read m 8			= $blocked
		munmap m			= ok
		mmap m f $len 0			= ok
		verify m 0 $len 5 $step		= ok
	DAX
	if configured PT_RECLAIM && [ $align = 2M ]; then
		mine "without userfaultfd the memory can be used again after MADV_DONTNEED" <<-DAX
			uffd m wp			= ok
			protect m 0 $len		= ok
			unwatch m			= ok
			read m 8			= $blocked
			madvise m 0 $len dontneed	= ok
			verify m 0 $len 5 $step		= ok
		DAX
	fi
	mine "a mapping that is registered but not protected works" <<-DAX
		uffd m wp			= ok
		write m 8 12			= ok
		read m 8			= 12
		write m 8 11			= ok
		touch m 0 $len $step r		= faults *
		verify m 0 $len 5 $step		= ok
	DAX
	if [ $align = 4K ]; then
		mine "there is no fault-around in a registered mapping" <<-DAX
			uffd m wp			= ok
			touch m 0 64K 4K r		= faults 16
			mapped m 0 1M			= 0-15
			touch m 64K 64K 4K w		= faults *
			mapped m 0 1M			= 0-31
		DAX
	fi
	has_bug pud-copy device_dax || mine "a child inherits no protection" <<-DAX
		touch m 0 $len $step r		= faults *
		uffd m wp			= ok
		protect m 0 $a			= ok
		child verify m $a $((len - a)) 5 $step	= ok
		child read m $((len - a))	= *
		child pagemap m 0		= *
	DAX
	if [ $align = 4K ] && ! has_bug failed-memory device_dax; then
		for access in read "write 1"; do
			read -r access value <<<"$access"
			mine "a failed page is not mapped by a fault, $access" <<-DAX
				uffd m wp			= ok
				protect m 0 $len		= ok
				read m 48K			= *
				madvise m 48K 4K hwpoison	= *
				$access m 49152 ${value:-}		= SIGBUS MCEERR_AR at 0xc000 size 0x1000
				$access m 49152 ${value:-}		= SIGBUS MCEERR_AR at 0xc000 size 0x1000
				read m 52K			= +([0-9])
			DAX
			unbind; bind
		done
	fi
	# A registered and protected mapping, while the device is unbound and bound.
	if ! has_bug pte-markers device_dax; then
		session a
		ask a open f "$NODE" >/dev/null
		is "$align: a process maps the device" "$(ask a mmap m f $len 0) $(ask a fill m 0 $len 5 $step)" "ok ok"
		is "$align: it registers and protects the mapping" \
			"$(ask a uffd m wp) $(ask a protect m 0 $len)" "ok ok"
		if [ $align = 4K ]; then
			is "$align: four threads access it" "$(ask a storm m 4 4096)" ok
			sleep 1
		fi
		check "$align: unbind" unbind
		[ $align != 4K ] || is "$align: each of the threads gets a signal" "$(ask a calm)" "4 SIGBUS 0 other"
		is "$align: an access raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
		check "$align: bind" bind
		ask a munmap m >/dev/null
		is "$align: a new mapping has the data" \
			"$(ask a mmap m f $len 0) $(ask a verify m 0 $len 5 $step)" "ok ok"
		leave a
		mine "the memory is unchanged" <<-DAX
			write m 8 11			= ok
			verify m 0 $len 5 $step		= ok
		DAX
	fi

	# ---- guard pages ----

	mine "a guard page raises SIGSEGV; the rest of its entry is not mapped, the next entry is" <<-DAX
		touch m 0 $len $step w		= faults *
		madvise m 4K 4K guard_install	= ok
		pagemap m 4K			= *guard
		read m 4K			= SIGSEGV MAPERR at 0x1000
		write m 4K 1			= SIGSEGV MAPERR at 0x1000
		read m 8			= $blocked
		verify m $a $a 5 $step		= $( [ $align = 4K ] && echo 'SIGSEGV*' || echo ok)
		verify m $((len - a)) $a 5 $step	= ok
		madvise m 4K 4K dontneed	= ok
		read m 4K			= SIGSEGV MAPERR at 0x1000
	DAX
	mine "without the guard page the memory can be used again, at the latest after a new mmap" <<-DAX
		touch m 0 $len $step w		= faults *
		madvise m 4K 4K guard_install	= ok
		madvise m 4K 4K guard_remove	= ok
		read m 8			= $blocked
		$( [ $align != 4K ] || printf 'verify m 0 %s 5 %s = ok\n' "$len" "$step")
		munmap m			= ok
		mmap m f $len 0			= ok
		verify m 0 $len 5 $step		= ok
	DAX
	if configured PT_RECLAIM && [ $align = 2M ]; then
		mine "without the guard page the memory can be used again after MADV_DONTNEED" <<-DAX
			madvise m 4K 4K guard_install	= ok
			madvise m 4K 4K guard_remove	= ok
			read m 8			= $blocked
			madvise m 0 $a dontneed		= ok
			verify m 0 $len 5 $step		= ok
		DAX
	fi
	if has_bug pud-copy device_dax && [ $align = 1G ]; then
		skip "$align: a child inherits a guard page, and no entry" \
			"C: known wrong: pud-copy: mm copies a pud and does not count it"
	else
		mine "a child inherits a guard page, and no entry" <<-DAX
			touch m 0 $len $step w		= faults *
			madvise m 4K 4K guard_install	= ok
			touch m $((len - a)) $a $step w	= faults *
			child read m 4K			= SIGSEGV MAPERR at 0x1000
			child verify m $((len - a)) $a 5 $step	= ok
			verify m $((len - a)) $a 5 $step	= ok
			read m 4K			= SIGSEGV MAPERR at 0x1000
		DAX
	fi
	# A WARN, and SIGBUS instead of SIGSEGV.
	has_bug pte-markers device_dax || mine "guard pages are installed and removed while another thread writes" <<-DAX
		munmap m			= ok
		mmap m f $a 0			= ok
		guards m 5			= written: $( [ $align = 1G ] && echo "*" || echo yes), refused: yes
		munmap m			= ok
		mmap m f $len 0			= ok
		write m 8 11			= ok
		verify m 0 $len 5 $step		= ok
	DAX

	# ---- soft-dirty ----

	# /proc/PID/pagemap does not show entries of 1 GiB.
	[ $align = 1G ] && clean=none dirty=none || clean=present dirty='present dirty'
	mine "pages written after clear_refs are soft-dirty" <<-DAX
		touch m 0 $len $step r		= faults *
		put /proc/self/clear_refs 4	= ok
		pagemap m 0			= $clean
		read m 8			= 11
		pagemap m 0			= $clean
		write m 8 11			= ok
		pagemap m 0			= $dirty
		pagemap m $a			= $clean
		madvise m 0 $len dontneed	= ok
		read m 8			= 11
		pagemap m 0			= $clean
		write m 8 11			= ok
		pagemap m 0			= $dirty
		madvise m 0 $len dontneed	= ok
		write m 8 11			= ok
		pagemap m 0			= $dirty
		verify m 0 $len 5 $step		= ok
	DAX

	# ---- locks, advice, policies, seals ----

	mine "mlock() succeeds and changes nothing" <<-DAX
		mlock m 0 $a			= ok
		smaps m Locked			= 0 kB
		munlock m 0 $a			= ok
		mlock2 m 0 $a			= ok
		read m 8			= 11
		munlock m 0 $a			= ok
		mlockall current		= ok
		mlockall future			= ok
		mmap n f $a 0			= ok
		read n 8			= 11
		mlockall none			= ok
		mlockall onfault		= ok
		mmap o f $a 0			= ok
		read o 8			= 11
		mlockall none			= ok
		verify m 0 $len 5 $step		= ok
	DAX
	mine "MADV_POPULATE_READ and _WRITE map all entries" <<-DAX
		madvise m 0 $len populate_read	= ok
		touch m 0 $len $step r		= faults 0
		madvise m 0 $len dontneed	= ok
		madvise m 0 $len populate_write	= ok
		touch m 0 $len $step w		= faults 0
		madvise m 0 $len willneed	= ok
		verify m 0 $len 5 $step		= ok
	DAX
	mine "advice for pages that can be reclaimed, moved or merged has no effect" <<-DAX
		touch m 0 $len $step w		= faults *
		madvise m 0 $len cold		= ok
		madvise m 0 $len pageout	= ok
		madvise m 0 $a collapse		= EINVAL
		madvise m 0 $len free		= EINVAL
		madvise m 0 $len remove		= @(ENODEV|EOPNOTSUPP)
		madvise m 0 $len mergeable	= ok
		touch m 0 $len $step w		= faults $( [ $align = 1G ] && echo "*" || echo 0)
		madvise m 0 $len unmergeable	= ok
		mbind m 0 $len 0		= ok
		touch m 0 $len $step w		= faults 0
		verify m 0 $len 5 $step		= ok
	DAX
	mine "mprotect() to PROT_NONE and back" <<-DAX
		touch m 0 $len $step w		= faults *
		mprotect m 0 $len none		= ok
		read m 0			= SIGSEGV ACCERR at 0
		mprotect m 0 $len r		= ok
		read m 8			= 11
		write m 0 1			= SIGSEGV ACCERR at 0
		mprotect m 0 $len rw		= ok
		write m 8 11			= ok
		verify m 0 $len 5 $step		= ok
	DAX
	mine "a sealed mapping" <<-DAX
		read m 8			= 11
		mseal m 0 $len			= ok
		munmap m			= EPERM
		mprotect m 0 $len r		= EPERM
		mremap m 0 $len $a		= EPERM
		write m 8 11			= ok
		madvise m 0 $len dontneed	= ok
		child verify m 0 $len 5 $step	= ok
		verify m 0 $len 5 $step		= ok
	DAX
	mine "fork shares the memory" <<-DAX
		touch m 0 $len $step w		= faults *
		child verify m 0 $len 5 $step	= ok
		child write m 8 12		= ok
		read m 8			= 12
		write m 8 11			= ok
		child munmap m			= ok
		verify m 0 $len 5 $step		= ok
	DAX

	# ---- disabled huge pages ----

	for policy in never madvise always; do
		echo $policy >$THP
		mine "transparent_hugepage=$policy makes no difference" <<-DAX
			verify m 0 $len 5 $step		= ok
			smaps m MMUPageSize		= $((a >> 10)) kB
		DAX
	done
	echo "$thp" >$THP
	[ $align = 4K ] && off=11 || off='SIGBUS ADRERR at *'
	mine "PR_SET_THP_DISABLE: only entries of 4 KiB are mapped" <<-DAX
		thp disabled			= ok
		read m 8			= $off
		write m 8 11			= ${off/#11/ok}
		child read m 8			= $off
		madvise m 0 $a populate_read	= $( [ $align = 4K ] && echo ok || echo EFAULT)
		thp enabled			= ok
		munmap m			= ok
		mmap m f $len 0			= ok
		verify m 0 $len 5 $step		= ok
	DAX
	mine "PR_SET_THP_DISABLE does not affect existing entries, nor advised mappings if they are exempt" <<-DAX
		read m 8			= 11
		thp disabled			= ok
		read m 8			= 11
		thp advised			= ok
		verify m 0 $len 5 $step		= ok
	DAX
	mine "MADV_NOHUGEPAGE: only entries of 4 KiB are mapped" <<-DAX
		madvise m 0 $len nohugepage	= ok
		read m 8			= $off
		munmap m			= ok
		mmap m f $len 0			= ok
		madvise m 0 $len nohugepage	= ok
		madvise m 0 $len hugepage	= ok
		verify m 0 $len 5 $step		= ok
	DAX
	if [ $align != 4K ] && ! in_c device_dax; then
		says "$align: the log says that huge pages are disabled" \
			"$DEV: daxtest.*: page fault refused: the process has huge pages disabled, .* 0x$(printf %x "$a")" <<-DAX
			thp disabled
			open f $NODE
			mmap m f $len 0
			read m 8
		DAX
		says "$align: the log says that a page table of smaller entries is in the way" \
			"$DEV: daxtest.*: page fault refused: a guard page or userfaultfd has put a table .* 0x$(printf %x "$a")" <<-DAX
			open f $NODE
			mmap m f $len 0
			madvise m 4K 4K guard_install
			read m 8
		DAX
		log_mark
		daxtest <<-DAX >/dev/null
			open f $NODE
			mmap m f $len 0
			madvise m 4K 4K guard_install
			loop 1000 read m 8
		DAX
		is "$align: the log does not have each refused fault" \
			"$(($(log_since | grep -c 'page fault refused') <= 20))" 1
	fi

	# ---- observers ----

	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f $len 0 >/dev/null
	is "$align: a process has it mapped" "$(ask a touch m 0 $len $a w | cut -d' ' -f1)" faults

	idle=/sys/kernel/mm/page_idle/bitmap
	if [ -e $idle ]; then
		at=$(($(cat "$SYS/resource") / 4096 / 64))
		printf '\xff\xff\xff\xff\xff\xff\xff\xff' | dd of=$idle bs=8 seek=$at conv=notrunc 2>/dev/null
		like "$align: its pages are never idle" "$(dd if=$idle bs=8 skip=$at count=1 2>/dev/null | od -An -tx8 | tr -d ' ')" '^0*$'
	fi

	if [ -e /sys/kernel/mm/ksm/run ]; then
		ask a madvise m 0 $len mergeable >/dev/null
		before=$(cat /sys/kernel/mm/ksm/pages_shared)
		echo 1 >/sys/kernel/mm/ksm/run
		sleep 1
		is "$align: KSM merges none of its pages" "$(cat /sys/kernel/mm/ksm/pages_shared)" "$before"
		echo 2 >/sys/kernel/mm/ksm/run
		echo 0 >/sys/kernel/mm/ksm/run
	fi

	damon=/sys/kernel/mm/damon/admin/kdamonds
	if [ -e $damon ]; then
		echo 1 >$damon/nr_kdamonds
		echo 1 >$damon/0/contexts/nr_contexts
		echo vaddr >$damon/0/contexts/0/operations
		echo 1 >$damon/0/contexts/0/targets/nr_targets
		echo "${pid_of[a]}" >$damon/0/contexts/0/targets/0/pid_target
		check "$align: DAMON monitors the process" bash -c "echo on >$damon/0/state"
		is "$align: the process can access the memory" \
			"$(ask a verify m 0 $len 5 $step) $(ask a write m 8 11)" "ok ok"
		sleep 2
		# mm's walk splits an entry of 1 GiB: it removes it, and the next access faults it in again.
		[ $align = 1G ] && faults='[12]' || faults=0
		like "$align: DAMON removes no entry, unless it is 1 GiB" "$(ask a touch m 0 $len $step w)" "^faults $faults\$"
		check "$align: DAMON is stopped" bash -c "echo off >$damon/0/state"
		echo 0 >$damon/nr_kdamonds
	fi

	ask a touch m 0 $len $step w >/dev/null
	echo 1 >/proc/sys/kernel/numa_balancing
	faults=$(ask a touch m 0 $len $step w)
	for ((i = 0; i < 20; i++)); do
		ask a loop 20 verify m 0 $len 5 $step >/dev/null
	done
	is "$align: NUMA balancing unmaps no entry" "$faults, $(ask a touch m 0 $len $step w)" "faults 0, faults 0"
	is "$align: the data is there" "$(ask a verify m 0 $len 5 $step)" ok
	leave a

	if configured MEMCG; then
		mkdir -p "$TMP/cgroup"
		mount -t cgroup2 none "$TMP/cgroup"
		echo +memory >"$TMP/cgroup/cgroup.subtree_control"
		mkdir "$TMP/cgroup/dax"
		session a
		echo "${pid_of[a]}" >"$TMP/cgroup/dax/cgroup.procs"
		ask a open f "$NODE" >/dev/null
		ask a mmap m f $len 0 >/dev/null
		# The first fill also reads what the page cache may have lost of the program: the group pays for that too.
		ask a mmap shmem anon 64K 0 >/dev/null
		ask a fill shmem 0 64K 5 4096 >/dev/null
		before=$(charged)
		check "$align: a memory cgroup is charged for shared anonymous memory: $before" test "$before" -ge 65536
		is "$align: the process fills the mapping" "$(ask a fill m 0 $len 5 $step)" ok
		is "$align: no memory cgroup is charged for it" \
			"$(charged) $(($(cat "$TMP/cgroup/dax/memory.current") < 4 << 20))" "$before 1"
		ask a write m 8 11 >/dev/null
		leave a
		rmdir "$TMP/cgroup/dax"
		umount "$TMP/cgroup"
	fi
	destroy_device >/dev/null
done
done_testing
