// SPDX-License-Identifier: GPL-2.0

#include "../../drivers/dax/dax-private.h"

__rust_helper bool rust_helper_dax_align_valid(unsigned long align)
{
	return dax_align_valid(align);
}
