/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Between stream.c (the format) and stream_window.c (the bytes). */
#ifndef RESUME_IMPORT_STREAM_INTERNAL_H
#define RESUME_IMPORT_STREAM_INTERNAL_H

#include "stream.h"

enum stream_state {
    STREAM_STATE_HEADER,
    STREAM_STATE_TOP,
    STREAM_STATE_RAM,
    STREAM_STATE_FOOTER,
    STREAM_STATE_DEVICES
};

extern const char stream_hint_again[];
extern const char stream_hint_plain[];

/* File offset of the next byte to be consumed. */
static inline uint64_t stream_position(const struct stream *stream)
{
    return stream->base + stream->end;
}

/* The next byte to be consumed. */
static inline const uint8_t *stream_cursor(const struct stream *stream)
{
    return stream->data + stream->end;
}

/* Consumes bytes that stream_want has made readable. */
static inline void stream_take(struct stream *stream, size_t length)
{
    stream->end += length;
}

/* Lets go of what has been consumed: between events, and within those that may exceed the window. */
static inline void stream_let_go(struct stream *stream)
{
    stream->start = stream->end;
}

/*
 * Makes @length bytes readable at the cursor. When the window runs out, what was let go of is given
 * to the sink and forgotten; pointers into the window are then void.
 */
int stream_want(struct stream *stream, size_t length, const char *what, struct stream_error *error);

/* Serves (or leaves out) the window up to file offset @offset, which lies in it. */
int stream_drain(struct stream *stream, uint64_t offset, bool serve, struct stream_error *error);

/* Reads the configuration section, whose type byte can be read at the cursor. */
int stream_read_configuration(struct stream *stream, struct stream_event *event,
                              struct stream_error *error);

/* As import_read, with the other kind of diagnosis. */
int stream_read_at(const struct import_file *file, uint64_t offset, void *buffer, size_t length,
                   struct stream_error *error);

/* Goes on at file offset @offset, which is not behind the cursor. Only of `file`. */
int stream_jump(struct stream *stream, uint64_t offset, struct stream_error *error);

/* Consume a name of @length bytes, one that is preceded by its length in a byte, a number. */
int stream_take_name(struct stream *stream, size_t length, char *out, const char *what,
                     struct stream_error *error);
int stream_take_short_name(struct stream *stream, char out[256], const char *what,
                           struct stream_error *error);
int stream_take_be32(struct stream *stream, uint32_t *ret_value, const char *what,
                     struct stream_error *error);
int stream_take_be64(struct stream *stream, uint64_t *ret_value, const char *what,
                     struct stream_error *error);

#endif
