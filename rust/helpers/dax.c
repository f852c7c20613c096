// SPDX-License-Identifier: GPL-2.0

#include <linux/mmzone.h>
#include "../../drivers/dax/dax-private.h"

__rust_helper bool rust_helper_dax_align_valid(unsigned long align)
{
	return dax_align_valid(align);
}

/*
 * Returns the ranges of an instance, and sets @count to their number. The core
 * stores them in the other order, so there are at least @count ranges.
 */
__rust_helper struct dev_dax_range *
rust_helper_dax_bound_ranges(struct dev_dax *dev_dax, unsigned int *count)
{
	/* The number first: the core stores it last. */
	*count = smp_load_acquire(&dev_dax->nr_range);
	return READ_ONCE(dev_dax->ranges);
}

#ifdef CONFIG_ZONE_DEVICE
/* Returns whether any page frame from @first to @last has a struct page. */
__rust_helper bool rust_helper_dax_has_struct_pages(unsigned long first,
						    unsigned long last)
{
	unsigned long pfn = first;

	while (pfn <= last) {
		unsigned long section = pfn_to_section_nr(pfn);

#ifdef CONFIG_SPARSEMEM_EXTREME
		/* Without this table, none of its sections has struct pages. */
		if (!__nr_to_section(section)) {
			section = round_up(section + 1, SECTIONS_PER_ROOT);
			pfn = section_nr_to_pfn(section);
			continue;
		}
#endif
		/* A section without struct pages has no subsection with them. */
		if (!valid_section_nr(section)) {
			pfn = section_nr_to_pfn(section + 1);
			continue;
		}
		if (pfn_valid(pfn))
			return true;
		pfn = ALIGN(pfn + 1, PAGES_PER_SUBSECTION);
	}
	return false;
}
#endif
