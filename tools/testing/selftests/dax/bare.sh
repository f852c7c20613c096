#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An instance without struct pages: the file memmap is 0. device_dax maps page frames.
# machines: hmem nvdimm
# impl: rust core device_dax - C always makes struct pages
# limit: 240
# splat: due to hardware memory corruption|recovery action for
. ./lib.sh
M=1048576
memmap_pages() { awk '/^nr_memmap_pages / { print $2 }' /proc/vmstat; }
case $MACHINE in
nvdimm)
	dax_device 2M mem 512M
	unbind
	;;
*)
	dynamic_region
	new_device 512M
	;;
esac
SIZE=$(cat "$SYS/size")
none=$(memmap_pages)
first=$(($(cat "$SYS/mapping0/start")))
LENGTH_M=$((SIZE / M))

# ---- the file ----

is "an instance gets struct pages by default" "$(cat "$SYS/memmap") $(stat -c %a "$SYS/memmap")" "1 644"
is "memmap takes 0" "$(result "$SYS/memmap" 0) $(cat "$SYS/memmap")" "ok 0"
is "it takes no other word" "$(result "$SYS/memmap" 2)" EINVAL

# ---- other drivers ----

for driver in kmem fsdev_dax; do
	at=/sys/bus/dax/drivers/$driver
	modprobe -q $driver
	[ -e $at ] || continue
	echo "$DEV" >$at/new_id
	is "$driver does not bind to it" "$(driver)" none
	says "the log says why" "$DEV: not bound to $driver: it needs struct pages, and memmap is 0; write 1 to memmap, or bind the device to device_dax" \
		<<<"put $at/bind $DEV"
	echo "$DEV" >$at/remove_id
done

# ---- bound ----

case $MACHINE in nvdimm) bind ;; *) bind_to_device ;; esac
is "device_dax has it" "$(driver)" device_dax
is "there are no struct pages" "$(memmap_pages)" "$none"
is "memmap cannot be changed while it is bound" "$(result "$SYS/memmap" 1) $(cat "$SYS/memmap")" "EBUSY 0"
says "the log says so" "$DEV: memmap 1 refused: bound to a driver; unbind it first" <<<"put $SYS/memmap 1"
is "the memory is reserved" "$(grep -c " : $DEV\$" /proc/iomem)" 1
dax "it is mapped as any other device" <<-DAX
	open f $NODE			= ok
	mmap m f 64M 0			= ok
	fill m 0 64M 7 2M		= ok
	verify m 0 64M 7 2M		= ok
	phys m 0			= none
	smaps m KernelPageSize		= 2048 kB
	smaps m VmFlags			= *pf*dc*de*dd*
	smaps m Rss			= 0 kB
	fill m 0 64M 11 4K		= ok
	mprotect m 0 2M r		= ok
	write m 0 5			= SIGSEGV*
	mprotect m 0 2M rw		= ok
	write m 0 5			= ok
	read m 0			= 5
	mmap p f 2M 0 rw private	= EINVAL
	mmap o f 2M 4K			= EINVAL
	mmap q f 3M 0			= EINVAL
	madvise m 0 64M guard_install	= EINVAL
	mprotect m 0 3M r		= EINVAL
	mmap e f 2M ${LENGTH_M}M	= ok
	read e 0			= SIGBUS*
DAX
is "each fault made one entry" "$(($(cat "$SYS/stats/faults_pmd") >= 32)) $(cat "$SYS/stats/faults_pte")" "1 0"

# ---- the memory type ----

if [ -e /sys/kernel/debug/x86/pat_memtype_list ]; then
	found=0 other=0
	while read -r line; do
		[[ $line =~ (0x[0-9a-f]+)-(0x[0-9a-f]+) ]] || continue
		from=$((BASH_REMATCH[1])) to=$((BASH_REMATCH[2]))
		((from >= first && to <= first + SIZE)) || continue
		case $line in *write-back*) ((found += to - from)) ;; *) other=$line ;; esac
	done </sys/kernel/debug/x86/pat_memtype_list
	is "all of the memory is write-back, and nothing else" "$found $other" "$SIZE 0"
fi

# ---- fork ----

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 64M 0 >/dev/null
ask a write m 0 41 >/dev/null
is "a child does not inherit the mapping" "$(ask a child read m 0)" "SIGSEGV MAPERR at 0"
is "MADV_DOFORK is refused" "$(ask a madvise m 0 64M dofork)" EINVAL
is "a child still does not" "$(ask a child read m 0)" "SIGSEGV MAPERR at 0"

# ---- the kernel ----

is "a debugger reads it" "$(ask a procread m 0)" 41
is "a debugger writes to it" "$(ask a procwrite m 8 42) $(ask a read m 8)" "ok 42"
is "also where nothing was touched" "$(ask a procwrite m 32M 43) $(ask a read m 32M)" "ok 43"
head -c 1M /dev/zero >/root/scratch
on_exit "rm -f /root/scratch"
ask a open d /root/scratch rw direct >/dev/null
is "O_DIRECT into it: EFAULT" "$(ask a pread d 4K 0 m 0)" EFAULT
is "O_DIRECT from it: EFAULT" "$(ask a pwrite d 4K 0 m 0)" EFAULT
is "it cannot be registered with io_uring" "$(ask a uring u m 0 4K)" EFAULT
ask a open b /root/scratch rw >/dev/null
is "read() into it copies" "$(ask a pread b 4K 0 m 2M)" 4096

# ---- unbind, and memory that has pages again ----

unbind
is "after an unbind an access raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "a new mapping is refused" "$(ask a mmap q f 64M 0)" ENXIO
is "nothing is reserved" "$(grep -c " : $DEV\$" /proc/iomem)" 0
bind
is "bound again, the old mapping works" "$(ask a read m 0)" 41
unbind
echo 1 >"$SYS/memmap"
bind
check "with memmap 1 there are struct pages" test "$(memmap_pages)" -gt "$none"
is "the old mapping is not for them" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
is "a new mapping is" "$(ask a mmap n f 64M 0) $(ask a read n 0) $(ask a child read n 0)" "ok 41 41"
is "each entry mapped the memory at its offset" "$(ask a verify n 34M 30M 11 4K) $(ask a phys n 62M)" \
	"ok $(printf '%#x' $((first + 62 * M)))"
unbind
echo 0 >"$SYS/memmap"
bind
is "a mapping of struct pages is not for page frames" "$(ask a read n 0)" "SIGBUS ADRERR at 0"
is "the first mapping works again" "$(ask a read m 0)" 41

# ---- memory failure ----

# maps NAME LENGTH OFFSET: start a process that maps this range of the device, and wants early signals
maps()
{
	session "$1"
	ask "$1" open f "$NODE" >/dev/null
	ask "$1" mmap m f "$2" "$3" >/dev/null
	ask "$1" early >/dev/null
}
maps b 64M 0
maps c 2M 8M
maps d 64M 0
maps e 64M 16M
ask b write m 16M 5 >/dev/null
ask c write m 0 8 >/dev/null
ask d write m 18M 9 >/dev/null
ask e read m 0 >/dev/null
bad=$(printf '%#x' $((first + 16 * M + 4096)))
log_mark
is "a failure is injected" "$(result /sys/devices/system/memory/hard_offline_page "$bad")" ok
log_has "the log says where memory failed" "$DEV: memory failed at offset 0x1001000, physical address $bad; touching 0x200000 bytes from offset 0x1000000 on raises SIGBUS"
is "a process that touched it gets a signal with its address" "$(ask b told m)" "SIGBUS MCEERR_AO at 0x1001000 size 0x1000"
is "so does one that maps it elsewhere" "$(ask e told m)" "SIGBUS MCEERR_AO at 0x1000 size 0x1000"
is "one that maps other memory gets none" "$(ask c told m) $(ask c read m 0)" "nothing 8"
is "one that did not touch it gets none" "$(ask d told m) $(ask d read m 18M)" "nothing 9"
for process in b d; do
	is "process $process gets SIGBUS when it touches it" "$(ask $process read m 16M)" "SIGBUS MCEERR_AR at 0x1000000 size 0x200000"
	is "also when it writes" "$(ask $process write m 0x1001008 1)" "SIGBUS MCEERR_AR at 0x1001008 size 0x200000"
	is "it can touch what is behind it" "$(ask $process write m 18M 6)" ok
done
leave b
session b
ask b open f "$NODE" >/dev/null
ask b mmap m f 64M 0 >/dev/null
is "a new process cannot map it" "$(ask b read m 0x11ff000)" "SIGBUS MCEERR_AR at 0x11ff000 size 0x200000"
is "a debugger cannot read the page" "$(ask b procread m 0x1001000)" EIO
is "it can read the next one" "$(ask b procread m 18M)" 6
is "refusals are counted" "$(cat "$SYS/stats/refused_failed")" 5
leave e
leave d
leave c
leave b
leave a
unbind
bind
dax "after a new bind it can be used" <<-DAX
	open f $NODE	= ok
	mmap m f 64M 0	= ok
	read m 16M	= 5
DAX

# ---- dynamic regions ----

unbind
if [ "$MACHINE" = hmem ]; then
	echo 4096 >"$SYS/align"
	bind
	dax "entries of 4 KiB" <<-DAX
		open f $NODE		= ok
		mmap m f 4M 4K		= ok
		fill m 0 4M 9 4K	= ok
		verify m 0 4M 9 4K	= ok
		smaps m KernelPageSize	= 4 kB
	DAX
	session a
	ask a open f "$NODE" >/dev/null
	ask a mmap m f 1G 0 >/dev/null
	is "it grows while it is bound" "$(result "$SYS/size" $((768 * M)))" ok
	is "the mapping finds the memory" "$(ask a write m 700M 3) $(ask a read m 700M)" "ok 3"
	is "so does a debugger" "$(ask a procread m 700M)" 3
	is "there are no struct pages" "$(memmap_pages)" "$none"
	leave a
	unbind
	echo 0 >"$SYS/size"
	echo $((1 << 30)) >"$SYS/align"
	echo $((2 << 30)) >"$SYS/size"
	bind
	dax "entries of 1 GiB" <<-DAX
		open f $NODE		= ok
		mmap m f 2G 0		= ok
		write m 0 1		= ok
		write m 1G 2		= ok
		read m 0		= 1
		smaps m KernelPageSize	= 1048576 kB
		smaps m Rss		= 0 kB
		smaps m Rss		= 0 kB
		read m 0		= 1
		read m 1G		= 2
		child read m 0		= SIGSEGV*
		procread m 1G		= 2
	DAX
	is "each touch made an entry of 1 GiB" "$(cat "$SYS/stats/faults_pud") $(cat "$SYS/stats/faults_pmd") $(cat "$SYS/stats/faults_pte")" "4 0 0"
	unbind
	echo 1 >"$SYS/memmap"
	empty_region
fi
done_testing
