/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Memory that the parked target's firmware has loaded from an image: it goes from the target's capture
 * into the spliced stream as it comes, entry by entry.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>

#include "splice_private.h"

#define WHAT_PASS "pass the memory on"

struct splice_passing {
    const struct splice_pass *pass;
    const struct splice_home *home;
    struct stream *stream;
    struct image_memory memory; /* with this stream's blocks */
    bool open;                  /* the list of blocks is behind: entries may follow */
    uint32_t last;              /* block of the entry that was passed last */
    uint32_t home_block;
    uint32_t poke_block;
    uint64_t poke_page; /* offset in the block */
    uint64_t missing;   /* pages that have not come */
    uint8_t *seen;      /* a bit for each page of the memory */
};

/* The stream's sink. The list of blocks may come before it is known where it ends. */
static int pass_through(void *ctx, const void *data, size_t length)
{
    const struct splice_passing *passing = ctx;
    return passing->open ? passing->pass->write(passing->pass->write_ctx, data, length) : 0;
}

static bool is_poked(const struct splice_pass *pass)
{
    return pass->poke != NULL && pass->poke->mask != 0;
}

int splice_passing_open(struct splice_passing **ret, const struct splice_pass *pass,
                        const struct splice_home *home, struct stream *stream,
                        struct report_failure *failure)
{
    if (is_poked(pass) && strcmp(pass->poke->block, home->block) == 0 &&
        pass->poke->offset >= home->offset && pass->poke->offset - home->offset < home->length)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PASS, "the planted byte",
                           "choose another address", "it must lie in RAM outside the home");
    struct splice_passing *passing = calloc(1, sizeof(*passing));
    if (passing == NULL)
        return report_fail_memory(failure, WHAT_PASS);
    passing->pass = pass;
    passing->home = home;
    passing->stream = stream;
    passing->memory = *pass->memory;
    passing->missing = pass->memory->pages;
    passing->last = UINT32_MAX;
    passing->poke_block = UINT32_MAX;
    passing->seen = calloc((size_t)(pass->memory->pages / 8 + 1), 1);
    if (passing->seen == NULL) {
        free(passing);
        return report_fail_memory(failure, WHAT_PASS);
    }
    stream_set_sink(stream, pass_through, passing);
    *ret = passing;
    return 0;
}

void splice_passing_close(struct splice_passing *passing)
{
    if (passing == NULL)
        return;
    free(passing->seen);
    free(passing);
}

/* The blocks are known. */
static int begin(struct splice_passing *passing, struct report_failure *failure)
{
    const struct splice_pass *pass = passing->pass;
    int result = image_memory_bind(&passing->memory, passing->stream, failure);
    if (result < 0)
        return result;
    passing->open = true;
    passing->home_block = stream_block_find(passing->stream, passing->home->block);
    if (is_poked(pass)) {
        passing->poke_block = stream_block_find(passing->stream, pass->poke->block);
        passing->poke_page = pass->poke->offset & ~(uint64_t)(STREAM_PAGE_SIZE - 1);
    }
    return 0;
}

static void note(struct splice_passing *passing, uint64_t bit)
{
    uint8_t *byte = &passing->seen[bit / 8];
    const uint8_t mask = (uint8_t)(1u << (bit % 8));
    if ((*byte & mask) == 0)
        passing->missing--;
    *byte |= mask;
}

static bool is_home(const struct splice_passing *passing, const struct stream_event *event)
{
    return event->block == passing->home_block && event->page_offset >= passing->home->offset &&
           event->page_offset - passing->home->offset < passing->home->length;
}

/* An entry of ours in place of the stream's: with a name, or with another content. */
static int write_own(struct splice_passing *passing, const struct stream_event *event, bool poked)
{
    const struct splice_pass *pass = passing->pass;
    uint32_t count;
    const char *name = stream_blocks(passing->stream, &count)[event->block].name;
    uint8_t header[SPLICE_ENTRY_MAX];
    uint8_t page[STREAM_PAGE_SIZE];
    const size_t length = splice_entry(header, name, event->page_offset);
    if (event->kind == STREAM_PAGE)
        memcpy(page, event->page, sizeof(page));
    else
        memset(page, event->fill, sizeof(page));
    if (poked)
        page[pass->poke->offset % STREAM_PAGE_SIZE] ^= pass->poke->mask;
    int ret = pass->write(pass->write_ctx, header, length);
    return ret != 0 ? ret : pass->write(pass->write_ctx, page, sizeof(page));
}

/* Leaves an event out, and what was before it not. */
static int leave_out(struct splice_passing *passing, const struct stream_event *event,
                     struct stream_error *error)
{
    int ret = stream_sink_to(passing->stream, event->offset, error);
    return ret != 0 ? ret : stream_sink_skip(passing->stream, event->offset + event->length, error);
}

static int take_page(struct splice_passing *passing, const struct stream_event *event,
                     struct stream_error *error)
{
    const uint64_t page = event->page_offset / STREAM_PAGE_SIZE;
    const struct image_area *area = image_memory_area(&passing->memory, event->block, page);
    if (area != NULL)
        note(passing, area->before + (page - area->offset));
    /* The home comes last, when the target has been looked at. */
    if (area == NULL || is_home(passing, event))
        return leave_out(passing, event, error);
    const bool poked =
        event->block == passing->poke_block && event->page_offset == passing->poke_page;
    if (!poked && (event->named || event->block == passing->last)) {
        passing->last = event->block;
        return 0; /* as it is */
    }
    int ret = leave_out(passing, event, error);
    if (ret == 0 && write_own(passing, event, poked) != 0)
        ret = stream_fail(error, STREAM_ESINK, event->offset, NULL, "the sink failed");
    passing->last = event->block;
    return ret;
}

int splice_passing_take(struct splice_passing *passing, const struct stream_event *event,
                        struct stream_error *error, struct report_failure *failure)
{
    if (event->kind == STREAM_PAGE || event->kind == STREAM_ZERO)
        return take_page(passing, event, error);
    if (event->kind == STREAM_DEVICES)
        return 0;
    int ret = leave_out(passing, event, error);
    return ret == 0 && event->kind == STREAM_MEMORY ? begin(passing, failure) : ret;
}

int splice_passing_check(const struct splice_passing *passing, struct report_failure *failure)
{
    if (passing->missing == 0)
        return 0;
    for (uint32_t i = 0; i < passing->memory.count; i++) {
        const struct image_area *area = &passing->memory.area[i];
        for (uint64_t page = 0; page < area->count; page++) {
            const uint64_t bit = area->before + page;
            if ((passing->seen[bit / 8] >> (bit % 8) & 1) == 0)
                return report_fail(failure, EXIT_CODE_REFUSED, WHAT_PASS, area->name,
                                   "start the resume again; if it stays so, report a defect",
                                   "%" PRIu64 " pages of the memory are not in the parked "
                                   "target's stream, the first at physical 0x%" PRIx64,
                                   passing->missing, (area->page + page) * STREAM_PAGE_SIZE);
        }
    }
    return 0;
}
