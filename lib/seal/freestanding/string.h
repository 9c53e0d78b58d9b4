/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What BearSSL, xxHash and Zstandard take from a C library's <string.h>, for firmware, which has none. */
#ifndef RESUME_FREESTANDING_STRING_H
#define RESUME_FREESTANDING_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);
size_t strlen(const char *text);

#endif
