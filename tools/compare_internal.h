/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the parts of compare.h share. */
#ifndef RESUME_TOOLS_COMPARE_INTERNAL_H
#define RESUME_TOOLS_COMPARE_INTERNAL_H

#include "compare.h"
#include "ram.h"

/* One of the two streams. */
struct compare_side {
    int fd;
    const char *name;
    struct ram ram;
    uint8_t *tail; /* owned */
    struct vmdesc desc;
};

/* An entry of the guest's page tables that the home is mapped by. */
struct compare_entry {
    resume_pa_t pa;
    bool leaf;
};

struct compare_entries {
    uint32_t count;
    struct compare_entry *entry; /* owned; ascending by address, each once */
};

/*
 * compare_entries_find - the entries by which the page tables of all active vCPUs map the home.
 * What the tables do not map, or the stream does not have, is left out.
 * @out: to be freed with free(out->entry). Returns 0, or -1 when memory runs out.
 */
int compare_entries_find(struct compare_entries *out, const struct compare_options *options,
                         struct ram *source);

/*
 * compare_entries_explain - is all that differs in the page at @pa the accessed flag of such an
 * entry, or the dirty flag of one that is a leaf, set by the CPU? @a, @b: STREAM_PAGE_SIZE bytes,
 * before and after.
 */
bool compare_entries_explain(const struct compare_entries *entries, resume_pa_t pa,
                             const uint8_t *a, const uint8_t *b);

/* compare_ram - compare all pages. Returns 0, -1 when memory ran out, 1 with @error filled. */
int compare_ram(struct ledger *ledger, const struct compare_options *options,
                struct compare_side *source, struct compare_side *resumed,
                struct stream_error *error);

#endif
