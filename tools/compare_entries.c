/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The CPU sets accessed and dirty flags of the guest's page tables when the landing runs in the home
 * and writes to it. Kernels may have cleared the dirty flag of what they map read-only. A guest has
 * many page tables: those that count are the ones that its vCPUs are on.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include <resume/paging.h>

#include "compare_internal.h"

#define ROOT_MASK UINT64_C(0x000ffffffffff000)
#define ADDRESS_BITS 52u /* entries with reserved bits were refused when the snapshot was taken */

static int add(struct compare_entries *entries, resume_pa_t pa, bool leaf)
{
    uint32_t low = 0;
    uint32_t high = entries->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entries->entry[middle].pa < pa)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < entries->count && entries->entry[low].pa == pa) {
        entries->entry[low].leaf = entries->entry[low].leaf || leaf;
        return 0;
    }
    if ((entries->count & (entries->count - 1)) == 0) {
        size_t capacity = entries->count == 0 ? 1 : (size_t)entries->count * 2;
        struct compare_entry *grown =
            reallocarray(entries->entry, capacity, sizeof(*entries->entry));
        if (grown == NULL)
            return -1;
        entries->entry = grown;
    }
    for (uint32_t i = entries->count; i > low; i--)
        entries->entry[i] = entries->entry[i - 1];
    entries->entry[low] = (struct compare_entry){pa, leaf};
    entries->count++;
    return 0;
}

/* The entries of one vCPU's tables. */
static int add_tables(struct compare_entries *entries, const struct resume_phys *phys,
                      const struct compare_vcpu *vcpu, const struct splice_home *home)
{
    const struct resume_paging paging = {
        .phys = *phys,
        .root_pa = vcpu->cr3 & ROOT_MASK,
        .levels = vcpu->levels,
        .nxe = 1,
        .pa_bits = ADDRESS_BITS,
    };
    uint64_t step;
    for (uint64_t at = 0; at < home->length; at += step) {
        struct resume_translation found;
        step = RESUME_PAGE_SIZE;
        if (resume_paging_walk(&paging, home->va + at, &found, NULL) != RESUME_OK)
            continue;
        for (uint32_t level = found.leaf_level; level <= paging.levels; level++) {
            if (add(entries, found.entry_pa[level - 1], level == found.leaf_level) != 0)
                return -1;
        }
        step = found.va + found.size - (home->va + at);
    }
    return 0;
}

/* The manifest says where RAM appears in guest-physical memory; the stream does not. */
static void add_ranges(struct ram *ram, const struct manifest *manifest)
{
    struct stream_error ignored;
    for (uint32_t i = 0; i < manifest->range_count; i++) {
        const struct manifest_range *from = &manifest->range[i];
        const struct ram_range range = {
            .base_pa = from->base_pa,
            .length = from->length,
            .block = ram_block_find(ram, from->block),
            .block_offset = from->offset,
        };
        if (from->kind == MANIFEST_RANGE_RAM && range.block != UINT32_MAX)
            (void)ram_add_range(ram, &range, &ignored);
    }
}

int compare_entries_find(struct compare_entries *out, const struct compare_options *options,
                         struct ram *source)
{
    struct compare_entries entries = {0, NULL};
    *out = entries;
    if (options->manifest == NULL || options->home == NULL)
        return 0;
    add_ranges(source, options->manifest);
    struct resume_phys phys = ram_phys(source);
    for (uint32_t i = 0; i < options->vcpu_count; i++) {
        const struct compare_vcpu *vcpu = &options->vcpu[i];
        bool done = !vcpu->active;
        for (uint32_t n = 0; n < i && !done; n++)
            done = options->vcpu[n].active && options->vcpu[n].cr3 == vcpu->cr3 &&
                   options->vcpu[n].levels == vcpu->levels;
        if (!done && add_tables(&entries, &phys, vcpu, options->home) != 0) {
            free(entries.entry);
            return -1;
        }
    }
    *out = entries;
    return 0;
}

static const struct compare_entry *find(const struct compare_entries *entries, resume_pa_t pa)
{
    uint32_t low = 0;
    uint32_t high = entries->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entries->entry[middle].pa == pa)
            return &entries->entry[middle];
        if (entries->entry[middle].pa < pa)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool compare_entries_explain(const struct compare_entries *entries, resume_pa_t pa,
                             const uint8_t *a, const uint8_t *b)
{
    for (uint32_t i = 0; i < STREAM_PAGE_SIZE; i++) {
        if (a[i] == b[i])
            continue;
        /* Both flags are in the first byte of an entry. */
        const struct compare_entry *entry = i % 8 == 0 ? find(entries, pa + i) : NULL;
        if (entry == NULL)
            return false;
        uint64_t flags = entry->leaf ? RESUME_PTE_A | RESUME_PTE_D : RESUME_PTE_A;
        if ((b[i] & ~(a[i] | flags)) != 0 || (a[i] & ~b[i]) != 0)
            return false;
    }
    return true;
}
