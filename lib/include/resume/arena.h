/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Access to physical memory, and a page arena in it.
 *
 * The library never takes a physical address for a pointer: whoever links it says how one becomes
 * the other. Firmware with an identity map returns the address; a host tool looks into a file.
 */
#ifndef RESUME_ARENA_H
#define RESUME_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include <resume/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t resume_pa_t; /* guest-physical address */
typedef uint64_t resume_va_t; /* guest-virtual (linear) address */

#define RESUME_PAGE_SIZE 4096u
#define RESUME_PAGE_SHIFT 12

/*
 * The one callback. @pa is 4 KiB aligned; the result addresses the whole 4 KiB page, 8-byte
 * aligned, valid until the next call with the same @ctx (so at least two pages must not be assumed
 * to stay reachable at once unless the provider promises it). NULL when there is no RAM there.
 */
struct resume_phys {
    void *(*page)(void *ctx, resume_pa_t pa);
    void *ctx;
};

/* Hands out zeroed 4 KiB pages from a contiguous physical range, in ascending order. */
struct resume_arena {
    struct resume_phys phys;
    resume_pa_t base_pa;
    uint32_t page_count;
    uint32_t used;
};

/*
 * resume_arena_init - start an arena.
 * @phys: must reach every page of the range.  @base_pa: 4 KiB aligned.  @page_count: 1 or more.
 * Errors: EINVAL (unaligned, empty, or the range wraps).
 */
int resume_arena_init(struct resume_arena *arena, const struct resume_phys *phys,
                      resume_pa_t base_pa, uint32_t page_count);

/*
 * resume_arena_page - take the next page, zeroed.
 * Errors: ENOSPC, EUNREACHABLE.
 */
int resume_arena_page(struct resume_arena *arena, resume_pa_t *ret_pa, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
