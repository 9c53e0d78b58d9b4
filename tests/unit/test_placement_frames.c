/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* From what firmware says of its memory to ranges of frames. The oracle is an array of frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "placement_world.h"

#define MAPS 200000u
#define WINDOW 64u
#define DESCRIPTORS 24u
#define UNUSABLE RESUME_FRAME_UNUSABLE
#define FREE RESUME_FRAME_FREE
#define FIRMWARE RESUME_FRAME_FIRMWARE

static struct resume_frames out[2 * DESCRIPTORS];

static int convert(const struct resume_frames_descriptor *descriptors, uint32_t count,
                   uint32_t *ret_count, struct resume_diag *diag)
{
    return resume_frames_from_descriptors(descriptors, count, out, 2 * count, ret_count, diag);
}

static void a_map_by_hand(void **state)
{
    static const struct resume_frames_descriptor map[] = {
        {0x00900000, 0x100, FREE, 0}, /* out of order */
        {0x00100000, 0x700, FREE, 0}, /* touches the next */
        {0x00800000, 0x008, FIRMWARE, 0},
        {0x00808000, 0x0f8, FREE, 0}, /* touches the first: one range */
        {0x00000000, 0x0a0, FREE, 0},
        {0x00050000, 0x000, UNUSABLE, 0}, /* empty: no claim */
        {0x00090000, 0x001, FIRMWARE, 0}, /* claims one page of what another says is free */
        {0xfec00000, 0x001, UNUSABLE, 0},
        {0x00950000, 0x010, UNUSABLE, 0}, /* and this 16 */
        {0x00950000, 0x001, FIRMWARE, 0}, /* to no effect */
    };
    static const struct resume_frames expected[] = {
        {0x000, 0x090, FREE, 0}, {0x090, 0x001, FIRMWARE, 0}, {0x091, 0x00f, FREE, 0},
        {0x100, 0x700, FREE, 0}, {0x800, 0x008, FIRMWARE, 0}, {0x808, 0x148, FREE, 0},
        {0x960, 0x0a0, FREE, 0},
    };
    uint32_t count = 0;

    (void)state;
    assert_int_equal(convert(map, 10, &count, NULL), RESUME_OK);
    assert_int_equal(count, 7);
    assert_memory_equal(out, expected, sizeof(expected));
}

static void the_last_frame_can_be_used(void **state)
{
    const struct resume_frames_descriptor map[] = {
        {(RESUME_FRAMES_END - 1) << RESUME_PAGE_SHIFT, 1, FREE, 0}};
    uint32_t count = 0;

    (void)state;
    assert_int_equal(convert(map, 1, &count, NULL), RESUME_OK);
    assert_int_equal(count, 1);
    assert_int_equal(out[0].first, RESUME_FRAMES_END - 1);
    assert_int_equal(out[0].count, 1);
    assert_int_equal(convert(map, 0, &count, NULL), RESUME_OK);
    assert_int_equal(count, 0);
    assert_int_equal(convert(NULL, 0, &count, NULL), RESUME_OK);
}

/* The worst claim of each frame, in an order of its own: FREE < FIRMWARE < UNUSABLE. */
static void claim(uint8_t *claims, const struct resume_frames_descriptor *d, uint64_t base)
{
    const uint8_t rank = d->kind == FREE ? 1 : d->kind == FIRMWARE ? 2 : 3;

    for (uint64_t i = 0; i < d->pages; i++) {
        uint8_t *frame = &claims[(d->start >> RESUME_PAGE_SHIFT) - base + i];

        *frame = rank > *frame ? rank : *frame;
    }
}

static void random_maps_are_as_the_worst_claims(void **state)
{
    static const uint8_t rank_of[] = {0, 1, 2};
    struct resume_frames_descriptor map[DESCRIPTORS];

    (void)state;
    for (uint32_t n = 0; n < MAPS; n++) {
        uint8_t claims[WINDOW] = {0};
        uint8_t told[WINDOW] = {0};
        uint64_t base;
        uint32_t given;
        uint32_t count = 0;

        world_seed = n;
        base = world_below(2) == 0 ? 0 : RESUME_FRAMES_END - WINDOW;
        given = world_below(DESCRIPTORS + 1);
        for (uint32_t i = 0; i < given; i++) {
            const uint32_t first = world_below(WINDOW);

            map[i].start = (base + first) << RESUME_PAGE_SHIFT;
            map[i].pages = world_below(world_below(2) == 0 ? 4 : WINDOW - first + 1);
            map[i].pages = map[i].pages > WINDOW - first ? WINDOW - first : map[i].pages;
            map[i].kind = world_below(3);
            map[i].reserved = 0;
            claim(claims, &map[i], base);
        }
        assert_int_equal(convert(map, given, &count, NULL), RESUME_OK);
        assert_true(count <= 2 * given);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(out[i].count > 0 && (out[i].kind == FREE || out[i].kind == FIRMWARE));
            assert_int_equal(out[i].reserved, 0);
            if (i > 0) {
                const uint64_t end = out[i - 1].first + out[i - 1].count;

                assert_true(out[i].first > end ||
                            (out[i].first == end && out[i].kind != out[i - 1].kind));
            }
            for (uint64_t page = 0; page < out[i].count; page++) {
                told[out[i].first - base + page] = rank_of[out[i].kind];
            }
        }
        for (uint32_t i = 0; i < WINDOW; i++) {
            if (told[i] != (claims[i] == 3 ? 0 : claims[i])) {
                fail_msg("map %u: frame %u is %u, not %u", n, i, told[i], claims[i]);
            }
        }
    }
}

static void assert_refused(const struct resume_frames_descriptor *map, uint32_t count, int err,
                           const char *field, uint64_t offset)
{
    struct resume_diag diag = {0};
    uint32_t ranges = 77;

    assert_int_equal(convert(map, count, &ranges, &diag), err);
    assert_string_equal(diag.field, field);
    assert_int_equal(diag.offset, offset);
    assert_int_equal(ranges, 77);
}

static void hostile_maps_are_refused(void **state)
{
    struct resume_frames_descriptor map[] = {{0x1000, 1, FREE, 0}, {0x5000, 1, FREE, 0}};
    struct resume_diag diag = {0};
    uint32_t ranges = 77;

    (void)state;
    map[1].start = 0x5001;
    assert_refused(map, 2, RESUME_EINVAL, "start", 0x5001);
    map[1].start = 0x5000;
    map[1].kind = 3;
    assert_refused(map, 2, RESUME_EINVAL, "kind", 0x5000);
    map[1].kind = UINT32_MAX;
    assert_refused(map, 2, RESUME_EINVAL, "kind", 0x5000);
    map[1].kind = UNUSABLE;
    map[1].pages = RESUME_FRAMES_END - 4;
    assert_refused(map, 2, RESUME_ELENGTH, "pages", 0x5000);
    map[1].pages = UINT64_MAX;
    assert_refused(map, 2, RESUME_ELENGTH, "pages", 0x5000);
    map[1].start = UINT64_MAX - 0xfff;
    map[1].pages = 1;
    assert_refused(map, 2, RESUME_ELENGTH, "pages", UINT64_MAX - 0xfff);
    map[1].pages = 0;
    assert_refused(map, 2, RESUME_ELENGTH, "pages", UINT64_MAX - 0xfff);
    map[1].start = 0x5000;
    assert_int_equal(resume_frames_from_descriptors(map, 2, out, 3, &ranges, &diag), RESUME_ENOSPC);
    assert_int_equal(diag.found, 3);
    assert_int_equal(diag.expected, 4);
    assert_int_equal(
        resume_frames_from_descriptors(map, UINT32_MAX, out, UINT32_MAX, &ranges, NULL),
        RESUME_ENOSPC);
    assert_int_equal(resume_frames_from_descriptors(NULL, 2, out, 4, &ranges, NULL), RESUME_EINVAL);
    assert_int_equal(resume_frames_from_descriptors(map, 2, NULL, 4, &ranges, NULL), RESUME_EINVAL);
    assert_int_equal(resume_frames_from_descriptors(map, 2, out, 4, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(ranges, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_by_hand),
        cmocka_unit_test(the_last_frame_can_be_used),
        cmocka_unit_test(random_maps_are_as_the_worst_claims),
        cmocka_unit_test(hostile_maps_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
