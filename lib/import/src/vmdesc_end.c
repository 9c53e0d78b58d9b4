/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Finding the device sections from the end of a file, without reading what is before them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "importer.h"
#include "stream_internal.h"
#include "vmdesc_internal.h"
#include "vmdesc_json.h"

/* Enough for the description and the sections of most machines. */
#define END_FIRST (UINT64_C(128) << 10)
#define END_MOST (VMDESC_JSON_MAX + 4096)

/* The end of a file. */
struct end {
    uint8_t *bytes;
    uint64_t from; /* offset of the first of them */
    uint64_t length;
    size_t vmdesc;         /* index of the VMDESC section's type byte */
    struct json_text json; /* the description */
    uint64_t sections;     /* offset of the first device section, by the description */
};

static void free_end(struct end *end)
{
    free(end->bytes);
    json_text_free(&end->json);
}

static int read_bytes(struct end *end, const struct import_file *file, uint64_t length,
                      struct stream_error *error)
{
    free(end->bytes);
    end->bytes = malloc(length > 0 ? (size_t)length : 1);
    if (end->bytes == NULL)
        return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL,
                           "out of memory");
    end->length = length;
    end->from = file->size - length;
    return stream_read_at(file, end->from, end->bytes, (size_t)length, error);
}

/* Reads more and more of the end until the description is in it. */
static int find_description(struct end *end, const struct import_file *file,
                            struct stream_error *error)
{
    for (uint64_t length = END_FIRST;; length *= 4) {
        length = length < END_MOST ? length : END_MOST;
        length = length < file->size ? length : file->size;
        int ret = read_bytes(end, file, length, error);
        if (ret != 0)
            return ret;
        if (vmdesc_json_locate(end->bytes, (size_t)length, &end->vmdesc) == 0)
            return 0;
        if (length == file->size || length == END_MOST)
            return stream_fail(error, RESUME_EMISSING, file->size, vmdesc_hint_description,
                               "no description of the device sections at the end of the file");
    }
}

/* Fills in all of @end, which is to be freed in any case. */
static int read_end(struct end *end, const struct import_file *file, struct stream_error *error)
{
    int ret = find_description(end, file, error);
    if (ret != 0)
        return ret;
    uint64_t vmdesc = end->from + end->vmdesc;
    const uint8_t *header = end->bytes + end->vmdesc;
    ret = vmdesc_json_parse(header + 5, stream_be32(header + 1), vmdesc + 5, &end->json, error);
    if (ret != 0)
        return ret;
    uint64_t length = vmdesc_json_sections_length(&end->json) + 1; /* and EOF */
    if (length > STREAM_TAIL_MAX || length > vmdesc)
        return stream_fail(error, RESUME_ELENGTH, vmdesc, NULL,
                           "the description is of more device state than there is");
    end->sections = vmdesc - length;
    return 0;
}

int vmdesc_find_tail(int fd, uint64_t length, uint64_t *ret_offset, struct stream_error *error)
{
    const struct import_file file = {.fd = fd, .size = length, .name = "the stream"};
    struct end end = {.bytes = NULL};
    int ret = read_end(&end, &file, error);
    if (ret == 0)
        *ret_offset = end.sections;
    free_end(&end);
    return ret;
}

/*
 * The sections from file offset @offset on, which is before the description. @end gives up what it
 * has read when it has that much, and the description.
 */
static int walk_from(struct end *end, const struct import_file *file, uint64_t offset,
                     const char *const *wanted, struct vmdesc *out, struct stream_error *error)
{
    uint64_t vmdesc = end->from + end->vmdesc;
    size_t json_length = stream_be32(end->bytes + end->vmdesc + 1);
    if (offset < end->from) {
        if (file->size - offset > STREAM_TAIL_MAX + VMDESC_JSON_MAX)
            return stream_fail(error, RESUME_ELENGTH, offset, NULL,
                               "more than %llu MiB of device state",
                               (unsigned long long)(STREAM_TAIL_MAX >> 20));
        int ret = read_bytes(end, file, file->size - offset, error);
        if (ret != 0)
            return ret;
    }
    *out = (struct vmdesc){
        .tail = end->bytes + (offset - end->from),
        .tail_length = (size_t)(file->size - offset),
        .tail_offset = offset,
        .vmdesc = (size_t)(vmdesc - offset),
        .json = (size_t)(vmdesc - offset) + 5,
        .json_length = json_length,
        .owned = end->bytes,
    };
    end->bytes = NULL;
    return vmdesc_walk(out, &end->json, wanted, error);
}

/* The footer of section @id, and perhaps commands without data behind it, end at @offset. */
static int check_before(const struct import_file *file, uint64_t offset, uint64_t least,
                        uint32_t id, struct stream_error *error)
{
    uint8_t before[5];
    for (unsigned i = 0; i < 3; i++, offset -= sizeof(before)) {
        if (offset < least || offset - least < sizeof(before))
            break;
        int ret = stream_read_at(file, offset - sizeof(before), before, sizeof(before), error);
        if (ret != 0)
            return ret;
        if (before[0] == STREAM_TYPE_FOOTER && stream_be32(before + 1) == id)
            return 0;
        if (before[0] != STREAM_TYPE_COMMAND || stream_be16(before + 3) != 0)
            break;
    }
    return stream_fail(error, RESUME_ECONSISTENT, offset, vmdesc_hint_description,
                       "the device sections do not follow upon the end of the RAM");
}

int vmdesc_open_end(struct vmdesc *desc, const struct import_file *file, uint64_t least,
                    uint32_t before, const char *const *wanted, struct stream_error *error)
{
    struct vmdesc out = {.tail = NULL};
    struct end end = {.bytes = NULL};
    int ret = read_end(&end, file, error);
    if (ret == 0)
        ret = check_before(file, end.sections, least, before, error);
    if (ret == 0)
        ret = walk_from(&end, file, end.sections, wanted, &out, error);
    free_end(&end);
    if (ret != 0)
        vmdesc_close(&out);
    else
        *desc = out;
    return ret;
}

int vmdesc_open_from(struct vmdesc *desc, const struct import_file *file, uint64_t offset,
                     const char *const *wanted, struct stream_error *error)
{
    struct vmdesc out = {.tail = NULL};
    struct end end = {.bytes = NULL};
    int ret = find_description(&end, file, error);
    if (ret == 0 && end.from + end.vmdesc < offset)
        ret = stream_fail(error, RESUME_EMISSING, offset, vmdesc_hint_description,
                          "no description of the device sections at the end of the file");
    if (ret == 0) {
        const uint8_t *header = end.bytes + end.vmdesc;
        ret = vmdesc_json_parse(header + 5, stream_be32(header + 1), end.from + end.vmdesc + 5,
                                &end.json, error);
    }
    if (ret == 0)
        ret = walk_from(&end, file, offset, wanted, &out, error);
    free_end(&end);
    if (ret != 0)
        vmdesc_close(&out);
    else
        *desc = out;
    return ret;
}
