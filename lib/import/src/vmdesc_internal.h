/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Between vmdesc.c (the walk over the sections) and vmdesc_end.c (finding them from the end). */
#ifndef RESUME_IMPORT_VMDESC_INTERNAL_H
#define RESUME_IMPORT_VMDESC_INTERNAL_H

#include "json_text.h"
#include "vmdesc.h"

/*
 * vmdesc_walk - fill in sections and fields.
 * @desc: tail, tail_length, tail_offset and vmdesc are set, and the rest is zero. On failure it is to be
 * closed.  @json: the description, parsed; its text becomes @desc's. Errors: those of vmdesc_open.
 */
int vmdesc_walk(struct vmdesc *desc, struct json_text *json, struct stream_error *error);

/* vmdesc_hash - of a path. FNV-1a: quick, not hard to collide, which only costs time. */
static inline uint32_t vmdesc_hash(const char *path)
{
    uint32_t hash = 2166136261u;
    for (; *path != '\0'; path++)
        hash = (hash ^ (uint8_t)*path) * 16777619u;
    return hash;
}

extern const char vmdesc_hint_description[];

#endif
