/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The only seam between the library and a C library: the four memory functions that every compiler
 * may call on its own anyway. They are declared here rather than taken from <string.h>, which a
 * freestanding environment does not have. Whoever links the library provides them.
 */
#ifndef RESUME_ENV_H
#define RESUME_ENV_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);

#endif
