// SPDX-License-Identifier: GPL-2.0

#include <linux/memremap.h>

__rust_helper void rust_helper_put_dev_pagemap(struct dev_pagemap *pgmap)
{
	put_dev_pagemap(pgmap);
}
