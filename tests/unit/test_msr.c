/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Which way MSRs go, and in which order. Numbers from Intel SDM vol. 4 and Linux' documentation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/msr.h>

#include "good_state.h"

static struct good_state good;

static int fill(void **state)
{
    (void)state;
    good_state_fill(&good);
    return 0;
}

static void ways(void **state)
{
    static const struct {
        uint32_t first;
        uint32_t last;
        enum resume_msr_way way;
    } expected[] = {
        {0x10, 0x10, RESUME_MSR_WITH_DEVICES},
        {0x1b, 0x1b, RESUME_MSR_WITH_DEVICES},
        {0x11, 0x12, RESUME_MSR_BY_LIST},
        {0x3a, 0x3b, RESUME_MSR_BY_LIST},
        {0x48, 0x48, RESUME_MSR_BY_LIST},
        {0x9e, 0x9e, RESUME_MSR_NOT_RESTORED},
        {0xe1, 0xe1, RESUME_MSR_BY_LIST},
        {0x122, 0x122, RESUME_MSR_BY_LIST},
        {0x174, 0x176, RESUME_MSR_BY_LIST},
        {0x17a, 0x17b, RESUME_MSR_BY_LIST},
        {0x186, 0x197, RESUME_MSR_BY_LIST},
        {0x1a0, 0x1a0, RESUME_MSR_BY_LIST},
        {0x1c4, 0x1c5, RESUME_MSR_BY_LIST},
        {0x1cc, 0x1d4, RESUME_MSR_BY_LIST},
        {0x200, 0x213, RESUME_MSR_BY_LIST},
        {0x214, 0x24f, RESUME_MSR_NOT_RESTORED},
        {0x250, 0x250, RESUME_MSR_BY_LIST},
        {0x258, 0x259, RESUME_MSR_BY_LIST},
        {0x268, 0x26f, RESUME_MSR_BY_LIST},
        {0x277, 0x277, RESUME_MSR_BY_LIST},
        {0x2ff, 0x2ff, RESUME_MSR_BY_LIST},
        {0xc1, 0xd2, RESUME_MSR_BY_LIST},
        {0x309, 0x30b, RESUME_MSR_BY_LIST},
        {0x38d, 0x38f, RESUME_MSR_BY_LIST},
        {0x390, 0x390, RESUME_MSR_NOT_RESTORED},
        {0x400, 0x47f, RESUME_MSR_BY_LIST},
        {0x4d0, 0x4d0, RESUME_MSR_BY_LIST},
        {0x6a0, 0x6a0, RESUME_MSR_BY_LIST},
        {0x6a1, 0x6a1, RESUME_MSR_NOT_RESTORED},
        {0x6a2, 0x6a2, RESUME_MSR_BY_LIST},
        {0x6a4, 0x6a8, RESUME_MSR_BY_LIST},
        {0x6e0, 0x6e1, RESUME_MSR_BY_LIST},
        {0x800, 0x8ff, RESUME_MSR_WITH_DEVICES},
        {0xd90, 0xd90, RESUME_MSR_BY_LIST},
        {0xda0, 0xda0, RESUME_MSR_BY_LIST},
        {0x40000000, 0x40000001, RESUME_MSR_BY_LIST},
        {0x40000002, 0x40000003, RESUME_MSR_NOT_RESTORED},
        {0x40000021, 0x40000021, RESUME_MSR_BY_LIST},
        {0x40000073, 0x40000073, RESUME_MSR_BY_LIST},
        {0x40000080, 0x40000083, RESUME_MSR_BY_LIST},
        {0x40000084, 0x40000084, RESUME_MSR_NOT_RESTORED},
        {0x40000090, 0x4000009f, RESUME_MSR_BY_LIST},
        {0x400000b0, 0x400000b7, RESUME_MSR_BY_LIST},
        {0x40000100, 0x40000104, RESUME_MSR_BY_LIST},
        {0x40000105, 0x40000105, RESUME_MSR_NOT_RESTORED},
        {0x40000106, 0x40000108, RESUME_MSR_BY_LIST},
        {0x4b564d00, 0x4b564d06, RESUME_MSR_BY_LIST},
        {0x4b564d07, 0x4b564d07, RESUME_MSR_NOT_RESTORED},
        {0x4b564d08, 0x4b564d08, RESUME_MSR_BY_LIST},
        {0xc0000080, 0xc0000080, RESUME_MSR_BY_FIELD},
        {0xc0000081, 0xc0000084, RESUME_MSR_BY_LIST},
        {0xc0000100, 0xc0000101, RESUME_MSR_BY_FIELD},
        {0xc0000102, 0xc0000103, RESUME_MSR_BY_LIST},
        {0xc001011f, 0xc001011f, RESUME_MSR_BY_LIST},
        {0xffffffff, 0xffffffff, RESUME_MSR_NOT_RESTORED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        for (uint64_t index = expected[i].first; index <= expected[i].last; index++) {
            if (resume_msr_way((uint32_t)index) != expected[i].way) {
                fail_msg("%#x goes the way %d", (unsigned)index, resume_msr_way((uint32_t)index));
            }
        }
    }
}

/* Each before the next: DESIGN-level rules that a wrong order breaks without a fault. */
static void orders(void **state)
{
    static const uint32_t before[][2] = {
        {0x277, 0xc0000082},      /* PAT, anything */
        {0x200, 0x2ff},           /* MTRRs, their enable */
        {0x26f, 0x2ff},           /* likewise */
        {0x2ff, 0xc0000082},      /* caching, anything */
        {0x309, 0x38f},           /* counters, their enable */
        {0xc1, 0x38f},            /* likewise */
        {0x18d, 0x38f},           /* likewise */
        {0x3b, 0x10},             /* TSC_ADJUST, TSC */
        {0x10, 0x6e0},            /* TSC, the deadline */
        {0x10, 0x4b564d01},       /* TSC, the clock computed from it */
        {0x10, 0x40000021},       /* likewise */
        {0x4b564d06, 0x4b564d02}, /* vector of async page faults, their enable */
        {0x400000b1, 0x400000b0}, /* count of a timer, its enable */
        {0x40000093, 0x40000080}, /* interrupt sources, their enable */
        {0x40000080, 0x6e0},      /* everything, the deadline */
        {0xc0000103, 0x6e0},      /* everything, the deadline */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        if (resume_msr_order(before[i][0]) >= resume_msr_order(before[i][1])) {
            fail_msg("%#x does not come before %#x", before[i][0], before[i][1]);
        }
    }
    assert_true(resume_msr_order(0xffffffff) < RESUME_MSR_ORDERS);
    assert_true(resume_msr_order(0x6e0) < RESUME_MSR_ORDERS);
}

static void what_is_needed(void **state)
{
    static const uint32_t always[] = {0x174,      0x175,      0x176,      0x277,     0xc0000081,
                                      0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102};
    static const uint32_t in_use[] = {0x48,       0x122,      0x1c4, 0x6a0,      0x6a2,
                                      0x6a7,      0xda0,      0xd90, 0xc0000103, 0xc001011f,
                                      0x4b564d01, 0x40000001, 0x12,  0x40000083};
    static const uint32_t never[] = {0x10,  0x3b,  0x6e0, 0x1a0, 0x200,      0x2ff,
                                     0x401, 0x38f, 0x309, 0xe1,  0x4b564d05, 0x570};

    (void)state;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        assert_int_equal(resume_msr_flags(always[i], 0), 0);
        assert_int_equal(resume_msr_flags(always[i], 1), 0);
    }
    for (size_t i = 0; i < sizeof(in_use) / sizeof(in_use[0]); i++) {
        assert_int_equal(resume_msr_flags(in_use[i], 0), RESUME_MSR_OPTIONAL);
        assert_int_equal(resume_msr_flags(in_use[i], 1), 0);
    }
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        assert_int_equal(resume_msr_flags(never[i], 1), RESUME_MSR_OPTIONAL);
    }
    /* A masked interrupt source is as a reset leaves it. */
    assert_int_equal(resume_msr_flags(0x40000092, 0x10000), RESUME_MSR_OPTIONAL);
    assert_int_equal(resume_msr_flags(0x40000092, 0), 0);
}

static void names(void **state)
{
    uint32_t number = 0;

    (void)state;
    assert_string_equal(resume_msr_name(0xc0000082, &number), "LSTAR");
    assert_int_equal(number, RESUME_MSR_NO_NUMBER);
    assert_string_equal(resume_msr_name(0x207, &number), "MTRR_PHYSMASK");
    assert_int_equal(number, 3);
    assert_string_equal(resume_msr_name(0x425, &number), "MC_STATUS");
    assert_int_equal(number, 9);
    assert_string_equal(resume_msr_name(0x4b564d01, NULL), "KVM_SYSTEM_TIME_NEW");
    assert_null(resume_msr_name(0xffffffff, NULL));
}

static void the_list_of_a_linux(void **state)
{
    static const uint32_t expected[] = {0x277,      0x174,      0x175,      0x176,      0xc0000081,
                                        0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103};
    struct resume_msr list[RESUME_MSR_MAX + 1];
    uint32_t count = 0;

    (void)state;
    assert_int_equal(resume_msr_list(&good.vcpu, RESUME_ACCEL_TCG, list, RESUME_MSR_MAX, &count),
                     RESUME_OK);
    assert_int_equal(count, sizeof(expected) / sizeof(expected[0]));
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(list[i].index, expected[i]);
        assert_int_equal(list[i].value, *good_state_msr(&good, expected[i]));
        assert_int_equal(list[i].flags, expected[i] == 0xc0000103 ? RESUME_MSR_OPTIONAL : 0);
    }
}

/* With KVM the TSC belongs to the vCPU; XSS is in a field of its own, or in the list, not twice. */
static void accelerators_and_xss(void **state)
{
    struct resume_msr list[RESUME_MSR_MAX + 1];
    uint32_t count = 77;

    (void)state;
    good_state_add_msr(&good, 0x6e0, RESUME_MSR_OPTIONAL, 5);
    good_state_add_msr(&good, 0x3b, RESUME_MSR_OPTIONAL, 6);
    good_state_add_msr(&good, RESUME_MSR_EFER, 0, 0xd01);
    good_state_add_msr(&good, 0x570, RESUME_MSR_OPTIONAL, 1);
    assert_int_equal(resume_msr_list(&good.vcpu, RESUME_ACCEL_KVM, list, RESUME_MSR_MAX, &count),
                     RESUME_OK);
    assert_int_equal(count, 13);
    assert_int_equal(list[10].index, 0x3b);
    assert_int_equal(list[11].index, 0x10);
    assert_int_equal(list[12].index, 0x6e0);

    good.vcpu.ctrl.xss = 0x1800;
    assert_int_equal(resume_msr_list(&good.vcpu, RESUME_ACCEL_TCG, list, RESUME_MSR_MAX, &count),
                     RESUME_OK);
    assert_int_equal(count, 13);
    assert_int_equal(list[4].index, 0xda0);
    assert_int_equal(list[4].value, 0x1800);
    assert_int_equal(list[4].flags, 0);
    good.vcpu.ctrl.valid &= ~RESUME_CTRL_XSS;
    assert_int_equal(resume_msr_list(&good.vcpu, RESUME_ACCEL_TCG, list, RESUME_MSR_MAX, &count),
                     RESUME_OK);
    assert_int_equal(count, 12);
    good.vcpu.ctrl.valid |= RESUME_CTRL_XSS;
    good_state_add_msr(&good, 0xda0, RESUME_MSR_OPTIONAL, 0x1800);
    assert_int_equal(resume_msr_list(&good.vcpu, RESUME_ACCEL_TCG, list, RESUME_MSR_MAX, &count),
                     RESUME_OK);
    assert_int_equal(count, 13);
    assert_int_equal(list[4].flags, RESUME_MSR_OPTIONAL);
}

static void the_list_has_room_or_not(void **state)
{
    struct resume_msr list[RESUME_MSR_MAX + 1];
    uint32_t count = 77;

    (void)state;
    memset(list, 0xee, sizeof(list));
    assert_int_equal(resume_msr_list(&good.vcpu, RESUME_ACCEL_TCG, list, 9, &count), RESUME_ENOSPC);
    assert_int_equal(count, 77);
    assert_int_equal(list[0].index, 0xeeeeeeee);
    assert_int_equal(resume_msr_list(&good.vcpu, RESUME_ACCEL_TCG, list, 10, &count), RESUME_OK);
    assert_int_equal(list[10].index, 0xeeeeeeee);
    assert_int_equal(resume_msr_list(NULL, 0, list, 10, &count), RESUME_EINVAL);
    assert_int_equal(resume_msr_list(&good.vcpu, 0, NULL, 10, &count), RESUME_EINVAL);
    assert_int_equal(resume_msr_list(&good.vcpu, 0, list, 10, NULL), RESUME_EINVAL);
    good.vcpu.msr_count = RESUME_MSR_MAX + 1;
    assert_int_equal(resume_msr_list(&good.vcpu, 0, list, 10, &count), RESUME_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways),
        cmocka_unit_test(orders),
        cmocka_unit_test(what_is_needed),
        cmocka_unit_test(names),
        cmocka_unit_test_setup(the_list_of_a_linux, fill),
        cmocka_unit_test_setup(accelerators_and_xss, fill),
        cmocka_unit_test_setup(the_list_has_room_or_not, fill),
    };

    return cmocka_run_group_tests_name("msr", tests, NULL, NULL);
}
