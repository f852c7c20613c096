// SPDX-License-Identifier: GPL-2.0
/*
 * DAX sample: a file system with one file, the memory of a device DAX instance.
 *
 *	mount -t onefile -o size=1073741824 /dev/dax0.0 /mnt
 *
 * shows the first GiB of the instance as /mnt/data. The instance must be bound
 * to fsdev_dax. The sample does what a file system without a block device must
 * do: it becomes the holder of the dax device, maps and copies through fs/dax.c,
 * and handles memory that fails or goes away. It has no metadata and allocates
 * nothing.
 *
 * The tests of fsdev_dax use it, because no file system in Linux uses fsdev_dax.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dax.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/huge_mm.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#define ONEFILE_MAGIC	0x6f6e6566
#define ONEFILE_INO	2

struct onefile {
	struct dax_device *dax_dev;
	struct inode *inode;
	u64 size;
	bool gone;	/* memory removed; protected by the inode's invalidate lock */
};

static int onefile_iomap_begin(struct inode *inode, loff_t pos, loff_t length,
			       unsigned int flags, struct iomap *iomap,
			       struct iomap *srcmap)
{
	struct onefile *of = inode->i_sb->s_fs_info;

	if (of->gone)
		return -EIO;
	iomap->type = IOMAP_MAPPED;
	iomap->dax_dev = of->dax_dev;
	iomap->addr = 0;
	iomap->offset = 0;
	iomap->length = of->size;
	return 0;
}

static const struct iomap_ops onefile_iomap_ops = {
	.iomap_begin = onefile_iomap_begin,
};

static vm_fault_t onefile_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	unsigned long pfn;
	vm_fault_t ret;

	filemap_invalidate_lock_shared(inode->i_mapping);
	ret = dax_iomap_fault(vmf, order, &pfn, NULL, &onefile_iomap_ops);
	filemap_invalidate_unlock_shared(inode->i_mapping);
	return ret;
}

static vm_fault_t onefile_fault(struct vm_fault *vmf)
{
	return onefile_huge_fault(vmf, 0);
}

static const struct vm_operations_struct onefile_vm_ops = {
	.fault = onefile_fault,
	.huge_fault = onefile_huge_fault,
	.page_mkwrite = onefile_fault,
	.pfn_mkwrite = onefile_fault,
};

static int onefile_mmap_prepare(struct vm_area_desc *desc)
{
	desc->vm_ops = &onefile_vm_ops;
	vma_desc_set_flags(desc, VMA_HUGEPAGE_BIT);
	return 0;
}

static ssize_t onefile_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t ret;

	if (!iov_iter_count(to) || iocb->ki_pos >= i_size_read(inode))
		return 0;
	inode_lock_shared(inode);
	ret = dax_iomap_rw(iocb, to, &onefile_iomap_ops);
	inode_unlock_shared(inode);
	return ret;
}

static ssize_t onefile_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t ret;

	inode_lock(inode);
	ret = generic_write_checks(iocb, from);
	if (ret > 0)
		ret = dax_iomap_rw(iocb, from, &onefile_iomap_ops);
	inode_unlock(inode);
	return ret;
}

static long onefile_fallocate(struct file *file, int mode, loff_t pos, loff_t len)
{
	struct inode *inode = file_inode(file);
	int ret;

	if ((mode | FALLOC_FL_KEEP_SIZE) !=
	    (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	if (pos + len > i_size_read(inode))
		return -ENOSPC;
	inode_lock(inode);
	ret = dax_zero_range(inode, pos, len, NULL, &onefile_iomap_ops);
	inode_unlock(inode);
	return ret;
}

static const struct file_operations onefile_file_ops = {
	.llseek = generic_file_llseek,
	.read_iter = onefile_read_iter,
	.write_iter = onefile_write_iter,
	.mmap_prepare = onefile_mmap_prepare,
	.get_unmapped_area = thp_get_unmapped_area,
	.fallocate = onefile_fallocate,
	.fsync = noop_fsync,
};

static int onefile_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
			   struct iattr *attr)
{
	return attr->ia_valid & ATTR_SIZE ? -EPERM :
					    simple_setattr(idmap, dentry, attr);
}

static const struct inode_operations onefile_inode_ops = {
	.setattr = onefile_setattr,
};

static const struct address_space_operations onefile_aops = {
	.dirty_folio = noop_dirty_folio,
};

static int onefile_notify_failure(struct dax_device *dax_dev, u64 offset,
				  u64 len, int mf_flags)
{
	struct super_block *sb = dax_holder(dax_dev);
	struct onefile *of = sb->s_fs_info;
	struct address_space *mapping = of->inode->i_mapping;

	if (mf_flags & MF_MEM_PRE_REMOVE) {
		pr_info("the memory goes away\n");
		/* Prevent new entries, unmap, wait for DMA, release the folios. */
		filemap_invalidate_lock(mapping);
		of->gone = true;
		dax_break_layout_final(of->inode);
		filemap_invalidate_unlock(mapping);
		return 0;
	}

	pr_info("%llu bytes at %llu failed\n", len, offset);
	return mf_dax_kill_procs(mapping, offset >> PAGE_SHIFT,
				 len >> PAGE_SHIFT, mf_flags);
}

static const struct dax_holder_operations onefile_holder_ops = {
	.notify_failure = onefile_notify_failure,
};

static void onefile_evict_inode(struct inode *inode)
{
	if (IS_DAX(inode))
		dax_break_layout_final(inode);
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
}

static const struct super_operations onefile_super_ops = {
	.statfs = simple_statfs,
	.evict_inode = onefile_evict_inode,
};

static int onefile_hold(struct super_block *sb, const char *source)
{
	struct onefile *of = sb->s_fs_info;
	struct dax_device *dax_dev;
	struct inode *inode;
	struct path path;
	int ret;

	ret = kern_path(source, LOOKUP_FOLLOW, &path);
	if (ret)
		return ret;
	inode = d_inode(path.dentry);
	dax_dev = S_ISCHR(inode->i_mode) ? dax_dev_get(inode->i_rdev) : NULL;
	path_put(&path);
	if (!dax_dev)
		return -ENODEV;

	ret = fs_dax_get(dax_dev, sb, &onefile_holder_ops);
	if (!ret)
		of->dax_dev = dax_dev;
	/* fs_dax_get() took its own reference. */
	put_dax(dax_dev);
	return ret;
}

static int onefile_fill_super(struct super_block *sb, struct fs_context *fc)
{
	static const struct tree_descr files[] = {
		[ONEFILE_INO] = { "data", &onefile_file_ops, 0600 },
		{ "" },
	};
	struct onefile *of = sb->s_fs_info;
	struct dentry *dentry;
	int ret;

	if (!of->size || of->size & ~PAGE_MASK)
		return invalfc(fc, "size= must be that of the instance, in bytes");
	ret = simple_fill_super(sb, ONEFILE_MAGIC, files);
	if (ret)
		return ret;
	sb->s_op = &onefile_super_ops;
	sb->s_maxbytes = of->size;

	dentry = try_lookup_noperm(&QSTR("data"), sb->s_root);
	if (IS_ERR_OR_NULL(dentry))
		return -ENOMEM;
	of->inode = d_inode(dentry);
	of->inode->i_op = &onefile_inode_ops;
	of->inode->i_mapping->a_ops = &onefile_aops;
	of->inode->i_flags |= S_DAX;
	i_size_write(of->inode, of->size);
	dput(dentry);

	/* Last: after this, the core may report failures. */
	return onefile_hold(sb, fc->source);
}

static int onefile_get_tree(struct fs_context *fc)
{
	if (!fc->source)
		return invalfc(fc, "the source must be the device node of an instance");
	return get_tree_nodev(fc, onefile_fill_super);
}

static const struct fs_parameter_spec onefile_parameters[] = {
	fsparam_u64("size", 0),
	{}
};

static int onefile_parse_param(struct fs_context *fc, struct fs_parameter *param)
{
	struct onefile *of = fc->s_fs_info;
	struct fs_parse_result result;
	int opt = fs_parse(fc, onefile_parameters, param, &result);

	if (opt < 0)
		return opt;
	of->size = result.uint_64;
	return 0;
}

static void onefile_free_fc(struct fs_context *fc)
{
	kfree(fc->s_fs_info);
}

static const struct fs_context_operations onefile_context_ops = {
	.parse_param = onefile_parse_param,
	.get_tree = onefile_get_tree,
	.free = onefile_free_fc,
};

static int onefile_init_fs_context(struct fs_context *fc)
{
	fc->s_fs_info = kzalloc_obj(struct onefile, GFP_KERNEL);
	if (!fc->s_fs_info)
		return -ENOMEM;
	fc->ops = &onefile_context_ops;
	return 0;
}

static void onefile_kill_sb(struct super_block *sb)
{
	struct onefile *of = sb->s_fs_info;

	kill_anon_super(sb);
	if (of->dax_dev)
		fs_put_dax(of->dax_dev, sb);
	kfree(of);
}

static struct file_system_type onefile_type = {
	.owner = THIS_MODULE,
	.name = "onefile",
	.init_fs_context = onefile_init_fs_context,
	.kill_sb = onefile_kill_sb,
};

static int __init onefile_init(void)
{
	return register_filesystem(&onefile_type);
}
module_init(onefile_init);

static void __exit onefile_exit(void)
{
	unregister_filesystem(&onefile_type);
}
module_exit(onefile_exit);

MODULE_ALIAS_FS("onefile");
MODULE_AUTHOR("The device DAX in Rust authors");
MODULE_DESCRIPTION("DAX sample: a file system of one file");
MODULE_LICENSE("GPL");
