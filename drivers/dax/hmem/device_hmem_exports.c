// SPDX-License-Identifier: GPL-2.0
/*
 * What the built-in part of hmem has to do in C, because it takes a macro of C:
 * export a function, declare a parameter, and start at the right time.
 */

#include <linux/dax.h>
#include <linux/init.h>
#include <linux/module.h>
#include "exports.h"

EXPORT_SYMBOL_GPL(walk_hmem_resources);

module_param_named(disable, device_hmem_disable, bool, 0444);
MODULE_PARM_DESC(disable, "Offer no memory for a specific purpose (default: N)");

/* After the HMAT has been read, which knows more of the same memory. */
device_initcall(device_hmem_start);
