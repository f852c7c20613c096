#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# With dontfork=1, device_dax keeps its mappings from child processes.
# impl: rust device_dax - C has no such parameter
. ./lib.sh
dax_device "$PMD" mem "$(room "$PMD")"
loaded_with()
{
	modprobe -r device_dax && modprobe device_dax "$@" && wait_bound
}
on_exit "modprobe -r device_dax; modprobe device_dax"

dax "by default a child inherits a mapping" <<-DAX
	open f $NODE			= ok
	mmap m f $PMD 0			= ok
	write m 0 5			= ok
	child read m 0			= 5
	madvise m 0 $PMD dontfork		= ok
	child read m 0			= SIGSEGV*
	madvise m 0 $PMD dofork		= ok
	child read m 0			= 5
DAX
check "device_dax is loaded with dontfork=1" loaded_with dontfork=1
dax "a child does not, whatever the program does" <<-DAX
	open f $NODE			= ok
	mmap m f $PMD 0			= ok
	write m 0 6			= ok
	child read m 0			= SIGSEGV*
	madvise m 0 $PMD dofork		= EINVAL
	child read m 0			= SIGSEGV*
	read m 0			= 6
	smaps m VmFlags			= *dc*de*
DAX
check "device_dax is loaded without it" loaded_with
dax "then a child inherits a mapping again" <<-DAX
	open f $NODE			= ok
	mmap m f $PMD 0			= ok
	child read m 0			= 6
DAX
done_testing
