/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "splice.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <xxhash.h>

#define WHAT "splice"
#define ADVICE_AGAIN "take the snapshot again"

/* A splice under way. */
struct splice {
    const struct splice_options *options;
    struct stream stream;
    struct vmdesc desc;
    XXH3_state_t *hash;
    uint64_t hashed; /* bytes of the source so far */
    uint64_t written;
    uint32_t poke_block;
    uint64_t poke_page;
    bool poke_seen;
    uint8_t poke_content[STREAM_PAGE_SIZE]; /* the page's last copy */
    struct splice_result result;
};

static int write_out(struct splice *splice, const void *data, size_t length)
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
    return write_out(splice, data, length);
}

static int fail_write(struct report_failure *failure)
{
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, WHAT, "output",
                       "the snapshot is as it was; start again",
                       "the reader of the spliced stream went away");
}

static int fail_stream(struct report_failure *failure, const struct stream_error *error)
{
    if (error->code == STREAM_ESINK)
        return fail_write(failure);
    return splice_report(failure, error, WHAT, "the snapshot's stream");
}

static void put_be32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_be64(uint8_t *p, uint64_t value)
{
    put_be32(p, (uint32_t)(value >> 32));
    put_be32(p + 4, (uint32_t)value);
}

/* One page entry that names its block. */
static int write_page(struct splice *splice, const char *block, uint64_t offset,
                      const uint8_t *page)
{
    uint8_t header[8 + 1 + 255];
    size_t length = strlen(block);
    if (length > 255)
        return -1;
    put_be64(header, offset | STREAM_RAM_PAGE);
    header[8] = (uint8_t)length;
    memcpy(header + 9, block, length);
    int ret = write_out(splice, header, 9 + length);
    return ret != 0 ? ret : write_out(splice, page, STREAM_PAGE_SIZE);
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
        return report_fail(
            failure, EXIT_CODE_REFUSED, WHAT, "the snapshot's stream", "take the snapshot again",
            "it has no RAM block \"%s\" that the home at offset 0x%" PRIx64 " lies in", home->block,
            home->offset);
    if (options->poke == NULL || options->poke->mask == 0)
        return 0;
    splice->poke_block = stream_block_find(&splice->stream, options->poke->block);
    splice->poke_page = options->poke->offset & ~(uint64_t)(STREAM_PAGE_SIZE - 1);
    if (splice->poke_block == UINT32_MAX ||
        options->poke->offset >= blocks[splice->poke_block].length ||
        has_page(options, options->poke->block, splice->poke_page))
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "the planted byte",
                           "choose another address", "it must lie in RAM outside the home");
    return 0;
}

/* From here on the parked target is needed. */
static int await_parked(const struct splice *splice, struct report_failure *failure)
{
    const struct splice_options *options = splice->options;
    return options->await_parked != NULL ? options->await_parked(options->await_ctx, failure) : 0;
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
                return fail_write(failure);
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
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "the snapshot's stream", advice,
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
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "the snapshot's stream", advice,
                           "its XXH3-128 checksum is %s, the manifest says %s", digest,
                           options->source_hash);
    return 0;
}

/* The sections of the vCPUs that are resumed. Those of dormant ones stay, like a device's. */
static bool is_replaced(const struct splice *splice, const struct vmdesc_section *section)
{
    const struct splice_parked *parked = splice->options->parked;
    if (strcmp(section->name, "cpu") != 0 && strcmp(section->name, "cpu_common") != 0)
        return false;
    return splice_parked_active(parked, splice_parked_index(parked, section->instance));
}

/* The target's cpu_common with the source's pending lines. @ret_payload: to be freed. */
static int build_common(struct splice *splice, uint32_t index, const struct vmdesc_section *ours,
                        uint8_t **ret_payload, struct report_failure *failure)
{
    static const char path[] = "cpu_common/interrupt_request";
    const struct splice_parked *parked = splice->options->parked;
    const struct vmdesc *target = &parked->desc;
    const struct vmdesc_field *to = vmdesc_field_find(target, ours, path);
    uint32_t request;
    if (to == NULL || to->size != 4 || to->array_len != 1)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, ADVICE_AGAIN,
                           "the section has no such number of 32 bits");
    int result = splice_pending(&splice->desc, index, parked, &request, failure);
    if (result < 0)
        return result;
    uint8_t *payload = malloc(ours->payload_length);
    if (payload == NULL)
        return report_fail_memory(failure, WHAT);
    const uint8_t *begin = target->tail + ours->payload;
    memcpy(payload, begin, ours->payload_length);
    put_be32(payload + (to->data - begin), request);
    splice->result.interrupt_request[index] = request;
    *ret_payload = payload;
    return 0;
}

/* A section of the source with another payload, between its own header and footer. */
static int write_section(struct splice *splice, const struct vmdesc_section *section,
                         const uint8_t *payload, size_t length, struct report_failure *failure)
{
    const uint8_t *tail = splice->desc.tail;
    size_t footer = section->payload + section->payload_length;
    if (write_out(splice, tail + section->start, section->payload - section->start) != 0 ||
        write_out(splice, payload, length) != 0 ||
        write_out(splice, tail + footer, section->end - footer) != 0)
        return fail_write(failure);
    return 0;
}

/* A section of a vCPU that is resumed: the target's. */
static int write_replaced(struct splice *splice, const struct vmdesc_section *theirs,
                          struct report_failure *failure)
{
    const struct splice_parked *parked = splice->options->parked;
    const struct vmdesc_section *ours =
        vmdesc_section_find(&parked->desc, theirs->name, theirs->instance);
    uint8_t *built = NULL;
    int result = 0;
    if (strcmp(theirs->name, "cpu_common") == 0)
        result = build_common(splice, splice_parked_index(parked, theirs->instance), ours, &built,
                              failure);
    if (result < 0)
        return result;
    const uint8_t *payload = built != NULL ? built : parked->desc.tail + ours->payload;
    result = write_section(splice, theirs, payload, ours->payload_length, failure);
    free(built);
    splice->result.replaced++;
    return result;
}

/* The local APIC of vCPU @index: its own, but for an interrupt that it takes back. */
static int write_apic(struct splice *splice, const struct vmdesc_section *apic, uint32_t index,
                      struct report_failure *failure)
{
    uint8_t *built = NULL;
    int result = 0;
    if (splice_parked_active(splice->options->parked, index))
        result = splice_apic(&splice->desc, index, &built, failure);
    if (result < 0)
        return result;
    const uint8_t *payload = built != NULL ? built : splice->desc.tail + apic->payload;
    result = write_section(splice, apic, payload, apic->payload_length, failure);
    free(built);
    return result;
}

/* The description with the replaced devices' as the target has them. NULL when memory runs out. */
static json_t *describe(const struct splice *splice)
{
    const struct vmdesc *source = &splice->desc;
    const struct vmdesc *target = &splice->options->parked->desc;
    const json_t *their_devices = json_object_get(source->root, "devices");
    const json_t *our_devices = json_object_get(target->root, "devices");
    json_t *root = json_copy(source->root);
    json_t *devices = json_copy((json_t *)(uintptr_t)their_devices);
    if (root == NULL || devices == NULL)
        goto fail;
    for (uint32_t i = 0; i < source->section_count; i++) {
        const struct vmdesc_section *theirs = &source->sections[i];
        if (!is_replaced(splice, theirs))
            continue;
        const struct vmdesc_section *ours =
            vmdesc_section_find(target, theirs->name, theirs->instance);
        if (json_array_set(devices, theirs->device, json_array_get(our_devices, ours->device)) != 0)
            goto fail;
    }
    if (json_object_set(root, "devices", devices) != 0)
        goto fail;
    json_decref(devices);
    return root;
fail:
    json_decref(devices);
    json_decref(root);
    return NULL;
}

static int write_description(struct splice *splice, struct report_failure *failure)
{
    const struct vmdesc *source = &splice->desc;
    json_t *root = describe(splice);
    if (root == NULL)
        return report_fail_memory(failure, WHAT);
    /* Unchanged it passes byte by byte. */
    if (json_equal(root, source->root)) {
        json_decref(root);
        size_t end = source->json + source->json_length;
        return write_out(splice, source->tail + source->eof, end - source->eof) != 0
                   ? fail_write(failure)
                   : 0;
    }
    /* Escaped, so that a reader may look for the section from the end of the stream. */
    char *text = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(root);
    if (text == NULL)
        return report_fail_memory(failure, WHAT);
    size_t length = strlen(text);
    uint8_t header[6] = {STREAM_TYPE_EOF, STREAM_TYPE_VMDESC};
    int result = 0;
    put_be32(header + 2, (uint32_t)length);
    if (length > VMDESC_JSON_MAX)
        result = report_fail(failure, EXIT_CODE_REFUSED, WHAT, "description", ADVICE_AGAIN,
                             "the description of the devices grew to %zu bytes", length);
    else if (write_out(splice, header, sizeof(header)) != 0 || write_out(splice, text, length) != 0)
        result = fail_write(failure);
    free(text);
    return result;
}

static int write_devices(struct splice *splice, struct report_failure *failure)
{
    const struct vmdesc *source = &splice->desc;
    size_t at = 0;
    uint32_t apics = 0; /* the n-th belongs to the n-th vCPU */
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < source->section_count; i++) {
        const struct vmdesc_section *section = &source->sections[i];
        bool replaced = is_replaced(splice, section);
        bool apic = strcmp(section->name, "apic") == 0;
        size_t until = replaced || apic ? section->start : section->end;
        if (write_out(splice, source->tail + at, until - at) != 0)
            return fail_write(failure);
        if (replaced)
            result = write_replaced(splice, section, failure);
        else if (apic)
            result = write_apic(splice, section, apics++, failure);
        at = section->end;
        splice->result.sections++;
    }
    if (result == 0 && write_out(splice, source->tail + at, source->eof - at) != 0)
        return fail_write(failure);
    return result == 0 ? write_description(splice, failure) : result;
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
    result = splice_check(&splice->desc, &splice->stream, splice->options->parked, failure);
    return result == 0 ? write_devices(splice, failure) : result;
}

int splice_run(const struct splice_options *options, struct splice_result *out,
               struct report_failure *failure)
{
    struct splice *splice = calloc(1, sizeof(*splice));
    if (splice == NULL)
        return report_fail_memory(failure, WHAT);
    splice->options = options;
    splice->poke_block = UINT32_MAX;
    splice->hash = XXH3_createState();
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    int result;
    if (splice->hash == NULL) {
        result = report_fail_memory(failure, WHAT);
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
