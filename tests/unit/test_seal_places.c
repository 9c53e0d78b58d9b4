/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Where the stream has the pages: whatever its order, what is read is what came last. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "seal_private.h"

#define PAGES 600u /* of two areas together */
#define FIRST 250u /* of them, in the first */

/* A file of pages, and what each page of the guest has: a number, or a byte repeated; 0 is nothing. */
struct world {
    struct seal seal;
    struct report_failure failure;
    FILE *file;
    uint64_t position;
    uint32_t number[PAGES];
    uint8_t fill[PAGES];
    uint32_t next;
};

static void make_page(uint32_t number, uint8_t *page)
{
    for (unsigned i = 0; i < RESUME_SEALED_PAGE; i += 4)
        memcpy(page + i, &number, 4);
    page[17] = 5;
}

static int begin(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->file = tmpfile();
    assert_non_null(w->file);
    w->seal.failure = &w->failure;
    w->seal.stream_fd = fileno(w->file);
    w->seal.area_count = 2;
    w->seal.area[0] = (struct seal_area){.page = 0, .count = FIRST};
    w->seal.area[1] =
        (struct seal_area){.page = 1000, .count = PAGES - FIRST, .offset = FIRST, .bit = FIRST};
    w->seal.pages = PAGES;
    w->seal.bitmap = calloc(PAGES / 8 + 1, 1);
    assert_non_null(w->seal.bitmap);
    w->next = 1;
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;
    seal_places_free(&w->seal);
    free(w->seal.bitmap);
    fclose(w->file);
    free(w);
    return 0;
}

static void add(struct world *w, uint32_t bit, enum stream_event_kind kind, uint8_t fill,
                uint32_t gap)
{
    uint8_t page[RESUME_SEALED_PAGE];
    struct seal_area *area = &w->seal.area[bit >= FIRST];
    struct stream_event event = {.kind = kind, .fill = fill};
    w->fill[bit] = fill;
    w->number[bit] = 0;
    if (kind == STREAM_PAGE) {
        w->fill[bit] = 0;
        w->number[bit] = w->next++;
        make_page(w->number[bit], page);
        event.data_offset = w->position + gap;
        w->position = event.data_offset + sizeof(page);
        assert_int_equal(pwrite(w->seal.stream_fd, page, sizeof(page), (off_t)event.data_offset),
                         sizeof(page));
    }
    w->seal.bitmap[bit / 8] |= (uint8_t)(1u << (bit % 8));
    assert_int_equal(seal_places_add(&w->seal, area, bit - (uint32_t)area->bit, &event), 0);
}

/* All of it, @chunk pages at a time. */
static void read_all(struct world *w, uint32_t chunk)
{
    struct seal_cursor cursor = {0};
    uint8_t *pages = malloc((size_t)chunk * RESUME_SEALED_PAGE);
    uint32_t bit = 0;
    uint32_t count = chunk;
    assert_non_null(pages);
    while (count == chunk) {
        uint64_t first = 0;
        assert_int_equal(
            seal_places_read(&w->seal, &cursor, chunk, pages, &count, &first, &w->failure), 0);
        for (uint32_t i = 0; i < count; i++, bit++) {
            uint8_t expected[RESUME_SEALED_PAGE];
            while (bit < PAGES && w->number[bit] == 0 && w->fill[bit] == 0)
                bit++;
            assert_true(bit < PAGES);
            if (i == 0)
                assert_int_equal(first, bit < FIRST ? bit : 1000 + bit - FIRST);
            make_page(w->number[bit], expected);
            if (w->fill[bit] != 0)
                memset(expected, w->fill[bit], sizeof(expected));
            if (memcmp(pages + (size_t)i * RESUME_SEALED_PAGE, expected, sizeof(expected)) != 0)
                fail_msg("page %u is another", bit);
        }
    }
    while (bit < PAGES)
        assert_true(w->number[bit] == 0 && w->fill[bit++] == 0);
    free(pages);
}

static void pages_in_order_take_few_extents(void **state)
{
    struct world *w = *state;
    for (uint32_t bit = 0; bit < PAGES; bit++)
        if (bit % 100 != 50)
            add(w, bit, STREAM_PAGE, 0, bit % 100 == 51 ? 17 : 8);
    seal_places_end(&w->seal);
    assert_int_equal(w->seal.strays, 0);
    assert_true(w->seal.area[0].extents + w->seal.area[1].extents < 10);
    for (uint32_t chunk = 1; chunk < 1000; chunk = chunk * 3 + 1)
        read_all(w, chunk);
}

static void any_order_gives_what_came_last(void **state)
{
    struct world *w = *state;
    uint32_t random = 1;
    for (unsigned i = 0; i < 3 * PAGES; i++) {
        random = random * 1664525u + 1013904223u;
        const uint32_t bit = i < PAGES / 2 ? i : (random >> 8) % PAGES;
        const bool page = (random >> 28) != 3;
        static const uint32_t gaps[] = {8, 8, 17, 26, 8, 1024, 1025, 5000};
        add(w, bit, page ? STREAM_PAGE : STREAM_ZERO, page ? 0 : (uint8_t)(1 + i % 200),
            gaps[(random >> 20) % 8]);
    }
    seal_places_end(&w->seal);
    assert_true(w->seal.strays > PAGES / 2 && w->seal.strays <= PAGES);
    for (uint32_t chunk = 1; chunk < 1000; chunk = chunk * 3 + 1)
        read_all(w, chunk);
}

static void a_stream_that_became_shorter_is_found(void **state)
{
    struct world *w = *state;
    struct seal_cursor cursor = {0};
    static uint8_t pages[20 * RESUME_SEALED_PAGE];
    uint32_t count = 0;
    uint64_t first = 0;
    for (uint32_t bit = 0; bit < 20; bit++)
        add(w, bit, STREAM_PAGE, 0, 8);
    seal_places_end(&w->seal);
    assert_int_equal(ftruncate(w->seal.stream_fd, (off_t)w->position - 1), 0);
    assert_int_equal(seal_places_read(&w->seal, &cursor, 20, pages, &count, &first, &w->failure),
                     -EXIT_CODE_REFUSED);
    assert_non_null(strstr(w->failure.why, "shorter"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_in_order_take_few_extents, begin, end),
        cmocka_unit_test_setup_teardown(any_order_gives_what_came_last, begin, end),
        cmocka_unit_test_setup_teardown(a_stream_that_became_shorter_is_found, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
