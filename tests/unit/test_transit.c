/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The way into the home: tables by an independent walker, and what started processors are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/image.h>

#include "linux_vcpu.h"
#include "pt_oracle.h"

#include <trampoline.h>

#define STAGING_PA UINT64_C(0x3000000)
#define STARTUP_PA UINT64_C(0x87000)
#define APIC_PA UINT64_C(0xfee00000)

struct fixture {
    struct resume_image_layout layout;
    struct resume_staging area;
    struct resume_home home;
    struct resume_transit_input input;
    uint8_t *staging;
    uint8_t startup[4096];
};

static int setup(void **context)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL || resume_image_layout_compute(8, 832, &f->layout) != 0)
        return -1;
    resume_staging_compute(&f->layout, &f->area);
    f->staging = aligned_alloc(4096, f->area.length);
    if (f->staging == NULL)
        return -1;
    memset(f->staging, 0x5a, f->area.length);
    f->home = (struct resume_home){
        .va = LINUX_HOME_VA, .pa = LINUX_HOME_PA, .length = f->layout.length, .fill = 0xcc};
    f->input = (struct resume_transit_input){.home = &f->home,
                                             .area = &f->area,
                                             .trampoline = resume_trampoline,
                                             .trampoline_length = resume_trampoline_length,
                                             .staging_pa = STAGING_PA,
                                             .startup_pa = STARTUP_PA,
                                             .apic_pa = APIC_PA,
                                             .cr4 = 0x8216a0,
                                             .levels = 4};
    *context = f;
    return 0;
}

static int teardown(void **context)
{
    struct fixture *f = *context;

    free(f->staging);
    free(f);
    return 0;
}

static const struct resume_transit *transit(const struct fixture *f)
{
    return (const struct resume_transit *)(const void *)(f->staging + f->area.transit);
}

static void everything_on_the_way_is_mapped(void **context)
{
    struct fixture *f = *context;
    struct pt_mapping m;

    for (uint32_t levels = 4; levels <= 5; levels++) {
        struct pt_machine machine = {.ram = f->staging,
                                     .ram_start = STAGING_PA,
                                     .ram_size = f->area.length,
                                     .maxphyaddr = 40,
                                     .la57 = levels == 5};

        f->input.levels = levels;
        assert_int_equal(resume_transit_build(&f->input, f->staging, f->startup, NULL), 0);
        /* PGE, PCIDE and CET gone; LA57 as the guest's, not as the firmware's */
        assert_int_equal(transit(f)->cr4, levels == 5 ? 0x1620 : 0x0620);
        machine.cr3 = transit(f)->cr3;
        assert_true(machine.cr3 < UINT64_C(0x100000000));
        for (uint64_t at = 0; at < f->area.length; at += 4096) {
            assert_int_equal(pt_oracle_translate(&machine, STAGING_PA + at, &m), PT_MAPPED);
            assert_int_equal(m.physical, STAGING_PA + at);
            assert_true(m.executable);
        }
        for (uint64_t at = 0; at < f->home.length; at += 4096) {
            assert_int_equal(pt_oracle_translate(&machine, LINUX_HOME_VA + at, &m), PT_MAPPED);
            assert_int_equal(m.physical, LINUX_HOME_PA + at);
            assert_true(m.executable);
            assert_true(m.writable);
            assert_int_equal(pt_oracle_translate(&machine, LINUX_HOME_PA + at, &m), PT_MAPPED);
            assert_int_equal(m.physical, LINUX_HOME_PA + at);
            assert_true(m.writable);
        }
        assert_int_equal(pt_oracle_translate(&machine, APIC_PA + 0x300, &m), PT_MAPPED);
        assert_true(m.writable);
    }
}

/* Intel SDM vol. 3, "Segment Descriptors": flat; 0xcf = 4 GiB and 32 bits, 0xaf = 64 bits. */
static void the_way_is_described(void **context)
{
    struct fixture *f = *context;
    const struct resume_trampoline_header *header =
        (const struct resume_trampoline_header *)(const void *)resume_trampoline;
    const struct resume_startup *startup;

    assert_int_equal(resume_transit_build(&f->input, f->staging, f->startup, NULL), 0);
    assert_int_equal(transit(f)->image_pa, STAGING_PA);
    assert_int_equal(transit(f)->home_pa, LINUX_HOME_PA);
    assert_int_equal(transit(f)->home_va, LINUX_HOME_VA);
    assert_int_equal(transit(f)->home_length, f->home.length);
    assert_int_equal(transit(f)->apic_pa, APIC_PA);
    assert_int_equal(transit(f)->startup_pa, STARTUP_PA);
    assert_int_equal(transit(f)->in_place, 0);
    assert_int_equal(transit(f)->gdt[1], 0x00cf9b000000ffff);
    assert_int_equal(transit(f)->gdt[2], 0x00cf93000000ffff);
    assert_int_equal(transit(f)->gdt[3], 0x00af9b000000ffff);
    assert_int_equal(transit(f)->gdtr.limit, 31);
    assert_int_equal(transit(f)->gdtr.base,
                     STAGING_PA + f->area.transit + offsetof(struct resume_transit, gdt));
    assert_int_equal(transit(f)->protected_far.offset,
                     STAGING_PA + 0x1000 + header->protected_entry);
    assert_int_equal(transit(f)->protected_far.selector, 8);
    assert_int_equal(transit(f)->long_far.offset, STAGING_PA + 0x1000 + header->long_entry);
    assert_int_equal(transit(f)->long_far.selector, 0x18);

    assert_memory_equal(f->startup, resume_trampoline + header->startup,
                        header->startup_parameters);
    startup =
        (const struct resume_startup *)(const void *)(f->startup + header->startup_parameters);
    assert_int_equal(startup->entry, transit(f)->protected_far.offset);
    assert_int_equal(startup->selector, 8);
    assert_int_equal(startup->gdt_limit, 31);
    assert_int_equal(startup->gdt_base, transit(f)->gdtr.base);
    assert_int_equal(startup->transit, STAGING_PA + f->area.transit);
}

static void one_processor_needs_no_startup_page(void **context)
{
    struct fixture *f = *context;

    f->input.startup_pa = 0;
    assert_int_equal(resume_transit_build(&f->input, f->staging, NULL, NULL), 0);
    assert_int_equal(transit(f)->startup_pa, 0);
    assert_int_equal(resume_transit_build(&f->input, f->staging, f->startup, NULL), RESUME_EINVAL);
}

static void collisions_are_refused(void **context)
{
    struct fixture *f = *context;
    struct resume_diag diag;

    f->input.staging_pa = LINUX_HOME_PA + f->home.length - 0x1000;
    assert_int_equal(resume_transit_build(&f->input, f->staging, f->startup, &diag),
                     RESUME_ECONFLICT);
    f->input.staging_pa = STAGING_PA;
    f->home.va = STAGING_PA; /* the home's guest address is where the staging area lies */
    assert_int_equal(resume_transit_build(&f->input, f->staging, f->startup, &diag),
                     RESUME_ECONFLICT);
    f->home.va = LINUX_HOME_VA;
    f->home.pa = STARTUP_PA - 0x1000;
    assert_int_equal(resume_transit_build(&f->input, f->staging, f->startup, &diag),
                     RESUME_ECONFLICT);
    f->home.pa = LINUX_HOME_PA;
    f->input.staging_pa = 0x80000;
    assert_int_equal(resume_transit_build(&f->input, f->staging, f->startup, &diag),
                     RESUME_ECONFLICT);
}

static void bad_inputs_are_refused(void **context)
{
    static const uint64_t staging_pa[] = {STAGING_PA + 1, UINT64_C(0x100000000), 0xfffff000};
    struct fixture *f = *context;
    struct resume_transit_input input;

    assert_int_equal(resume_transit_build(NULL, f->staging, f->startup, NULL), RESUME_EINVAL);
    assert_int_equal(resume_transit_build(&f->input, NULL, f->startup, NULL), RESUME_EINVAL);
    for (uint32_t i = 0; i < 3; i++) {
        input = f->input;
        input.staging_pa = staging_pa[i];
        assert_int_equal(resume_transit_build(&input, f->staging, f->startup, NULL), RESUME_EINVAL);
    }
    input = f->input;
    input.startup_pa = 0x100000; /* a startup vector cannot name it */
    assert_int_equal(resume_transit_build(&input, f->staging, f->startup, NULL), RESUME_EINVAL);
    input = f->input;
    input.trampoline_length--;
    assert_int_equal(resume_transit_build(&input, f->staging, f->startup, NULL), RESUME_ETRUNC);
    input = f->input;
    input.levels = 3;
    assert_int_equal(resume_transit_build(&input, f->staging, f->startup, NULL), RESUME_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_on_the_way_is_mapped),
        TEST(the_way_is_described),
        TEST(one_processor_needs_no_startup_page),
        TEST(collisions_are_refused),
        TEST(bad_inputs_are_refused),
    };

    return cmocka_run_group_tests_name("transit", tests, NULL, NULL);
}
