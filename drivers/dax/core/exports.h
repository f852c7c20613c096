/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __DAX_CORE_EXPORTS_H__
#define __DAX_CORE_EXPORTS_H__

#include <linux/srcu.h>

/* What exports.c and the Rust part of the core have from each other. */

extern struct srcu_struct dax_srcu;

int dax_core_start(void);

#endif /* __DAX_CORE_EXPORTS_H__ */
