/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "open.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bearssl.h>

#include <resume/guest.h>

#include "sealed.h"

#define WHAT "open image"

/* How often the progress is shown, in chunks. */
#define PROGRESS_CHUNKS 16u

struct opening {
    const struct open_options *options;
    struct resume_sealed_source source;
    struct resume_sealed image;
    struct open_result *out;
    pthread_t first; /* the thread that shows the progress */
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t compressed;
    pthread_mutex_t lock; /* of the members below */
    bool failed;
    uint64_t failed_at;
    struct report_failure failure; /* of the first chunk that failed */
};

/* Keeps the failure of the chunk with the lowest number: a message does not depend on chance. */
static void note_failure(struct opening *opening, uint64_t index,
                         const struct report_failure *failure)
{
    pthread_mutex_lock(&opening->lock);
    if (!opening->failed || index < opening->failed_at) {
        opening->failed = true;
        opening->failed_at = index;
        opening->failure = *failure;
    }
    pthread_mutex_unlock(&opening->lock);
    /* No more is begun. */
    atomic_store(&opening->next, opening->image.header->chunks);
}

struct buffers {
    uint8_t *stored;
    uint8_t *pages;
    void *work;
};

static int open_chunk(struct opening *opening, uint64_t index, const struct buffers *buffers,
                      size_t capacity, struct report_failure *failure)
{
    const uint8_t *pages = NULL;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    int error = resume_sealed_chunk_read(&opening->image, index, &opening->source, buffers->stored,
                                         capacity, &diag);
    if (error == RESUME_OK)
        error = resume_sealed_chunk_open(&opening->image, index, buffers->stored, buffers->pages,
                                         capacity, buffers->work, &pages, &diag);
    if (error != RESUME_OK)
        return sealed_fail(failure, error, &diag, WHAT, opening->options->path);
    return 0;
}

static void *work(void *context)
{
    struct opening *opening = context;
    const struct resume_sealed_header *header = opening->image.header;
    const size_t capacity = (size_t)header->chunk_pages * RESUME_SEALED_PAGE;
    const bool shows = pthread_equal(pthread_self(), opening->first) != 0;
    struct buffers buffers = {malloc(capacity), malloc(capacity),
                              aligned_alloc(16, RESUME_SEALED_WORK)};
    struct report_failure failure;
    memset(&failure, 0, sizeof(failure));
    for (;;) {
        uint64_t index = atomic_fetch_add(&opening->next, 1);
        if (index >= header->chunks)
            break;
        int result = buffers.stored == NULL || buffers.pages == NULL || buffers.work == NULL
                         ? report_fail_memory(&failure, WHAT)
                         : open_chunk(opening, index, &buffers, capacity, &failure);
        if (result != 0) {
            note_failure(opening, index, &failure);
            break;
        }
        if (resume_sealed_chunk(&opening->image, index).compressed)
            atomic_fetch_add(&opening->compressed, 1);
        if (shows && index % PROGRESS_CHUNKS == 0)
            progress_step_update(opening->options->progress, index * capacity,
                                 header->content * RESUME_SEALED_PAGE);
    }
    free(buffers.stored);
    free(buffers.pages);
    free(buffers.work);
    return NULL;
}

static int open_chunks(struct opening *opening, struct report_failure *failure)
{
    const size_t capacity = (size_t)opening->image.header->chunk_pages * RESUME_SEALED_PAGE;
    opening->first = pthread_self();
    sealed_run(sealed_threads(2 * capacity + RESUME_SEALED_WORK), work, opening);
    opening->out->compressed = atomic_load(&opening->compressed);
    if (!opening->failed)
        return 0;
    *failure = opening->failure;
    return -failure->exit_code;
}

/* A part that the host may read, against the hash in the header. */
static int check_public(const struct opening *opening, uint64_t offset, uint64_t length,
                        size_t hash_field, const char *name, struct report_failure *failure)
{
    static uint8_t piece[1 << 16];
    uint8_t hash[RESUME_SEALED_HASH];
    br_sha256_context context;
    br_sha256_init(&context);
    while (length > 0) {
        size_t want = length < sizeof(piece) ? (size_t)length : sizeof(piece);
        size_t got = 0;
        int error = opening->source.read(opening->source.context, offset, piece, want, &got);
        if (error != 0)
            return sealed_fail_reading(failure, -error, name, WHAT, opening->options->path);
        if (got == 0)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, opening->options->path,
                               "use another copy", "%s: the image has become shorter", name);
        br_sha256_update(&context, piece, got);
        offset += got;
        length -= got;
    }
    br_sha256_out(&context, hash);
    if (memcmp(hash, opening->out->header.raw + hash_field, sizeof(hash)) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, opening->options->path,
                           "the image was changed or is damaged: use another copy",
                           "%s: its hash is not the one in the header", name);
    return 0;
}

/* State and plan, as firmware will look at them. */
static int check_guest(const struct opening *opening, struct report_failure *failure)
{
    const char *path = opening->options->path;
    struct resume_guest *guest = calloc(1, sizeof(*guest));
    struct resume_vcpu *vcpu = calloc(1, sizeof(*vcpu));
    struct resume_diag diag;
    size_t length = 0;
    int result = 0;
    memset(&diag, 0, sizeof(diag));
    if (guest == NULL || vcpu == NULL) {
        result = report_fail_memory(failure, WHAT);
    } else {
        const uint8_t *part =
            resume_sealed_part(&opening->image, RESUME_SEALED_PART_STATE, &length);
        int error = resume_guest_open(part, length, vcpu, guest, &diag);
        part = resume_sealed_part(&opening->image, RESUME_SEALED_PART_PLAN, &length);
        if (error == RESUME_OK)
            error = resume_guest_plan(guest, part, length, &diag);
        if (error != RESUME_OK)
            result = report_fail_diag(failure, error, &diag, WHAT, path, NULL);
        else if (guest->state.vcpu_count != opening->out->header.vcpus)
            result = report_fail(failure, EXIT_CODE_REFUSED, WHAT, path, "seal the snapshot again",
                                 "image header: %" PRIu32 " vCPUs, the state blob has %" PRIu32,
                                 opening->out->header.vcpus, guest->state.vcpu_count);
        else
            opening->out->active = guest->set.active;
    }
    if (vcpu != NULL)
        resume_sealed_wipe(vcpu, sizeof(*vcpu));
    free(vcpu);
    free(guest);
    return result;
}

static int check_all(struct opening *opening, struct report_failure *failure)
{
    struct progress *progress = opening->options->progress;
    const struct resume_sealed_header *header = &opening->out->header;
    opening->out->ranges = opening->image.map_count;
    opening->out->runs = opening->image.run_count;
    for (uint64_t i = 0; i < opening->image.map_count; i++)
        opening->out->pages += resume_sealed_map(&opening->image, i).count;
    int result = check_guest(opening, failure);
    if (result == 0)
        result = check_public(opening, header->host, header->host_length,
                              RESUME_SEALED_HEADER_HOST_HASH, "host facts", failure);
    if (result == 0)
        result = check_public(opening, header->devices, header->devices_length,
                              RESUME_SEALED_HEADER_DEVICES_HASH, "device part", failure);
    if (result != 0)
        return result;
    progress_step_begin(progress, "verify the memory");
    return open_chunks(opening, failure);
}

static int open_structures(struct opening *opening, struct report_failure *failure)
{
    const struct open_options *options = opening->options;
    struct resume_sealed_header *header = &opening->out->header;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    progress_step_begin(options->progress, "verify header and structures");
    int error = resume_sealed_header(&opening->source, header, &diag);
    if (error != RESUME_OK)
        return sealed_fail(failure, error, &diag, WHAT, options->path);
    const bool sealed = header->protection != RESUME_SEALED_CHECKSUM;
    if (sealed && options->key == NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, options->path,
                           "give the key: --key FILE", "it is sealed");
    if (!sealed && options->key != NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, options->path,
                           "leave out --key if that is what you want to look at",
                           "it is not sealed: anybody could have written it");
    /* Longer than that the source's file is not: the header was checked against it. */
    const size_t length = (size_t)header->structures_length;
    uint8_t *structures = malloc(length);
    if (structures == NULL)
        return report_fail_memory(failure, WHAT);
    error = resume_sealed_open(&opening->image, &opening->source, header, options->key,
                               options->identity, structures, length, &diag);
    int result = error == RESUME_OK ? check_all(opening, failure)
                                    : sealed_fail(failure, error, &diag, WHAT, options->path);
    resume_sealed_close(&opening->image);
    resume_sealed_wipe(structures, length);
    free(structures);
    return result;
}

int open_run(const struct open_options *options, struct open_result *out,
             struct report_failure *failure)
{
    struct opening opening = {.options = options, .out = out};
    int fd = -1;
    memset(out, 0, sizeof(*out));
    int result = sealed_source_open(options->path, &opening.source, &fd, failure);
    if (result != 0)
        return result;
    pthread_mutex_init(&opening.lock, NULL);
    result = open_structures(&opening, failure);
    if (result == 0)
        progress_step_end(options->progress, NULL);
    else
        progress_step_fail(options->progress);
    pthread_mutex_destroy(&opening.lock);
    close(fd);
    return result;
}
