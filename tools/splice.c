/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "splice_private.h"

int splice_write(struct splice *splice, const void *data, size_t length)
{
    splice->written += length;
    return splice->options->write(splice->options->write_ctx, data, length);
}

/* The stream's sink: what passes unchanged. */
static int pass_through(void *ctx, const void *data, size_t length)
{
    struct splice *splice = ctx;
    XXH3_128bits_update(splice->hash, data, length);
    splice->hashed += length;
    progress_step_update(splice->options->progress, splice->hashed, splice->options->source_size);
    return splice_write(splice, data, length);
}

int splice_fail_write(struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, SPLICE_WHAT, "output",
                       "the snapshot is as it was; start again",
                       "the reader of the spliced stream went away");
}

static int fail_stream(struct report_failure *failure, const struct stream_error *error)
{
    if (error->code == STREAM_ESINK)
        return splice_fail_write(failure);
    return splice_report(failure, error, SPLICE_WHAT, "the snapshot's stream");
}

/* One page entry that names its block. */
static int write_page(struct splice *splice, const char *block, uint64_t offset,
                      const uint8_t *page)
{
    uint8_t header[SPLICE_ENTRY_MAX];
    size_t length = splice_entry(header, block, offset);
    int ret = splice_write(splice, header, length);
    return ret != 0 ? ret : splice_write(splice, page, STREAM_PAGE_SIZE);
}

/* The last entries of the RAM: the home with `go` set, and the planted byte if one is asked for. */
static int write_pages(struct splice *splice)
{
    const struct splice_options *options = splice->options;
    const struct splice_home *home = options->home;
    const size_t go = RESUME_HOME_CONTROL + offsetof(struct resume_control, go);
    uint8_t first[STREAM_PAGE_SIZE];
    const uint32_t one = 1;
    memcpy(first, options->parked->home, sizeof(first));
    memcpy(first + go, &one, sizeof(one));
    int ret = write_page(splice, home->block, home->offset, first);
    for (uint64_t at = STREAM_PAGE_SIZE; ret == 0 && at < home->length; at += STREAM_PAGE_SIZE)
        ret = write_page(splice, home->block, home->offset + at, options->parked->home + at);
    if (ret == 0 && splice->poke_block != UINT32_MAX) {
        splice->poke_content[options->poke->offset % STREAM_PAGE_SIZE] ^= options->poke->mask;
        ret = write_page(splice, options->poke->block, splice->poke_page, splice->poke_content);
    }
    return ret;
}

static bool has_page(const struct splice_options *options, const char *block, uint64_t offset)
{
    const struct splice_home *home = options->home;
    return strcmp(block, home->block) == 0 && offset >= home->offset &&
           offset - home->offset < home->length;
}

/* The list of blocks is known: are the pages that will be written in them? */
static int check_places(struct splice *splice, struct report_failure *failure)
{
    const struct splice_options *options = splice->options;
    const struct splice_home *home = options->home;
    uint32_t count;
    const struct stream_block *blocks = stream_blocks(&splice->stream, &count);
    uint32_t block = stream_block_find(&splice->stream, home->block);
    if (block == UINT32_MAX || home->offset >= blocks[block].length ||
        home->length > blocks[block].length - home->offset)
        return report_fail(failure, EXIT_CODE_REFUSED, SPLICE_WHAT, "the snapshot's stream",
                           "take the snapshot again",
                           "it has no RAM block \"%s\" that the home at offset 0x%" PRIx64
                           " lies in",
                           home->block, home->offset);
    if (options->poke == NULL || options->poke->mask == 0)
        return 0;
    splice->poke_block = stream_block_find(&splice->stream, options->poke->block);
    splice->poke_page = options->poke->offset & ~(uint64_t)(STREAM_PAGE_SIZE - 1);
    if (splice->poke_block == UINT32_MAX ||
        options->poke->offset >= blocks[splice->poke_block].length ||
        has_page(options, options->poke->block, splice->poke_page))
        return report_fail(failure, EXIT_CODE_REFUSED, SPLICE_WHAT, "the planted byte",
                           "choose another address", "it must lie in RAM outside the home");
    return 0;
}

static int write_theirs(void *ctx, const void *data, size_t length)
{
    return splice_write(ctx, data, length);
}

/* From here on the parked target is needed. */
static int await_parked(struct splice *splice, struct report_failure *failure)
{
    const struct splice_options *options = splice->options;
    if (options->await_parked == NULL)
        return 0;
    return options->await_parked(options->await_ctx, write_theirs, splice, failure);
}

/* Passes the RAM through, and the home in. */
static int pass_ram(struct splice *splice, struct report_failure *failure)
{
    struct stream_event event;
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    do {
        if (stream_next(&splice->stream, &event, &error) != 0)
            return fail_stream(failure, &error);
        if (event.kind == STREAM_MEMORY) {
            int result = check_places(splice, failure);
            if (result < 0)
                return result;
        } else if (event.kind == STREAM_PAGE || event.kind == STREAM_ZERO) {
            if (event.block != splice->poke_block || event.page_offset != splice->poke_page)
                continue;
            if (event.kind == STREAM_PAGE)
                memcpy(splice->poke_content, event.page, STREAM_PAGE_SIZE);
            else
                memset(splice->poke_content, event.fill, STREAM_PAGE_SIZE);
        } else if (event.kind == STREAM_RAM_END && event.type == STREAM_TYPE_END) {
            if (stream_sink_to(&splice->stream, event.offset, &error) != 0)
                return fail_stream(failure, &error);
            int result = await_parked(splice, failure);
            if (result < 0)
                return result;
            if (write_pages(splice) != 0)
                return splice_fail_write(failure);
        }
    } while (event.kind != STREAM_DEVICES);
    return 0;
}

/* Is what was read what the manifest describes? */
static int check_hash(struct splice *splice, const uint8_t *tail, size_t length,
                      struct report_failure *failure)
{
    static const char advice[] = "the file was damaged or changed: take the snapshot again";
    const struct splice_options *options = splice->options;
    XXH3_128bits_update(splice->hash, tail, length);
    splice->hashed += length;
    if (options->source_size != 0 && splice->hashed != options->source_size)
        return report_fail(failure, EXIT_CODE_REFUSED, SPLICE_WHAT, "the snapshot's stream", advice,
                           "it has %" PRIu64 " bytes, the manifest says %" PRIu64, splice->hashed,
                           options->source_size);
    if (options->source_hash == NULL)
        return 0;
    XXH128_canonical_t canonical;
    char digest[MANIFEST_HASH_LENGTH + 1];
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(splice->hash));
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        snprintf(digest + 2 * i, 3, "%02x", canonical.digest[i]);
    if (strcmp(digest, options->source_hash) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, SPLICE_WHAT, "the snapshot's stream", advice,
                           "its XXH3-128 checksum is %s, the manifest says %s", digest,
                           options->source_hash);
    return 0;
}

static int run(struct splice *splice, struct report_failure *failure)
{
    const uint8_t *tail;
    size_t length;
    uint64_t offset;
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    int result = pass_ram(splice, failure);
    if (result < 0)
        return result;
    if (stream_tail(&splice->stream, &tail, &length, &offset, &error) != 0)
        return fail_stream(failure, &error);
    result = check_hash(splice, tail, length, failure);
    if (result < 0)
        return result;
    if (vmdesc_open(&splice->desc, tail, length, offset, &error) != 0)
        return fail_stream(failure, &error);
    result = splice_check(&splice->desc, &splice->stream, splice->options->image,
                          splice->options->parked, failure);
    return result == 0 ? splice_write_devices(splice, failure) : result;
}

int splice_run(const struct splice_options *options, struct splice_result *out,
               struct report_failure *failure)
{
    struct splice *splice = calloc(1, sizeof(*splice));
    if (splice == NULL)
        return report_fail_memory(failure, SPLICE_WHAT);
    splice->options = options;
    splice->poke_block = UINT32_MAX;
    splice->hash = XXH3_createState();
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    int result;
    if (splice->hash == NULL) {
        result = report_fail_memory(failure, SPLICE_WHAT);
    } else if (stream_open_fd(&splice->stream, options->source_fd, &error) != 0) {
        result = fail_stream(failure, &error);
    } else {
        XXH3_128bits_reset(splice->hash);
        stream_set_sink(&splice->stream, pass_through, splice);
        result = run(splice, failure);
    }
    if (result == 0) {
        splice->result.source_bytes = splice->hashed;
        splice->result.written = splice->written;
        *out = splice->result;
    }
    vmdesc_close(&splice->desc);
    stream_close(&splice->stream);
    XXH3_freeState(splice->hash);
    free(splice);
    return result;
}
