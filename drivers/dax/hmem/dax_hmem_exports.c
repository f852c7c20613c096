// SPDX-License-Identifier: GPL-2.0
/*
 * What dax_hmem has to do in C, because it takes a macro of C: export a
 * function, and declare a parameter that can be changed at run time.
 */

#include <linux/module.h>
#include "../bus.h"
#include "exports.h"

EXPORT_SYMBOL_FOR_MODULES(dax_hmem_flush_work, "dax_cxl");

module_param_named(region_idle, dax_hmem_region_idle, bool, 0644);
MODULE_PARM_DESC(region_idle, "Make regions without memory in their first device, and do not offer them to kmem (default: N)");
