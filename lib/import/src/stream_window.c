/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The window over a stream's source: buffering, the sink, and the tail. */
#include "stream_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "importer.h"

/* The window: large enough that reads dominate, small enough for a CPU's second-level cache. */
#define WINDOW_SIZE ((size_t)256 << 10)
/* The first read of a file of which perhaps only the head is wanted. */
#define AHEAD_SIZE ((size_t)8 << 10)

const char stream_hint_again[] = "take the snapshot again";
const char stream_hint_plain[] =
    "take the snapshot without migration capabilities such as xbzrle, compress, multifd, "
    "mapped-ram, postcopy-ram or x-ignore-shared";

bool stream_error_is_io(int code)
{
    return code <= STREAM_ESINK;
}

int stream_fail(struct stream_error *error, int code, uint64_t offset, const char *hint,
                const char *format, ...)
{
    if (error != NULL) {
        va_list args;
        error->code = code;
        error->offset = offset;
        error->hint = hint != NULL ? hint : stream_hint_again;
        va_start(args, format);
        vsnprintf(error->why, sizeof(error->why), format, args);
        va_end(args);
    }
    return code;
}

int stream_read_at(const struct import_file *file, uint64_t offset, void *buffer, size_t length,
                   struct stream_error *error)
{
    struct resume_import_error cause;
    int ret = import_read(file, offset, buffer, length, &cause);
    if (ret == 0)
        return 0;
    return stream_fail(error, ret, cause.offset,
                       stream_error_is_io(ret) ? "see the cause" : stream_hint_again,
                       "reading failed: %.200s", cause.why);
}

static int open_common(struct stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->fd = -1;
    stream->state = STREAM_STATE_HEADER;
    return 0;
}

int stream_open_fd(struct stream *stream, int fd, struct stream_error *error)
{
    uint8_t *buffer = malloc(WINDOW_SIZE);
    if (buffer == NULL)
        return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL,
                           "out of memory");
    open_common(stream);
    stream->fd = fd;
    stream->buffer = buffer;
    stream->data = buffer;
    stream->capacity = WINDOW_SIZE;
    return 0;
}

int stream_open_file(struct stream *stream, const struct import_file *file,
                     struct stream_error *error)
{
    int ret = stream_open_fd(stream, -1, error);
    if (ret != 0)
        return ret;
    stream->file = file;
    stream->ahead = AHEAD_SIZE;
    return 0;
}

int stream_open_seekable(struct stream *stream, int fd, uint64_t length, struct stream_error *error)
{
    struct import_file *file = malloc(sizeof(*file));
    if (file == NULL)
        return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL,
                           "out of memory");
    *file = (struct import_file){.fd = fd, .size = length, .name = "the stream"};
    int ret = stream_open_file(stream, file, error);
    if (ret != 0)
        free(file);
    else
        stream->own_file = file;
    return ret;
}

int stream_open_memory(struct stream *stream, const void *data, size_t length,
                       struct stream_error *error)
{
    if (data == NULL && length > 0)
        return stream_fail(error, RESUME_EINVAL, STREAM_NO_OFFSET, NULL, "no data");
    open_common(stream);
    stream->data = data;
    stream->capacity = length;
    stream->filled = length;
    stream->at_eof = true;
    return 0;
}

void stream_close(struct stream *stream)
{
    free(stream->buffer);
    free(stream->blocks);
    free(stream->tail);
    free(stream->own_file);
    memset(stream, 0, sizeof(*stream));
    stream->fd = -1;
    stream->failed = true;
}

void stream_set_sink(struct stream *stream, stream_sink_fn sink, void *ctx)
{
    stream->sink = sink;
    stream->sink_ctx = ctx;
}

void stream_set_tap(struct stream *stream, stream_tap_fn tap, void *ctx)
{
    stream->tap = tap;
    stream->tap_ctx = ctx;
}

/* Serves or skips the window up to file offset @offset, which lies in it. */
int stream_drain(struct stream *stream, uint64_t offset, bool serve, struct stream_error *error)
{
    if (offset <= stream->sunk)
        return 0;
    if (serve && stream->sink != NULL) {
        size_t from = (size_t)(stream->sunk - stream->base);
        size_t length = (size_t)(offset - stream->sunk);
        if (stream->sink(stream->sink_ctx, stream->data + from, length) != 0) {
            stream->failed = true;
            return stream_fail(error, STREAM_ESINK, stream->sunk, NULL,
                               "the stream could not be passed on");
        }
    }
    stream->sunk = offset;
    return 0;
}

static int sink_step(struct stream *stream, uint64_t offset, bool serve, struct stream_error *error)
{
    if (stream->failed || offset < stream->sunk || offset > stream_position(stream))
        return stream_fail(error, RESUME_EINVAL, offset, NULL,
                           "offset %llu is outside the current event", (unsigned long long)offset);
    return stream_drain(stream, offset, serve, error);
}

int stream_sink_to(struct stream *stream, uint64_t offset, struct stream_error *error)
{
    return sink_step(stream, offset, true, error);
}

int stream_sink_skip(struct stream *stream, uint64_t offset, struct stream_error *error)
{
    return sink_step(stream, offset, false, error);
}

/*
 * One read from the source, which goes on at file offset @offset. @ret_length is 0 at its end, and
 * only then.
 */
static int read_some(struct stream *stream, uint64_t offset, uint8_t *buffer, size_t capacity,
                     size_t *ret_length, struct stream_error *error)
{
    if (stream->file != NULL) {
        uint64_t left = stream->file->size > offset ? stream->file->size - offset : 0;
        size_t length = capacity < stream->ahead ? capacity : stream->ahead;
        length = left < length ? (size_t)left : length;
        stream->ahead = stream->ahead * 2 < WINDOW_SIZE ? stream->ahead * 2 : WINDOW_SIZE;
        *ret_length = length;
        return stream_read_at(stream->file, offset, buffer, length, error);
    }
    for (;;) {
        ssize_t got = read(stream->fd, buffer, capacity);
        if (got >= 0) {
            *ret_length = (size_t)got;
            if (stream->tap != NULL)
                stream->tap(stream->tap_ctx, buffer, (size_t)got);
            return 0;
        }
        if (errno != EINTR)
            return stream_fail(error, RESUME_IMPORT_ERRNO(errno), offset, "see the cause",
                               "reading failed: %s", strerror(errno));
    }
}

/* One read into the window. Returns 0 also at the end of the input (then at_eof is set). */
static int fill(struct stream *stream, struct stream_error *error)
{
    size_t length = 0;
    int ret = read_some(stream, stream->base + stream->filled, stream->buffer + stream->filled,
                        stream->capacity - stream->filled, &length, error);
    if (ret == 0 && length == 0)
        stream->at_eof = true;
    stream->filled += length;
    return ret;
}

/*
 * Makes @length bytes readable at `end`. When the window runs out, what lies before `start` is given
 * to the sink and forgotten, so pointers into the window are valid only until the next call.
 */
int stream_want(struct stream *stream, size_t length, const char *what, struct stream_error *error)
{
    if (stream->filled - stream->end >= length)
        return 0;
    if (!stream->at_eof) {
        int ret = stream_drain(stream, stream->base + stream->start, true, error);
        if (ret != 0)
            return ret;
        memmove(stream->buffer, stream->buffer + stream->start, stream->filled - stream->start);
        stream->base += stream->start;
        stream->end -= stream->start;
        stream->filled -= stream->start;
        stream->start = 0;
        if (length > stream->capacity - stream->end)
            return stream_fail(error, RESUME_ELENGTH, stream_position(stream), NULL,
                               "%s of %zu bytes is too long", what, length);
        while (stream->filled - stream->end < length && !stream->at_eof) {
            ret = fill(stream, error);
            if (ret != 0)
                return ret;
        }
        if (stream->filled - stream->end >= length)
            return 0;
    }
    return stream_fail(error, RESUME_ETRUNC, stream_position(stream), stream_hint_again,
                       "the stream ends in %s: %zu bytes are left, %zu are needed", what,
                       stream->filled - stream->end, length);
}

/* Copies a name of the stream; anything but printable ASCII is refused. */
int stream_take_name(struct stream *stream, size_t length, char *out, const char *what,
                     struct stream_error *error)
{
    int ret = stream_want(stream, length, what, error);
    if (ret != 0)
        return ret;
    const uint8_t *name = stream_cursor(stream);
    for (size_t i = 0; i < length; i++) {
        if (name[i] < 0x20 || name[i] > 0x7e)
            return stream_fail(error, RESUME_ERESERVED, stream_position(stream) + i,
                               stream_hint_again, "byte 0x%02x in %s, expected printable ASCII",
                               name[i], what);
    }
    memcpy(out, name, length);
    out[length] = '\0';
    stream_take(stream, length);
    return 0;
}

/* A name that is preceded by one byte of length. */
int stream_take_short_name(struct stream *stream, char out[256], const char *what,
                           struct stream_error *error)
{
    int ret = stream_want(stream, 1, what, error);
    if (ret != 0)
        return ret;
    uint8_t length = *stream_cursor(stream);
    if (length == 0)
        return stream_fail(error, RESUME_ELENGTH, stream_position(stream), stream_hint_plain,
                           "%s is empty", what);
    stream_take(stream, 1);
    return stream_take_name(stream, length, out, what, error);
}

int stream_take_be32(struct stream *stream, uint32_t *ret_value, const char *what,
                     struct stream_error *error)
{
    int ret = stream_want(stream, 4, what, error);
    if (ret == 0) {
        *ret_value = stream_be32(stream_cursor(stream));
        stream_take(stream, 4);
    }
    return ret;
}

int stream_take_be64(struct stream *stream, uint64_t *ret_value, const char *what,
                     struct stream_error *error)
{
    int ret = stream_want(stream, 8, what, error);
    if (ret == 0) {
        *ret_value = stream_be64(stream_cursor(stream));
        stream_take(stream, 8);
    }
    return ret;
}

int stream_jump(struct stream *stream, uint64_t offset, struct stream_error *error)
{
    uint64_t position = stream_position(stream);
    if (offset < position || offset > stream->file->size)
        return stream_fail(error, offset < position ? RESUME_ECONSISTENT : RESUME_ETRUNC, position,
                           stream_hint_again,
                           "what follows is said to be at 0x%llx, in a file of 0x%llx bytes",
                           (unsigned long long)offset, (unsigned long long)stream->file->size);
    if (offset - position <= stream->filled - stream->end) {
        stream_take(stream, (size_t)(offset - position));
        return 0;
    }
    stream->base = offset;
    stream->sunk = offset;
    stream->start = stream->end = stream->filled = 0;
    stream->ahead = AHEAD_SIZE;
    return 0;
}

/* Reads to the end of the input into a buffer that grows. */
static int read_tail(struct stream *stream, struct stream_error *error)
{
    size_t length = stream->filled - stream->end;
    size_t capacity = (size_t)1 << 20;
    uint8_t *tail = malloc(capacity);
    if (tail == NULL)
        goto no_memory;
    memcpy(tail, stream_cursor(stream), length);
    while (!stream->at_eof) {
        if (length == capacity) {
            if (capacity > STREAM_TAIL_MAX) {
                free(tail);
                return stream_fail(error, RESUME_ELENGTH, stream_position(stream), NULL,
                                   "more than %llu MiB of device state",
                                   (unsigned long long)(STREAM_TAIL_MAX >> 20));
            }
            uint8_t *larger = realloc(tail, capacity * 2);
            if (larger == NULL)
                goto no_memory;
            tail = larger;
            capacity *= 2;
        }
        size_t got = 0;
        int ret = read_some(stream, stream_position(stream) + length, tail + length,
                            capacity - length, &got, error);
        if (ret != 0) {
            free(tail);
            return ret;
        }
        if (got == 0)
            stream->at_eof = true;
        length += got;
    }
    stream->tail = tail;
    stream->tail_length = length;
    return 0;
no_memory:
    free(tail);
    return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), stream_position(stream), NULL,
                       "out of memory");
}

int stream_tail(struct stream *stream, const uint8_t **ret_data, size_t *ret_length,
                uint64_t *ret_offset, struct stream_error *error)
{
    const uint8_t *data = stream_cursor(stream);
    size_t length = stream->filled - stream->end;
    if (stream->failed || stream->state != STREAM_STATE_DEVICES)
        return stream_fail(error, RESUME_EINVAL, stream_position(stream), NULL,
                           "the device sections have not been reached");
    if (stream->buffer != NULL) {
        if (stream->tail == NULL) {
            int ret = read_tail(stream, error);
            if (ret != 0)
                return ret;
        }
        data = stream->tail;
        length = stream->tail_length;
    }
    if (length > STREAM_TAIL_MAX)
        return stream_fail(error, RESUME_ELENGTH, stream_position(stream), NULL,
                           "more than %llu MiB of device state",
                           (unsigned long long)(STREAM_TAIL_MAX >> 20));
    *ret_data = data;
    *ret_length = length;
    *ret_offset = stream_position(stream);
    return 0;
}
