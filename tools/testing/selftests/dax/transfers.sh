#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernel moves data to and from a mapping: O_DIRECT, io_uring with registered buffers,
# process_vm_readv, ptrace, vmsplice and core dumps.
# machines: nvdimm hmem
# limit: 240
. ./lib.sh

# Not in $TMP: tmpfs does O_DIRECT through the page cache.
file=$(mktemp /var/tmp/transfer.XXXXXX)
on_exit "rm -f $file"

# with HOW: "transfer" must succeed that way
with() { transfer "$NODE" "$(bytes $align)" $length "$1" "$file"; }

# dumped FILTER: the number of pages of the device that a core dump has with this coredump_filter
dumped()
{
	rm -f "$TMP"/core.*
	(echo "$1" >/proc/self/coredump_filter; exec transfer "$NODE" "$(bytes $align)" $length core >/dev/null) 2>/dev/null
	compgen -G "$TMP/core.*" >/dev/null || { echo "no core dump"; return; }
	grep -aoF text-in-the-device "$TMP"/core.* | wc -l
}

pattern=$(cat /proc/sys/kernel/core_pattern)
on_exit "echo '$pattern' >/proc/sys/kernel/core_pattern"
echo "$TMP/core.%p" >/proc/sys/kernel/core_pattern

# Entries of 4 KiB, and two of 2 MiB.
length=$((4 << 20))

transfers()
{
	check "$align: O_DIRECT writes to a file from the mapping" with direct-out
	check "$align: O_DIRECT reads a file into the mapping" with direct-in
	check "$align: io_uring writes to a file from a registered buffer" with fixed-out
	check "$align: io_uring reads a file into a registered buffer" with fixed-in
	check "$align: vmsplice moves the pages into a pipe, and splice into a file" with splice-out
	check "$align: another process reads with process_vm_readv" with vm-read
	check "$align: another process writes with process_vm_writev" with vm-write
	check "$align: a debugger reads and writes words" with ptrace
	# The bits: 4 ELF headers; 7 private and 8 shared mappings of DAX. Mappings are shared.
	# That of 1 GiB would be too large.
	[ $align != 1G ] || return
	is "$align: a core dump has no memory of the device by default" "$(dumped 0x33)" 0
	is "$align: nor with the bit for private mappings of DAX" "$(dumped 0xb3)" 0
	is "$align: nor with the bit for shared memory" "$(dumped 0x3b)" 0
	# The program maps it twice.
	is "$align: it has all of it with the bit for shared mappings of DAX" "$(dumped 0x133)" $((2 * (length >> 12)))
}

case $MACHINE in
nvdimm)
	for align in 4K 2M 1G; do
		dax_device $align mem "$([ $align = 1G ] && echo 2G || echo 256M)"
		transfers
		check "$align: nothing keeps the device: it is unbound" within 30 bash -c "echo $DEV >$DRV/unbind"
		check "$align: and bound" bind
		destroy_device >/dev/null
	done
	;;
*)
	any_device 256M
	align=2M
	transfers
	;;
esac
done_testing
