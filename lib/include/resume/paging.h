/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Long-mode page tables: walking those of a guest, building those of the trampoline.
 * Implements Intel SDM vol. 3, "4-Level Paging and 5-Level Paging" and "Access Rights".
 */
#ifndef RESUME_PAGING_H
#define RESUME_PAGING_H

#include <resume/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Page-table entry bits. */
#define RESUME_PTE_P (UINT64_C(1) << 0)
#define RESUME_PTE_RW (UINT64_C(1) << 1)
#define RESUME_PTE_US (UINT64_C(1) << 2)
#define RESUME_PTE_A (UINT64_C(1) << 5)
#define RESUME_PTE_D (UINT64_C(1) << 6)
#define RESUME_PTE_PS (UINT64_C(1) << 7)
#define RESUME_PTE_G (UINT64_C(1) << 8)
#define RESUME_PTE_NX (UINT64_C(1) << 63)

/* How a set of page tables is to be read. */
struct resume_paging {
    struct resume_phys phys;
    resume_pa_t root_pa; /* CR3 bits 51:12; low bits ignored */
    uint32_t levels;     /* 4, or 5 when CR4.LA57 */
    uint32_t nxe;        /* EFER.NXE: bit 63 means no-execute (else it is reserved) */
    uint32_t pa_bits;    /* physical-address width, 32..52; bits above are reserved in entries */
    uint32_t reserved;
};

/* The combined rights of a translation: those of every level taken together. */
#define RESUME_MAP_WRITE UINT32_C(1)
#define RESUME_MAP_USER UINT32_C(2)
#define RESUME_MAP_EXEC UINT32_C(4)
#define RESUME_MAP_GLOBAL UINT32_C(8)

struct resume_translation {
    resume_va_t va;          /* start of the leaf page that contains the address */
    resume_pa_t pa;          /* its physical start */
    uint64_t size;           /* 4 KiB, 2 MiB or 1 GiB */
    uint32_t rights;         /* RESUME_MAP_* */
    uint32_t leaf_level;     /* 1 PTE, 2 PDE, 3 PDPTE */
    resume_pa_t entry_pa[5]; /* address of the entry used at level n+1, 0 when none */
    uint64_t entry[5];       /* its value */
};

/*
 * resume_paging_canonical - is @va canonical for @levels (4: 48 bits, 5: 57 bits)?
 * Intel SDM vol. 1, "Canonical Addressing". Returns 1 or 0.
 */
int resume_paging_canonical(resume_va_t va, uint32_t levels);

/*
 * resume_paging_walk - translate one address.
 * Errors: EINVAL, ECANON, EUNMAPPED (diag: level in `field`, entry address in `offset`, entry in
 * `found`), EREGISTER (reserved bits set in an entry: a CPU would fault), EUNREACHABLE.
 */
int resume_paging_walk(const struct resume_paging *paging, resume_va_t va,
                       struct resume_translation *out, struct resume_diag *diag);

/* Iteration over all leaf mappings in ascending order of canonical address (low half, then high). */
struct resume_paging_iter {
    const struct resume_paging *paging;
    resume_va_t next_va;
    resume_va_t last_va;
    uint32_t done;
    uint32_t budget;   /* table pages it may still visit: bounds hostile, self-referencing tables */
    uint32_t level;    /* of the table that next_va is looked up in */
    uint64_t entry[5]; /* the entries that lead to that table; at level n+1 */
    resume_pa_t entry_pa[5]; /* where they were read */
};

/*
 * resume_paging_iter_init - iterate over [first_va, last_va], both canonical, first <= last.
 * @budget: the most entries-bearing table pages to visit, e.g. 1 << 20.
 * Errors: EINVAL, ECANON.
 */
int resume_paging_iter_init(struct resume_paging_iter *iter, const struct resume_paging *paging,
                            resume_va_t first_va, resume_va_t last_va, uint32_t budget);

/*
 * resume_paging_iter_next - the next leaf mapping, or @out->size == 0 at the end.
 * Skips what is not present in steps of the level at which it is not present. Entries with
 * reserved bits, and tables that cannot be reached, are skipped as not present.
 * Errors: EINVAL, ENOSPC (the budget is used up).
 */
int resume_paging_iter_next(struct resume_paging_iter *iter, struct resume_translation *out,
                            struct resume_diag *diag);

/* Tables under construction. */
struct resume_paging_builder {
    struct resume_arena *arena; /* every table page comes from here */
    resume_pa_t root_pa;
    uint32_t levels;
    uint32_t allow_1g; /* CPUID.80000001H:EDX.Page1GB */
};

/* The most table pages that one resume_paging_map call of @length bytes can take. */
uint64_t resume_paging_map_bound(uint64_t length, uint32_t levels);

/*
 * resume_paging_builder_init - take a root page.  @levels: 4 or 5.
 * Errors: EINVAL, ENOSPC, EUNREACHABLE.
 */
int resume_paging_builder_init(struct resume_paging_builder *builder, struct resume_arena *arena,
                               uint32_t levels, uint32_t allow_1g, struct resume_diag *diag);

/*
 * resume_paging_map - map [va, va+length) to [pa, pa+length), supervisor, with the largest pages
 * that alignment and length allow.
 * @rights: RESUME_MAP_WRITE, RESUME_MAP_EXEC (without it NX is set: EFER.NXE must be on when used).
 * @va, @pa, @length: 4 KiB aligned, length > 0, the range canonical and not wrapping.
 * Mapping the same page to the same place with the same rights again is fine.
 * Errors: EINVAL, ECANON, ENOSPC, EUNREACHABLE, ECONFLICT (something else is mapped there). On
 * failure the tables may hold a part of the range and must be thrown away.
 */
int resume_paging_map(struct resume_paging_builder *builder, resume_va_t va, resume_pa_t pa,
                      uint64_t length, uint32_t rights, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
