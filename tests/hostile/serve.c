/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A host that does not serve what it has, or not always; keys and machines that do not fit. */
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "outcome.h"
#include "sealed.h"

static struct source honest(const struct image *image)
{
    return (struct source){.data = image->data, .length = image->length};
}

void serve_all(const struct image *image)
{
    size_t unread = 0;
    struct source source = honest(image);
    outcome_begin("sealed: it gives a byte right at its first reading only", OUTCOME_ACCEPTED);
    source.once = true;
    attempt_source(image, &source);
    const unsigned most = source_most(&unread);
    const unsigned readings = source_readings();
    if (most != 1 || unread != 0)
        outcome_wrong("a byte was read %u times, %zu were not", most, unread);
    outcome_begin("sealed: it gives 1 to 5000 bytes at a time", OUTCOME_ACCEPTED);
    for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
        source = honest(image);
        source.piece = piece;
        attempt_source(image, &source);
    }
    outcome_begin("sealed: one reading fails, each in turn", OUTCOME_REFUSED);
    for (unsigned i = 1; i <= readings; i++) {
        source = honest(image);
        source.fail_at = i;
        attempt_source(image, &source);
    }
    outcome_begin("sealed: one reading finds the end, each in turn", OUTCOME_REFUSED);
    for (unsigned i = 1; i <= readings; i++) {
        source = honest(image);
        source.end_at = i;
        attempt_source(image, &source);
    }
    outcome_begin("sealed: from one reading on all is garbage, each in turn", OUTCOME_REFUSED);
    for (unsigned i = 1; i <= readings; i++) {
        source = honest(image);
        source.change_from = i;
        attempt_source(image, &source);
    }
}

void keys_all(const struct image *image, const struct image *plain, const struct image *newer)
{
    uint8_t key[RESUME_SEALED_KEY];
    uint8_t identity[RESUME_SEALED_IDENTITY];
    struct image with = *image;
    outcome_begin("sealed: another key, different in one bit", OUTCOME_REFUSED);
    with.key = key;
    for (unsigned i = 0; i < 8 * RESUME_SEALED_KEY; i++) {
        memcpy(key, image->key, sizeof(key));
        key[i / 8] ^= (uint8_t)(1u << i % 8);
        attempt(&with);
    }
    outcome_begin("sealed: no key", OUTCOME_REFUSED);
    with.key = NULL;
    attempt(&with);
    outcome_begin("not sealed, for who has a key", OUTCOME_REFUSED);
    with = *plain;
    with.key = image->key;
    attempt(&with);
    outcome_begin("not sealed, by whomever, for who has none", OUTCOME_ACCEPTED);
    attempt(plain);
    outcome_begin("sealed: an older image, where the identity of the newer one is expected",
                  OUTCOME_REFUSED);
    with = *image;
    with.identity = newer->header.identity;
    attempt(&with);
    outcome_begin("sealed: an older image, where no identity is expected", OUTCOME_ACCEPTED);
    attempt(image);
    outcome_begin("sealed: another identity, different in one bit", OUTCOME_REFUSED);
    with.identity = identity;
    for (unsigned i = 0; i < 8 * RESUME_SEALED_IDENTITY; i++) {
        memcpy(identity, image->header.identity, sizeof(identity));
        identity[i / 8] ^= (uint8_t)(1u << i % 8);
        attempt(&with);
    }
}

/* ---- The library, where resumectl open does not come to it ---- */

static int read_image(void *context, uint64_t offset, void *buffer, size_t length, size_t *ret)
{
    const struct image *image = context;
    *ret = length;
    if (offset > image->length || length > image->length - offset)
        return -1;
    memcpy(buffer, image->data + offset, length);
    return 0;
}

static void check(const struct resume_sealed *opened, uint32_t vcpus,
                  const struct resume_range *ram, size_t count)
{
    struct report_failure failure;
    struct resume_diag diag;
    memset(&failure, 0, sizeof(failure));
    memset(&diag, 0, sizeof(diag));
    int error = resume_sealed_check_machine(opened, vcpus, ram, count, &diag);
    if (error != RESUME_OK)
        error = sealed_fail(&failure, error, &diag, "open image", "image");
    outcome_add(error, &failure);
}

void machines_all(const struct image *image)
{
    struct image copy = *image;
    const struct resume_sealed_source source = {read_image, &copy, copy.length};
    const size_t length = (size_t)image->header.structures_length;
    void *structures = malloc(length);
    struct resume_range ram[16];
    struct resume_range less[16];
    struct resume_sealed opened;
    if (structures == NULL ||
        resume_sealed_open(&opened, &source, &image->header, image->key, NULL, structures, length,
                           NULL) != RESUME_OK ||
        opened.map_count > 15)
        exit(1);
    const size_t count = (size_t)opened.map_count;
    for (size_t i = 0; i < count; i++) {
        const struct resume_sealed_run range = resume_sealed_map(&opened, i);
        ram[i] = (struct resume_range){range.page * RESUME_SEALED_PAGE,
                                       range.count * RESUME_SEALED_PAGE};
    }
    outcome_begin("a machine of another number of vCPUs: 0 to 16", OUTCOME_REFUSED);
    for (uint32_t i = 0; i <= 16; i++)
        if (i != image->header.vcpus)
            check(&opened, i, ram, count);
    outcome_begin("a machine that lacks a range of RAM, its first or its last page",
                  OUTCOME_REFUSED);
    for (size_t i = 0; i < count; i++) {
        memcpy(less, ram, sizeof(less));
        less[i].base_pa += RESUME_SEALED_PAGE;
        less[i].length -= RESUME_SEALED_PAGE;
        check(&opened, image->header.vcpus, less, count);
        less[i].base_pa -= RESUME_SEALED_PAGE;
        check(&opened, image->header.vcpus, less, count);
        memmove(&less[i], &less[i + 1], (count - 1 - i) * sizeof(less[0]));
        check(&opened, image->header.vcpus, less, count - 1);
    }
    outcome_begin("a machine that has more RAM", OUTCOME_ACCEPTED);
    memcpy(less, ram, sizeof(less));
    less[count - 1].length += UINT64_C(1) << 32;
    check(&opened, image->header.vcpus, less, count);
    resume_sealed_close(&opened);
    free(structures);
}
