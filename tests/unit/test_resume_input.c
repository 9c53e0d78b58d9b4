/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Opening a snapshot of several vCPUs for a resume. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resume_input.h"
#include "snapshot_guest.h"

/* A snapshot directory of four vCPUs, of which 0 and 2 were never started. */
static struct guest *save_four(void)
{
    struct guest *guest = guest_open(4);
    guest_sleep(guest, 0);
    guest_sleep(guest, 2);
    assert_int_equal(guest_snapshot(guest), 0);
    guest_save(guest);
    return guest;
}

static int open_input(struct guest *guest, struct resume_input *input, const char *wish)
{
    const struct resume_input_options options = {
        .path = guest->directory,
        .inject = &wish,
        .inject_count = wish != NULL ? 1 : 0,
    };
    memset(&guest->failure, 0, sizeof(guest->failure));
    return resume_input_open(input, &options, &guest->failure);
}

static void knows_the_vcpus(void **state)
{
    (void)state;
    struct guest *guest = save_four();
    struct resume_input input = {0};
    assert_int_equal(open_input(guest, &input, NULL), 0);
    assert_int_equal(input.vcpu_count, 4);
    assert_int_equal(input.active_count, 2);
    assert_false(input.active[0]);
    assert_true(input.active[1]);
    assert_false(input.active[2]);
    assert_true(input.active[3]);
    assert_int_equal(input.fill, 0xcc);
    assert_int_equal(input.home.length, 0x10000 + 4 * 0x7000 + 0x1000);
    assert_true(input.home.va == guest->made.home.va);
    assert_int_equal(input.home.offset, guest->made.home.pa);
    assert_int_equal(input.layout.length, input.home.length);
    assert_int_equal(input.layout.landings, input.home.length - 4 * 256);
    resume_input_close(&input);
    guest_close(guest);
}

static size_t read_file(const char *path, uint8_t *data, size_t capacity)
{
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    size_t length = fread(data, 1, capacity, in);
    fclose(in);
    return length;
}

/* Register RBX of every vCPU of a blob. The plan has to be one for it. */
static void read_rbx(const struct resume_input *input, uint64_t rbx[4])
{
    uint8_t data[65536];
    struct resume_state blob;
    struct resume_plan plan;
    struct resume_vcpu vcpu;
    size_t length = read_file(input->plan_path, data, sizeof(data));
    assert_int_equal(resume_plan_read(data, length, &plan, NULL), 0);
    length = read_file(input->state_path, data, sizeof(data));
    assert_int_equal(resume_state_open(data, length, &blob, NULL), 0);
    assert_int_equal(blob.vcpu_count, 4);
    assert_int_equal(plan.state_crc32c, blob.crc32c);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(resume_state_vcpu(&blob, i, &vcpu, NULL), 0);
        rbx[i] = vcpu.regs.gpr[RESUME_RBX];
    }
}

static void spoils_the_vcpu_that_is_named(void **state)
{
    static const struct {
        const char *wish;
        uint64_t rbx[4];
    } cases[] = {
        {"reg:rbx^0xff", {0x1000, 0x10fe, 0x1002, 0x1003}},
        {"reg:rbx@1^0xff", {0x1000, 0x10fe, 0x1002, 0x1003}},
        {"reg:rbx@3^0xff", {0x1000, 0x1001, 0x1002, 0x10fc}},
    };
    (void)state;
    struct guest *guest = save_four();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resume_input input = {0};
        uint64_t rbx[4];
        assert_int_equal(open_input(guest, &input, cases[i].wish), 0);
        read_rbx(&input, rbx);
        assert_memory_equal(rbx, cases[i].rbx, sizeof(rbx));
        resume_input_close(&input);
    }
    guest_close(guest);
}

static void refuses_wishes_for_vcpus_that_are_not_resumed(void **state)
{
    static const char *const wishes[] = {
        "reg:rbx@0^1", "reg:rbx@2^1",  "reg:rbx@4^1",  "reg:rbx@^1",
        "reg:rbx@x^1", "reg:rbx@1x^1", "reg:rbx@-1^1", "reg:rbx@99999999999999999999^1",
    };
    (void)state;
    struct guest *guest = save_four();
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        struct resume_input input = {0};
        assert_int_equal(open_input(guest, &input, wishes[i]), -EXIT_CODE_USAGE);
        resume_input_close(&input);
    }
    guest_close(guest);
}

/* Neither an empty number nor one with more than digits means the vCPU that strtoul makes of it. */
static void refuses_numbers_that_are_none(void **state)
{
    static const char *const wishes[] = {"reg:rbx@^1", "reg:rbx@ 1^1", "reg:rbx@+1^1",
                                         "reg:rbx@300^1"};
    (void)state;
    struct guest *guest = guest_open(2);
    assert_int_equal(guest_snapshot(guest), 0);
    guest_save(guest);
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        struct resume_input input = {0};
        assert_int_equal(open_input(guest, &input, wishes[i]), -EXIT_CODE_USAGE);
        resume_input_close(&input);
    }
    guest_close(guest);
}

static void refuses_another_number_of_vcpus(void **state)
{
    (void)state;
    struct guest *guest = guest_open(4);
    struct resume_input input = {0};
    assert_int_equal(guest_snapshot(guest), 0);
    guest->manifest->cpu_count = 3;
    guest_save(guest);
    guest_assert_refused(guest, open_input(guest, &input, NULL), "4 vCPUs, the manifest says 3");
    resume_input_close(&input);
    guest_close(guest);
}

/* A plan for the same state, but for a home that the vCPUs do not fit. */
static void refuses_a_home_of_another_length(void **state)
{
    (void)state;
    struct guest *guest = guest_open(4);
    struct resume_input input = {0};
    struct resume_plan plan;
    assert_int_equal(guest_snapshot(guest), 0);
    assert_int_equal(resume_plan_read(guest->made.plan, guest->made.plan_length, &plan, NULL), 0);
    plan.home.length += 0x1000;
    assert_int_equal(resume_plan_write(&plan, guest->made.plan, sizeof(guest->made.plan),
                                       &guest->made.plan_length),
                     0);
    guest_save(guest);
    guest_assert_refused(guest, open_input(guest, &input, NULL), "length of the home");
    resume_input_close(&input);
    guest_close(guest);
}

static void refuses_a_target_with_other_active_vcpus(void **state)
{
    (void)state;
    struct guest *guest = save_four();
    struct resume_input input = {0};
    struct resume_handoff handoff[4];
    struct splice_parked parked;
    memset(handoff, 0, sizeof(handoff));
    memset(&parked, 0, sizeof(parked));
    assert_int_equal(open_input(guest, &input, NULL), 0);
    parked.control.vcpu_count = 3;
    parked.handoff = handoff;
    guest_assert_refused(guest, resume_input_check(&input, &parked, &guest->failure),
                         "it knows 3 vCPUs, the snapshot 4");
    parked.control.vcpu_count = 4;
    handoff[1].flags = RESUME_HANDOFF_ACTIVE;
    guest_assert_refused(guest, resume_input_check(&input, &parked, &guest->failure),
                         "vCPU 3 is dormant in it and active in the snapshot");
    handoff[2].flags = RESUME_HANDOFF_ACTIVE;
    guest_assert_refused(guest, resume_input_check(&input, &parked, &guest->failure),
                         "vCPU 2 is active in it and dormant in the snapshot");
    resume_input_close(&input);
    guest_close(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_vcpus),
        cmocka_unit_test(spoils_the_vcpu_that_is_named),
        cmocka_unit_test(refuses_wishes_for_vcpus_that_are_not_resumed),
        cmocka_unit_test(refuses_numbers_that_are_none),
        cmocka_unit_test(refuses_another_number_of_vcpus),
        cmocka_unit_test(refuses_a_home_of_another_length),
        cmocka_unit_test(refuses_a_target_with_other_active_vcpus),
    };
    return cmocka_run_group_tests_name("resume input", tests, NULL, NULL);
}
