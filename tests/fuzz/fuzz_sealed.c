/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The whole reading of a snapshot image, to the places of its pages in a machine. What a checksum would
 * stop is put right first in half of the inputs: lengths of the file, offsets of the chunks, and all
 * checksums, as somebody would who has the key. The last byte makes the source misbehave, the three
 * before it choose the machine.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protect.h"
#include "sealed_place.h"
#include "sealed_read.h"

#define CONTROLS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

/* Makes the end of the last chunk that of the input: what is put in or taken out moves it. */
static void fit(uint8_t *image, size_t length)
{
    uint64_t data;
    if (length < RESUME_SEALED_HEADER_SIZE)
        return;
    memcpy(&data, image + RESUME_SEALED_HEADER_DATA, sizeof(data));
    if (data > length)
        return;
    put64(image + RESUME_SEALED_HEADER_TOTAL, length);
    put64(image + RESUME_SEALED_HEADER_DATA_LENGTH, length - data);
}

/* Makes the chunks follow each other; the last one gets what is left. */
static void line_up(uint8_t *index, uint64_t count, const struct resume_sealed_header *header)
{
    uint64_t at = header->data;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *entry = index + i * RESUME_SEALED_INDEX_SIZE;
        uint32_t stored;
        memcpy(&stored, entry + RESUME_SEALED_INDEX_STORED, sizeof(stored));
        put64(entry, at);
        if (i + 1 == count && at < header->total && header->total - at <= UINT32_MAX) {
            stored = (uint32_t)(header->total - at);
            memcpy(entry + RESUME_SEALED_INDEX_STORED, &stored, sizeof(stored));
        }
        at += stored;
    }
}

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
    const uint64_t count = header.part_length[RESUME_SEALED_PART_INDEX] / RESUME_SEALED_INDEX_SIZE;
    line_up(index, count, &header);
    for (uint64_t i = 0; i < count; i++) {
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

/* Every byte of the changes, each of which has to be in the structures and in the device part. */
static void read_changes(const struct resume_sealed *image)
{
    const uint64_t length = image->header->part_length[RESUME_SEALED_PART_CHANGES];
    struct resume_sealed_change change;
    volatile uint8_t last = 0;
    for (uint64_t at = 0; at < length;) {
        at = resume_sealed_change(image, at, &change);
        if (at > length || change.removed > image->header->devices_length - change.offset)
            abort();
        for (uint32_t i = 0; i < change.added; i++)
            last = change.bytes[i];
    }
    (void)last;
}

/* State, plan, changes and places of an image that can be opened. */
static void place(uint8_t *bytes, size_t length, uint32_t variant)
{
    struct sealed_fake fake = {.data = bytes, .length = length};
    const struct resume_sealed_source source = sealed_source(&fake);
    struct resume_sealed_header header;
    struct resume_sealed image;
    if (resume_sealed_header(&source, &header, NULL) != RESUME_OK)
        return;
    /* Not longer than the input: the header was compared with it. */
    void *structures = malloc((size_t)header.structures_length);
    if (structures != NULL &&
        resume_sealed_open(&image, &source, &header, NULL, NULL, structures,
                           (size_t)header.structures_length, NULL) == RESUME_OK) {
        read_changes(&image);
        (void)sealed_place(&image, variant);
        resume_sealed_close(&image);
    }
    free(structures);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resume_diag diag;
    if (size < CONTROLS)
        return 0;
    const uint8_t *control = data + size - CONTROLS;
    uint8_t *image = malloc(size);
    if (image == NULL)
        return 0;
    memcpy(image, data, size);
    /* Half of the inputs as they are: a seed is a plain image. */
    if (control[3] & 1) {
        fit(image, size);
        repair(image, size);
    }
    struct sealed_fake fake = {.data = image, .length = size};
    switch (control[3] >> 5) {
    case 1:
        fake.piece = 1 + (control[3] & 15);
        break;
    case 2:
        fake.fail_at = 1 + (control[3] & 15);
        break;
    case 3:
        fake.change_from = 1 + (control[3] & 15);
        break;
    default:
        break;
    }
    (void)sealed_read(&fake, NULL, NULL, NULL, NULL, &diag);
    place(image, size,
          (uint32_t)control[0] | (uint32_t)control[1] << 8 | (uint32_t)control[2] << 16);
    free(image);
    return 0;
}
