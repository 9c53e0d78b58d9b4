/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What all modules of the library share: byte-wise little-endian access at any alignment, checked
 * arithmetic, and the one way to fill a diagnosis.
 */
#ifndef RESUME_INTERNAL_H
#define RESUME_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <resume/error.h>

#include "env.h"

static inline uint16_t resume_load_le16(const uint8_t *from)
{
    return (uint16_t)(from[0] | ((uint32_t)from[1] << 8));
}

static inline uint32_t resume_load_le32(const uint8_t *from)
{
    return (uint32_t)from[0] | ((uint32_t)from[1] << 8) | ((uint32_t)from[2] << 16) |
           ((uint32_t)from[3] << 24);
}

static inline uint64_t resume_load_le64(const uint8_t *from)
{
    return (uint64_t)resume_load_le32(from) | ((uint64_t)resume_load_le32(from + 4) << 32);
}

static inline void resume_store_le16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static inline void resume_store_le32(uint8_t *to, uint32_t value)
{
    resume_store_le16(to, (uint16_t)value);
    resume_store_le16(to + 2, (uint16_t)(value >> 16));
}

static inline void resume_store_le64(uint8_t *to, uint64_t value)
{
    resume_store_le32(to, (uint32_t)value);
    resume_store_le32(to + 4, (uint32_t)(value >> 32));
}

/* The checked operations return false, and leave *@ret alone, when the result does not fit. */
static inline bool resume_checked_add(uint64_t left, uint64_t right, uint64_t *ret)
{
    if (left > UINT64_MAX - right) {
        return false;
    }
    *ret = left + right;
    return true;
}

static inline bool resume_checked_mul(uint64_t left, uint64_t right, uint64_t *ret)
{
    if (right != 0 && left > UINT64_MAX / right) {
        return false;
    }
    *ret = left * right;
    return true;
}

/* @align: a power of two. */
static inline bool resume_checked_align(uint64_t value, uint64_t align, uint64_t *ret)
{
    uint64_t sum;

    if (!resume_checked_add(value, align - 1, &sum)) {
        return false;
    }
    *ret = sum & ~(align - 1);
    return true;
}

/* Does [@offset, @offset + @length) lie within [0, @limit)? An empty range at @limit does. */
static inline bool resume_range_within(uint64_t offset, uint64_t length, uint64_t limit)
{
    return offset <= limit && length <= limit - offset;
}

static inline bool resume_aligned(uint64_t value, uint64_t align)
{
    return (value & (align - 1)) == 0;
}

/*
 * resume_fail - fill @diag, when there is one, and return @err: for use in a return statement.
 * @where, @field: static strings.  @vcpu: an index or RESUME_NO_VCPU.
 */
int resume_fail(struct resume_diag *diag, int err, const char *where, const char *field,
                uint64_t offset, uint64_t found, uint64_t expected, uint32_t vcpu);

#endif
