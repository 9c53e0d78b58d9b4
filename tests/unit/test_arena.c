/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The page arena: what it hands out, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <resume/arena.h>

#include "phys.h"

static void hands_out_zeroed_pages_in_order(void **state)
{
    struct phys phys;
    struct resume_arena arena;
    (void)state;

    phys_open(&phys, 0x40000, 4);
    phys_fill(&phys, 0x40000, 4 * 4096, 0xa5);
    const struct resume_phys access = phys_access(&phys);
    assert_int_equal(resume_arena_init(&arena, &access, 0x41000, 2), RESUME_OK);
    assert_int_equal(phys.calls, 0);

    for (uint64_t expected = 0x41000; expected < 0x43000; expected += 0x1000) {
        resume_pa_t pa = 0;

        assert_int_equal(resume_arena_page(&arena, &pa, NULL), RESUME_OK);
        assert_int_equal(pa, expected);
    }
    assert_int_equal(arena.used, 2);
    for (uint64_t pa = 0x40000; pa < 0x44000; pa += 8) {
        const uint64_t expected = pa >= 0x41000 && pa < 0x43000 ? 0 : UINT64_C(0xa5a5a5a5a5a5a5a5);

        assert_int_equal(phys_peek(&phys, pa), expected);
    }
    phys_close(&phys);
}

static void says_when_it_is_empty(void **state)
{
    struct phys phys;
    struct resume_arena arena;
    struct resume_diag diag = {0};
    resume_pa_t pa = 7;
    (void)state;

    phys_open(&phys, 0x40000, 1);
    const struct resume_phys access = phys_access(&phys);
    assert_int_equal(resume_arena_init(&arena, &access, 0x40000, 1), RESUME_OK);
    assert_int_equal(resume_arena_page(&arena, &pa, &diag), RESUME_OK);
    assert_null(diag.where);
    pa = 7;
    assert_int_equal(resume_arena_page(&arena, &pa, &diag), RESUME_ENOSPC);
    assert_int_equal(pa, 7);
    assert_int_equal(diag.code, -RESUME_ENOSPC);
    assert_int_equal(diag.offset, 0x40000);
    assert_int_equal(diag.expected, 1);
    assert_int_equal(diag.vcpu, RESUME_NO_VCPU);
    assert_string_equal(diag.field, "page_count");
    phys_close(&phys);
}

static void does_not_take_a_page_it_cannot_reach(void **state)
{
    struct phys phys;
    struct resume_arena arena;
    struct resume_diag diag = {0};
    resume_pa_t pa = 7;
    (void)state;

    phys_open(&phys, 0x40000, 2);
    phys_hole(&phys, 0x40000);
    const struct resume_phys access = phys_access(&phys);
    assert_int_equal(resume_arena_init(&arena, &access, 0x40000, 2), RESUME_OK);
    assert_int_equal(resume_arena_page(&arena, &pa, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(pa, 7);
    assert_int_equal(arena.used, 0);
    assert_int_equal(diag.code, -RESUME_EUNREACHABLE);
    assert_int_equal(diag.offset, 0x40000);
    phys_close(&phys);
}

static void refuses_impossible_ranges(void **state)
{
    struct phys phys;
    struct resume_arena arena = {.base_pa = 9};
    const struct resume_phys nothing = {NULL, NULL};
    const resume_pa_t top = UINT64_C(1) << 52;
    resume_pa_t pa = 7;
    (void)state;

    phys_open(&phys, 0, 1);
    const struct resume_phys access = phys_access(&phys);
    assert_int_equal(resume_arena_init(NULL, &access, 0, 1), RESUME_EINVAL);
    assert_int_equal(resume_arena_init(&arena, NULL, 0, 1), RESUME_EINVAL);
    assert_int_equal(resume_arena_init(&arena, &nothing, 0, 1), RESUME_EINVAL);
    assert_int_equal(resume_arena_init(&arena, &access, 0, 0), RESUME_EINVAL);
    assert_int_equal(resume_arena_init(&arena, &access, 8, 1), RESUME_EINVAL);
    assert_int_equal(resume_arena_init(&arena, &access, top, 1), RESUME_EINVAL);
    assert_int_equal(resume_arena_init(&arena, &access, top - 4096, 2), RESUME_EINVAL);
    assert_int_equal(resume_arena_init(&arena, &access, UINT64_MAX - 4095, 1), RESUME_EINVAL);
    assert_int_equal(arena.base_pa, 9);
    assert_int_equal(resume_arena_init(&arena, &access, top - 4096, 1), RESUME_OK);
    assert_int_equal(resume_arena_init(&arena, &access, 0, UINT32_MAX), RESUME_OK);
    assert_int_equal(resume_arena_page(NULL, &pa, NULL), RESUME_EINVAL);
    assert_int_equal(resume_arena_page(&arena, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(arena.used, 0);
    phys_close(&phys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_out_zeroed_pages_in_order),
        cmocka_unit_test(says_when_it_is_empty),
        cmocka_unit_test(does_not_take_a_page_it_cannot_reach),
        cmocka_unit_test(refuses_impossible_ranges),
    };

    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
