// SPDX-License-Identifier: GPL-2.0
/*
 * The part of the DAX core that needs C macros: it exports the Rust functions
 * to modules, defines the SRCU domain and starts the core. The rest of the
 * core is in Rust.
 */

#include <linux/dax.h>
#include <linux/init.h>
#include <linux/module.h>
#include "../bus.h"
#include "../dax-private.h"
#include "exports.h"

/*
 * dax_read_lock() enters this domain. The domain is defined statically so that
 * dax_read_lock() also works before the core has started. No dax_device is
 * alive at that time.
 */
DEFINE_SRCU(dax_srcu);

/* Declared in include/linux/dax.h */
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

/* Declared in drivers/dax/dax-private.h */
EXPORT_SYMBOL_GPL(dax_inode);
EXPORT_SYMBOL_GPL(inode_dax);
EXPORT_SYMBOL_GPL(run_dax);

/* Declared in drivers/dax/bus.h, dax-private.h and exports.h */
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
 * Built-in providers register with the core at device_initcall, so the core
 * must start before. Rust's module! macro can only use device_initcall.
 */
subsys_initcall(dax_core_start);

MODULE_DESCRIPTION("DAX: direct access to differentiated memory");
MODULE_LICENSE("GPL");
