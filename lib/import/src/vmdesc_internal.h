/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Between vmdesc.c (the walk over the sections) and vmdesc_end.c (finding them from the end). */
#ifndef RESUME_IMPORT_VMDESC_INTERNAL_H
#define RESUME_IMPORT_VMDESC_INTERNAL_H

#include "vmdesc.h"

/*
 * vmdesc_walk - fill in sections and fields.
 * @desc: tail, tail_length, tail_offset, vmdesc and root are set, and the rest is zero. On failure it
 * is to be closed. Errors: those of vmdesc_open.
 */
int vmdesc_walk(struct vmdesc *desc, struct stream_error *error);

extern const char vmdesc_hint_description[];

#endif
