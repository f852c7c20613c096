/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __DAX_CORE_EXPORTS_H__
#define __DAX_CORE_EXPORTS_H__

#include <linux/srcu.h>

struct dax_device_driver;

/* Shared by exports.c and the core in Rust. */

extern struct srcu_struct dax_srcu;

int dax_core_start(void);

/*
 * For dax_pmem_compat: loads device_dax if necessary, takes a reference on its
 * module and returns its driver.
 */
struct dax_device_driver *dax_class_driver_get(void);

#endif /* __DAX_CORE_EXPORTS_H__ */
