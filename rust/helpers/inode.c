// SPDX-License-Identifier: GPL-2.0

#include <linux/fs.h>

__rust_helper void rust_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

__rust_helper void rust_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

__rust_helper int rust_helper_deny_write_access(struct file *file)
{
	return deny_write_access(file);
}

__rust_helper void rust_helper_allow_write_access(struct file *file)
{
	allow_write_access(file);
}

__rust_helper struct mnt_idmap *rust_helper_file_mnt_idmap(const struct file *file)
{
	return file_mnt_idmap(file);
}
