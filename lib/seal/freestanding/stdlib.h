/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Declared because xxHash names them in functions that nothing here calls. */
#ifndef RESUME_FREESTANDING_STDLIB_H
#define RESUME_FREESTANDING_STDLIB_H

#include <stddef.h>

void *malloc(size_t length);
void free(void *memory);

#endif
