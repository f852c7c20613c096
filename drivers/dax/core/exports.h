/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __DAX_CORE_EXPORTS_H__
#define __DAX_CORE_EXPORTS_H__

#include <linux/srcu.h>

struct dax_device_driver;

/* What exports.c and the Rust part of the core have from each other. */

extern struct srcu_struct dax_srcu;

int dax_core_start(void);

/* For dax_pmem_compat: device_dax, loaded if need be, with its module held. */
struct dax_device_driver *dax_class_driver_get(void);

#endif /* __DAX_CORE_EXPORTS_H__ */
