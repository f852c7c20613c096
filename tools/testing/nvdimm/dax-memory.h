/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TEST_NVDIMM_DAX_MEMORY_H_
#define _TEST_NVDIMM_DAX_MEMORY_H_

#include <linux/types.h>

struct dev_dax;

phys_addr_t nfit_test_dax_addr(struct dev_dax *dev_dax, phys_addr_t addr);

#endif /* _TEST_NVDIMM_DAX_MEMORY_H_ */
