#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A namespace of legacy persistent memory becomes an instance, on the bus and in the class, while
# each allocation fails in turn. The memory is small, beside the NVDIMM, because each try makes its
# memmap. It is within one section: when a second section cannot be added, mm keeps the first, see
# upstream-bugs/add-pages-partial.
# machines: nvdimm
# append: memmap=64M!0x140000000
# tier: all
# kernel: debug
# splat: at (arch_add_memory|add_pages)\+|Modules linked in:|Call Trace:
# limit: 600
. ./lib.sh
# legacy_device: make a devdax namespace of all of the memory
legacy_device()
{
	local json
	json=$(ndctl create-namespace -m devdax -a 2M -f -e "$NS" 2>"$TMP/ndctl") ||
		bail_out "ndctl create-namespace -m devdax -e $NS: $(cat "$TMP/ndctl")"
	use_device "$(jq -r '.daxregion.devices[0].chardev' <<<"$json")"
	wait_bound || bail_out "$DEV is not bound to device_dax"
}

can_inject
NS=$(ndctl list -N -b e820 -i | jq -r '.[0].dev')
on_exit "ndctl destroy-namespace -f $NS >/dev/null 2>&1; ndctl enable-namespace $NS >/dev/null 2>&1; udevadm settle"
legacy_device
inject_probe dax_pmem "a legacy namespace"
destroy_device >/dev/null
in_class
legacy_device
inject_probe dax_pmem_compat "a legacy namespace, in the class"
done_testing
