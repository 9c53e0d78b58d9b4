/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_TESTS_BLOB_FUZZ_H
#define RESUME_TESTS_BLOB_FUZZ_H

#include <resume/format.h>

#include "checksum.h"
#include "internal.h"

/*
 * blob_fuzz_seal - put checksum and total size of a state blob right, or hardly anything gets past them.
 * Returns its length, which is @size or a few bytes less: that of a blob is a multiple of 8.
 */
static inline size_t blob_fuzz_seal(uint8_t *data, size_t size)
{
    if (size < RESUME_FORMAT_HEADER_SIZE)
        return size;
    size -= size % RESUME_FORMAT_ALIGN;
    resume_store_le64(data + RESUME_FORMAT_HEADER_TOTAL, size);
    resume_store_le32(data + RESUME_FORMAT_HEADER_CRC, 0);
    resume_store_le32(data + RESUME_FORMAT_HEADER_CRC, resume_crc32c(0, data, size));
    return size;
}

#endif
