// SPDX-License-Identifier: GPL-2.0
/*
 * The module dax_rust: what device DAX in Rust needs of the kernel crate, and the kernel does not have.
 * The modules that are device DAX depend on it, so it is there when one of them is.
 */

#include <linux/module.h>

static int __init dax_rust_init(void)
{
	pr_info("dax_rust: device DAX in Rust, version " DAX_RUST_VERSION "\n");
	return 0;
}
module_init(dax_rust_init);

static void __exit dax_rust_exit(void)
{
}
module_exit(dax_rust_exit);

MODULE_AUTHOR("The device DAX in Rust authors");
MODULE_DESCRIPTION("Device DAX in Rust: what its modules share");
MODULE_VERSION(DAX_RUST_VERSION);
MODULE_LICENSE("GPL");
