/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Opening a snapshot image, and the parts of it that the host may see. */
#define _GNU_SOURCE
#include "unseal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bearssl.h>

#include "sealed.h"
#include "unseal_private.h"

#define COPY_SIZE (1u << 18)

int unseal_write(int fd, const void *data, size_t length, struct report_failure *failure)
{
    const uint8_t *bytes = data;
    while (length > 0) {
        ssize_t put = write(fd, bytes, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return report_fail_errno(failure, put < 0 ? errno : EIO, UNSEAL_WHAT, "output");
        bytes += put;
        length -= (size_t)put;
    }
    return 0;
}

int unseal_file(const char *directory, int *ret_fd, struct report_failure *failure)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        /* The file system cannot do that. */
        char *path = NULL;
        if (asprintf(&path, "%s/libresume-XXXXXX", directory) < 0)
            return report_fail_memory(failure, UNSEAL_WHAT);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
        free(path);
    }
    if (fd < 0)
        return report_fail_errno(failure, errno, UNSEAL_WHAT, directory);
    *ret_fd = fd;
    return 0;
}

/* Reads @length bytes at @offset, gives them to @memory or @fd, and compares their hash. */
static int take_public(const struct unseal *unseal, uint64_t offset, uint64_t length,
                       size_t hash_field, const char *name, char *memory, int fd,
                       struct report_failure *failure)
{
    uint8_t hash[RESUME_SEALED_HASH];
    br_sha256_context context;
    uint8_t *piece = malloc(COPY_SIZE);
    int result = piece == NULL ? report_fail_memory(failure, UNSEAL_WHAT) : 0;
    br_sha256_init(&context);
    for (uint64_t done = 0; result == 0 && done < length;) {
        const size_t want = length - done < COPY_SIZE ? (size_t)(length - done) : COPY_SIZE;
        size_t got = 0;
        int error = unseal->source.read(unseal->source.context, offset + done, piece, want, &got);
        if (error != 0) {
            result = report_fail_errno(failure, -error, UNSEAL_WHAT, unseal->path);
        } else if (got == 0) {
            result = report_fail(failure, EXIT_CODE_REFUSED, UNSEAL_WHAT, unseal->path,
                                 "use another copy", "%s: the image has become shorter", name);
        } else {
            br_sha256_update(&context, piece, got);
            if (memory != NULL)
                memcpy(memory + done, piece, got);
            else
                result = unseal_write(fd, piece, got, failure);
            done += got;
        }
    }
    free(piece);
    if (result != 0)
        return result;
    br_sha256_out(&context, hash);
    if (memcmp(hash, unseal->header.raw + hash_field, sizeof(hash)) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, UNSEAL_WHAT, unseal->path,
                           "the image was changed or is damaged: use another copy",
                           "%s: its hash is not the one in the header", name);
    return 0;
}

static int open_structures(struct unseal *unseal, const uint8_t *key, const uint8_t *identity,
                           struct report_failure *failure)
{
    const struct resume_sealed_header *header = &unseal->header;
    /* Longer than that the source's file is not: the header was checked against it. */
    const size_t length = (size_t)header->structures_length;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    unseal->structures = malloc(length);
    if (unseal->structures == NULL)
        return report_fail_memory(failure, UNSEAL_WHAT);
    int error = resume_sealed_open(&unseal->image, &unseal->source, header, key, identity,
                                   unseal->structures, length, &diag);
    if (error != RESUME_OK)
        return sealed_fail(failure, error, &diag, UNSEAL_WHAT, unseal->path);
    unseal->opened = true;
    return 0;
}

static int open_image(struct unseal *unseal, const uint8_t *key, const uint8_t *identity,
                      struct report_failure *failure)
{
    struct resume_sealed_header *header = &unseal->header;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    int error = resume_sealed_header(&unseal->source, header, &diag);
    if (error != RESUME_OK)
        return sealed_fail(failure, error, &diag, UNSEAL_WHAT, unseal->path);
    const bool sealed = header->protection != RESUME_SEALED_CHECKSUM;
    int result = 0;
    if (!sealed && key != NULL)
        result = report_fail(failure, EXIT_CODE_REFUSED, UNSEAL_WHAT, unseal->path,
                             "leave out --key if that is what you want to use",
                             "it is not sealed: anybody could have written it");
    else if (!sealed || key != NULL)
        result = open_structures(unseal, key, identity, failure);
    else if (identity != NULL && memcmp(identity, header->identity, RESUME_SEALED_IDENTITY) != 0)
        result =
            report_fail(failure, EXIT_CODE_REFUSED, UNSEAL_WHAT, unseal->path,
                        "use the image whose identity resumectl seal printed",
                        "image header, identity: another snapshot than the one that is expected");
    if (result != 0)
        return result;
    /* At most RESUME_SEALED_HOST_MAX: the header was checked. */
    unseal->facts_length = (size_t)header->host_length;
    unseal->facts = calloc(1, unseal->facts_length + 1);
    if (unseal->facts == NULL)
        return report_fail_memory(failure, UNSEAL_WHAT);
    return take_public(unseal, header->host, header->host_length, RESUME_SEALED_HEADER_HOST_HASH,
                       "host facts", unseal->facts, -1, failure);
}

int unseal_open(struct unseal *out, const char *path, const uint8_t *key, const uint8_t *identity,
                struct report_failure *failure)
{
    memset(out, 0, sizeof(*out));
    int result = sealed_source_open(path, &out->source, &out->fd, failure);
    if (result != 0) {
        memset(out, 0, sizeof(*out));
        return result;
    }
    out->path = path;
    result = open_image(out, key, identity, failure);
    if (result != 0)
        unseal_close(out);
    return result;
}

void unseal_close(struct unseal *unseal)
{
    if (unseal->path == NULL)
        return; /* never opened */
    if (unseal->structures != NULL) {
        resume_sealed_close(&unseal->image);
        resume_sealed_wipe(unseal->structures, (size_t)unseal->header.structures_length);
    }
    free(unseal->structures);
    free(unseal->facts);
    close(unseal->fd);
    memset(unseal, 0, sizeof(*unseal));
}

const uint8_t *unseal_part(const struct unseal *unseal, unsigned part, size_t *ret_length)
{
    return resume_sealed_part(&unseal->image, part, ret_length);
}

int unseal_devices(const struct unseal *unseal, const char *directory, int *ret_fd,
                   uint64_t *ret_size, struct report_failure *failure)
{
    const struct resume_sealed_header *header = &unseal->header;
    int fd = -1;
    int result = unseal_file(directory, &fd, failure);
    if (result != 0)
        return result;
    result = take_public(unseal, header->devices, header->devices_length,
                         RESUME_SEALED_HEADER_DEVICES_HASH, "device part", NULL, fd, failure);
    if (result == 0 && lseek(fd, 0, SEEK_SET) != 0)
        result = report_fail_errno(failure, errno, UNSEAL_WHAT, directory);
    if (result != 0) {
        close(fd);
        return result;
    }
    *ret_fd = fd;
    if (ret_size != NULL)
        *ret_size = header->devices_length;
    return 0;
}
