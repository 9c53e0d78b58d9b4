/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The whole reading of a snapshot image that is not sealed, which is how far somebody without a key
 * gets. The checksums are taken out of the way: those of the input are put right first, so that the
 * fuzzer reaches what is behind them. The last byte makes the source misbehave.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protect.h"
#include "sealed_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes the tags right, as far as the header leads to them. */
static void repair(uint8_t *image, size_t length)
{
    struct sealed_fake fake = {.data = image, .length = length};
    const struct resume_sealed_source source = sealed_source(&fake);
    struct resume_sealed_header header;
    if (resume_sealed_header(&source, &header, NULL) != RESUME_OK ||
        header.protection != RESUME_SEALED_CHECKSUM)
        return;
    uint8_t *structures = image + header.structures;
    const size_t plain = (size_t)header.structures_length - RESUME_SEALED_TAG;
    uint8_t *index = structures + header.part[RESUME_SEALED_PART_INDEX];
    const uint8_t *runs = structures + header.part[RESUME_SEALED_PART_RUNS];
    uint64_t left = header.content;
    uint64_t run = 0;
    uint64_t into = 0; /* pages of the run that chunks before have taken */
    for (uint64_t i = 0;
         i < header.part_length[RESUME_SEALED_PART_INDEX] / RESUME_SEALED_INDEX_SIZE; i++) {
        uint8_t *entry = index + i * RESUME_SEALED_INDEX_SIZE;
        uint64_t offset;
        uint32_t stored;
        uint64_t place[2];
        uint8_t aad[RESUME_SEALED_AAD];
        memcpy(&offset, entry, sizeof(offset));
        memcpy(&stored, entry + RESUME_SEALED_INDEX_STORED, sizeof(stored));
        if (offset > length || stored > length - offset ||
            (run + 1) * RESUME_SEALED_RUN_SIZE > header.part_length[RESUME_SEALED_PART_RUNS])
            break;
        memcpy(place, runs + run * RESUME_SEALED_RUN_SIZE, sizeof(place));
        uint32_t pages = left < header.chunk_pages ? (uint32_t)left : header.chunk_pages;
        protect_chunk_aad(aad, header.raw + RESUME_SEALED_HEADER_SALT, i, header.chunks,
                          place[0] + into, pages, stored);
        protect_apply(RESUME_SEALED_CHECKSUM, NULL, PROTECT_CHUNK, i, aad, sizeof(aad),
                      image + offset, stored, entry + RESUME_SEALED_INDEX_TAG);
        left -= pages;
        into += pages;
        while (into >= place[1] && place[1] != 0 &&
               (run + 2) * RESUME_SEALED_RUN_SIZE <= header.part_length[RESUME_SEALED_PART_RUNS]) {
            into -= place[1];
            memcpy(place, runs + ++run * RESUME_SEALED_RUN_SIZE, sizeof(place));
        }
    }
    protect_apply(RESUME_SEALED_CHECKSUM, NULL, PROTECT_STRUCTURES, 0, header.raw,
                  sizeof(header.raw), structures, plain, structures + plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resume_diag diag;
    if (size < 1)
        return 0;
    uint8_t *image = malloc(size);
    if (image == NULL)
        return 0;
    memcpy(image, data, size);
    /* Half of the inputs as they are: a seed is a plain image. */
    if (data[size - 1] & 1)
        repair(image, size);
    struct sealed_fake fake = {.data = image, .length = size};
    switch (data[size - 1] >> 5) {
    case 1:
        fake.piece = 1 + (data[size - 1] & 15);
        break;
    case 2:
        fake.fail_at = 1 + (data[size - 1] & 15);
        break;
    case 3:
        fake.change_from = 1 + (data[size - 1] & 15);
        break;
    default:
        break;
    }
    (void)sealed_read(&fake, NULL, NULL, NULL, NULL, &diag);
    free(image);
    return 0;
}
