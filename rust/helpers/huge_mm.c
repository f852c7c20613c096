// SPDX-License-Identifier: GPL-2.0

#include <linux/huge_mm.h>

__rust_helper bool rust_helper_vma_thp_disabled(struct vm_area_struct *vma)
{
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	return vma_thp_disabled(vma, vma->vm_flags, false);
#else
	return true;
#endif
}
