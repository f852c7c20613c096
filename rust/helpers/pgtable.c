// SPDX-License-Identifier: GPL-2.0

#include <linux/huge_mm.h>
#include <linux/pgtable.h>

__rust_helper bool rust_helper_pte_is_none(pte_t pte)
{
	return pte_none(pte);
}

__rust_helper bool rust_helper_pte_is_present(pte_t pte)
{
	return pte_present(pte);
}

/*
 * Reads the pte for an address that vmf->pmd maps. Returns false if there is no
 * page table. Takes no lock: RCU keeps the page table valid, but another thread
 * may unlink it or change the pte before the caller looks.
 *
 * pte_offset_map() would do the same, but is not exported.
 */
__rust_helper bool rust_helper_vmf_peek_pte(struct vm_fault *vmf,
					    unsigned long addr, pte_t *pte)
{
	bool table = false;

	/* Page tables in high memory have no kernel address. */
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

/*
 * These return the state of an entry: 0 if it is empty, 1 if it maps memory, and
 * -1 otherwise. They take no lock, so the entry may change before the caller
 * looks.
 */
__rust_helper int rust_helper_pmd_peek(pmd_t *pmdp)
{
	/* Even a value that is read twice is only a hint. */
	pmd_t pmd = data_race(*pmdp);

	return pmd_none(pmd) ? 0 : pmd_leaf(pmd) ? 1 : -1;
}

__rust_helper int rust_helper_pud_peek(pud_t *pudp)
{
	/* As above. */
	pud_t pud = data_race(*pudp);

	return pud_none(pud) ? 0 : pud_leaf(pud) ? 1 : -1;
}

/*
 * Maps the frame @pfn with @ptep, the pte of @addr, if it is empty. The page
 * table is locked. The memory type is that of the VMA.
 */
__rust_helper void rust_helper_vma_set_cached_pte(struct vm_area_struct *vma,
						  unsigned long addr,
						  pte_t *ptep,
						  unsigned long pfn)
{
	if (pte_none(ptep_get(ptep)))
		set_pte_at(vma->vm_mm, addr, ptep,
			   pte_mkspecial(pfn_pte(pfn, vma->vm_page_prot)));
}

/*
 * Maps the frames from @pfn on with the large entry that the fault is about, if
 * it is empty. Returns false if mm has to do that. The memory type of the
 * frames must be write-back. mm would look it up, which takes longer than the
 * rest of the fault.
 */
__rust_helper bool rust_helper_vmf_insert_cached(struct vm_fault *vmf,
						 unsigned long pfn,
						 unsigned int order)
{
#if defined(CONFIG_X86) && defined(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)
	if (order == PMD_ORDER) {
		pmd_t new = pmd_mkspecial(pmd_mkhuge(pfn_pmd(pfn, vmf->vma->vm_page_prot)));
		spinlock_t *ptl = pmd_lock(vmf->vma->vm_mm, vmf->pmd);

		if (pmd_none(*vmf->pmd))
			set_pmd_at(vmf->vma->vm_mm, vmf->address & PMD_MASK, vmf->pmd, new);
		spin_unlock(ptl);
		return true;
	}
#endif
#if defined(CONFIG_X86) && defined(CONFIG_ARCH_SUPPORTS_PUD_PFNMAP)
	if (order == PUD_ORDER) {
		pud_t new = pud_mkspecial(pud_mkhuge(pfn_pud(pfn, vmf->vma->vm_page_prot)));
		spinlock_t *ptl = pud_lock(vmf->vma->vm_mm, vmf->pud);

		if (pud_none(*vmf->pud))
			set_pud_at(vmf->vma->vm_mm, vmf->address & PUD_MASK, vmf->pud, new);
		spin_unlock(ptl);
		return true;
	}
#endif
	return false;
}

/*
 * Reserves the memory type write-back for page frames without struct pages, as
 * long as rust_helper_pfnmap_untrack_cached() does not end it. Fails with
 * -EOPNOTSUPP in a module, because pfnmap_track() is not exported, and with
 * -EBUSY if the frames have another type.
 */
__rust_helper int rust_helper_pfnmap_track_cached(unsigned long pfn,
						  unsigned long size)
{
#ifdef MODULE
	return -EOPNOTSUPP;
#else
	pgprot_t prot = PAGE_KERNEL;
	int err = pfnmap_track(pfn, size, &prot);

	if (!err && pgprot_val(prot) != pgprot_val(PAGE_KERNEL)) {
		pfnmap_untrack(pfn, size);
		err = -EBUSY;
	}
	return err;
#endif
}

__rust_helper void rust_helper_pfnmap_untrack_cached(unsigned long pfn,
						     unsigned long size)
{
#ifndef MODULE
	pfnmap_untrack(pfn, size);
#endif
}
