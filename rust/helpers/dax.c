// SPDX-License-Identifier: GPL-2.0

/* Inline functions and macros that the dax abstractions call. */

#include <linux/blkdev.h>
#include <linux/cacheinfo.h>
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/pagemap.h>
#include <linux/ratelimit.h>
#include <linux/srcu.h>

__rust_helper bool rust_helper_ratelimit(void)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&rs);
}

__rust_helper void *rust_helper_alloc_inode_sb(struct super_block *sb,
					       struct kmem_cache *cache, gfp_t gfp)
{
	return alloc_inode_sb(sb, cache, gfp);
}

#ifdef CONFIG_BLOCK
__rust_helper bool rust_helper_blk_queue_dax(struct request_queue *q)
{
	return blk_queue_dax(q);
}
#endif

__rust_helper bool rust_helper_cpu_dcache_is_aliasing(void)
{
	return cpu_dcache_is_aliasing();
}

__rust_helper void rust_helper_device_lock(struct device *dev)
{
	device_lock(dev);
}

__rust_helper void rust_helper_device_unlock(struct device *dev)
{
	device_unlock(dev);
}

__rust_helper void rust_helper_ida_init(struct ida *ida)
{
	ida_init(ida);
}

/* The member of an anonymous union, for which bindgen has no stable name. */
__rust_helper struct cdev **rust_helper_inode_cdev(struct inode *inode)
{
	return &inode->i_cdev;
}

__rust_helper void rust_helper_mapping_set_gfp_mask(struct address_space *m,
						    gfp_t mask)
{
	mapping_set_gfp_mask(m, mask);
}

#ifdef CONFIG_LOCKDEP
__rust_helper void rust_helper_srcu_assert_held(struct srcu_struct *ssp)
{
	lockdep_assert_held(ssp);
}
#endif
