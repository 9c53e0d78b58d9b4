/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Compares every page of RAM. What may differ: what the landings leave behind, flags of the entries
 * that map the home. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "compare_internal.h"

/* What the comparison of pages needs all the time. */
struct pages {
    struct ledger *ledger;
    const struct compare_options *options;
    struct compare_entries entries;
};

static bool physical(const struct manifest *manifest, const char *block, uint64_t offset,
                     uint64_t *ret_pa)
{
    for (uint32_t i = 0; manifest != NULL && i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        if (strcmp(range->block, block) == 0 && offset >= range->offset &&
            offset - range->offset < range->length) {
            *ret_pa = range->base_pa + (offset - range->offset);
            return true;
        }
    }
    return false;
}

/* The vCPU in whose slot the byte @at of the home is; NULL = in nobody's. */
static const struct compare_vcpu *slot_of(const struct compare_options *options, uint64_t at)
{
    for (uint32_t i = 0; i < options->vcpu_count; i++) {
        const struct compare_vcpu *vcpu = &options->vcpu[i];
        if (vcpu->active && at >= vcpu->slot_offset && at - vcpu->slot_offset < RESUME_LANDING_MAX)
            return vcpu;
    }
    return NULL;
}

/* Notes what differs in the slots. Is all that differs in this page of the home what the landings
 * consist of? */
static bool note_landings(const struct pages *pages, const struct ledger_page *page,
                          const uint8_t *a, const uint8_t *b)
{
    const struct compare_options *options = pages->options;
    uint64_t base = page->offset - options->home->offset;
    bool good = true;
    for (uint32_t i = 0; i < STREAM_PAGE_SIZE; i++) {
        if (a[i] == b[i])
            continue;
        const struct compare_vcpu *vcpu = slot_of(options, base + i);
        if (vcpu == NULL) {
            good = false;
            continue;
        }
        uint64_t at = base + i - vcpu->slot_offset;
        if (at < vcpu->remains || vcpu->slot[at] != b[i])
            good = false;
        struct ledger_landing *landing = &pages->ledger->landing[vcpu - options->vcpu];
        uint64_t address = (page->has_pa ? page->pa : page->offset) + i;
        landing->has_pa = page->has_pa;
        landing->first = landing->bytes == 0 ? address : landing->first;
        landing->last = address;
        landing->bytes++;
    }
    return good;
}

/* What accounts for all that differs in this page, or NULL. */
static const char *page_reason(const struct pages *pages, const struct ledger_page *page,
                               const uint8_t *a, const uint8_t *b)
{
    if (page->in_home)
        return note_landings(pages, page, a, b) ? "the landings, in the home" : NULL;
    return page->has_pa && compare_entries_explain(&pages->entries, page->pa, a, b)
               ? "accessed or dirty flags of entries that map the home: the CPU sets them"
               : NULL;
}

static void find_runs(struct ledger_page *page, const uint8_t *a, const uint8_t *b)
{
    for (uint32_t i = 0; i < STREAM_PAGE_SIZE; i++) {
        if (a[i] == b[i])
            continue;
        page->bytes++;
        struct ledger_run *last = page->run_count != 0 ? &page->run[page->run_count - 1] : NULL;
        if (last != NULL && (uint32_t)last->start + last->length == i) {
            last->length++;
        } else if (page->run_count < LEDGER_RUN_MAX) {
            page->run[page->run_count].start = (uint16_t)i;
            page->run[page->run_count].length = 1;
            page->run_count++;
        } else if (last != NULL) {
            last->length = (uint16_t)(i + 1 - last->start);
        }
    }
}

/* Enters a page that differs. @note: NULL when both sides have it. */
static int note_page(const struct pages *pages, const char *block, uint64_t offset,
                     const uint8_t *a, const uint8_t *b, const char *note)
{
    struct ledger *ledger = pages->ledger;
    const struct splice_home *home = pages->options->home;
    struct ledger_page page;
    memset(&page, 0, sizeof(page));
    snprintf(page.block, sizeof(page.block), "%s", block);
    page.offset = offset;
    page.note = note;
    page.in_home = home != NULL && strcmp(block, home->block) == 0 && offset >= home->offset &&
                   offset - home->offset < home->length;
    page.has_pa = physical(pages->options->manifest, block, offset, &page.pa);
    if (note == NULL) {
        find_runs(&page, a, b);
        page.reason = page_reason(pages, &page, a, b);
    }
    if (page.in_home)
        ledger->home_bytes += page.bytes;
    if (page.reason != NULL)
        ledger->pages_expected++;
    else
        ledger->pages_unexpected++;
    return ledger_add_page(ledger, &page);
}

/* Two sides of one page. Returns 0, -1 when memory ran out, 1 with @error filled. */
static int compare_page(const struct pages *pages, struct compare_side *source,
                        struct compare_side *resumed, uint32_t block, uint32_t other_block,
                        uint64_t offset, struct stream_error *error)
{
    struct ledger *ledger = pages->ledger;
    uint8_t a[STREAM_PAGE_SIZE];
    uint8_t b[STREAM_PAGE_SIZE];
    struct ram_page_info ours = {.kind = RAM_PAGE_ABSENT};
    struct ram_page_info theirs = {.kind = RAM_PAGE_ABSENT};
    const char *name = source->ram.blocks[block].name;
    ram_page_info(&source->ram, block, offset, &ours);
    ram_page_info(&resumed->ram, other_block, offset, &theirs);
    ledger->pages++;
    if (ours.kind != theirs.kind &&
        (ours.kind == RAM_PAGE_ABSENT || theirs.kind == RAM_PAGE_ABSENT))
        return note_page(pages, name, offset, a, b,
                         ours.kind == RAM_PAGE_ABSENT ? "the snapshot does not have it"
                                                      : "the resumed VM does not have it");
    if ((ours.kind == RAM_PAGE_ABSENT) ||
        (ours.kind == RAM_PAGE_FILL && theirs.kind == RAM_PAGE_FILL && ours.fill == theirs.fill)) {
        ledger->pages_identical++;
        return 0;
    }
    if (ram_read_page(&source->ram, block, offset, a, error) != 0 ||
        ram_read_page(&resumed->ram, other_block, offset, b, error) != 0)
        return 1;
    if (memcmp(a, b, sizeof(a)) == 0) {
        ledger->pages_identical++;
        return 0;
    }
    return note_page(pages, name, offset, a, b, NULL);
}

/* A block that only one side has, or has in another length: one entry stands for its pages. */
static int note_block(const struct pages *pages, const struct stream_block *block, const char *note)
{
    uint64_t count = block->length / STREAM_PAGE_SIZE;
    pages->ledger->pages += count;
    if (count != 0)
        pages->ledger->pages_unexpected += count - 1;
    return note_page(pages, block->name, 0, NULL, NULL, note);
}

int compare_ram(struct ledger *ledger, const struct compare_options *options,
                struct compare_side *source, struct compare_side *resumed,
                struct stream_error *error)
{
    uint64_t total = source->ram.page_count * STREAM_PAGE_SIZE;
    struct pages pages = {.ledger = ledger, .options = options};
    int ret = compare_entries_find(&pages.entries, options, &source->ram);
    for (uint32_t i = 0; ret == 0 && i < source->ram.block_count; i++) {
        const struct stream_block *block = &source->ram.blocks[i];
        uint32_t other = ram_block_find(&resumed->ram, block->name);
        if (other == UINT32_MAX) {
            ret = note_block(&pages, block, "the resumed VM does not have this RAM block");
            continue;
        }
        if (resumed->ram.blocks[other].length != block->length) {
            ret = note_block(&pages, block, "the RAM block has another length");
            continue;
        }
        for (uint64_t at = 0; ret == 0 && at < block->length; at += STREAM_PAGE_SIZE) {
            ret = compare_page(&pages, source, resumed, i, other, at, error);
            progress_step_update(options->progress, ledger->pages * STREAM_PAGE_SIZE, total);
        }
    }
    for (uint32_t i = 0; ret == 0 && i < resumed->ram.block_count; i++) {
        const struct stream_block *block = &resumed->ram.blocks[i];
        if (ram_block_find(&source->ram, block->name) == UINT32_MAX)
            ret = note_block(&pages, block, "the snapshot does not have this RAM block");
    }
    free(pages.entries.entry);
    return ret;
}
