// SPDX-License-Identifier: GPL-2.0

#include <linux/pagemap.h>

__rust_helper errseq_t rust_helper_file_sample_sb_err(struct file *file)
{
	return file_sample_sb_err(file);
}

__rust_helper errseq_t
rust_helper_filemap_sample_wb_err(struct address_space *mapping)
{
	return filemap_sample_wb_err(mapping);
}

__rust_helper void rust_helper_folio_lock(struct folio *folio)
{
	folio_lock(folio);
}

__rust_helper void rust_helper_mapping_set_gfp_mask(struct address_space *m,
						    gfp_t mask)
{
	mapping_set_gfp_mask(m, mask);
}
