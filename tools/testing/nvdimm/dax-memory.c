// SPDX-License-Identifier: GPL-2.0
/*
 * What a fault in a mapped device needs to know about the memory of nfit_test,
 * for the doubles of device_dax in C and in Rust.
 */

#include "test/nfit_test.h"
#include <linux/mm.h>
#include <nd.h>
#include "../../../drivers/dax/dax-private.h"
#include "dax-memory.h"

/*
 * Before the pages of a resource go back to the page allocator, to which a page
 * that belongs to a file is a bad one.
 */
static void forget_files(void *data)
{
	struct nfit_test_resource *res = data;
	resource_size_t at;

	for (at = 0; at < resource_size(&res->res); at += PAGE_SIZE)
		vmalloc_to_page(res->buf + at)->mapping = NULL;
}

/*
 * Where the kernel has the page that nfit_test says is at the address ADDR of
 * DEV_DAX; 0 if it is to be a page with a memory error.
 *
 * A resource of nfit_test begins at an address that it made up; its memory comes
 * from vmalloc(), and cannot have errors. So what is injected there ends in a
 * refused fault, where a machine would raise a machine check: both are a SIGBUS.
 */
phys_addr_t nfit_test_dax_addr(struct dev_dax *dev_dax, phys_addr_t addr)
{
	struct device *dev = dev_dax->region->dev;
	struct nd_region *nd_region = container_of(dev->parent, struct nd_region, dev);
	struct nfit_test_resource *res = get_nfit_res(addr);
	void *at;

	if (!res)
		return 0;
	if (is_bad_pmem(&nd_region->bb, (addr - nd_region->ndr_start) >> SECTOR_SHIFT,
			PAGE_SIZE))
		return 0;
	/* Of the resource's device: so it is done before the memory is freed. */
	if (!devm_is_action_added(res->dev, forget_files, res) &&
	    devm_add_action(res->dev, forget_files, res))
		return 0;

	at = res->buf + (addr - res->res.start);
	/*
	 * The page may belong to the file of a device that is gone: unlike the
	 * pages of a memmap, it outlives the device. The fault sets it anew.
	 */
	vmalloc_to_page(at)->mapping = NULL;

	return (phys_addr_t)at;
}
