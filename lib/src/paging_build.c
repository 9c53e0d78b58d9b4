/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Building page tables in an arena. */
#include <resume/paging.h>

#include "env.h"
#include "internal.h"
#include "paging_entry.h"

static uint64_t divide_up(uint64_t value, unsigned shift)
{
    return (value >> shift) + ((value & ((UINT64_C(1) << shift) - 1u)) != 0);
}

uint64_t resume_paging_map_bound(uint64_t length, uint32_t levels)
{
    const uint64_t pages = divide_up(length, RESUME_PAGE_SHIFT);
    uint64_t total = 0;

    if (pages == 0)
        return 0;
    /*
     * A table of level n spans 512^n pages, and `pages` pages in a row meet the most of them when
     * the first page is the last of its table.
     */
    for (uint32_t level = 1; level < levels; level++)
        total += divide_up(pages - 1u, 9u * level) + 1u;
    return total;
}

int resume_paging_builder_init(struct resume_paging_builder *builder, struct resume_arena *arena,
                               uint32_t levels, uint32_t allow_1g, struct resume_diag *diag)
{
    resume_pa_t root_pa;
    int err;

    if (!builder || !arena || !arena->phys.page || (levels != 4 && levels != 5))
        return paging_fail(diag, RESUME_EINVAL, "page-table builder", "argument", 0, levels, 4);

    err = resume_arena_page(arena, &root_pa, diag);
    if (err)
        return err;
    builder->arena = arena;
    builder->root_pa = root_pa;
    builder->levels = levels;
    builder->allow_1g = allow_1g;
    return RESUME_OK;
}

static int entry_load(const struct resume_phys *phys, resume_pa_t entry_pa, uint64_t *entry,
                      struct resume_diag *diag)
{
    const uint64_t offset = entry_pa % RESUME_PAGE_SIZE;
    const uint8_t *table = phys->page(phys->ctx, entry_pa - offset);

    if (!table)
        return paging_fail(diag, RESUME_EUNREACHABLE, "page-table builder", "table", entry_pa, 0,
                           0);
    *entry = resume_load_le64(table + offset);
    return RESUME_OK;
}

static int entry_store(const struct resume_phys *phys, resume_pa_t entry_pa, uint64_t entry,
                       struct resume_diag *diag)
{
    const uint64_t offset = entry_pa % RESUME_PAGE_SIZE;
    uint8_t *table = phys->page(phys->ctx, entry_pa - offset);

    if (!table)
        return paging_fail(diag, RESUME_EUNREACHABLE, "page-table builder", "table", entry_pa, 0,
                           0);
    resume_store_le64(table + offset, entry);
    return RESUME_OK;
}

/* Would a page of @level at @va and @pa be aligned, within @length, and known to the CPU? */
static int page_fits(const struct resume_paging_builder *builder, uint32_t level, resume_va_t va,
                     resume_pa_t pa, uint64_t length)
{
    if (level > 3 || (level == 3 && !builder->allow_1g))
        return 0;
    return ((va | pa) & (level_span(level) - 1u)) == 0 && length >= level_span(level);
}

/*
 * Map the start of [va, va+length) with one page, as large as can be, or find that it is mapped as
 * asked already. @ret_size: the bytes settled.
 */
static int map_one(const struct resume_paging_builder *builder, resume_va_t va, resume_pa_t pa,
                   uint64_t length, uint64_t flags, uint64_t *ret_size, struct resume_diag *diag)
{
    const struct resume_phys *phys = &builder->arena->phys;
    resume_pa_t table_pa = builder->root_pa;

    for (uint32_t level = builder->levels; level >= 1; level--) {
        const resume_pa_t entry_pa = table_pa + level_index(va, level) * ENTRY_SIZE;
        const uint64_t offset = va & (level_span(level) - 1u);
        uint64_t entry = 0;
        int err = entry_load(phys, entry_pa, &entry, diag);

        if (err)
            return err;

        if (!(entry & RESUME_PTE_P) && page_fits(builder, level, va, pa, length)) {
            *ret_size = level_span(level);
            return entry_store(phys, entry_pa, pa | flags | (level > 1 ? RESUME_PTE_PS : 0), diag);
        }
        if (!(entry & RESUME_PTE_P)) {
            err = resume_arena_page(builder->arena, &table_pa, diag);
            if (err)
                return err;
            /* Rights are decided in the leaf: the levels above it allow everything but user. */
            err = entry_store(phys, entry_pa,
                              table_pa | RESUME_PTE_P | RESUME_PTE_RW | RESUME_PTE_A, diag);
            if (err)
                return err;
            continue;
        }
        if (is_leaf(entry, level)) {
            const uint64_t wanted = flags | (level > 1 ? RESUME_PTE_PS : 0);

            if (leaf_pa(entry, level) + offset != pa || (entry & ~ENTRY_ADDRESS_MASK) != wanted)
                return paging_fail(diag, RESUME_ECONFLICT, "page-table builder", level_name(level),
                                   va, entry, pa | wanted);
            *ret_size = level_span(level) - offset;
            return RESUME_OK;
        }
        table_pa = entry & ENTRY_ADDRESS_MASK;
    }
    /* Not reached: an entry of level 1 is either a leaf or free for one. */
    return paging_fail(diag, RESUME_EINVAL, "page-table builder", "levels", va, builder->levels, 4);
}

int resume_paging_map(struct resume_paging_builder *builder, resume_va_t va, resume_pa_t pa,
                      uint64_t length, uint32_t rights, struct resume_diag *diag)
{
    const uint64_t pa_limit = UINT64_C(1) << PA_BITS_MAX;
    uint64_t flags = RESUME_PTE_P | RESUME_PTE_A;

    if (!builder || !builder->arena || !builder->arena->phys.page ||
        (builder->levels != 4 && builder->levels != 5))
        return paging_fail(diag, RESUME_EINVAL, "page-table builder", "argument", va, 0, 0);
    if (rights & ~(RESUME_MAP_WRITE | RESUME_MAP_EXEC))
        return paging_fail(diag, RESUME_EINVAL, "page-table builder", "rights", va, rights,
                           RESUME_MAP_WRITE | RESUME_MAP_EXEC);
    if (length == 0 || (va | pa | length) % RESUME_PAGE_SIZE != 0)
        return paging_fail(diag, RESUME_EINVAL, "page-table builder", "alignment", va,
                           (va | pa | length) % RESUME_PAGE_SIZE, 0);
    if (pa >= pa_limit || length > pa_limit - pa)
        return paging_fail(diag, RESUME_EINVAL, "page-table builder", "physical address", va, pa,
                           pa_limit);
    /* Canonical at both ends and shorter than the gap between the halves: canonical throughout. */
    if (!resume_paging_canonical(va, builder->levels) || length - 1u > UINT64_MAX - va ||
        !resume_paging_canonical(va + (length - 1u), builder->levels))
        return paging_fail(diag, RESUME_ECANON, "page-table builder", "virtual address", va, length,
                           builder->levels);

    if (rights & RESUME_MAP_WRITE)
        flags |= RESUME_PTE_RW | RESUME_PTE_D;
    if (!(rights & RESUME_MAP_EXEC))
        flags |= RESUME_PTE_NX;

    /* Every turn settles at least a page, in a table that the arena holds: the arena bounds it. */
    while (length > 0) {
        uint64_t size = 0;
        int err = map_one(builder, va, pa, length, flags, &size, diag);

        if (err)
            return err;
        if (size >= length)
            break;
        va += size;
        pa += size;
        length -= size;
    }
    return RESUME_OK;
}
