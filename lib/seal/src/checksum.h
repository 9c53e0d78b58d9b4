/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The checksum of images that are not sealed. */
#ifndef RESUME_SEAL_CHECKSUM_H
#define RESUME_SEAL_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * checksum_tag - XXH3-128 of @aad and of the XXH3-128 of @data.
 * @aad_length: at most RESUME_SEALED_HEADER_SIZE.  @tag: RESUME_SEALED_TAG bytes.
 */
void checksum_tag(const uint8_t *aad, size_t aad_length, const uint8_t *data, size_t length,
                  uint8_t *tag);

#endif
