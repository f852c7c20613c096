#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kexec and kdump while the memory of a device is System RAM. The kernel that kexec starts does not use
# that memory before it is added again. The kernel that starts after a crash saves it, and a debugger
# finds a program's data in it. Then the same with kmem in C.
# machines: nvdimm
# image: programs
# boots: 6
# kexec: programs crash off
# kernel: programs
# append: crashkernel=1G
# needs: kexec makedumpfile drgn crash numactl
# limit: 900
# splat: sysrq triggered crash|Kernel panic - not syncing: sysrq|Modules linked in|Call Trace|Oops
# tier: all
. ./lib.sh

keep() { echo "$2" >"$PERSIST/kdump-$1"; }
kept() { cat "$PERSIST/kdump-$1"; }
kmem=$(in_c kmem && echo C || echo Rust)
case $BOOT in
[45])
	kmem=C
	rmmod kmem
	insmod ./upstream/kmem.ko || bail_out "upstream's kmem cannot be loaded: $(dmesg | tail -n 3)"
	;;
esac
# For the crash: the kernel under test, by its initramfs if it needs one.
kernel=(/mnt/tests/kexec/programs/bzImage)
[ -e "${kernel[0]}" ] || kernel=("/boot/vmlinuz-$(uname -r)" --initrd="/boot/initrd.img-$(uname -r)")
MARK="kept in the memory of a device, boot"
MIB=64

# ram: the kernel's memory in KiB, with all that is reserved for a crash, which depends on where it is
ram()
{
	local sum first last
	sum=$(mem_total)
	while read -r first last; do
		sum=$((sum + ((last - first + 1) >> 10)))
	done < <(sed -nE 's/^ *([0-9a-f]+)-([0-9a-f]+) : Crash kernel/0x\1 0x\2/p' /proc/iomem)
	echo $sum
}

# system_ram: make the device System RAM, and start a program whose memory is there
system_ram()
{
	check "kmem in $kmem makes it System RAM" daxctl reconfigure-device -m system-ram "$DEV"
	is "all of it is online" "$(daxctl list -d "$DEV" | jq -r '.[0] | .online_memblocks == .total_memblocks')" true
	rm -f "$TMP/there"
	numactl --membind="$(cat "$SYS/target_node")" python3 - "$MARK $BOOT" $MIB "$TMP/there" >/dev/null 2>&1 <<-'EOF' &
		import ctypes, mmap, sys, time
		mark, size = sys.argv[1].encode(), int(sys.argv[2]) << 20
		m = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
		for at in range(0, size, 4096):
		    m[at:at + len(mark)] = mark
		open(sys.argv[3], "w").write(f"{ctypes.addressof(ctypes.c_char.from_buffer(m)):#x}")
		time.sleep(100000)
	EOF
	pid=$!
	disown $pid
	check "a program writes to $MIB MiB of it" within 60 bash -c "until [ -s $TMP/there ]; do sleep 0.2; done"
	keep program "$pid $(cat "$TMP/there")"
	keep ram "$(its_memory)"
}

# pages BOOT: the number of pages in the device that have the mark of that boot
pages()
{
	python3 - "$NODE" "$SIZE" "$MARK $1" <<-'EOF'
		import mmap, os, sys
		mark = sys.argv[3].encode()
		with mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2]), mmap.MAP_SHARED, mmap.PROT_READ) as m:
		    print(sum(m[at:at + len(mark)] == mark for at in range(0, len(m), 4096)))
	EOF
}

case $BOOT in
1 | 4)
	if [ "$BOOT" = 1 ]; then
		dax_device 2M mem 1G
		at_exit=()
		keep device "$DEV $NS"
	else
		read -r DEV NS <<<"$(kept device)"
		use_device "$DEV"
		check "$DEV is bound" wait_bound
	fi
	keep total "$(ram)"
	system_ram
	;;
2 | 5)
	read -r DEV NS <<<"$(kept device)"
	use_device "$DEV"
	check "after kexec device_dax has the device" wait_bound
	is "it is no System RAM" "$(its_memory)" ""
	more=$(($(ram) - $(kept total)))
	check "the kernel has as much memory as the one before at first: $more KiB more" test "${more#-}" -lt 4096
	is "the kernel has not used it: what the program wrote is all there" "$(pages $((BOOT - 1)))" $((MIB << 8))
	line=$(sed 's/ crashkernel=[^ ]*//' /proc/cmdline)
	check "a kernel is loaded for a crash" kexec -p --hotplug "${kernel[@]}" \
		--command-line="$line maxcpus=1 reset_devices"
	is "it is there" "$(cat /sys/kernel/kexec_crash_loaded)" 1
	# The memory comes after that kernel was loaded, so the list of memory to save has to follow.
	system_ram
	;;
3 | 6)
	check "after the crash the kernel has the memory of the one before as a file" test -s /proc/vmcore
	check "its own memory is what was reserved for it: $(mem_total) KiB" test "$(mem_total)" -lt $((1 << 20))
	is "nothing is System RAM of a device" "$(grep -c kmem /proc/iomem)" 0
	rm -f "$PERSIST/vmcore"
	check "makedumpfile saves the memory without free pages" makedumpfile -l -d 17 /proc/vmcore "$PERSIST/vmcore"
	read -r pid at <<<"$(kept program)"
	cat >"$TMP/look.py" <<-'EOF'
		import sys
		from drgn.helpers.linux.mm import access_remote_vm, follow_phys
		from drgn.helpers.linux.pid import find_task
		pid, at, size, mark = int(sys.argv[1]), int(sys.argv[2], 16), int(sys.argv[3]) << 20, sys.argv[4].encode()
		mm = find_task(prog, pid).mm
		found = 0
		for part in range(at, at + size, 1 << 20):
		    memory = access_remote_vm(mm, part, 1 << 20)
		    found += sum(memory[page:page + len(mark)] == mark for page in range(0, 1 << 20, 4096))
		places = [follow_phys(mm, page).value_() for page in range(at, at + size, 1 << 20)]
		print(found, hex(min(places)), hex(max(places)))
	EOF
	found=$(drgn -c "$PERSIST/vmcore" -s ./vmlinux "$TMP/look.py" "$pid" "$at" $MIB "$MARK $((BOOT - 1))" 2>"$TMP/drgn")
	read -r pages low high <<<"$found"
	is "a debugger finds each page of the program in it" "${pages:-$(tail -n 3 "$TMP/drgn")}" $((MIB << 8))
	range=$(kept ram)
	check "they were in the memory of the device, from $low to $high" \
		test $((low)) -ge $((0x${range%-*})) -a $((high)) -le $((0x${range#*-}))
	# It knows neither the slabs nor the modules of this kernel.
	printf 'set %d\nrd -u -a %s\n' "$pid" "${at#0x}" >"$TMP/look"
	like "crash, too, reads what the program wrote" "$(within 400 crash -s --no_kmem_cache --no_modules ./vmlinux \
		"$PERSIST/vmcore" <"$TMP/look" 2>&1)" "$MARK $((BOOT - 1))"
	rm "$PERSIST/vmcore"
	;;
esac
done_testing
