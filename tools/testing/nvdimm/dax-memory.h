/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TEST_NVDIMM_DAX_MEMORY_H_
#define _TEST_NVDIMM_DAX_MEMORY_H_

#include <linux/types.h>

struct dev_dax;

phys_addr_t nfit_test_dax_addr(struct dev_dax *dev_dax, phys_addr_t addr);

/* What the linker makes of the calls of device_dax; see dax-pages.c. */
struct dev_pagemap;
void *__real_memremap_pages(struct dev_pagemap *pgmap, int nid);
void __real_memunmap_pages(struct dev_pagemap *pgmap);
void *__wrap_memremap_pages(struct dev_pagemap *pgmap, int nid);
void __wrap_memunmap_pages(struct dev_pagemap *pgmap);

#endif /* _TEST_NVDIMM_DAX_MEMORY_H_ */
