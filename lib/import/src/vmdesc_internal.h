/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Between vmdesc.c (the walk over the sections), vmdesc_end.c (finding them from the end) and
 * vmdesc_find.c (finding something in them). */
#ifndef RESUME_IMPORT_VMDESC_INTERNAL_H
#define RESUME_IMPORT_VMDESC_INTERNAL_H

#include <string.h>

#include "json_text.h"
#include "vmdesc.h"

/*
 * vmdesc_walk - fill in sections and fields.
 * @desc: tail, tail_length, tail_offset and vmdesc are set, and the rest is zero. On failure it is to be
 * closed.  @json: the description, parsed; its text becomes @desc's.  @wanted: as for vmdesc_open_end.
 * Errors: those of vmdesc_open.
 */
int vmdesc_walk(struct vmdesc *desc, struct json_text *json, const char *const *wanted,
                struct stream_error *error);

/*
 * vmdesc_sort - make the fields of each section findable, and number those of the same path. Sections
 * and fields are complete. Errors: RESUME_IMPORT_ERRNO(ENOMEM).
 */
int vmdesc_sort(struct vmdesc *desc, struct stream_error *error);

/*
 * vmdesc_hash - of a path, for looking it up in this process. Quick, not hard to collide, which only
 * costs time.
 */
static inline uint16_t vmdesc_hash(const char *path, size_t length)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = length;
    for (; length >= 8; path += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, path, 8);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32;
    }
    for (; length > 0; path++, length--)
        hash = (hash ^ (uint8_t)*path) * odd;
    return (uint16_t)(hash >> 48);
}

extern const char vmdesc_hint_description[];

#endif
