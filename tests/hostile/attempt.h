/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Images, and one try to open one that a host serves. */
#ifndef TESTS_HOSTILE_ATTEMPT_H
#define TESTS_HOSTILE_ATTEMPT_H

#include "open.h"
#include "source.h"

/* An image in memory, and what opens it. */
struct image {
    uint8_t *data;
    size_t length;
    const uint8_t *key;      /* NULL: not sealed */
    const uint8_t *identity; /* NULL: any; not that of the image itself */
    struct resume_sealed_header header;
};

/* attempt_make - the file that is opened, in @folder; borrowed. */
void attempt_make(const char *folder);

/*
 * attempt - what `resumectl open` does with @image, served by an honest host.
 * attempt_source - served as @source says, whose data and length need not be the image's.
 * Adds the outcome to the table.
 */
void attempt(const struct image *image);
void attempt_source(const struct image *image, const struct source *source);

/* The kinds of things that hosts do. */
void damage_all(struct image *image, const char *kind);
void swap_all(struct image *image, const struct image *other);
void serve_all(const struct image *image);
void keys_all(const struct image *image, const struct image *plain, const struct image *newer);
void machines_all(const struct image *image);
void samples_all(const char *directory);

#endif
