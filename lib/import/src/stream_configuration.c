/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The configuration section at the head of a stream: the machine, and what the stream is made with. */
#include <string.h>

#include "stream_internal.h"

/* Capabilities that change how the rest is written; the others do not concern a reader. */
static int check_capability(struct stream *stream, const char *name, uint64_t offset,
                            struct stream_error *error)
{
    static const char *const refused[] = {"x-ignore-shared", "fixed-ram",   "multifd",
                                          "x-colo",          "compress",    "xbzrle",
                                          "rdma-pin-all",    "postcopy-ram"};
    if (strcmp(name, "mapped-ram") == 0 && stream->file != NULL) {
        stream->mapped = true;
        return 0;
    }
    if (strcmp(name, "mapped-ram") == 0)
        return stream_fail(error, RESUME_EUNSUPPORTED, offset, stream_hint_plain,
                           "the stream was made with migration capability mapped-ram");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (strcmp(name, refused[i]) == 0)
            return stream_fail(error, RESUME_EUNSUPPORTED, offset, stream_hint_plain,
                               "the stream was made with migration capability %s", name);
    }
    return 0;
}

static int read_capabilities(struct stream *stream, struct stream_error *error)
{
    char name[256];
    uint32_t count;
    int ret = stream_take_be32(stream, &count, "the list of capabilities", error);
    if (ret != 0)
        return ret;
    if (count > 256)
        return stream_fail(error, RESUME_ELENGTH, stream_position(stream) - 4, NULL,
                           "%u migration capabilities, at most 256 are believed", count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = stream_position(stream);
        ret = stream_take_short_name(stream, name, "the name of a capability", error);
        if (ret == 0)
            ret = check_capability(stream, name, offset, error);
        if (ret != 0)
            return ret;
    }
    return 0;
}

static int read_configuration_part(struct stream *stream, struct stream_error *error)
{
    char name[256];
    uint32_t value;
    uint64_t offset = stream_position(stream);
    stream_take(stream, 1);
    int ret =
        stream_take_short_name(stream, name, "the name of a part of the configuration", error);
    if (ret == 0)
        ret = stream_take_be32(stream, &value, "the configuration", error); /* version */
    if (ret != 0)
        return ret;
    if (strcmp(name, "configuration/capabilities") == 0)
        return read_capabilities(stream, error);
    if (strcmp(name, "configuration/uuid") == 0) {
        ret = stream_want(stream, 16, "the machine's UUID", error);
        if (ret == 0)
            stream_take(stream, 16);
        return ret;
    }
    if (strcmp(name, "configuration/target-page-bits") == 0) {
        ret = stream_take_be32(stream, &value, "the page size", error);
        if (ret == 0 && value != 12)
            ret = stream_fail(error, RESUME_EUNSUPPORTED, offset, "use an x86 machine",
                              "pages of 2^%u bytes, expected 2^12", value);
        return ret;
    }
    return stream_fail(error, RESUME_EUNSUPPORTED, offset, stream_hint_plain,
                       "the configuration has a part \"%s\" that is not known", name);
}

int stream_read_configuration(struct stream *stream, struct stream_event *event,
                              struct stream_error *error)
{
    uint32_t length;
    if (stream->configured || stream->ram_started)
        return stream_fail(error, RESUME_ECONSISTENT, stream_position(stream), NULL,
                           "a configuration section out of place");
    stream_take(stream, 1);
    int ret = stream_take_be32(stream, &length, "the configuration", error);
    if (ret != 0)
        return ret;
    if (length == 0 || length >= sizeof(stream->machine))
        return stream_fail(error, RESUME_ELENGTH, stream_position(stream) - 4, NULL,
                           "a machine name of %u bytes, expected 1 to 255", length);
    ret = stream_take_name(stream, length, stream->machine, "the machine's name", error);
    for (uint32_t parts = 0; ret == 0; parts++) {
        ret = stream_want(stream, 1, "the configuration", error);
        if (ret != 0 || *stream_cursor(stream) != STREAM_TYPE_SUBSECTION)
            break;
        if (parts == 64)
            return stream_fail(error, RESUME_ELENGTH, stream_position(stream), NULL,
                               "the configuration has more than 64 parts");
        ret = read_configuration_part(stream, error);
    }
    if (ret != 0) {
        stream->machine[0] = '\0';
        return ret;
    }
    stream->configured = true;
    event->kind = STREAM_CONFIGURATION;
    return 0;
}
