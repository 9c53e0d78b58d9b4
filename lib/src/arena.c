/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A page arena in physical memory. */
#include <resume/arena.h>

#include "env.h"
#include "internal.h"

/* No x86-64 CPU addresses more than 52 bits of physical memory. */
#define PA_LIMIT (UINT64_C(1) << 52)

int resume_arena_init(struct resume_arena *arena, const struct resume_phys *phys,
                      resume_pa_t base_pa, uint32_t page_count)
{
    if (!arena || !phys || !phys->page || page_count == 0)
        return RESUME_EINVAL;
    if (base_pa % RESUME_PAGE_SIZE != 0 || base_pa >= PA_LIMIT)
        return RESUME_EINVAL;
    if (((uint64_t)page_count << RESUME_PAGE_SHIFT) > PA_LIMIT - base_pa)
        return RESUME_EINVAL;

    arena->phys = *phys;
    arena->base_pa = base_pa;
    arena->page_count = page_count;
    arena->used = 0;
    return RESUME_OK;
}

int resume_arena_page(struct resume_arena *arena, resume_pa_t *ret_pa, struct resume_diag *diag)
{
    resume_pa_t pa;
    void *page;

    if (!arena || !ret_pa)
        return resume_fail(diag, RESUME_EINVAL, "arena", "argument", 0, 0, 0, RESUME_NO_VCPU);
    if (arena->used >= arena->page_count)
        return resume_fail(diag, RESUME_ENOSPC, "arena", "page_count", arena->base_pa,
                           (uint64_t)arena->used + 1, arena->page_count, RESUME_NO_VCPU);

    pa = arena->base_pa + ((uint64_t)arena->used << RESUME_PAGE_SHIFT);
    page = arena->phys.page(arena->phys.ctx, pa);
    if (!page)
        return resume_fail(diag, RESUME_EUNREACHABLE, "arena", "page", pa, 0, 0, RESUME_NO_VCPU);

    memset(page, 0, RESUME_PAGE_SIZE);
    arena->used++;
    *ret_pa = pa;
    return RESUME_OK;
}
