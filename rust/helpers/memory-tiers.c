// SPDX-License-Identifier: GPL-2.0

#include <linux/memory-tiers.h>

#ifndef CONFIG_NUMA
__rust_helper struct memory_dev_type *
rust_helper_alloc_memory_type(int adistance)
{
	return alloc_memory_type(adistance);
}

__rust_helper void
rust_helper_clear_node_memory_type(int node, struct memory_dev_type *memtype)
{
	clear_node_memory_type(node, memtype);
}

__rust_helper void
rust_helper_init_node_memory_type(int node, struct memory_dev_type *memtype)
{
	init_node_memory_type(node, memtype);
}

__rust_helper int rust_helper_mt_calc_adistance(int node, int *adist)
{
	return mt_calc_adistance(node, adist);
}

__rust_helper void rust_helper_put_memory_type(struct memory_dev_type *memtype)
{
	put_memory_type(memtype);
}
#endif
