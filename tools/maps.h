/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the guest's page tables map, neighbours with the same rights put together. */
#ifndef RESUME_TOOLS_MAPS_H
#define RESUME_TOOLS_MAPS_H

#include <stdbool.h>
#include <stdint.h>

#include <resume/paging.h>

/* Pages that follow each other in virtual memory, with the same rights. */
struct maps_mapping {
    resume_va_t first_va;
    uint64_t length;   /* bytes; 0 stands for all 2^64, which cannot be */
    uint32_t rights;   /* RESUME_MAP_* */
    bool contiguous;   /* in physical memory too */
    resume_pa_t pa;    /* of the first page */
    uint64_t pages[3]; /* of 4 KiB, 2 MiB, 1 GiB */
};

enum maps_cut {
    MAPS_COMPLETE,
    MAPS_CUT_TABLES,  /* more page tables than the limit: they may contain themselves */
    MAPS_CUT_MAPPINGS /* more mappings than anybody can use */
};

struct maps_end {
    enum maps_cut cut;
    resume_va_t reached_va; /* when cut: what is from here on has not been looked at */
    uint64_t mappings;
    uint64_t pages;
    uint64_t bytes;
    uint64_t missing_tables; /* that are not in the input: what they map is not known */
};

/* Called for each mapping, ascending. Anything but 0 ends the run, and is returned by it. */
typedef int maps_mapping_fn(void *ctx, const struct maps_mapping *mapping);

/*
 * maps_run - list all mappings.
 * @table_limit: the most page tables to enter, 1 or more; one that is met again counts again.
 * Takes no memory, however large the tables are.
 * Errors: EINVAL (@paging), what @take returns.
 */
int maps_run(const struct resume_paging *paging, uint32_t table_limit, maps_mapping_fn *take,
             void *ctx, struct maps_end *out);

#endif
