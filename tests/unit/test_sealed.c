/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Snapshot images that tests/support/image_oracle.py has written from docs/IMAGE.md with other
 * implementations of cryptography, hashes and compression.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sealed_read.h"

#define CASE_LINE 512

struct sample {
    uint8_t *data;
    size_t length;
};

/* The oracle's KEY. */
static void sample_key(uint8_t key[RESUME_SEALED_KEY])
{
    for (unsigned i = 0; i < RESUME_SEALED_KEY; i++)
        key[i] = (uint8_t)(100 + i);
}

static struct sample load(const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", RESUME_TEST_SEALED_DIR, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s is not there", path);
    struct sample sample = {malloc(4u << 20), 0};
    assert_non_null(sample.data);
    sample.length = fread(sample.data, 1, 4u << 20, file);
    fclose(file);
    return sample;
}

/* The oracle's page_of. */
static void make_page(uint64_t number, uint8_t *page)
{
    uint32_t state = (uint32_t)(number * UINT64_C(2654435761) + 12345);
    for (unsigned i = 0; i < RESUME_SEALED_PAGE; i++) {
        state = state * 1664525u + 1013904223u;
        page[i] = number % 3 == 0 ? (uint8_t)(state >> 24) : (uint8_t)(number + (i >> 6));
    }
}

struct seen {
    uint64_t pages;
    uint64_t wrong;
    uint64_t last;
};

static void look(void *context, uint64_t number, const uint8_t *page)
{
    struct seen *seen = context;
    uint8_t expected[RESUME_SEALED_PAGE];
    make_page(number, expected);
    seen->wrong += memcmp(page, expected, sizeof(expected)) != 0;
    seen->wrong += seen->pages > 0 && number <= seen->last;
    seen->last = number;
    seen->pages++;
}

static void every_case_ends_as_the_oracle_says(void **state)
{
    char line[CASE_LINE];
    char path[1024];
    unsigned count = 0;
    (void)state;
    snprintf(path, sizeof(path), "%s/cases", RESUME_TEST_SEALED_DIR);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        char name[128];
        char hex[128];
        char where[128];
        int expected = 0;
        uint8_t key[RESUME_SEALED_KEY];
        assert_int_equal(
            sscanf(line, "%127[^\t]\t%127[^\t]\t%d\t%127[^\n]", name, hex, &expected, where), 4);
        for (unsigned i = 0; hex[0] != '-' && i < RESUME_SEALED_KEY; i++) {
            unsigned byte = 0;
            assert_int_equal(sscanf(hex + (size_t)2 * i, "%2x", &byte), 1);
            key[i] = (uint8_t)byte;
        }
        struct sample sample = load(name);
        struct sealed_fake fake = {.data = sample.data, .length = sample.length};
        struct seen seen = {0};
        struct resume_diag diag = {.where = "nothing"};
        int result = sealed_read(&fake, hex[0] == '-' ? NULL : key, NULL, look, &seen, &diag);
        if (result != expected)
            fail_msg("%s: %s (%s %s), expected %s", name, resume_strerror(result), diag.where,
                     result < 0 ? diag.field : "", resume_strerror(expected));
        if (expected != RESUME_OK && strcmp(diag.where, where) != 0)
            fail_msg("%s: names \"%s\", expected \"%s\"", name, diag.where, where);
        if (expected == RESUME_OK)
            assert_int_equal(seen.pages, strcmp(name, "sealed-single.rsm") == 0 ? 1 : 60);
        assert_int_equal(seen.wrong, 0);
        assert_int_equal(fake.twice, 0);
        free(sample.data);
        count++;
    }
    fclose(file);
    assert_true(count > 100);
}

static const uint8_t *key_for(const char *name, uint8_t *buffer)
{
    sample_key(buffer);
    return strncmp(name, "sealed", 6) == 0 ? buffer : NULL;
}

static const char *const good[] = {
    "sealed-none.rsm",     "sealed-lz4.rsm",     "sealed-zstd.rsm",
    "plain-none.rsm",      "plain-lz4.rsm",      "plain-zstd.rsm",
    "sealed-aes-none.rsm", "sealed-aes-lz4.rsm", "sealed-aes-zstd.rsm"};
#define GOOD_COUNT (sizeof(good) / sizeof(good[0]))

static int read_sample(const struct sample *sample, const char *name, struct seen *seen)
{
    uint8_t key[RESUME_SEALED_KEY];
    struct sealed_fake fake = {.data = sample->data, .length = sample->length};
    struct resume_diag diag = {0};
    return sealed_read(&fake, key_for(name, key), NULL, look, seen, &diag);
}

/* The header as it is in a good image, for where its parts are. */
static void header_of(const struct sample *sample, struct resume_sealed_header *header)
{
    struct sealed_fake fake = {.data = sample->data, .length = sample->length};
    const struct resume_sealed_source source = sealed_source(&fake);
    assert_int_equal(resume_sealed_header(&source, header, NULL), RESUME_OK);
}

/* Opens one chunk of an opened image after a byte of what is stored has changed. */
static int flip_in_chunk(const struct resume_sealed *image, const struct sample *sample,
                         uint64_t index, uint64_t at, uint8_t mask)
{
    static uint8_t stored[4 * RESUME_SEALED_PAGE];
    static uint8_t pages[4 * RESUME_SEALED_PAGE];
    static _Alignas(16) uint8_t work[RESUME_SEALED_WORK];
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(image, index);
    const uint8_t *where = NULL;
    memcpy(stored, sample->data + chunk.offset, chunk.stored);
    stored[at % chunk.stored] ^= mask;
    return resume_sealed_chunk_open(image, index, stored, pages, sizeof(pages), work, &where, NULL);
}

static void each_flipped_byte_is_found(void **state)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    static uint8_t structures[1 << 16];
    (void)state;
    for (unsigned n = 0; n < GOOD_COUNT; n++) {
        struct sample sample = load(good[n]);
        struct resume_sealed_header header;
        struct resume_sealed image;
        uint8_t key[RESUME_SEALED_KEY];
        unsigned flips = 0;
        header_of(&sample, &header);
        for (size_t at = 0; at < header.data; at++) {
            /* Host facts and device part are not read here: resumectl checks their hashes. */
            if (at >= header.host && at < header.structures)
                continue;
            struct seen seen = {0};
            uint8_t mask = masks[at % sizeof(masks)];
            sample.data[at] ^= mask;
            int result = read_sample(&sample, good[n], &seen);
            sample.data[at] ^= mask;
            flips++;
            if (result == RESUME_OK || seen.pages != 0)
                fail_msg("%s: byte %zu changed: %s, %d pages", good[n], at, resume_strerror(result),
                         (int)seen.pages);
        }
        assert_true(flips > 3000);
        struct sealed_fake fake = {.data = sample.data, .length = sample.length};
        const struct resume_sealed_source source = sealed_source(&fake);
        assert_int_equal(resume_sealed_open(&image, &source, &header, key_for(good[n], key), NULL,
                                            structures, sizeof(structures), NULL),
                         RESUME_OK);
        uint64_t random = 1;
        for (unsigned i = 0; i < 10000; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            int result = flip_in_chunk(&image, &sample, (random >> 33) % header.chunks,
                                       random >> 40, masks[i % sizeof(masks)]);
            assert_int_equal(result, key_for(good[n], key) != NULL ? RESUME_EAUTH : RESUME_ECRC);
        }
        assert_int_equal(flip_in_chunk(&image, &sample, 0, 0, 0), RESUME_OK);
        resume_sealed_close(&image);
        free(sample.data);
    }
}

static void each_cut_is_found(void **state)
{
    (void)state;
    for (unsigned n = 0; n < GOOD_COUNT; n++) {
        struct sample sample = load(good[n]);
        struct resume_sealed_header header;
        header_of(&sample, &header);
        const uint64_t edges[] = {RESUME_SEALED_HEADER_SIZE,
                                  header.devices,
                                  header.structures,
                                  header.structures + header.part[RESUME_SEALED_PART_PLAN],
                                  header.structures + header.part[RESUME_SEALED_PART_MAP],
                                  header.structures + header.part[RESUME_SEALED_PART_RUNS],
                                  header.structures + header.part[RESUME_SEALED_PART_INDEX],
                                  header.data - RESUME_SEALED_TAG,
                                  header.data,
                                  header.data + header.data_length / 2,
                                  header.total - 1};
        for (size_t i = 0; i < 11 + 64; i++) {
            size_t cut = i < 11 ? (size_t)edges[i] : (i - 11) * 8;
            uint8_t key[RESUME_SEALED_KEY];
            struct resume_diag diag = {0};
            struct sealed_fake fake = {.data = sample.data, .length = cut};
            assert_int_equal(sealed_read(&fake, key_for(good[n], key), NULL, NULL, NULL, &diag),
                             RESUME_ETRUNC);
            /* The source claims the whole length, but has less. */
            fake =
                (struct sealed_fake){.data = sample.data, .length = cut, .claimed = sample.length};
            assert_int_equal(sealed_read(&fake, key_for(good[n], key), NULL, NULL, NULL, &diag),
                             RESUME_ETRUNC);
        }
        free(sample.data);
    }
}

static void swapped_chunks_are_found(void **state)
{
    /* Stored as they are, so that all have one length: only the tags tell them apart. */
    static const char *const names[] = {"sealed-none.rsm", "plain-none.rsm"};
    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        struct sample sample = load(names[n]);
        struct resume_sealed_header header;
        header_of(&sample, &header);
        const size_t size = (size_t)header.chunk_pages * RESUME_SEALED_PAGE;
        uint8_t *first = sample.data + header.data;
        uint8_t *held = malloc(size);
        struct seen seen = {0};
        assert_non_null(held);
        memcpy(held, first, size);
        memcpy(first, first + size, size);
        memcpy(first + size, held, size);
        assert_int_equal(read_sample(&sample, names[n], &seen),
                         n == 0 ? RESUME_EAUTH : RESUME_ECRC);
        assert_int_equal(seen.pages, 0);
        free(held);
        free(sample.data);
    }
}

/* Two images of the same VM, alike in everything but the salt. */
static void parts_of_another_image_are_found(void **state)
{
    struct sample sample = load("sealed-lz4.rsm");
    struct sample other = load("sealed-again.rsm");
    struct resume_sealed_header header;
    struct seen seen = {0};
    (void)state;
    header_of(&sample, &header);
    assert_int_equal(sample.length, other.length);
    const size_t edges[] = {0, RESUME_SEALED_HEADER_SIZE, (size_t)header.structures,
                            (size_t)header.data, sample.length};
    for (unsigned i = 0; i < 4; i++) {
        uint8_t *mixed = malloc(sample.length);
        assert_non_null(mixed);
        memcpy(mixed, sample.data, sample.length);
        memcpy(mixed + edges[i], other.data + edges[i], edges[i + 1] - edges[i]);
        const struct sample taken = {mixed, sample.length};
        seen = (struct seen){0};
        int result = read_sample(&taken, "sealed", &seen);
        if (i == 1) /* host facts and device part, which are alike */
            assert_int_equal(result, RESUME_OK);
        else
            assert_int_equal(result, RESUME_EAUTH);
        assert_int_equal(seen.wrong, 0);
        free(mixed);
    }
    free(sample.data);
    free(other.data);
}

static void only_the_expected_identity_passes(void **state)
{
    struct sample sample = load("sealed-lz4.rsm");
    struct sample other = load("sealed-again.rsm");
    struct resume_sealed_header header;
    struct resume_sealed_header older;
    struct resume_diag diag = {0};
    uint8_t key[RESUME_SEALED_KEY];
    (void)state;
    sample_key(key);
    header_of(&sample, &header);
    header_of(&other, &older);
    struct sealed_fake fake = {.data = sample.data, .length = sample.length};
    assert_int_equal(sealed_read(&fake, key, header.identity, NULL, NULL, &diag), RESUME_OK);
    fake = (struct sealed_fake){.data = other.data, .length = other.length};
    assert_int_equal(sealed_read(&fake, key, header.identity, NULL, NULL, &diag), RESUME_ESTALE);
    assert_string_equal(diag.field, "identity");
    for (unsigned i = 0; i < RESUME_SEALED_IDENTITY; i++) {
        uint8_t wrong[RESUME_SEALED_IDENTITY];
        memcpy(wrong, header.identity, sizeof(wrong));
        wrong[i] ^= 0x10;
        fake = (struct sealed_fake){.data = sample.data, .length = sample.length};
        assert_int_equal(sealed_read(&fake, key, wrong, NULL, NULL, &diag), RESUME_ESTALE);
    }
    free(sample.data);
    free(other.data);
}

static void keys_must_fit(void **state)
{
    struct sample sample = load("sealed-lz4.rsm");
    struct sample plain = load("plain-lz4.rsm");
    struct resume_diag diag = {0};
    uint8_t key[RESUME_SEALED_KEY];
    (void)state;
    for (unsigned i = 0; i < RESUME_SEALED_KEY; i++) {
        sample_key(key);
        key[i] ^= 1;
        struct sealed_fake fake = {.data = sample.data, .length = sample.length};
        assert_int_equal(sealed_read(&fake, key, NULL, NULL, NULL, &diag), RESUME_EKEY);
    }
    struct sealed_fake fake = {.data = sample.data, .length = sample.length};
    assert_int_equal(sealed_read(&fake, NULL, NULL, NULL, NULL, &diag), RESUME_EINVAL);
    fake = (struct sealed_fake){.data = plain.data, .length = plain.length};
    assert_int_equal(sealed_read(&fake, key, NULL, NULL, NULL, &diag), RESUME_EINVAL);
    free(sample.data);
    free(plain.data);
}

static void sources_may_misbehave(void **state)
{
    uint8_t key[RESUME_SEALED_KEY];
    (void)state;
    for (unsigned n = 0; n < GOOD_COUNT; n++) {
        struct sample sample = load(good[n]);
        struct resume_diag diag = {0};
        struct sealed_fake plain = {.data = sample.data, .length = sample.length};
        assert_int_equal(sealed_read(&plain, key_for(good[n], key), NULL, NULL, NULL, &diag), 0);
        assert_int_equal(plain.twice, 0);
        for (size_t piece = 1; piece < 9000; piece = piece * 3 + 1) {
            struct seen seen = {0};
            struct sealed_fake fake = {
                .data = sample.data, .length = sample.length, .piece = piece};
            assert_int_equal(sealed_read(&fake, key_for(good[n], key), NULL, look, &seen, &diag),
                             0);
            assert_int_equal(seen.wrong, 0);
            assert_int_equal(fake.twice, 0);
        }
        for (unsigned i = 1; i <= plain.reads; i++) {
            const struct sealed_fake bad[] = {{.fail_at = i}, {.lie_at = i}, {.end_at = i}};
            static const int expected[] = {RESUME_EIO, RESUME_EIO, RESUME_ETRUNC};
            for (unsigned k = 0; k < 4; k++) {
                struct seen seen = {0};
                struct sealed_fake fake = k < 3 ? bad[k] : (struct sealed_fake){.change_from = i};
                fake.data = sample.data;
                fake.length = sample.length;
                int result = sealed_read(&fake, key_for(good[n], key), NULL, look, &seen, &diag);
                assert_int_equal(seen.wrong, 0);
                if (k < 3)
                    assert_int_equal(result, expected[k]);
                else
                    assert_int_not_equal(result, RESUME_OK);
            }
        }
        free(sample.data);
    }
}

static int open_image(struct resume_sealed *image, struct resume_sealed_header *header,
                      const struct resume_sealed_source *source, uint8_t *structures)
{
    uint8_t key[RESUME_SEALED_KEY];
    sample_key(key);
    int result = resume_sealed_header(source, header, NULL);
    if (result == RESUME_OK)
        result = resume_sealed_open(image, source, header, key, NULL, structures,
                                    (size_t)header->structures_length, NULL);
    return result;
}

static void what_was_decrypted_is_wiped_on_failure(void **state)
{
    struct sample sample = load("sealed-none.rsm");
    struct sealed_fake fake = {.data = sample.data, .length = sample.length};
    const struct resume_sealed_source source = sealed_source(&fake);
    struct resume_sealed_header header;
    struct resume_sealed image;
    struct resume_sealed untouched;
    static uint8_t structures[1 << 16];
    static uint8_t stored[4 * RESUME_SEALED_PAGE];
    const uint8_t *pages = NULL;
    (void)state;
    assert_int_equal(open_image(&image, &header, &source, structures), RESUME_OK);
    assert_int_equal(resume_sealed_chunk_read(&image, 0, &source, stored, sizeof(stored), NULL),
                     RESUME_OK);
    stored[17] ^= 4;
    assert_int_equal(resume_sealed_chunk_open(&image, 0, stored, NULL, 0, NULL, &pages, NULL),
                     RESUME_EAUTH);
    assert_null(pages);
    for (size_t i = 0; i < sizeof(stored); i++)
        assert_int_equal(stored[i], 0);
    resume_sealed_close(&image);
    for (size_t i = 0; i < sizeof(image.chunk_key); i++)
        assert_int_equal(image.chunk_key[i], 0);

    sample.data[header.structures + 3] ^= 1;
    memset(&image, 0xa5, sizeof(image));
    memcpy(&untouched, &image, sizeof(image));
    assert_int_equal(open_image(&image, &header, &source, structures), RESUME_EAUTH);
    assert_memory_equal(&image, &untouched, sizeof(image));
    for (size_t i = 0; i < header.structures_length; i++)
        assert_int_equal(structures[i], 0);
    free(sample.data);
}

static void arguments_are_checked(void **state)
{
    struct sample sample = load("sealed-zstd.rsm");
    struct sealed_fake fake = {.data = sample.data, .length = sample.length};
    const struct resume_sealed_source source = sealed_source(&fake);
    struct resume_sealed_header header;
    struct resume_sealed image;
    struct resume_diag diag = {0};
    static uint8_t structures[1 << 16];
    static uint8_t stored[4 * RESUME_SEALED_PAGE];
    static uint8_t pages[4 * RESUME_SEALED_PAGE];
    uint8_t key[RESUME_SEALED_KEY];
    const uint8_t *where = NULL;
    uint64_t packed = 0;
    (void)state;
    sample_key(key);
    assert_int_equal(open_image(&image, &header, &source, structures), RESUME_OK);
    while (!resume_sealed_chunk(&image, packed).compressed)
        packed++;
    const struct resume_sealed_chunk chunk = resume_sealed_chunk(&image, packed);
    assert_int_equal(
        resume_sealed_chunk_read(&image, header.chunks, &source, stored, sizeof(stored), &diag),
        RESUME_EINVAL);
    assert_int_equal(
        resume_sealed_chunk_read(&image, packed, &source, stored, chunk.stored - 1, &diag),
        RESUME_ENOSPC);
    assert_int_equal(resume_sealed_chunk_open(&image, header.chunks, stored, pages, sizeof(pages),
                                              structures, &where, &diag),
                     RESUME_EINVAL);
    assert_int_equal(resume_sealed_chunk_open(&image, packed, stored, pages, sizeof(pages) - 1,
                                              structures, &where, &diag),
                     RESUME_ENOSPC);
    assert_int_equal(
        resume_sealed_chunk_open(&image, packed, stored, pages, sizeof(pages), NULL, &where, &diag),
        RESUME_EINVAL);
    assert_int_equal(resume_sealed_open(&image, &source, &header, key, NULL, structures,
                                        (size_t)header.structures_length - 1, &diag),
                     RESUME_ENOSPC);
    resume_sealed_close(&image);
    free(sample.data);
}

static void parts_and_places_are_found(void **state)
{
    struct sample sample = load("sealed-lz4.rsm");
    struct sealed_fake fake = {.data = sample.data, .length = sample.length};
    const struct resume_sealed_source source = sealed_source(&fake);
    struct resume_sealed_header header;
    struct resume_sealed image;
    static uint8_t structures[1 << 16];
    size_t length = 0;
    (void)state;
    assert_int_equal(open_image(&image, &header, &source, structures), RESUME_OK);
    const uint8_t *part = resume_sealed_part(&image, RESUME_SEALED_PART_STATE, &length);
    assert_int_equal(length, 360);
    assert_memory_equal(part, "a state bloba state blob", 24);
    part = resume_sealed_part(&image, RESUME_SEALED_PART_PLAN, &length);
    assert_int_equal(length, 35);
    assert_memory_equal(part, "a plan!a plan!", 14);
    assert_int_equal(image.map_count, 3);
    assert_int_equal(resume_sealed_map(&image, 1).page, 256);
    assert_int_equal(resume_sealed_map(&image, 1).count, 4000);
    assert_int_equal(image.run_count, 8);
    /* The oracle's runs: 1, 3, 10, 1, 30, 1, 13 and 1 pages. */
    static const uint8_t run_of[] = {0, 1, 1, 1, 2, 2};
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(resume_sealed_find(&image, i), run_of[i]);
    assert_int_equal(resume_sealed_find(&image, 14), 3);
    assert_int_equal(resume_sealed_find(&image, 15), 4);
    assert_int_equal(resume_sealed_find(&image, 44), 4);
    assert_int_equal(resume_sealed_find(&image, 45), 5);
    assert_int_equal(resume_sealed_find(&image, 59), 7);
    resume_sealed_close(&image);
    free(sample.data);
}

static void another_machine_is_refused(void **state)
{
    static const struct resume_range same[] = {
        {0, 160 << 12}, {256 << 12, 4000 << 12}, {UINT64_C(1) << 32, 64 << 12}};
    static const struct resume_range pieces[] = {{0, 4096},
                                                 {4096, 159 << 12},
                                                 {0xf0000, 4 << 20},
                                                 {0x4f0000, 100 << 20},
                                                 {0xf0000000, UINT64_C(1) << 33}};
    static const struct resume_range late[] = {
        {4096, 159 << 12}, {256 << 12, 4000 << 12}, {UINT64_C(1) << 32, 64 << 12}};
    static const struct resume_range small[] = {
        {0, 160 << 12}, {256 << 12, 3999 << 12}, {UINT64_C(1) << 32, 64 << 12}};
    struct sample sample = load("sealed-lz4.rsm");
    struct sealed_fake fake = {.data = sample.data, .length = sample.length};
    const struct resume_sealed_source source = sealed_source(&fake);
    struct resume_sealed_header header;
    struct resume_sealed image;
    struct resume_diag diag = {0};
    static uint8_t structures[1 << 16];
    (void)state;
    assert_int_equal(open_image(&image, &header, &source, structures), RESUME_OK);
    assert_int_equal(resume_sealed_check_machine(&image, 2, same, 3, &diag), RESUME_OK);
    assert_int_equal(resume_sealed_check_machine(&image, 2, pieces, 5, &diag), RESUME_OK);
    assert_int_equal(resume_sealed_check_machine(&image, 3, same, 3, &diag), RESUME_ECONSISTENT);
    assert_int_equal(resume_sealed_check_machine(&image, 2, late, 3, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(diag.offset, 0);
    assert_int_equal(resume_sealed_check_machine(&image, 2, small, 3, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(diag.offset, UINT64_C(4255) << 12);
    assert_int_equal(resume_sealed_check_machine(&image, 2, same, 2, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(diag.offset, UINT64_C(1) << 32);
    assert_int_equal(resume_sealed_check_machine(&image, 2, same, 0, &diag), RESUME_EUNREACHABLE);
    resume_sealed_close(&image);
    free(sample.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_ends_as_the_oracle_says),
        cmocka_unit_test(each_flipped_byte_is_found),
        cmocka_unit_test(each_cut_is_found),
        cmocka_unit_test(swapped_chunks_are_found),
        cmocka_unit_test(parts_of_another_image_are_found),
        cmocka_unit_test(only_the_expected_identity_passes),
        cmocka_unit_test(keys_must_fit),
        cmocka_unit_test(sources_may_misbehave),
        cmocka_unit_test(what_was_decrypted_is_wiped_on_failure),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(parts_and_places_are_found),
        cmocka_unit_test(another_machine_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
