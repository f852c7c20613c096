// SPDX-License-Identifier: GPL-2.0
/*
 * memremap_pages() and memunmap_pages() for the double of device_dax in Rust: memory of nfit_test has
 * struct pages already.
 */

#include "test/nfit_test.h"
#include <linux/memremap.h>
#include <linux/mm.h>
#include <nd.h>
#include "dax-memory.h"

static void all_released(struct percpu_ref *ref)
{
	complete(&container_of(ref, struct dev_pagemap, ref)->done);
}

void *__wrap_memremap_pages(struct dev_pagemap *pgmap, int nid)
{
	struct nfit_test_resource *res = get_nfit_res(pgmap->range.start);
	int error;

	if (!res)
		return __real_memremap_pages(pgmap, nid);

	init_completion(&pgmap->done);
	error = percpu_ref_init(&pgmap->ref, all_released, 0, GFP_KERNEL);
	if (error)
		return ERR_PTR(error);
	return res->buf + pgmap->range.start - res->res.start;
}

void __wrap_memunmap_pages(struct dev_pagemap *pgmap)
{
	if (!get_nfit_res(pgmap->range.start)) {
		__real_memunmap_pages(pgmap);
		return;
	}
	percpu_ref_kill(&pgmap->ref);
	wait_for_completion(&pgmap->done);
	percpu_ref_exit(&pgmap->ref);
}
