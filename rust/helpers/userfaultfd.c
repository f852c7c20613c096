// SPDX-License-Identifier: GPL-2.0

#include <linux/userfaultfd_k.h>

__rust_helper bool rust_helper_userfaultfd_armed(struct vm_area_struct *vma)
{
	return userfaultfd_armed(vma);
}
