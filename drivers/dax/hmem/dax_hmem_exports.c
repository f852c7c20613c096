// SPDX-License-Identifier: GPL-2.0
/*
 * The part of dax_hmem that needs C macros: it exports a function and declares
 * a parameter that root can change at run time.
 */

#include <linux/module.h>
#include "../bus.h"
#include "exports.h"

EXPORT_SYMBOL_FOR_MODULES(dax_hmem_flush_work, "dax_cxl");

module_param_named(region_idle, dax_hmem_region_idle, bool, 0644);
MODULE_PARM_DESC(region_idle, "Make regions without memory in their first device, and do not offer them to kmem (default: N)");
