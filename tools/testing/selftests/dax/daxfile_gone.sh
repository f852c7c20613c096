#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxfile: what becomes of sealed files when the memory is removed or fails, and when the file system
# is frozen, shut down or detached.
# needs: mkfs.ext4 mkfs.xfs xfs_io fsfreeze
# limit: 300
# splat: due to hardware memory corruption|Corruption|[Ss]hut|metadata I/O error|I/O error|EXT4-fs error|log mount
. ./lib.sh

modprobe daxfile || bail_out "there is no daxfile"
on_exit "modprobe -r daxfile"
modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
on_exit "rmmod hwpoison_inject"

# sealing ALIGN: start a session that has f sealed and mapped, with a pattern
sealing()
{
	rm -f "$f"
	written "$f" 8M
	session a
	ask a open f "$f" ro >/dev/null
	is "$fs, $1: seal" "$(ask a seal s f "$1")" ok
	is "$fs, $1: map" "$(ask a mmap m s 8M 0)" ok
	is "$fs, $1: write" "$(ask a fill m 0 8M 3)" ok
}

for fs in ext4 xfs; do
	for align in 4K 2M; do
		# When the memory of a mounted xfs with a reverse map is removed, xfs 7.3 does not
		# come to an end, with sealed files or without.
		case $fs in xfs) options='-m rmapbt=0' ;; *) options= ;; esac
		# shellcheck disable=SC2086
		file_system $fs $options
		f=$MNT/f
		sealing $align

		# ---- the file system ----

		fsfreeze -f "$MNT"
		is "$fs, $align: a frozen file system does not stop stores" "$(ask a write m 0 7)" ok
		is "$fs, $align: nor faults" "$(ask a mmap n s 8M 0) $(ask a read n 0)" "ok 7"
		fsfreeze -u "$MNT"
		check "$fs, $align: it thaws" touch "$MNT/g"

		umount -l "$MNT"
		is "$fs, $align: detached, the mapping still works" "$(ask a read m 2M)" "$(ask a read n 2M)"
		leave a
		sleep 0.5
		check "$fs, $align: without the process, it can be mounted again" mount -o dax=always "$PMEM" "$MNT"

		# ---- shutdown ----

		sealing $align
		xfs_io -x -c "shutdown" "$MNT" >/dev/null
		is "$fs, $align: shut down, stores still reach the memory" "$(ask a write m 0 8) $(ask a mmap n s 8M 0) $(ask a read n 0)" "ok ok 8"
		leave a
		sleep 0.2
		check "$fs, $align: shut down, it can be unmounted" umount "$MNT"
		check "$fs, $align: and mounted again" mount -o dax=always "$PMEM" "$MNT"
		dax "$fs, $align: the file has what was stored" <<-DAX
			open f $f ro		= ok
			mmap m f 8M 0 r		= ok
			read m 0		= 8
			verify m 8 $(((8 << 20) - 8)) 3	= ok
		DAX

		# ---- memory that fails ----

		if [ $fs = ext4 ]; then
			sealing $align
			session b
			ask b open f "$MNT/f" ro >/dev/null
			entry=$(bytes $align)
			first=$(xfs_io -r -c fiemap "$f" | sed -n 's/.*: \[0\.\..*\]: \([0-9]*\)\.\..*/\1/p')
			phys=$(printf '%#x' $(($(cat "$SYS/resource") + first * 512 + entry)))
			log_mark
			is "$fs, $align: a failure of a frame" "$(result /sys/kernel/debug/hwpoison/corrupt-pfn $(printf '%#x' $((phys >> 12))))" ok
			log_has "$fs, $align: the log says so" "daxfile: memory failed, physical address $phys"
			is "$fs, $align: who touches it gets the signal" "$(ask a read m $entry)" \
				"SIGBUS MCEERR_AR at $(printf '%#x' $entry) size $(printf '%#x' $entry)"
			is "$fs, $align: the rest is there" "$(ask a verify m 0 $entry 3)" ok
			leave a
			leave b
			sleep 0.2
			echo $((phys >> 12)) >/sys/kernel/debug/hwpoison/unpoison-pfn 2>/dev/null
		fi

		# ---- removal ----

		sealing $align
		check "$fs, $align: the driver of the memory is unbound in time" within 30 \
			bash -c "echo $(basename "$SYS") >$SYS/driver/unbind"
		is "$fs, $align: a touch raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
		is "$fs, $align: everywhere" "$(ask a read m 6M)" "SIGBUS ADRERR at 0x600000"
		is "$fs, $align: the file cannot be mapped any more" "$(ask a mmap n s 8M 0)" ENXIO
		like "$fs, $align: fdinfo says so" "$(cat /proc/"${pid_of[a]}"/fdinfo/*)" "daxfile-memory:	removed"
		is "$fs, $align: nor sealed again" "$(ask a close s) $(ask a munmap m) $(ask a seal s f "$align")" "ok ok EIO"
		leave a
		for ((i = 0; i < 50; i++)); do umount "$MNT" 2>/dev/null && break; sleep 0.1; done
		drop_file_system
	done
done
done_testing
