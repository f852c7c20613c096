// SPDX-License-Identifier: GPL-2.0
/*
 * Functions that device DAX calls and that may fail for another reason than a lack of memory.
 *
 * While this module is loaded, fail_function and fail-nth can make them fail, as they do with
 * allocations. The tests check that each caller handles the failure. Functions that the kernel
 * does not export cannot be here.
 */
#include <linux/cdev.h>
#include <linux/dax.h>
#include <linux/device.h>
#include <linux/error-injection.h>
#include <linux/fs.h>
#include <linux/ioport.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/memregion.h>
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/nd.h>
#include <linux/platform_device.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "dax/bus.h"
#include "nvdimm/nd.h"

/* Devices, their drivers and their files. */
ALLOW_ERROR_INJECTION(device_add, ERRNO);
ALLOW_ERROR_INJECTION(driver_register, ERRNO);
ALLOW_ERROR_INJECTION(driver_attach, ERRNO);
ALLOW_ERROR_INJECTION(sysfs_create_groups, ERRNO);
ALLOW_ERROR_INJECTION(__devm_add_action, ERRNO);
ALLOW_ERROR_INJECTION(alloc_chrdev_region, ERRNO);
ALLOW_ERROR_INJECTION(cdev_add, ERRNO);
ALLOW_ERROR_INJECTION(class_register, ERRNO);
ALLOW_ERROR_INJECTION(platform_device_add, ERRNO);
ALLOW_ERROR_INJECTION(alloc_workqueue_noprof, NULL);

/* Addresses, and memory at them. */
ALLOW_ERROR_INJECTION(__request_region, NULL);
ALLOW_ERROR_INJECTION(__devm_request_region, NULL);
ALLOW_ERROR_INJECTION(devm_memremap_pages, ERRNO);
ALLOW_ERROR_INJECTION(memory_group_register_static, ERRNO);
ALLOW_ERROR_INJECTION(offline_and_remove_memory_ranges, ERRNO);
ALLOW_ERROR_INJECTION(memregion_alloc, ERRNO);
ALLOW_ERROR_INJECTION(walk_iomem_res_desc, ERRNO);

/* Namespaces. */
ALLOW_ERROR_INJECTION(nvdimm_namespace_common_probe, ERRNO);
ALLOW_ERROR_INJECTION(devm_namespace_enable, ERRNO);
ALLOW_ERROR_INJECTION(nvdimm_setup_pfn, ERRNO);

/* The dax core. */
ALLOW_ERROR_INJECTION(alloc_dax_region, NULL);
ALLOW_ERROR_INJECTION(devm_create_dev_dax, ERRNO);

MODULE_DESCRIPTION("Functions that the tests of device DAX make fail");
MODULE_LICENSE("GPL");
