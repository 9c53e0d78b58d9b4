/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The smallest reader of snapshot images: verifies one, and says what is in it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

static int read_file(void *context, uint64_t offset, void *buffer, size_t length, size_t *ret)
{
    FILE *file = context;
    if (fseek(file, (long)offset, SEEK_SET) != 0)
        return -1;
    *ret = fread(buffer, 1, length, file);
    return ferror(file) ? -1 : 0;
}

/* Counts the pages. A firmware has memory for each. */
struct memory {
    uint64_t pages;
    uint8_t page[RESUME_SEALED_PAGE];
};

static void *next_page(void *context, uint64_t number)
{
    struct memory *memory = context;
    (void)number;
    memory->pages++;
    return memory->page;
}

static int fail(const char *path, int err, const struct resume_diag *diag)
{
    fprintf(stderr, "%s: %s, %s: %s\n", path, diag->where, diag->field, resume_strerror(err));
    return 1;
}

static int load(const struct load_inputs *inputs, struct resume_sealed *image,
                struct resume_diag *diag)
{
    const size_t capacity = (size_t)image->header->chunk_pages * RESUME_SEALED_PAGE;
    const struct load_buffers buffers = {malloc(capacity), malloc(capacity),
                                         aligned_alloc(16, RESUME_SEALED_WORK)};
    int err = buffers.stored == NULL || buffers.pages == NULL || buffers.work == NULL
                  ? RESUME_ENOSPC
                  : RESUME_OK;
    for (uint64_t i = 0; err == RESUME_OK && i < image->header->chunks; i++)
        err = load_chunk(inputs, image, i, &buffers, diag);
    free(buffers.stored);
    free(buffers.pages);
    free(buffers.work);
    return err;
}

int main(int argc, char **argv)
{
    static struct memory memory;
    struct resume_sealed_header header;
    struct resume_sealed image;
    struct resume_diag diag = {.where = "image", .field = "memory"};
    uint8_t key[RESUME_SEALED_KEY];
    FILE *file = argc == 2 || argc == 3 ? fopen(argv[1], "rb") : NULL;
    FILE *secret = argc == 3 ? fopen(argv[2], "rb") : NULL;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 ||
        (argc == 3 && (secret == NULL || fread(key, 1, sizeof(key), secret) != sizeof(key)))) {
        fprintf(stderr, "usage: read-image IMAGE [KEY-FILE]\n");
        return 2;
    }
    const struct load_inputs inputs = {
        .source = {.read = read_file, .context = file, .size = (uint64_t)ftell(file)},
        .key = secret != NULL ? key : NULL,
        .page = next_page,
        .context = &memory};
    int err = resume_sealed_header(&inputs.source, &header, &diag);
    if (err != RESUME_OK)
        return fail(argv[1], err, &diag);
    void *structures = malloc((size_t)header.structures_length);
    if (structures == NULL)
        return fail(argv[1], RESUME_ENOSPC, &diag);
    err = resume_sealed_open(&image, &inputs.source, &header, inputs.key, NULL, structures,
                             (size_t)header.structures_length, &diag);
    if (err == RESUME_OK)
        err = load(&inputs, &image, &diag);
    if (err != RESUME_OK)
        return fail(argv[1], err, &diag);
    printf("%s, %" PRIu32 " vCPU(s), %" PRIu64 " pages\n",
           header.protection == RESUME_SEALED_CHECKSUM ? "integrity only" : "sealed", header.vcpus,
           memory.pages);
    resume_sealed_close(&image);
    resume_sealed_wipe(structures, (size_t)header.structures_length);
    resume_sealed_wipe(key, sizeof(key));
    free(structures);
    if (secret != NULL)
        fclose(secret);
    fclose(file);
    return 0;
}
