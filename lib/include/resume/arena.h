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
 * The one callback: where the RAM at a physical address can be read and written.
 * @pa is 4 KiB aligned. The result addresses that whole page, is 8-byte aligned, and stays valid
 * until the next call with the same @ctx, no longer: the library never holds two pages at once, so
 * one window that is moved about will do. NULL when there is no RAM, or the caller may not use it.
 * Reading the tables of a guest writes to no page.
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
 * resume_arena_init - start an arena over [base_pa, base_pa + page_count * 4 KiB).
 * @arena: caller-owned, filled here.  @phys: copied; it must reach every page of the range for as
 * long as the arena is used.  @base_pa: 4 KiB aligned.  @page_count: pages, 1 or more.
 * Context: any. Touches no page yet.
 * Errors: EINVAL (NULL, unaligned, empty, or the range passes 2^52, where physical addresses end).
 */
int resume_arena_init(struct resume_arena *arena, const struct resume_phys *phys,
                      resume_pa_t base_pa, uint32_t page_count);

/*
 * resume_arena_page - take the next page, zeroed.
 * @ret_pa: its physical address, 4 KiB aligned.  @diag: optional.
 * There is no way to give a page back; whoever owns the range drops the arena as a whole.
 * Errors: EINVAL (NULL), ENOSPC (diag: offset = base_pa, expected = page_count), EUNREACHABLE
 * (diag: offset = the page; it is not taken).
 */
int resume_arena_page(struct resume_arena *arena, resume_pa_t *ret_pa, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
