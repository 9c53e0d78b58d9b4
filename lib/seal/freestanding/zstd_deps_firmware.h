/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Included before each source of Zstandard, in place of what its zstd_deps.h takes from a C library:
 * there is no heap. Only contexts in the caller's memory can be had.
 */
#ifndef RESUME_FREESTANDING_ZSTD_DEPS_H
#define RESUME_FREESTANDING_ZSTD_DEPS_H

#include <limits.h>
#include <stddef.h>

#define ZSTD_DEPS_COMMON
#define ZSTD_memcpy(to, from, count) __builtin_memcpy((to), (from), (count))
#define ZSTD_memmove(to, from, count) __builtin_memmove((to), (from), (count))
#define ZSTD_memset(to, byte, count) __builtin_memset((to), (byte), (count))

#define ZSTD_DEPS_MALLOC
#define ZSTD_malloc(length) ((void)(length), (void *)0)
#define ZSTD_calloc(count, length) ((void)(count), (void)(length), (void *)0)
#define ZSTD_free(memory) ((void)(memory))

#endif
