#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Namespaces become instances, on the bus and in the class. Instances are opened and mapped. Each
# allocation fails in turn.
# machines: nvdimm
# tier: all
# kernel: debug
# splat: at (arch_add_memory|add_pages)\+|Modules linked in:|Call Trace:
# limit: 600
. ./lib.sh
can_inject

# ---- from the namespace to the device ----

for map in mem dev; do
	dax_device 2M $map 64M
	inject_probe dax_pmem "a namespace, map $map"
	destroy_device >/dev/null
done
in_class
dax_device 2M mem 64M
inject_probe dax_pmem_compat "a namespace, in the class"
destroy_device >/dev/null
provided_by dax_pmem

# ---- from the device to the memory ----

watched=(/sys/module/device_dax/refcnt)
# An address that has no page tables yet.
far=0x100000000000
for align in 4K 2M 1G; do
	dax_device $align mem $([ $align = 1G ] && echo 2G || echo 64M)
	inject "open, align $align" "ENOMEM|ok" open f "$NODE" <<-EOF
		undo close f
	EOF
	inject "mmap, align $align" "ENOMEM|ok" mmap m f $align 0 <<-EOF
		open f $NODE
		undo munmap m
	EOF
	inject "mmap with all entries, align $align" "ENOMEM|ok" mmap m f $align 0 hint=$far populate <<-EOF
		open f $NODE
		undo munmap m
	EOF
	inject "entries, align $align" "ENOMEM|EFAULT|ok" madvise m 0 $align populate_write <<-EOF
		open f $NODE
		mmap m f $align 0 hint=$far
		undo munmap m
		undo mmap m f $align 0 hint=$far
	EOF
	# mm tries again until there is memory.
	inject "a fault, align $align" ok write m 0 1 <<-EOF
		open f $NODE
		mmap m f $align 0 hint=$far
		undo munmap m
		undo mmap m f $align 0 hint=$far
	EOF
	destroy_device >/dev/null
done
done_testing
