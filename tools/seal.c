/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <jansson.h>

#include "seal_private.h"
#include "sealed.h"

/* Longest state blob and plan. */
#define BLOB_MAX (32u << 20)

/* @ret: to be freed. */
static int read_file(struct seal *seal, const char *name, uint8_t **ret, size_t *ret_length)
{
    const uint64_t size = manifest_find_file(seal->manifest, name)->size;
    char *path = NULL;
    if (size > BLOB_MAX)
        return report_fail(seal->failure, EXIT_CODE_REFUSED, SEAL_WHAT, name,
                           "take the snapshot again", "it has %" PRIu64 " bytes", size);
    if (asprintf(&path, "%s/%s", seal->options->directory, name) < 0)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    uint8_t *data = malloc((size_t)size + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;
    int result = 0;
    if (data == NULL)
        result = report_fail_memory(seal->failure, SEAL_WHAT);
    else if (fd < 0)
        result = report_fail_errno(seal->failure, errno, SEAL_WHAT, path);
    while (result == 0 && done < size) {
        ssize_t got = read(fd, data + done, (size_t)size - done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            result = report_fail(seal->failure, EXIT_CODE_REFUSED, SEAL_WHAT, path,
                                 "take the snapshot again", "it has become shorter");
        else if (errno != EINTR)
            result = report_fail_errno(seal->failure, errno, SEAL_WHAT, path);
    }
    if (fd >= 0)
        close(fd);
    free(path);
    if (result != 0) {
        free(data);
        return result;
    }
    *ret = data;
    *ret_length = (size_t)size;
    return 0;
}

/* Opens state and plan as the firmware will: what it would refuse is not worth sealing. */
static int open_guest(struct seal *seal)
{
    struct resume_guest *guest = calloc(1, sizeof(*guest));
    struct resume_vcpu *vcpu = calloc(1, sizeof(*vcpu));
    struct resume_diag diag;
    const char *where = MANIFEST_STATE;
    int result = 0;
    memset(&diag, 0, sizeof(diag));
    int error = guest == NULL || vcpu == NULL ? RESUME_ENOSPC : RESUME_OK;
    if (error == RESUME_OK)
        error = resume_guest_open(seal->state, seal->state_length, vcpu, guest, &diag);
    if (error == RESUME_OK) {
        where = MANIFEST_PLAN;
        error = resume_guest_plan(guest, seal->plan, seal->plan_length, &diag);
    }
    if (error == RESUME_OK) {
        seal->vcpus = guest->state.vcpu_count;
        seal->home = guest->plan.home;
        seal->active = calloc(seal->vcpus, sizeof(*seal->active));
        if (seal->active == NULL)
            error = RESUME_ENOSPC;
    }
    for (uint32_t i = 0; error == RESUME_OK && i < seal->vcpus; i++) {
        error = resume_state_vcpu(&guest->state, i, vcpu, &diag);
        seal->active[i] = !resume_vcpu_dormant(vcpu);
    }
    if (error == RESUME_ENOSPC)
        result = report_fail_memory(seal->failure, SEAL_WHAT);
    else if (error != RESUME_OK)
        result = report_fail_diag(seal->failure, error, &diag, SEAL_WHAT, where, NULL);
    if (vcpu != NULL)
        resume_sealed_wipe(vcpu, sizeof(*vcpu));
    free(vcpu);
    free(guest);
    return result;
}

/* What the host has to know to run the machine: the manifest, without checksums of what is secret, and
 * where the vCPUs wait. @ret: to be freed. */
static char *describe(const struct seal *seal)
{
    char *path = NULL;
    char *text = NULL;
    json_error_t error;
    if (asprintf(&path, "%s/" MANIFEST_FILE, seal->options->directory) < 0)
        return NULL;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    json_t *dormant = json_array();
    free(path);
    for (uint32_t i = 0; i < seal->vcpus; i++)
        if (!seal->active[i])
            json_array_append_new(dormant, json_integer((json_int_t)i));
    json_t *home = json_pack("{s:o,s:o}", "base", json_sprintf("0x%" PRIx64, seal->home.pa),
                             "length", json_sprintf("0x%" PRIx64, seal->home.length));
    if (root != NULL && json_object_del(root, "files") == 0 &&
        json_object_set_new(root, "kind", json_string("libresume image")) == 0 &&
        json_object_set(root, "home", home) == 0 && json_object_set(root, "dormant", dormant) == 0)
        text = json_dumps(root, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    json_decref(root);
    json_decref(home);
    json_decref(dormant);
    return text;
}

static void put_part(struct seal *seal, unsigned part, uint64_t offset, uint64_t length)
{
    uint8_t *entry =
        seal->header + RESUME_SEALED_HEADER_PARTS + (size_t)part * RESUME_SEALED_PART_SIZE;
    seal_put(entry + RESUME_SEALED_PART_OFFSET, offset, 8);
    seal_put(entry + RESUME_SEALED_PART_LENGTH, length, 8);
}

static void put_range(uint8_t *at, uint64_t page, uint64_t count)
{
    seal_put(at + RESUME_SEALED_MAP_PAGE, page, 8);
    seal_put(at + RESUME_SEALED_MAP_COUNT, count, 8);
}

/* The memory map. Areas that touch are one range of it. @out: NULL to count only. */
static uint64_t make_map(const struct seal *seal, uint8_t *out)
{
    uint64_t ranges = 0;
    uint64_t begin = 0;
    uint64_t end = 0;
    for (uint32_t i = 0; i < seal->area_count; i++) {
        const struct seal_area *area = &seal->area[i];
        if (ranges == 0 || area->page != end) {
            begin = area->page;
            ranges++;
        }
        end = area->page + area->count;
        if (out != NULL)
            put_range(out + (ranges - 1) * RESUME_SEALED_MAP_SIZE, begin, end - begin);
    }
    return ranges;
}

/* The runs of pages with content, likewise. */
static uint64_t make_runs(const struct seal *seal, uint8_t *out)
{
    struct seal_cursor cursor = {0};
    const struct seal_area *area = NULL;
    uint64_t page = 0;
    uint64_t runs = 0;
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t content = 0;
    while (seal_next(seal, &cursor, &area, &page)) {
        if (runs == 0 || area->page + page != end) {
            begin = area->page + page;
            runs++;
            if (out != NULL)
                seal_put(out + (runs - 1) * RESUME_SEALED_RUN_SIZE + RESUME_SEALED_RUN_CONTENT,
                         content, 8);
        }
        end = area->page + page + 1;
        content++;
        if (out != NULL)
            put_range(out + (runs - 1) * RESUME_SEALED_RUN_SIZE, begin, end - begin);
    }
    return runs;
}

static uint64_t align(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Lays out the structures in the header. @ret_length: their bytes with padding, without the tag. */
static int lay_out(struct seal *seal, uint64_t offset, size_t *ret_length)
{
    const uint64_t lengths[RESUME_SEALED_PARTS] = {seal->state_length,
                                                   seal->plan_length,
                                                   make_map(seal, NULL) * RESUME_SEALED_MAP_SIZE,
                                                   make_runs(seal, NULL) * RESUME_SEALED_RUN_SIZE,
                                                   seal->chunks * RESUME_SEALED_INDEX_SIZE,
                                                   seal->changes_length};
    uint64_t end = 0;
    for (unsigned i = 0; i < RESUME_SEALED_PARTS; i++) {
        end = align(end, RESUME_SEALED_ALIGN);
        put_part(seal, i, end, lengths[i]);
        end += lengths[i];
    }
    const uint64_t data = align(offset + end + RESUME_SEALED_TAG, RESUME_SEALED_PAGE);
    if (data - offset > RESUME_SEALED_STRUCTURES_MAX)
        return report_fail(seal->failure, EXIT_CODE_REFUSED, SEAL_WHAT, seal->options->directory,
                           "choose larger chunks", "its index would be longer than %d bytes",
                           RESUME_SEALED_STRUCTURES_MAX);
    seal_put(seal->header + RESUME_SEALED_HEADER_STRUCTURES, offset, 8);
    seal_put(seal->header + RESUME_SEALED_HEADER_STRUCTURES_LENGTH, data - offset, 8);
    seal_put(seal->header + RESUME_SEALED_HEADER_DATA, data, 8);
    *ret_length = (size_t)(data - offset) - RESUME_SEALED_TAG;
    return 0;
}

static uint64_t part_at(const struct seal *seal, unsigned part)
{
    const uint8_t *entry =
        seal->header + RESUME_SEALED_HEADER_PARTS + (size_t)part * RESUME_SEALED_PART_SIZE;
    uint64_t value = 0;
    for (unsigned i = 8; i-- > 0;)
        value = value << 8 | entry[i];
    return value;
}

/* Structures and header, whose place has been left free. */
static int write_structures(struct seal *seal, uint64_t offset, size_t length)
{
    uint8_t *data = calloc(1, length + RESUME_SEALED_TAG);
    if (data == NULL)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    memcpy(data + part_at(seal, RESUME_SEALED_PART_STATE), seal->state, seal->state_length);
    memcpy(data + part_at(seal, RESUME_SEALED_PART_PLAN), seal->plan, seal->plan_length);
    make_map(seal, data + part_at(seal, RESUME_SEALED_PART_MAP));
    make_runs(seal, data + part_at(seal, RESUME_SEALED_PART_RUNS));
    memcpy(data + part_at(seal, RESUME_SEALED_PART_INDEX), seal->index,
           (size_t)seal->chunks * RESUME_SEALED_INDEX_SIZE);
    if (seal->changes_length != 0)
        memcpy(data + part_at(seal, RESUME_SEALED_PART_CHANGES), seal->changes,
               seal->changes_length);
    protect_apply(seal->method, seal->keys.structures, PROTECT_STRUCTURES, 0, seal->header,
                  sizeof(seal->header), data, length, data + length);
    int result =
        seal_output_write(&seal->out, offset, data, length + RESUME_SEALED_TAG, seal->failure);
    if (result == 0)
        result =
            seal_output_write(&seal->out, 0, seal->header, sizeof(seal->header), seal->failure);
    free(data);
    return result;
}

static void begin_header(struct seal *seal)
{
    uint8_t *header = seal->header;
    memcpy(header, RESUME_SEALED_MAGIC, 8);
    seal_put(header + RESUME_SEALED_HEADER_MAJOR, RESUME_SEALED_MAJOR, 2);
    seal_put(header + RESUME_SEALED_HEADER_MINOR, RESUME_SEALED_MINOR, 2);
    seal_put(header + RESUME_SEALED_HEADER_COMPATIBLE, RESUME_SEALED_COMPATIBLE, 2);
    seal_put(header + RESUME_SEALED_HEADER_LENGTH, RESUME_SEALED_HEADER_SIZE, 2);
    seal_put(header + RESUME_SEALED_HEADER_PROTECTION, seal->protection, 4);
    seal_put(header + RESUME_SEALED_HEADER_COMPRESSION, seal->options->compression, 4);
    seal_put(header + RESUME_SEALED_HEADER_CHUNK_PAGES, seal->options->chunk_pages, 4);
    seal_put(header + RESUME_SEALED_HEADER_VCPUS, seal->vcpus, 4);
}

/* Something that the host may read: appended by @write, and its hash goes into the header. */
static int write_public(struct seal *seal, size_t field, size_t hash_field,
                        int (*write)(struct seal *seal))
{
    const uint64_t begin = seal->out.position;
    seal->part = begin;
    br_sha256_init(&seal->out.hash);
    seal->out.hashing = true;
    int result = write(seal);
    seal->out.hashing = false;
    br_sha256_out(&seal->out.hash, seal->header + hash_field);
    seal_put(seal->header + field, begin, 8);
    seal_put(seal->header + field + 8, seal->out.position - begin, 8);
    return result;
}

static int write_facts(struct seal *seal)
{
    char *text = describe(seal);
    if (text == NULL)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    int result = seal_output_append(&seal->out, text, strlen(text), seal->failure);
    free(text);
    return result;
}

static int write_image(struct seal *seal, struct seal_result *out)
{
    struct progress *progress = seal->options->progress;
    size_t length = 0;
    begin_header(seal);
    seal->out.position = RESUME_SEALED_HEADER_SIZE;
    progress_step_begin(progress, "read the snapshot");
    int result =
        write_public(seal, RESUME_SEALED_HEADER_HOST, RESUME_SEALED_HEADER_HOST_HASH, write_facts);
    const uint64_t devices = seal->out.position;
    if (result == 0)
        result = write_public(seal, RESUME_SEALED_HEADER_DEVICES, RESUME_SEALED_HEADER_DEVICES_HASH,
                              seal_pass);
    if (result != 0)
        return result;
    const uint64_t structures = seal->out.position;
    seal->chunks = (seal->content + seal->options->chunk_pages - 1) / seal->options->chunk_pages;
    seal->index = calloc((size_t)seal->chunks, RESUME_SEALED_INDEX_SIZE);
    if (seal->index == NULL)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    result = lay_out(seal, structures, &length);
    if (result != 0)
        return result;
    const uint64_t data = structures + length + RESUME_SEALED_TAG;
    seal->out.position = data;
    progress_step_begin(progress, seal->options->key != NULL ? "compress and seal the memory"
                                                             : "compress the memory");
    result = seal_chunks(seal);
    if (result != 0)
        return result;
    seal_put(seal->header + RESUME_SEALED_HEADER_TOTAL, seal->out.position, 8);
    seal_put(seal->header + RESUME_SEALED_HEADER_CONTENT, seal->content, 8);
    seal_put(seal->header + RESUME_SEALED_HEADER_CHUNKS, seal->chunks, 8);
    seal_put(seal->header + RESUME_SEALED_HEADER_DATA_LENGTH, seal->out.position - data, 8);
    progress_step_begin(progress, "write it to the disk");
    result = write_structures(seal, structures, length);
    if (result == 0)
        result = seal_output_commit(&seal->out, seal->failure);
    if (result != 0)
        return result;
    progress_step_end(progress, NULL);
    out->protection = seal->protection;
    out->total = seal->out.position;
    out->devices = structures - devices;
    out->content = seal->content;
    out->pages = seal->pages;
    protect_sha256(seal->header, sizeof(seal->header), out->identity);
    return 0;
}

static int prepare(struct seal *seal)
{
    const struct seal_options *options = seal->options;
    char *path = NULL;
    int result = manifest_read(seal->manifest, options->directory, seal->failure);
    if (result == 0) {
        progress_step_begin(options->progress, "check the snapshot's files");
        result = manifest_verify_others(seal->manifest, options->directory, MANIFEST_STREAM,
                                        options->progress, seal->failure);
    }
    if (result == 0)
        result = read_file(seal, MANIFEST_STATE, &seal->state, &seal->state_length);
    if (result == 0)
        result = read_file(seal, MANIFEST_PLAN, &seal->plan, &seal->plan_length);
    if (result == 0)
        result = open_guest(seal);
    if (result != 0)
        return result;
    uint8_t *salt = seal->header + RESUME_SEALED_HEADER_SALT;
    if (getrandom(salt, RESUME_SEALED_SALT, 0) != RESUME_SEALED_SALT)
        return report_fail_errno(seal->failure, errno, SEAL_WHAT, "random numbers");
    seal->protection = RESUME_SEALED_CHECKSUM;
    if (options->key != NULL)
        seal->protection = options->cipher != 0 ? options->cipher : seal_cipher(seal->manifest);
    seal->method = protect_method(seal->protection);
    if (options->key != NULL) {
        protect_keys(&seal->keys, seal->protection, options->key, salt);
        memcpy(seal->header + RESUME_SEALED_HEADER_CHECK, seal->keys.check, RESUME_SEALED_CHECK);
    }
    if (asprintf(&path, "%s/" MANIFEST_STREAM, options->directory) < 0)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    seal->stream_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (seal->stream_fd < 0)
        result = report_fail_errno(seal->failure, errno, SEAL_WHAT, path);
    free(path);
    return result;
}

int seal_run(const struct seal_options *options, struct seal_result *out,
             struct report_failure *failure)
{
    struct seal *seal = calloc(1, sizeof(*seal));
    if (seal == NULL)
        return report_fail_memory(failure, SEAL_WHAT);
    seal->options = options;
    seal->failure = failure;
    seal->stream_fd = -1;
    seal->manifest = calloc(1, sizeof(*seal->manifest));
    int result = seal->manifest == NULL ? report_fail_memory(failure, SEAL_WHAT)
                                        : seal_output_begin(&seal->out, options->output, failure);
    if (result == 0) {
        result = prepare(seal);
        if (result == 0)
            result = write_image(seal, out);
    }
    seal_output_end(&seal->out);
    progress_step_fail(options->progress);
    seal_places_free(seal);
    stream_close(&seal->stream);
    if (seal->stream_fd >= 0)
        close(seal->stream_fd);
    if (seal->state != NULL)
        resume_sealed_wipe(seal->state, seal->state_length);
    if (seal->changes != NULL)
        resume_sealed_wipe(seal->changes, seal->changes_room);
    free(seal->changes);
    free(seal->state);
    free(seal->plan);
    free(seal->active);
    free(seal->bitmap);
    free(seal->index);
    free(seal->manifest);
    resume_sealed_wipe(seal, sizeof(*seal));
    free(seal);
    return result;
}
