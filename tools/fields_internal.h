/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Between fields.c and fields_xsave.c. */
#ifndef RESUME_TOOLS_FIELDS_INTERNAL_H
#define RESUME_TOOLS_FIELDS_INTERNAL_H

#include "fields.h"

/* One more, with value zero. Never NULL. */
struct field *fields_add(struct fields *fields, enum field_group group, const char *name,
                         uint32_t size, bool known);

/* x87 and vector registers, and what else is in the image. */
void fields_add_xsave(struct fields *fields, const struct resume_xsave *xsave);

#endif
