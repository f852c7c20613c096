/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads for the dax subsystem, besides bindings_helper.h. */

#include <linux/cdev.h>
#include <linux/dax.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/srcu.h>
#include <linux/uio.h>
#include <../../drivers/dax/bus.h>
#include <../../drivers/dax/dax-private.h>
#if IS_ENABLED(CONFIG_LIBNVDIMM)
#include <../../drivers/nvdimm/pfn.h>
#include <../../drivers/nvdimm/nd.h>
#endif
