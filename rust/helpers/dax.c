// SPDX-License-Identifier: GPL-2.0

/* Inline functions and macros that the dax abstractions call. */

#include <linux/blkdev.h>
#include <linux/cacheinfo.h>
#include <linux/dax.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/idr.h>
#include <linux/memory-tiers.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/percpu.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/srcu.h>
#include <linux/userfaultfd_k.h>
#include "../../drivers/dax/dax-private.h"

__rust_helper bool rust_helper_dax_align_valid(unsigned long align)
{
	return dax_align_valid(align);
}

__rust_helper bool rust_helper_file_is_dax(const struct file *file)
{
	return file_is_dax(file);
}

__rust_helper errseq_t rust_helper_file_sample_sb_err(struct file *file)
{
	return file_sample_sb_err(file);
}

__rust_helper errseq_t
rust_helper_filemap_sample_wb_err(struct address_space *mapping)
{
	return filemap_sample_wb_err(mapping);
}

__rust_helper void rust_helper_get_task_comm(char *buf,
					     struct task_struct *task)
{
	strscpy_pad(buf, task->comm, TASK_COMM_LEN);
}

__rust_helper bool rust_helper_mapping_mapped(const struct address_space *mapping)
{
	return mapping_mapped(mapping);
}

#ifndef CONFIG_MODULE_UNLOAD
__rust_helper void rust_helper_module_put(struct module *module)
{
	module_put(module);
}

__rust_helper bool rust_helper_try_module_get(struct module *module)
{
	return try_module_get(module);
}
#endif

__rust_helper struct folio *rust_helper_pfn_folio(unsigned long pfn)
{
	return pfn_folio(pfn);
}

__rust_helper void rust_helper_ratelimit_default_init(struct ratelimit_state *rs)
{
	ratelimit_default_init(rs);
}

__rust_helper void *rust_helper_alloc_inode_sb(struct super_block *sb,
					       struct kmem_cache *cache, gfp_t gfp)
{
	return alloc_inode_sb(sb, cache, gfp);
}

#ifdef CONFIG_BLOCK
__rust_helper bool rust_helper_blk_queue_dax(struct request_queue *q)
{
	return blk_queue_dax(q);
}
#endif

__rust_helper bool rust_helper_cpu_dcache_is_aliasing(void)
{
	return cpu_dcache_is_aliasing();
}

__rust_helper void rust_helper_device_lock(struct device *dev)
{
	device_lock(dev);
}

/* Whether somebody waits for the lock of DEV, which somebody else holds. */
__rust_helper bool rust_helper_device_lock_contended(struct device *dev)
{
#ifdef CONFIG_PREEMPT_RT
	/* Only a hint. */
	return data_race(dev->mutex.rtmutex.waiters.rb_root.rb_node);
#else
	/* Only a hint. */
	return data_race(dev->mutex.first_waiter);
#endif
}

__rust_helper void rust_helper_device_unlock(struct device *dev)
{
	device_unlock(dev);
}

__rust_helper void rust_helper_dev_set_uevent_suppress(struct device *dev,
						       int val)
{
	dev_set_uevent_suppress(dev, val);
}

__rust_helper void rust_helper_ida_init(struct ida *ida)
{
	static struct lock_class_key key;

	ida_init(ida);
	/*
	 * An IDA is safe to use in interrupts, other xarrays need not be. Both
	 * are initialised in this file, so to lockdep they would be the same.
	 */
	lockdep_set_class(&ida->xa.xa_lock, &key);
}

/* The member of an anonymous union, for which bindgen has no stable name. */
__rust_helper struct cdev **rust_helper_inode_cdev(struct inode *inode)
{
	return &inode->i_cdev;
}

__rust_helper void rust_helper_mapping_set_gfp_mask(struct address_space *m,
						    gfp_t mask)
{
	mapping_set_gfp_mask(m, mask);
}

#ifdef CONFIG_LOCKDEP
__rust_helper void rust_helper_srcu_assert_held(struct srcu_struct *ssp)
{
	lockdep_assert_held(ssp);
}
#endif

__rust_helper void rust_helper_vma_desc_set_flags(struct vm_area_desc *desc,
						  vma_flag_t bit)
{
	vma_desc_set_flags(desc, bit);
}

__rust_helper bool rust_helper_vma_desc_test(const struct vm_area_desc *desc,
					     vma_flag_t bit)
{
	return vma_desc_test(desc, bit);
}

__rust_helper int rust_helper_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}

__rust_helper void rust_helper_vma_start_write(struct vm_area_struct *vma)
{
	vma_start_write(vma);
}

#if defined(CONFIG_MEMORY_HOTPLUG) && !defined(CONFIG_MEMORY_HOTREMOVE)
__rust_helper int rust_helper_remove_memory(u64 start, u64 size)
{
	return remove_memory(start, size);
}

__rust_helper int
rust_helper_offline_and_remove_memory_ranges(const struct range *ranges,
					     unsigned int nr_ranges)
{
	return offline_and_remove_memory_ranges(ranges, nr_ranges);
}
#endif

#ifndef CONFIG_NUMA
__rust_helper struct memory_dev_type *
rust_helper_alloc_memory_type(int adistance)
{
	return alloc_memory_type(adistance);
}

__rust_helper void
rust_helper_clear_node_memory_type(int node, struct memory_dev_type *memtype)
{
	clear_node_memory_type(node, memtype);
}

__rust_helper void
rust_helper_init_node_memory_type(int node, struct memory_dev_type *memtype)
{
	init_node_memory_type(node, memtype);
}

__rust_helper int rust_helper_mt_calc_adistance(int node, int *adist)
{
	return mt_calc_adistance(node, adist);
}

__rust_helper void rust_helper_put_memory_type(struct memory_dev_type *memtype)
{
	put_memory_type(memtype);
}
#endif

__rust_helper struct page *rust_helper_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

__rust_helper void *rust_helper_pfn_to_virt(unsigned long pfn)
{
	return __va(PFN_PHYS(pfn));
}

__rust_helper bool rust_helper_pfn_is_hwpoison(unsigned long pfn)
{
	return PageHWPoison(pfn_to_page(pfn));
}

__rust_helper void rust_helper_pfn_set_hwpoison(unsigned long pfn)
{
	SetPageHWPoison(pfn_to_page(pfn));
}

__rust_helper bool rust_helper_folio_test_hwpoison(const struct folio *folio)
{
	return folio_test_hwpoison(folio);
}

__rust_helper void rust_helper_folio_set_hwpoison(struct folio *folio)
{
	folio_set_hwpoison(folio);
}

__rust_helper unsigned int rust_helper_folio_order(const struct folio *folio)
{
	return folio_order(folio);
}

__rust_helper bool rust_helper_pfn_valid(unsigned long pfn)
{
	return pfn_valid(pfn);
}

__rust_helper int rust_helper_folio_ref_count(const struct folio *folio)
{
	return folio_ref_count(folio);
}

__rust_helper void rust_helper_cond_resched(void)
{
	cond_resched();
}

__rust_helper bool rust_helper_pte_is_none(pte_t pte)
{
	return pte_none(pte);
}

__rust_helper bool rust_helper_pte_is_present(pte_t pte)
{
	return pte_present(pte);
}

/*
 * Reads the pte for an address, which is to be in the range that vmf->pmd maps;
 * false if there is no page table. Takes no lock: RCU keeps the page table, but
 * it may be removed, or the pte be changed, before the caller looks.
 *
 * pte_offset_map() would say the same, but it is not exported.
 */
__rust_helper bool rust_helper_vmf_peek_pte(struct vm_fault *vmf,
					    unsigned long addr, pte_t *pte)
{
	bool table = false;

	/* There, page tables have no kernel address. */
	if (IS_ENABLED(CONFIG_HIGHPTE))
		return false;

	rcu_read_lock();
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);

	if (pmd_present(pmd) && !pmd_leaf(pmd)) {
		*pte = ptep_get_lockless((pte_t *)pmd_page_vaddr(pmd) +
					 pte_index(addr));
		table = true;
	}
	rcu_read_unlock();
	return table;
}

/* Whether the entry that maps a huge page of @order for a fault is there. */
__rust_helper bool rust_helper_vmf_is_mapped_huge(struct vm_fault *vmf,
						  unsigned int order)
{
	if (order == PMD_ORDER)
		return pmd_leaf(pmdp_get_lockless(vmf->pmd));
#ifdef CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD
	if (order == PUD_ORDER)
		return pud_leaf(pudp_get(vmf->pud));
#endif
	return false;
}

__rust_helper bool rust_helper_userfaultfd_armed(struct vm_area_struct *vma)
{
	return userfaultfd_armed(vma);
}

/* Whether fork() copies the page tables of the area, not only the area. */
__rust_helper bool rust_helper_vma_is_copied_on_fork(struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_COPY_ON_FORK;
}

__rust_helper bool rust_helper_vma_thp_disabled(struct vm_area_struct *vma)
{
	return vma_thp_disabled(vma, vma->vm_flags, false);
}

__rust_helper void rust_helper_folio_get(struct folio *folio)
{
	folio_get(folio);
}

__rust_helper void rust_helper_folio_lock(struct folio *folio)
{
	folio_lock(folio);
}

__rust_helper void rust_helper_this_cpu_inc_ulong(unsigned long __percpu *p)
{
	this_cpu_inc(*p);
}

__rust_helper unsigned long rust_helper_percpu_sum_ulong(unsigned long __percpu *p)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(p, cpu));
	return sum;
}
