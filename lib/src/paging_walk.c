/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Reading page tables: one address, or all leaf mappings of a range. */
#include <resume/paging.h>

#include "env.h"
#include "internal.h"
#include "paging_entry.h"

int resume_paging_canonical(resume_va_t va, uint32_t levels)
{
    const unsigned top_bit = levels == 5 ? 56 : 47;
    const uint64_t high = va >> top_bit;

    return high == 0 || high == UINT64_MAX >> top_bit;
}

static int paging_valid(const struct resume_paging *paging)
{
    return paging && paging->phys.page && (paging->levels == 4 || paging->levels == 5) &&
           paging->pa_bits >= 32 && paging->pa_bits <= PA_BITS_MAX &&
           paging->root_pa >> paging->pa_bits == 0;
}

static resume_pa_t root_table(const struct resume_paging *paging)
{
    return paging->root_pa & ENTRY_ADDRESS_MASK;
}

/*
 * The bits of a present entry that must be zero. Bits 62:52 are ignored by the CPU or hold a
 * protection key, and bit 12 of a large page selects the PAT entry, so these are not among them.
 */
static uint64_t reserved_bits(const struct resume_paging *paging, uint64_t entry, uint32_t level)
{
    uint64_t mask = ENTRY_ADDRESS_MASK & ~((UINT64_C(1) << paging->pa_bits) - 1u);

    if (!paging->nxe)
        mask |= RESUME_PTE_NX;
    if (level >= 4)
        mask |= RESUME_PTE_PS;
    else if (level >= 2 && (entry & RESUME_PTE_PS) != 0)
        mask |= (level_span(level) - 1u) & ~UINT64_C(0x1fff);
    return entry & mask;
}

/* The rights of a path of entries: every level limits access, the leaf alone decides on global. */
static uint32_t path_rights(const uint64_t entry[5], uint32_t leaf_level, uint32_t levels)
{
    uint64_t all = ~UINT64_C(0);
    uint64_t any = 0;
    uint32_t rights = 0;

    for (uint32_t level = leaf_level; level <= levels; level++) {
        all &= entry[level - 1u];
        any |= entry[level - 1u];
    }
    if (all & RESUME_PTE_RW)
        rights |= RESUME_MAP_WRITE;
    if (all & RESUME_PTE_US)
        rights |= RESUME_MAP_USER;
    if (!(any & RESUME_PTE_NX))
        rights |= RESUME_MAP_EXEC;
    if (entry[leaf_level - 1u] & RESUME_PTE_G)
        rights |= RESUME_MAP_GLOBAL;
    return rights;
}

/* Describe the leaf at @leaf_level of the path that is in @out already. */
static void describe_leaf(resume_va_t va, uint32_t leaf_level, uint32_t rights,
                          struct resume_translation *out)
{
    out->size = level_span(leaf_level);
    out->va = va & ~(out->size - 1u);
    out->pa = leaf_pa(out->entry[leaf_level - 1u], leaf_level);
    out->leaf_level = leaf_level;
    out->rights = rights;
}

int resume_paging_walk(const struct resume_paging *paging, resume_va_t va,
                       struct resume_translation *out, struct resume_diag *diag)
{
    struct resume_translation found;
    resume_pa_t table_pa;

    if (!paging_valid(paging) || !out)
        return paging_fail(diag, RESUME_EINVAL, "page tables", "argument", va, 0, 0);
    if (!resume_paging_canonical(va, paging->levels))
        return paging_fail(diag, RESUME_ECANON, "page tables", "virtual address", va, va,
                           paging->levels == 5 ? 57 : 48);

    memset(&found, 0, sizeof(found));
    table_pa = root_table(paging);
    for (uint32_t level = paging->levels; level >= 1; level--) {
        const uint32_t index = level_index(va, level);
        const resume_pa_t entry_pa = table_pa + index * ENTRY_SIZE;
        const uint8_t *table = paging->phys.page(paging->phys.ctx, table_pa);
        uint64_t entry;
        uint64_t reserved;

        if (!table)
            return paging_fail(diag, RESUME_EUNREACHABLE, "page tables", level_name(level),
                               entry_pa, 0, 0);
        entry = resume_load_le64(table + index * ENTRY_SIZE);
        if (!(entry & RESUME_PTE_P))
            return paging_fail(diag, RESUME_EUNMAPPED, "page tables", level_name(level), entry_pa,
                               entry, RESUME_PTE_P);
        reserved = reserved_bits(paging, entry, level);
        if (reserved)
            return paging_fail(diag, RESUME_EREGISTER, "page tables", level_name(level), entry_pa,
                               entry, entry & ~reserved);

        found.entry_pa[level - 1u] = entry_pa;
        found.entry[level - 1u] = entry;
        if (is_leaf(entry, level)) {
            describe_leaf(va, level, path_rights(found.entry, level, paging->levels), &found);
            *out = found;
            return RESUME_OK;
        }
        table_pa = entry & ENTRY_ADDRESS_MASK;
    }
    /* Not reached: an entry of level 1 is always a leaf. */
    return paging_fail(diag, RESUME_EINVAL, "page tables", "levels", va, paging->levels, 4);
}

int resume_paging_iter_init(struct resume_paging_iter *iter, const struct resume_paging *paging,
                            resume_va_t first_va, resume_va_t last_va, uint32_t budget)
{
    if (!iter || !paging_valid(paging) || budget == 0)
        return RESUME_EINVAL;
    if (!resume_paging_canonical(first_va, paging->levels) ||
        !resume_paging_canonical(last_va, paging->levels))
        return RESUME_ECANON;
    if (first_va > last_va)
        return RESUME_EINVAL;

    memset(iter, 0, sizeof(*iter));
    iter->paging = paging;
    iter->next_va = first_va;
    iter->last_va = last_va;
    iter->budget = budget - 1u; /* the root */
    iter->level = paging->levels;
    return RESUME_OK;
}

/*
 * Go to the first address behind the entry of @level that spans next_va, and up to the table that
 * decodes it. Sets `done` at the end of the range.
 */
static void iter_skip(struct resume_paging_iter *iter, uint32_t level)
{
    const uint64_t span = level_span(level);
    const resume_va_t last_of_entry = iter->next_va | (span - 1u);
    resume_va_t va;

    if (last_of_entry >= iter->last_va) {
        iter->done = 1;
        return;
    }
    va = last_of_entry + 1u; /* cannot wrap: it is at most last_va */
    /* From the end of the low half to the start of the high half, where last_va then lies too. */
    if (!resume_paging_canonical(va, iter->paging->levels))
        va = ~(va - 1u);
    iter->next_va = va;

    /* An index of 0 after a step means that the table is behind us. */
    while (level < iter->paging->levels && level_index(va, level) == 0)
        level++;
    iter->level = level;
}

enum paging_event resume_paging_iter_step(struct resume_paging_iter *iter,
                                          struct resume_translation *out, resume_pa_t *ret_table_pa)
{
    const struct resume_paging *paging = iter->paging;

    while (!iter->done) {
        const uint32_t level = iter->level;
        const resume_pa_t table_pa =
            level == paging->levels ? root_table(paging) : iter->entry[level] & ENTRY_ADDRESS_MASK;
        const uint8_t *table = paging->phys.page(paging->phys.ctx, table_pa);

        if (!table) {
            if (level == paging->levels)
                iter->done = 1;
            else
                iter_skip(iter, level + 1u);
            continue;
        }
        do {
            const uint32_t index = level_index(iter->next_va, level);
            const uint64_t entry = resume_load_le64(table + index * ENTRY_SIZE);
            uint32_t rights;

            if (!(entry & RESUME_PTE_P) || reserved_bits(paging, entry, level)) {
                iter_skip(iter, level);
                continue;
            }
            if (!is_leaf(entry, level) && iter->budget == 0)
                return PAGING_BUDGET;

            iter->entry[level - 1u] = entry;
            iter->entry_pa[level - 1u] = table_pa + index * ENTRY_SIZE;
            if (!is_leaf(entry, level)) {
                iter->budget--;
                iter->level = level - 1u;
                *ret_table_pa = entry & ENTRY_ADDRESS_MASK;
                return PAGING_TABLE;
            }

            rights = path_rights(iter->entry, level, paging->levels);
            if ((rights & iter->rights_mask) != iter->rights_value) {
                iter_skip(iter, level);
                continue;
            }
            memset(out, 0, sizeof(*out));
            for (uint32_t above = level; above <= paging->levels; above++) {
                out->entry[above - 1u] = iter->entry[above - 1u];
                out->entry_pa[above - 1u] = iter->entry_pa[above - 1u];
            }
            describe_leaf(iter->next_va, level, rights, out);
            iter_skip(iter, level);
            return PAGING_LEAF;
        } while (!iter->done && iter->level == level);
    }
    return PAGING_END;
}

int resume_paging_iter_next(struct resume_paging_iter *iter, struct resume_translation *out,
                            struct resume_diag *diag)
{
    struct resume_translation leaf;
    resume_pa_t table_pa;
    enum paging_event event;

    if (!iter || !paging_valid(iter->paging) || !out)
        return paging_fail(diag, RESUME_EINVAL, "page tables", "argument", 0, 0, 0);

    /* Ends: every table entered is paid for from the budget. */
    do
        event = resume_paging_iter_step(iter, &leaf, &table_pa);
    while (event == PAGING_TABLE);

    if (event == PAGING_BUDGET)
        return paging_fail(diag, RESUME_ENOSPC, "page tables", "budget", iter->next_va, 0, 0);
    if (event == PAGING_END)
        memset(&leaf, 0, sizeof(leaf));
    *out = leaf;
    return RESUME_OK;
}
