#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# File operations on the device: it can be mapped, everything else is refused.
# machines: nvdimm legacy
. ./lib.sh
dax_device "$PMD" mem "$(room "$PMD")"

dax "open and close, in each mode and 200 times" <<-DAX
	open f $NODE		= ok
	open g $NODE ro		= ok
	open h $NODE wo		= ok
	close f			= ok
	close g			= ok
	loop 200 open f $NODE	= ok
	mmap m f $PMD 0		= ok
	write m 0 17		= ok
DAX

dax "it is a character device with the number that sysfs shows" <<-DAX
	open f $NODE		= ok
	fstat f			= char $(cat "$SYS/dev") size 0
DAX

dax "read and write are refused" <<-DAX
	open f $NODE		= ok
	sysread f		= EINVAL
	syswrite f		= EINVAL
	pread f 4K 0		= EINVAL
	pwrite f 4K 0		= EINVAL
	open r $NODE ro		= ok
	syswrite r		= EBADF
	open w $NODE wo		= ok
	sysread w		= EBADF
	mmap m f $PMD 0		= ok
	read m 0		= 17
DAX

dax "truncate and allocate are refused" <<-DAX
	open f $NODE		= ok
	ftruncate f 0		= EINVAL
	ftruncate f 4G		= EINVAL
	truncate $NODE 0	= EINVAL
	open t $NODE trunc	= ok
	open c $NODE creat	= ok
	fallocate f alloc 0 4K	= ENODEV
	fallocate f punch 0 4K	= ENODEV
	fallocate f zero 0 4K	= ENODEV
	mmap m f $PMD 0		= ok
	read m 0		= 17
DAX

dax "lseek always returns 0" <<-DAX
	open f $NODE		= ok
	lseek f 0 set		= 0
	lseek f 2M set		= 0
	lseek f 0 cur		= 0
	lseek f 0 end		= 0
	lseek f -5 set		= 0
	fsync f			= EINVAL
DAX

dax "a write-only file cannot be mapped" <<-DAX
	open f $NODE wo		= ok
	mmap m f $PMD 0		= EACCES
	mmap m f $PMD 0 r		= EACCES
DAX

is "only the owner may open the node" "$(stat -c %a "$NODE")" 600
dax "a user other than root cannot open it" <<-DAX
	child uid 65534		= ok
	uid 65534		= ok
	open f $NODE		= EACCES
	open f $NODE ro		= EACCES
DAX
chmod 666 "$NODE"
dax "the user can if the mode of the node allows it" <<-DAX
	uid 65534		= ok
	open f $NODE		= ok
	mmap m f $PMD 0		= ok
	read m 0		= 17
DAX
chmod 600 "$NODE"

# Another node has another inode, but refers to the same device.
dax "write a value through the first node" <<-DAX
	open f $NODE		= ok
	mmap m f $PMD 0		= ok
	write m 0 21		= ok
DAX
# No other file system allows device nodes everywhere: systemd mounts /tmp with nodev.
other=/dev/node-$$
on_exit rm -f $other
check "mknod" mknod $other c $(tr : ' ' <"$SYS/dev")
dax "a second node maps the same memory" <<-DAX
	open f $NODE		= ok
	open g $other	= ok
	mmap m f $PMD 0		= ok
	mmap n g $PMD 0		= ok
	read n 0		= 21
	write n 8 22		= ok
	read m 8		= 22
DAX

dax "the kernel can access the mapping: O_DIRECT, /proc/PID/mem" <<-DAX
	open d /root/scratch creat direct	= ok
	open f $NODE		= ok
	mmap m f $PMD 0		= ok
	fill m 0 64K 5		= ok
	pwrite d 65536 0 m 0	= 65536
	fill m 0 64K 6		= ok
	pread d 65536 0 m 0	= 65536
	verify m 0 64K 5	= ok
	procread m 0		= *
DAX
rm -f /root/scratch

unbind
for mode in rw ro; do
	dax "a device without a driver cannot be opened ($mode)" <<-DAX
		open f $NODE $mode	= ENXIO
		open f $other $mode	= ENXIO
	DAX
done
bind
dax "it can be opened again once a driver is bound" <<-DAX
	open f $NODE		= ok
	mmap m f $PMD 0		= ok
	verify m 0 64K 5	= ok
DAX
done_testing
