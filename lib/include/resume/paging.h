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

/*
 * How a set of page tables is to be read. Owned by the caller; what is derived from it (iterators)
 * keeps a pointer to it.
 */
struct resume_paging {
    struct resume_phys phys;
    resume_pa_t root_pa; /* CR3 bits 51:12, none at or above pa_bits; bits 11:0 are ignored */
    uint32_t levels;     /* 4, or 5 when CR4.LA57 */
    uint32_t nxe;        /* EFER.NXE: bit 63 means no-execute (else it is reserved) */
    uint32_t pa_bits;    /* physical-address width, 32..52; bits above are reserved in entries */
    uint32_t reserved;   /* 0 */
};

/* The combined rights of a translation: those of every level taken together. */
#define RESUME_MAP_WRITE UINT32_C(1)
#define RESUME_MAP_USER UINT32_C(2)
#define RESUME_MAP_EXEC UINT32_C(4)
#define RESUME_MAP_GLOBAL UINT32_C(8)

struct resume_translation {
    resume_va_t va;          /* start of the leaf page that contains the address */
    resume_pa_t pa;          /* its physical start */
    uint64_t size;           /* bytes: 4 KiB, 2 MiB or 1 GiB */
    uint32_t rights;         /* RESUME_MAP_* */
    uint32_t leaf_level;     /* 1 PTE, 2 PDE, 3 PDPTE */
    resume_pa_t entry_pa[5]; /* address of the entry used at level n+1, 0 when none */
    uint64_t entry[5];       /* its value, 0 when none */
};

/*
 * resume_paging_canonical - is @va canonical for @levels (5: 57 bits, anything else: 48 bits)?
 * Intel SDM vol. 1, "Canonical Addressing". Returns 1 or 0.
 */
int resume_paging_canonical(resume_va_t va, uint32_t levels);

/*
 * resume_paging_walk - translate one address, as a CPU that fetches or reads there would.
 * @va: any address, of any alignment.  @out: the page around it.  @diag: optional.
 * The rights are what the entries say; CR0.WP, SMEP, SMAP and protection keys are the reader's
 * business; whether there is memory behind the leaf is not asked. 1 GiB pages are taken to be known
 * to the CPU. Accessed and dirty flags are neither asked for nor set.
 * Errors:
 *   EINVAL        NULL, or a field of @paging outside its documented range
 *   ECANON        @va is not canonical (diag: found = va, expected = the number of address bits)
 *   EUNMAPPED     an entry is not present (diag: `field` names the entry, e.g. "PDE"; offset = its
 *                 physical address, found = its value)
 *   EREGISTER     an entry has reserved bits set, at which a CPU faults (diag: as above, expected =
 *                 the entry without them)
 *   EUNREACHABLE  a table is not in reachable memory (diag: field and offset as above)
 */
int resume_paging_walk(const struct resume_paging *paging, resume_va_t va,
                       struct resume_translation *out, struct resume_diag *diag);

/*
 * Iteration over all leaf mappings in ascending order of canonical address (low half, then high).
 * The caller owns it and may stop anywhere; the fields are private.
 */
struct resume_paging_iter {
    const struct resume_paging *paging;
    resume_va_t next_va;
    resume_va_t last_va;
    uint32_t done;
    uint32_t budget;         /* table pages it may still enter */
    uint32_t level;          /* of the table that next_va is looked up in */
    uint32_t rights_mask;    /* only leaves whose rights under this mask ... */
    uint32_t rights_value;   /* ... are these; 0 and 0 for all */
    uint64_t entry[5];       /* the entries that lead to that table; at level n+1 */
    resume_pa_t entry_pa[5]; /* where they were read */
};

/*
 * resume_paging_iter_init - iterate over [first_va, last_va], both canonical, first <= last.
 * @paging: must stay valid, and the tables unchanged, while the iterator is used.
 * @budget: the most table pages to enter, 1 or more; a page counts each time that it is entered.
 * Each costs at most 512 entries' work. Linux guests have some hundred to some ten thousand;
 * 1 << 20 bounds the hostile ones, whose tables refer to themselves.
 * Errors: EINVAL, ECANON.
 */
int resume_paging_iter_init(struct resume_paging_iter *iter, const struct resume_paging *paging,
                            resume_va_t first_va, resume_va_t last_va, uint32_t budget);

/*
 * resume_paging_iter_next - the next leaf mapping, or @out->size == 0 at the end (and ever after).
 * @out: the whole leaf, also where it reaches beyond the range's ends.  @diag: optional.
 * Skips what is not present in steps of the level at which it is not present. Entries with
 * reserved bits, and tables that cannot be reached, are skipped as not present.
 * Calls phys.page once, and once more for each table entered or left on the way.
 * Errors: EINVAL, ENOSPC (the budget is used up; diag: offset = the address reached).
 */
int resume_paging_iter_next(struct resume_paging_iter *iter, struct resume_translation *out,
                            struct resume_diag *diag);

/* Tables under construction. Owned by the caller; root_pa is what goes into CR3. */
struct resume_paging_builder {
    struct resume_arena *arena; /* every table page comes from here */
    resume_pa_t root_pa;        /* 4 KiB aligned */
    uint32_t levels;
    uint32_t allow_1g; /* CPUID.80000001H:EDX.Page1GB */
};

/*
 * resume_paging_map_bound - the most table pages that one resume_paging_map call of @length bytes
 * can take, wherever the range lies and whatever page sizes come out. The root, which
 * resume_paging_builder_init takes, is not among them; several calls add up.
 * @length: bytes, rounded up to 4 KiB; 0 gives 0.  @levels: 4 or 5.
 * It is the exact worst case, met when all pages are 4 KiB and the range crosses a boundary of the
 * root's entries, so it overestimates long ranges of large pages: 2 MiB takes at most 6 pages
 * with 4 levels, 1 GiB at most 517.
 */
uint64_t resume_paging_map_bound(uint64_t length, uint32_t levels);

/*
 * resume_paging_builder_init - take a root page from @arena, which must outlive the builder.
 * @levels: 4 or 5.  @allow_1g: nonzero when the CPU that will use the tables knows 1 GiB pages.
 * Errors: EINVAL, ENOSPC, EUNREACHABLE.
 */
int resume_paging_builder_init(struct resume_paging_builder *builder, struct resume_arena *arena,
                               uint32_t levels, uint32_t allow_1g, struct resume_diag *diag);

/*
 * resume_paging_map - map [va, va+length) to [pa, pa+length), supervisor, with the largest pages
 * that alignment and length allow.
 * @rights: RESUME_MAP_WRITE, RESUME_MAP_EXEC (without it NX is set: EFER.NXE must be on when used);
 * nothing else. The pages are write-back, not global, and have their accessed flag (and dirty flag
 * when writable) set, so that the CPU never writes to the tables.
 * @va, @pa, @length: 4 KiB aligned, length > 0, the range canonical and not wrapping.
 * Mapping the same page to the same place with the same rights again is fine, in whatever page
 * sizes either was asked for.
 * Errors: EINVAL (also: the physical range passes 2^52), ECANON, ENOSPC, EUNREACHABLE, ECONFLICT
 * (something else is mapped there; diag: offset = VA, found = the entry there, expected = the one
 * wanted). On failure the tables may hold a part of the range and must be thrown away.
 */
int resume_paging_map(struct resume_paging_builder *builder, resume_va_t va, resume_pa_t pa,
                      uint64_t length, uint32_t rights, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
