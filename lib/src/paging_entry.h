/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the modules that deal with page tables share: their geometry, and the iterator's steps. */
#ifndef RESUME_PAGING_ENTRY_H
#define RESUME_PAGING_ENTRY_H

#include <resume/paging.h>

#include "internal.h"

#define ENTRIES_PER_TABLE 512u
#define ENTRY_SIZE 8u
#define ENTRY_ADDRESS_MASK UINT64_C(0x000ffffffffff000) /* bits 51:12 */
#define PA_BITS_MAX 52u

/* The number of the lowest address bit that the tables of @level (1: page table) decode. */
static inline unsigned level_shift(uint32_t level)
{
    return RESUME_PAGE_SHIFT + 9u * (level - 1u);
}

/* The bytes that one entry of a table of @level spans. */
static inline uint64_t level_span(uint32_t level)
{
    return UINT64_C(1) << level_shift(level);
}

static inline uint32_t level_index(resume_va_t va, uint32_t level)
{
    return (uint32_t)(va >> level_shift(level)) & (ENTRIES_PER_TABLE - 1u);
}

/* The name that the Intel SDM gives to an entry of a table of @level, 1 to 5. */
static inline const char *level_name(uint32_t level)
{
    static const char *const names[] = {"PTE", "PDE", "PDPTE", "PML4E", "PML5E"};

    return names[level - 1u];
}

/* The physical start of the page that the leaf @entry of @level maps; leaves bit 12 (PAT) out. */
static inline resume_pa_t leaf_pa(uint64_t entry, uint32_t level)
{
    return entry & ENTRY_ADDRESS_MASK & ~(level_span(level) - 1u);
}

static inline int is_leaf(uint64_t entry, uint32_t level)
{
    return level == 1u || (entry & RESUME_PTE_PS) != 0;
}

/* Page tables belong to a walk, not to a vCPU. */
static inline int paging_fail(struct resume_diag *diag, int err, const char *where,
                              const char *field, uint64_t offset, uint64_t found, uint64_t expected)
{
    return resume_fail(diag, err, where, field, offset, found, expected, RESUME_NO_VCPU);
}

enum paging_event {
    PAGING_END,   /* nothing is left in the range */
    PAGING_LEAF,  /* *out is filled */
    PAGING_TABLE, /* *ret_table_pa is the table page that is entered next */
    PAGING_BUDGET /* the next table would exceed the budget */
};

/*
 * One step of the iteration: like resume_paging_iter_next, but it also stops at every table page
 * below the root, whether or not that holds anything. The outputs are written for their events.
 */
enum paging_event resume_paging_iter_step(struct resume_paging_iter *iter,
                                          struct resume_translation *out,
                                          resume_pa_t *ret_table_pa);

#endif
