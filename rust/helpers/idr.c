// SPDX-License-Identifier: GPL-2.0

#include <linux/idr.h>

__rust_helper void rust_helper_ida_init(struct ida *ida)
{
	static struct lock_class_key key;

	ida_init(ida);
	/*
	 * An IDA is safe to use in interrupts, other xarrays need not be. Both
	 * are initialised in helpers.c. Without a class of its own lockdep would
	 * take one for the other.
	 */
	lockdep_set_class(&ida->xa.xa_lock, &key);
}
