// SPDX-License-Identifier: GPL-2.0
/*
 * The part of the built-in half of hmem that needs C macros: it exports a
 * function, declares a parameter and starts at the right time.
 */

#include <linux/dax.h>
#include <linux/init.h>
#include <linux/module.h>
#include "exports.h"

EXPORT_SYMBOL_GPL(walk_hmem_resources);

module_param_named(disable, device_hmem_disable, bool, 0444);
MODULE_PARM_DESC(disable, "Offer no memory for a specific purpose (default: N)");

/* The HMAT, which knows the nodes of the same memory, is read before this. */
device_initcall(device_hmem_start);
