/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "unpack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unpack_codec.h"

#define BUFFER 65536u
#define HOLE 4096u /* zeroes of this length and place are not written */
#define FREE_BYTES (UINT64_C(16) << 20)
#define RATIO 1024u
#define PADDING_MAX (UINT64_C(64) << 20) /* zeroes behind the data */
#define MAGIC_MAX 8u

struct unpack {
    const struct import_file *file;
    const struct unpack_codec *codec;
    struct resume_import_error *error;
    const char *directory; /* of the temporary file */
    void *codec_state;
    int fd;
    uint64_t in_at; /* in the file, of what is read next */
    uint64_t out_at;
    uint64_t out_max;
    struct unpack_buffers buffers;
    uint8_t in[BUFFER];
    uint8_t out[BUFFER];
};

static const struct unpack_codec *codec_of(enum unpack_method method)
{
    switch (method) {
    case UNPACK_GZIP:
        return &unpack_gzip;
    case UNPACK_BZIP2:
        return &unpack_bzip2;
    case UNPACK_XZ:
        return &unpack_xz;
    case UNPACK_ZSTD:
        break;
    }
    return &unpack_zstd;
}

const char *unpack_name(enum unpack_method method)
{
    return codec_of(method)->name;
}

static int fail_temporary(const struct unpack *unpack, int number)
{
    return import_fail(unpack->error, RESUME_IMPORT_ERRNO(number), RESUME_IMPORT_NO_OFFSET,
                       unpack->directory, "set TMPDIR to a directory with more room",
                       "the temporary file for what is unpacked, %llu bytes so far: %s",
                       (unsigned long long)unpack->out_at, strerror(number));
}

/* A file that nobody else sees, and that goes when it is closed. */
static int open_temporary(struct unpack *unpack)
{
    static const char pattern[] = "/libresume-XXXXXX";
    const char *directory = getenv("TMPDIR");
    unpack->directory = directory != NULL && directory[0] == '/' ? directory : "/tmp";
    char *path = malloc(strlen(unpack->directory) + sizeof(pattern));
    if (path == NULL)
        return fail_temporary(unpack, ENOMEM);
    memcpy(path, unpack->directory, strlen(unpack->directory));
    memcpy(path + strlen(unpack->directory), pattern, sizeof(pattern));
    unpack->fd = mkstemp(path);
    int number = errno;
    if (unpack->fd >= 0)
        unlink(path);
    free(path);
    return unpack->fd >= 0 ? 0 : fail_temporary(unpack, number);
}

static int write_all(const struct unpack *unpack, const uint8_t *data, size_t length, uint64_t at)
{
    while (length > 0) {
        ssize_t done = pwrite(unpack->fd, data, length, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail_temporary(unpack, done < 0 ? errno : EIO);
        data += done;
        at += (uint64_t)done;
        length -= (size_t)done;
    }
    return 0;
}

static int is_zero(const uint8_t *data, size_t length)
{
    return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

/* What is in the output buffer, without the zeroes; the buffer is empty then. */
static int flush(struct unpack *unpack)
{
    size_t length = BUFFER - unpack->buffers.out_left;
    for (size_t from = 0; from < length;) {
        size_t to = from;
        while (to < length && !is_zero(unpack->out + to, length - to < HOLE ? length - to : HOLE))
            to += HOLE;
        if (to > length)
            to = length;
        int ret = write_all(unpack, unpack->out + from, to - from, unpack->out_at + from);
        if (ret != 0)
            return ret;
        from = to + HOLE; /* what is there is zero, or nothing */
    }
    unpack->out_at += length;
    unpack->buffers.out = unpack->out;
    unpack->buffers.out_left = BUFFER;
    if (unpack->out_at > unpack->out_max)
        return import_fail(unpack->error, RESUME_ELENGTH, unpack->in_at, unpack->file->name,
                           "if this is no mistake, unpack it by hand",
                           "unpacked it has more than %llu bytes, as a machine's state cannot",
                           (unsigned long long)unpack->out_max);
    return 0;
}

static int refill(struct unpack *unpack)
{
    uint64_t left = unpack->file->size - unpack->in_at;
    size_t length = left < BUFFER ? (size_t)left : BUFFER;
    int ret = import_read(unpack->file, unpack->in_at, unpack->in, length, unpack->error);
    if (ret != 0)
        return ret;
    unpack->in_at += length;
    unpack->buffers.in = unpack->in;
    unpack->buffers.in_left = length;
    return 0;
}

static int fail(const struct unpack *unpack, int code, const char *what)
{
    return import_fail(unpack->error, code, unpack->in_at - unpack->buffers.in_left,
                       unpack->file->name, "is the file complete? make it again", "%s: %s",
                       unpack->codec->name, what);
}

static int check_magic(const struct unpack *unpack, uint64_t at)
{
    uint8_t magic[MAGIC_MAX];
    size_t size = unpack->codec->magic_size;
    return import_read(unpack->file, at, magic, size, NULL) == 0 &&
           memcmp(magic, unpack->codec->magic, size) == 0;
}

/* Passes zeroes over, as tapes and pipes add them. @ret_more: there is another compressed file. */
static int look_for_next(struct unpack *unpack, int *ret_more)
{
    struct unpack_buffers *buffers = &unpack->buffers;
    const uint64_t end = unpack->in_at - buffers->in_left;
    for (;;) {
        while (buffers->in_left > 0 && *buffers->in == 0) {
            buffers->in++;
            buffers->in_left--;
        }
        if (buffers->in_left > 0) {
            *ret_more = 1;
            return check_magic(unpack, unpack->in_at - buffers->in_left)
                       ? 0
                       : fail(unpack, RESUME_ECRC, "what follows the compressed data is not known");
        }
        if (unpack->in_at == unpack->file->size) {
            *ret_more = 0;
            return 0;
        }
        if (unpack->in_at - end > PADDING_MAX)
            return fail(unpack, RESUME_ELENGTH, "more than 64 MiB of zeroes follow the data");
        int ret = refill(unpack);
        if (ret != 0)
            return ret;
    }
}

static int fail_step(const struct unpack *unpack, int code)
{
    if (code == RESUME_EUNSUPPORTED)
        return fail(unpack, code, "it needs more than 128 MiB of memory, or an unknown filter");
    return fail(unpack, code, code == RESUME_ECRC ? "the data is damaged" : "no memory");
}

/* Each turn of the loop takes input or gives output, or is the last. */
static int run(struct unpack *unpack)
{
    struct unpack_buffers *buffers = &unpack->buffers;
    for (;;) {
        int ret = 0;
        if (buffers->in_left == 0 && unpack->in_at < unpack->file->size)
            ret = refill(unpack);
        if (ret == 0 && buffers->out_left == 0)
            ret = flush(unpack);
        if (ret != 0)
            return ret;
        size_t in_before = buffers->in_left;
        size_t out_before = buffers->out_left;
        ret = unpack->codec->step(unpack->codec_state, buffers);
        if (ret < 0)
            return fail_step(unpack, ret);
        if (ret == UNPACK_END) {
            int more;
            ret = look_for_next(unpack, &more);
            if (ret != 0)
                return ret;
            if (!more)
                return flush(unpack);
        } else if (buffers->in_left == in_before && buffers->out_left == out_before) {
            return in_before == 0 ? fail(unpack, RESUME_ETRUNC, "the data ends too early")
                                  : fail(unpack, RESUME_ECRC, "the data is damaged");
        }
    }
}

static int unpack_parts(struct unpack *unpack)
{
    if (!check_magic(unpack, unpack->in_at))
        return fail(unpack, RESUME_EMAGIC, "the data is not compressed in this way");
    unpack->codec_state = unpack->codec->open();
    if (unpack->codec_state == NULL)
        return fail(unpack, RESUME_IMPORT_ERRNO(ENOMEM), "no memory");
    int ret = open_temporary(unpack);
    if (ret == 0)
        ret = run(unpack);
    if (ret == 0 && ftruncate(unpack->fd, (off_t)unpack->out_at) != 0)
        ret = fail_temporary(unpack, errno);
    if (ret != 0 && unpack->fd >= 0)
        close(unpack->fd);
    unpack->codec->close(unpack->codec_state);
    return ret;
}

int unpack_file(const struct import_file *file, uint64_t offset, enum unpack_method method,
                struct import_file *out, struct resume_import_error *error)
{
    if (offset > file->size)
        return import_fail(error, RESUME_ETRUNC, offset, file->name, "",
                           "the compressed data begins beyond the end");
    struct unpack *unpack = malloc(sizeof(*unpack));
    if (unpack == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, file->name,
                           "", "no memory");
    uint64_t size = file->size - offset;
    unpack->file = file;
    unpack->codec = codec_of(method);
    unpack->error = error;
    unpack->codec_state = NULL;
    unpack->fd = -1;
    unpack->in_at = offset;
    unpack->out_at = 0;
    unpack->out_max =
        size < (UINT64_MAX - FREE_BYTES) / RATIO ? FREE_BYTES + size * RATIO : UINT64_MAX;
    unpack->buffers = (struct unpack_buffers){unpack->in, 0, unpack->out, BUFFER};
    int ret = unpack_parts(unpack);
    if (ret == 0)
        *out = (struct import_file){.fd = unpack->fd, .size = unpack->out_at, .name = file->name};
    free(unpack);
    return ret;
}
