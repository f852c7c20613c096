// SPDX-License-Identifier: GPL-2.0
/*
 * What the DAX core has to do in C, because it takes a macro of C: offer the
 * functions of the Rust part to modules, define the SRCU domain, and start
 * early. Everything else is in the Rust files beside this one.
 */

#include <linux/dax.h>
#include <linux/init.h>
#include <linux/module.h>
#include "../bus.h"
#include "../dax-private.h"
#include "exports.h"

/*
 * Readers of this domain have seen a dax_device alive. It exists before any
 * initcall, so that dax_read_lock() works, and finds nothing alive, even
 * before the core has started.
 */
DEFINE_SRCU(dax_srcu);

/* dax_device.rs: include/linux/dax.h */
EXPORT_SYMBOL_GPL(alloc_dax);
EXPORT_SYMBOL_GPL(dax_alive);
EXPORT_SYMBOL_GPL(dax_dev_get);
EXPORT_SYMBOL_GPL(dax_direct_access);
EXPORT_SYMBOL_GPL(dax_flush);
EXPORT_SYMBOL_GPL(dax_get_private);
EXPORT_SYMBOL_GPL(dax_holder);
EXPORT_SYMBOL_GPL(dax_holder_notify_failure);
EXPORT_SYMBOL_GPL(dax_read_lock);
EXPORT_SYMBOL_GPL(dax_read_unlock);
EXPORT_SYMBOL_GPL(dax_recovery_write);
EXPORT_SYMBOL_GPL(dax_set_ops);
EXPORT_SYMBOL_GPL(dax_synchronous);
EXPORT_SYMBOL_GPL(dax_write_cache);
EXPORT_SYMBOL_GPL(dax_write_cache_enabled);
EXPORT_SYMBOL_GPL(dax_zero_page_range);
EXPORT_SYMBOL_GPL(kill_dax);
EXPORT_SYMBOL_GPL(put_dax);
EXPORT_SYMBOL_GPL(set_dax_nocache);
EXPORT_SYMBOL_GPL(set_dax_nomc);
EXPORT_SYMBOL_GPL(set_dax_synchronous);

#ifdef CONFIG_FS_DAX
EXPORT_SYMBOL_GPL(fs_dax_get);
EXPORT_SYMBOL_GPL(fs_put_dax);
#ifdef CONFIG_BLOCK
EXPORT_SYMBOL_GPL(dax_add_host);
EXPORT_SYMBOL_GPL(dax_remove_host);
EXPORT_SYMBOL_GPL(fs_dax_get_by_bdev);
#endif
#endif

/* dax_device.rs: drivers/dax/dax-private.h */
EXPORT_SYMBOL_GPL(dax_inode);
EXPORT_SYMBOL_GPL(inode_dax);
EXPORT_SYMBOL_GPL(run_dax);

/* ffi/bus.rs: drivers/dax/bus.h, and the rest of dax-private.h */
EXPORT_SYMBOL_GPL(__dax_driver_register);
EXPORT_SYMBOL_GPL(alloc_dax_region);
#if IS_ENABLED(CONFIG_DEV_DAX_PMEM_COMPAT)
EXPORT_SYMBOL_GPL(dax_class_driver_get);
#endif
EXPORT_SYMBOL_GPL(dax_driver_unregister);
EXPORT_SYMBOL_GPL(dax_pgoff_to_phys);
EXPORT_SYMBOL_GPL(devm_create_dev_dax);
EXPORT_SYMBOL_GPL(kill_dev_dax);
EXPORT_SYMBOL_GPL(static_dev_dax);

/*
 * Before device_initcall, when the drivers of the memory start: those that
 * are built in register with the core right away. The module! macro of Rust
 * knows no other level than device_initcall.
 */
subsys_initcall(dax_core_start);

MODULE_DESCRIPTION("DAX: direct access to differentiated memory");
MODULE_LICENSE("GPL");
