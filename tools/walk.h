/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* One address through the guest's page tables, with every entry on the way. */
#ifndef RESUME_TOOLS_WALK_H
#define RESUME_TOOLS_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include <resume/paging.h>

/* What was looked up at one level. */
struct walk_step {
    uint32_t level; /* 5 PML5E, 4 PML4E, 3 PDPTE, 2 PDE, 1 PTE */
    uint32_t index; /* of the entry in its table, 0 to 511 */
    resume_pa_t entry_pa;
    bool read; /* false: the table is not in the input */
    uint64_t entry;
};

struct walk {
    resume_va_t va;
    uint32_t step_count;
    struct walk_step step[5];
    /* 0, or why the walk ended without a page: ECANON, EUNMAPPED, EREGISTER, EUNREACHABLE. */
    int err;
    uint64_t reserved; /* with EREGISTER: the reserved bits that are set in the last entry */
    struct resume_translation leaf; /* without an error */
};

/*
 * walk_run - translate @va. Which entries count, and why the walk ends, is resume_paging_walk's word.
 * Errors: EINVAL. That the address is not mapped is none.
 */
int walk_run(const struct resume_paging *paging, resume_va_t va, struct walk *out);

/* "PML4E" and so on. @level: 1 to 5. Static. */
const char *walk_level_name(uint32_t level);

/*
 * walk_entry_bits - the bits of an entry by their names: "P RW US A D PS G NX PK3".
 * @leaf: it maps a page: D, PS or PAT, G and the protection key mean something then.
 * @buffer: WALK_BITS_MAX bytes. Returns it.
 */
#define WALK_BITS_MAX 96
char *walk_entry_bits(uint64_t entry, uint32_t level, bool leaf, char *buffer);

/* walk_rights - "rwxug", with - for each right that there is not: user, global. @out: 6 bytes. */
char *walk_rights(uint32_t rights, char out[6]);

/* "4 KiB", "2 MiB", "1 GiB". Static. */
const char *walk_page_size(uint64_t size);

#endif
