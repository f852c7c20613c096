/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __DAX_HMEM_EXPORTS_H__
#define __DAX_HMEM_EXPORTS_H__

#include <linux/types.h>

/* Defined in Rust, used by the C files in this directory. */

/* device_hmem_main.rs */
extern bool device_hmem_disable;
int device_hmem_start(void);

/* dax_hmem_main.rs */
extern bool dax_hmem_region_idle;

#endif /* __DAX_HMEM_EXPORTS_H__ */
