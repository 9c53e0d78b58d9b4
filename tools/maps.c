/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "maps.h"

#include <string.h>

/* All mappings that the budget of tables allows could still be as many as there are pages. */
#define MAPPINGS_MAX (UINT32_C(1) << 20)

static void begin(struct maps_mapping *mapping, const struct resume_translation *leaf)
{
    *mapping = (struct maps_mapping){
        .first_va = leaf->va,
        .length = 0,
        .pa = leaf->pa,
        .rights = leaf->rights,
        .contiguous = true,
    };
}

static void extend(struct maps_mapping *mapping, const struct resume_translation *leaf)
{
    mapping->contiguous = mapping->contiguous && leaf->pa == mapping->pa + mapping->length;
    mapping->length += leaf->size;
    mapping->pages[leaf->leaf_level - 1]++;
}

static bool goes_on(const struct maps_mapping *mapping, const struct resume_translation *leaf)
{
    return mapping->length != 0 && leaf->va == mapping->first_va + mapping->length &&
           leaf->rights == mapping->rights;
}

/* Tables that are not in the input are passed over by the iterator: that must not go unsaid. */
struct counter {
    const struct resume_phys *phys;
    uint64_t missing;
};

static void *count_missing(void *ctx, resume_pa_t pa)
{
    struct counter *counter = ctx;
    void *page = counter->phys->page(counter->phys->ctx, pa);
    counter->missing += page == NULL;
    return page;
}

int maps_run(const struct resume_paging *paging, uint32_t table_limit, maps_mapping_fn *take,
             void *ctx, struct maps_end *out)
{
    struct maps_mapping mapping = {0};
    struct maps_end end = {0};
    struct resume_paging_iter iter;
    struct resume_diag diag = {0};
    struct counter counter = {.phys = &paging->phys};
    struct resume_paging heard = *paging;
    heard.phys = (struct resume_phys){.page = count_missing, .ctx = &counter};
    int ret = resume_paging_iter_init(&iter, &heard, 0, UINT64_MAX, table_limit);
    if (ret != 0)
        return ret;
    /* Ends: each table that is entered is paid for, and has 512 entries. */
    for (;;) {
        struct resume_translation leaf;
        int err = resume_paging_iter_next(&iter, &leaf, &diag);
        if (err != 0 && err != RESUME_ENOSPC)
            return err;
        if (err == RESUME_ENOSPC) {
            end.cut = MAPS_CUT_TABLES;
            end.reached_va = diag.offset;
        }
        if (err != 0 || leaf.size == 0)
            break;
        if (!goes_on(&mapping, &leaf)) {
            if (mapping.length != 0 && (ret = take(ctx, &mapping)) != 0)
                return ret;
            if (mapping.length != 0 && ++end.mappings == MAPPINGS_MAX) {
                end.cut = MAPS_CUT_MAPPINGS;
                end.reached_va = leaf.va;
                mapping.length = 0;
                break;
            }
            begin(&mapping, &leaf);
        }
        extend(&mapping, &leaf);
        end.bytes += leaf.size;
        end.pages++;
    }
    if (mapping.length != 0) {
        end.mappings++;
        if ((ret = take(ctx, &mapping)) != 0)
            return ret;
    }
    end.missing_tables = counter.missing;
    *out = end;
    return 0;
}
