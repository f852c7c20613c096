// SPDX-License-Identifier: GPL-2.0

#include <linux/cacheinfo.h>

__rust_helper bool rust_helper_cpu_dcache_is_aliasing(void)
{
	return cpu_dcache_is_aliasing();
}
