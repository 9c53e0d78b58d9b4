/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Bytes of an image that are changed, missing, or another image's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "outcome.h"

#define RANDOM_FLIPS 10000u
#define RANDOM_CUTS 1000u
#define CUTS_MAX 4096u

static uint64_t seed = 1;

static uint64_t random_below(uint64_t end)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (seed >> 20) % end;
}

static const char *name(const char *kind, const char *what)
{
    static char text[64][96];
    static unsigned used;
    char *out = text[used++ % 64];
    snprintf(out, sizeof(text[0]), "%s%s", kind, what);
    return out;
}

static void flip(struct image *image, uint64_t from, uint64_t to)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff, 0x10};
    for (uint64_t at = from; at < to; at++) {
        const uint8_t mask = masks[at % sizeof(masks)];
        image->data[at] ^= mask;
        attempt(image);
        image->data[at] ^= mask;
    }
}

static void flip_all(struct image *image, const char *kind)
{
    const struct resume_sealed_header *h = &image->header;
    outcome_begin(name(kind, "each byte of the header changed"), OUTCOME_REFUSED);
    flip(image, 0, h->host);
    outcome_begin(name(kind, "each byte of the facts for the host"), OUTCOME_REFUSED);
    flip(image, h->host, h->devices);
    outcome_begin(name(kind, "each byte of the device part"), OUTCOME_REFUSED);
    flip(image, h->devices, h->structures);
    outcome_begin(name(kind, "each byte of the structures and their tag"), OUTCOME_REFUSED);
    flip(image, h->structures, h->data);
    outcome_begin(name(kind, "bytes of chunks, at random"), OUTCOME_REFUSED);
    for (unsigned i = 0; i < RANDOM_FLIPS; i++) {
        const uint64_t at = h->data + random_below(h->data_length);
        flip(image, at, at + 1);
    }
}

/* Where one thing ends and another begins. The index is looked up where it was opened. */
static size_t edges_of(const struct image *image, uint64_t *edge)
{
    const struct resume_sealed_header *h = &image->header;
    size_t count = 0;
    edge[count++] = 0;
    edge[count++] = h->host;
    edge[count++] = h->devices;
    edge[count++] = h->structures;
    for (unsigned i = 0; i < RESUME_SEALED_PARTS; i++)
        edge[count++] = h->structures + h->part[i];
    edge[count++] = h->data - RESUME_SEALED_TAG;
    edge[count++] = h->data;
    for (uint64_t at = h->data; at < h->total && count < CUTS_MAX - 2;
         at += (uint64_t)h->chunk_pages * RESUME_SEALED_PAGE)
        edge[count++] = at;
    edge[count++] = h->total;
    return count;
}

static void cut(const struct image *image, uint64_t length)
{
    const struct source shorter = {.data = image->data, .length = (size_t)length};
    if (length < image->length)
        attempt_source(image, &shorter);
}

static void cut_all(struct image *image, const char *kind)
{
    static uint64_t edge[CUTS_MAX];
    const size_t count = edges_of(image, edge);
    outcome_begin(name(kind, "cut where a structure begins or ends, one byte before, one after"),
                  OUTCOME_REFUSED);
    for (size_t i = 0; i < count; i++) {
        cut(image, edge[i]);
        cut(image, edge[i] + 1);
        if (edge[i] != 0)
            cut(image, edge[i] - 1);
    }
    outcome_begin(name(kind, "cut at random"), OUTCOME_REFUSED);
    for (unsigned i = 0; i < RANDOM_CUTS; i++)
        cut(image, random_below(image->length));
    outcome_begin(name(kind, "something behind it: a byte, a page, itself"), OUTCOME_REFUSED);
    uint8_t *longer = calloc(2, image->length);
    if (longer == NULL)
        exit(1);
    memcpy(longer, image->data, image->length);
    memcpy(longer + image->length, image->data, image->length);
    const size_t more[] = {1, RESUME_SEALED_PAGE, image->length};
    for (unsigned i = 0; i < 3; i++) {
        const struct source source = {.data = longer, .length = image->length + more[i]};
        attempt_source(image, &source);
    }
    free(longer);
}

void damage_all(struct image *image, const char *kind)
{
    flip_all(image, kind);
    cut_all(image, kind);
}

/* @image and @other are not compressed: their chunks have all one length, but for the last. */
void swap_all(struct image *image, const struct image *other)
{
    const struct resume_sealed_header *h = &image->header;
    const size_t size = (size_t)h->chunk_pages * RESUME_SEALED_PAGE;
    uint8_t *kept = malloc(image->length);
    if (kept == NULL || other->length != image->length || other->header.data != h->data)
        exit(1);
    memcpy(kept, image->data, image->length);
    outcome_begin("sealed: two chunks of it change places", OUTCOME_REFUSED);
    for (uint64_t i = 0; i + 2 < h->chunks; i++) {
        uint8_t *first = image->data + h->data + i * size;
        memcpy(first, kept + h->data + (i + 1) * size, size);
        memcpy(first + size, kept + h->data + i * size, size);
        attempt(image);
        memcpy(first, kept + h->data + i * size, 2 * size);
    }
    outcome_begin("sealed: a chunk is repeated in place of the next", OUTCOME_REFUSED);
    for (uint64_t i = 0; i + 2 < h->chunks; i++) {
        uint8_t *next = image->data + h->data + (i + 1) * size;
        memcpy(next, kept + h->data + i * size, size);
        attempt(image);
        memcpy(next, kept + h->data + (i + 1) * size, size);
    }
    outcome_begin("sealed: a chunk is that of another snapshot of the VM, under the same key",
                  OUTCOME_REFUSED);
    for (uint64_t at = h->data; at < h->total; at += size) {
        const size_t length = h->total - at < size ? (size_t)(h->total - at) : size;
        memcpy(image->data + at, other->data + at, length);
        attempt(image);
        memcpy(image->data + at, kept + at, length);
    }
    outcome_begin("sealed: header, device part, structures, or all chunks are that one's",
                  OUTCOME_REFUSED);
    const uint64_t edge[] = {0, h->host, h->devices, h->structures, h->data, h->total};
    for (unsigned i = 0; i < 5; i++) {
        if (i == 1) /* the facts are the same: it is the same machine */
            continue;
        const size_t length = (size_t)(edge[i + 1] - edge[i]);
        memcpy(image->data + edge[i], other->data + edge[i], length);
        attempt(image);
        memcpy(image->data + edge[i], kept + edge[i], length);
    }
    free(kept);
}
