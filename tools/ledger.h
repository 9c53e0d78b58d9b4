/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The ledger of a verification, seen from outside: what of the resumed VM is as the snapshot has it, what is not, and why.
 * tools/compare.h fills it. (What the trampoline has seen from inside is in tools/readback.h.)
 */
#ifndef RESUME_TOOLS_LEDGER_H
#define RESUME_TOOLS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* Entries kept of each list; what is beyond is only counted. */
#define LEDGER_FIELD_MAX 4096u
#define LEDGER_PAGE_MAX 4096u
#define LEDGER_RUN_MAX 32u
#define LEDGER_VALUE_MAX 80

/* A field that differs, or a section that only one side has. */
struct ledger_field {
    char *path;                     /* owned: "cpu/env.eip"; "SECTION" for a whole section */
    uint32_t instance;              /* of the section */
    char source[LEDGER_VALUE_MAX];  /* "0x10", hexadecimal bytes, or "absent" */
    char resumed[LEDGER_VALUE_MAX]; /* likewise */
    const char *reason;             /* static: why it may differ; NULL = nothing allows it */
};

/* Bytes that differ, one next to the other. */
struct ledger_run {
    uint16_t start; /* offset in the page */
    uint16_t length;
};

/* A page that differs. */
struct ledger_page {
    char block[256];
    uint64_t offset; /* in the block */
    bool has_pa;     /* the memory map shows it at pa */
    uint64_t pa;
    uint32_t bytes; /* how many differ */
    bool in_home;
    const char *reason; /* static: what accounts for all that differs; NULL = nothing does */
    const char *note;   /* static: "absent in the resumed VM"; NULL = both have it */
    uint32_t run_count; /* in `run`, up to LEDGER_RUN_MAX; the last may stand for more */
    struct ledger_run run[LEDGER_RUN_MAX];
};

/* What is left of one vCPU's landing in the home. */
struct ledger_landing {
    uint32_t vcpu;
    bool active;    /* false: the vCPU was not resumed, it has none */
    bool has_pa;    /* `first` and `last` are guest-physical, else offsets in the RAM block */
    uint32_t bytes; /* of its slot, that differ from the snapshot */
    uint64_t first; /* of them; valid when bytes != 0 */
    uint64_t last;
};

/* Zero = empty. Owned by the caller, freed with ledger_free. */
struct ledger {
    uint32_t sections;      /* device sections compared */
    uint64_t cpu_identical; /* fields of "cpu" and "cpu_common" */
    uint64_t cpu_explained;
    uint64_t cpu_unexpected;
    uint64_t device_identical; /* fields of all other sections */
    uint64_t device_explained;
    uint64_t device_unexpected;
    uint64_t pages; /* pages of RAM compared */
    uint64_t pages_identical;
    uint64_t pages_expected; /* all that differs in them has a reason */
    uint64_t pages_unexpected;
    uint64_t home_bytes; /* bytes that differ inside the home */
    uint32_t field_count;
    struct ledger_field *field; /* owned */
    uint32_t page_count;
    struct ledger_page *page; /* owned */
    uint32_t landing_count;
    struct ledger_landing *landing; /* owned; one for each vCPU */
};

/* ledger_add_field, ledger_add_page - enter one; copied. Returns 0, or -1 when memory runs out.
 * Beyond the limits nothing is kept, which is no failure. The counters are the caller's. */
int ledger_add_field(struct ledger *ledger, const struct ledger_field *field);
int ledger_add_page(struct ledger *ledger, const struct ledger_page *page);

/* ledger_clean - is every difference accounted for? */
bool ledger_clean(const struct ledger *ledger);

/* ledger_print - for people. */
void ledger_print(const struct ledger *ledger, FILE *out);

/* ledger_json - for programs: a new reference, NULL when memory runs out. */
json_t *ledger_json(const struct ledger *ledger);

void ledger_free(struct ledger *ledger);

#endif
