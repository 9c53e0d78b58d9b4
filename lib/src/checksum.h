/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#ifndef RESUME_CHECKSUM_H
#define RESUME_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * resume_crc32c - CRC-32C (Castagnoli; RFC 3720, appendix B.4).
 * @crc: 0 to start, or the result for the bytes before these.  @data: may be NULL if @length is 0.
 */
uint32_t resume_crc32c(uint32_t crc, const void *data, size_t length);

#endif
