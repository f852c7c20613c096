/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads for the dax subsystem, besides bindings_helper.h. */

#include <linux/anon_inodes.h>
#include <linux/blkdev.h>
#include <linux/cdev.h>
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/kdev_t.h>
#include <linux/libnvdimm.h>
#include <linux/magic.h>
#include <linux/huge_mm.h>
#include <linux/kmod.h>
#include <linux/memory-failure.h>
#include <linux/memory-tiers.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/memregion.h>
#include <linux/memremap.h>
#include <linux/mman.h>
#include <linux/numa.h>
#include <linux/pagemap.h>
#include <linux/platform_device.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/swap.h>
#include <linux/task_work.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <trace/events/dax.h>
#include <uapi/linux/daxfile.h>
#include <../../drivers/cxl/cxl.h>
#include <../../drivers/dax/bus.h>
#include <../../drivers/dax/core/exports.h>
#include <../../drivers/dax/dax-private.h>
#include <../../drivers/dax/hmem/exports.h>
#if IS_ENABLED(CONFIG_LIBNVDIMM)
#include <../../drivers/nvdimm/pfn.h>
#include <../../drivers/nvdimm/nd.h>
#endif

/* Constants that bindgen does not understand. */
const gfp_t RUST_CONST_HELPER_GFP_USER = GFP_USER;
const slab_flags_t RUST_CONST_HELPER_SLAB_ACCOUNT = SLAB_ACCOUNT;
const slab_flags_t RUST_CONST_HELPER_SLAB_HWCACHE_ALIGN = SLAB_HWCACHE_ALIGN;
const slab_flags_t RUST_CONST_HELPER_SLAB_RECLAIM_ACCOUNT = SLAB_RECLAIM_ACCOUNT;
const unsigned long RUST_CONST_HELPER_IORESOURCE_DAX_STATIC = IORESOURCE_DAX_STATIC;
const fmode_t RUST_CONST_HELPER_FMODE_READ = FMODE_READ;
const fop_flags_t RUST_CONST_HELPER_FOP_MMAP_SYNC = FOP_MMAP_SYNC;
const unsigned long RUST_CONST_HELPER_IORESOURCE_DAX_KMEM = IORESOURCE_DAX_KMEM;
const unsigned long RUST_CONST_HELPER_PMD_SIZE = PMD_SIZE;
const unsigned long RUST_CONST_HELPER_PUD_SIZE = PUD_SIZE;
#ifdef CONFIG_MEMORY_HOTPLUG
const mhp_t RUST_CONST_HELPER_MHP_MEMMAP_ON_MEMORY = MHP_MEMMAP_ON_MEMORY;
const mhp_t RUST_CONST_HELPER_MHP_NID_IS_MGID = MHP_NID_IS_MGID;
#endif
