/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The writer, against blobs that were laid out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "blob.h"
#include "good_state.h"

static struct good_state good;

static int fill(void **state)
{
    (void)state;
    good_state_fill(&good);
    return 0;
}

static void assert_writes(const struct resume_machine *machine, const struct resume_vcpu *vcpus,
                          uint32_t count, const struct blob *expected)
{
    static uint8_t bytes[BLOB_MAX + 1];
    size_t size = 0;
    size_t written = 0;

    assert_int_equal(resume_state_size(machine, vcpus, count, &size), RESUME_OK);
    assert_int_equal(size, expected->length);
    /* What was in the buffer does not show, and the byte behind it is left alone. */
    for (int junk = 0; junk <= 0xff; junk += 0xff) {
        memset(bytes, junk, sizeof(bytes));
        assert_int_equal(resume_state_write(machine, vcpus, count, bytes, size, &written),
                         RESUME_OK);
        assert_int_equal(written, size);
        assert_memory_equal(bytes, expected->data, size);
        assert_int_equal(bytes[size], junk);
    }
}

static void same_bytes_as_by_hand(void **state)
{
    static struct blob blob;
    struct good_state empty = {0};
    struct resume_vcpu vcpus[2] = {good.vcpu, empty.vcpu};

    (void)state;
    blob_build(&blob, &good.machine, &good.vcpu, 1, NULL, NULL);
    assert_writes(&good.machine, &good.vcpu, 1, &blob);
    blob_build(&blob, &empty.machine, &empty.vcpu, 1, NULL, NULL);
    assert_writes(&empty.machine, &empty.vcpu, 1, &blob);
    blob_build(&blob, &good.machine, vcpus, 2, NULL, NULL);
    assert_writes(&good.machine, vcpus, 2, &blob);
}

/* Equal state gives equal bytes: the order of the list and what is not valid do not matter. */
static void what_does_not_count_does_not_show(void **state)
{
    static struct blob blob;
    struct resume_vcpu vcpu = good.vcpu;

    (void)state;
    vcpu.ctrl.valid &= ~RESUME_CTRL_CR2;
    blob_build(&blob, &good.machine, &vcpu, 1, NULL, NULL);

    vcpu.ctrl.cr2 = 0xbad;
    vcpu.ctrl.valid |= UINT64_C(1) << 63;
    vcpu.segs.seg[RESUME_GDTR].selector = 0xbad;
    vcpu.segs.seg[RESUME_IDTR].access = 0xbad;
    vcpu.segs.seg[RESUME_CS].reserved[1] = 0xbad;
    vcpu.reserved = 0xbad;
    for (uint32_t i = 0; i < vcpu.msr_count / 2; i++) {
        struct resume_msr msr = vcpu.msr[i];

        vcpu.msr[i] = vcpu.msr[vcpu.msr_count - 1 - i];
        vcpu.msr[vcpu.msr_count - 1 - i] = msr;
    }
    assert_writes(&good.machine, &vcpu, 1, &blob);
}

static void largest_records_come_back(void **state)
{
    static uint8_t area[RESUME_XSAVE_MAX];
    static uint8_t bytes[BLOB_MAX];
    struct resume_machine machine = good.machine;
    struct resume_vcpu vcpu = good.vcpu;
    struct resume_state opened;
    struct resume_vcpu vcpu_again;
    struct resume_machine machine_again;
    size_t size;

    (void)state;
    memset(machine.type, '~', RESUME_NAME_MAX - 1);
    machine.range_count = RESUME_RANGE_MAX;
    for (uint32_t i = 0; i < RESUME_RANGE_MAX; i++) {
        machine.range[i] = (struct resume_range){UINT64_C(0x10000) * i, 0x10000};
    }
    vcpu.msr_count = RESUME_MSR_MAX;
    for (uint32_t i = 0; i < RESUME_MSR_MAX; i++) {
        vcpu.msr[i] = (struct resume_msr){.index = UINT32_MAX - RESUME_MSR_MAX + 1 + i, .value = i};
    }
    vcpu.xsave = (struct resume_xsave){area, RESUME_XSAVE_MAX, RESUME_XCOMP_MAX, {{0, 0, 0}}};
    area[RESUME_XSAVE_MAX - 1] = 0xee;
    vcpu.xsave.comp[RESUME_XCOMP_MAX - 1] = (struct resume_xcomp){1, 2, 3};

    assert_int_equal(resume_state_write(&machine, &vcpu, 1, bytes, sizeof(bytes), &size),
                     RESUME_OK);
    assert_int_equal(resume_state_open(bytes, size, &opened, NULL), RESUME_OK);
    assert_int_equal(resume_state_machine(&opened, &machine_again, NULL), RESUME_OK);
    assert_memory_equal(&machine_again, &machine, sizeof(machine));
    assert_int_equal(resume_state_vcpu(&opened, 0, &vcpu_again, NULL), RESUME_OK);
    assert_memory_equal(vcpu_again.msr, vcpu.msr, sizeof(vcpu.msr));
    assert_int_equal(vcpu_again.xsave.length, RESUME_XSAVE_MAX);
    assert_int_equal(vcpu_again.xsave.area[RESUME_XSAVE_MAX - 1], 0xee);
    assert_memory_equal(vcpu_again.xsave.comp, vcpu.xsave.comp, sizeof(vcpu.xsave.comp));
}

/* 576 + 5 bytes of image: the record is padded. And the shortest. */
static void odd_image_length(void **state)
{
    static struct blob blob;
    struct resume_vcpu vcpu = good.vcpu;

    (void)state;
    vcpu.xsave.length = 581;
    blob_build(&blob, &good.machine, &vcpu, 1, NULL, NULL);
    assert_writes(&good.machine, &vcpu, 1, &blob);
    vcpu.xsave.length = RESUME_XSAVE_MIN;
    blob_build(&blob, &good.machine, &vcpu, 1, NULL, NULL);
    assert_writes(&good.machine, &vcpu, 1, &blob);
}

static void most_vcpus(void **state)
{
    struct resume_vcpu *vcpus = calloc(RESUME_VCPU_MAX, sizeof(*vcpus));
    uint8_t *bytes;
    struct resume_state opened;
    struct resume_vcpu last;
    size_t size;

    (void)state;
    assert_non_null(vcpus);
    vcpus[RESUME_VCPU_MAX - 1] = good.vcpu;
    assert_int_equal(resume_state_size(&good.machine, vcpus, RESUME_VCPU_MAX, &size), RESUME_OK);
    bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(resume_state_write(&good.machine, vcpus, RESUME_VCPU_MAX, bytes, size, &size),
                     RESUME_OK);
    assert_int_equal(resume_state_open(bytes, size, &opened, NULL), RESUME_OK);
    assert_int_equal(opened.vcpu_count, RESUME_VCPU_MAX);
    assert_int_equal(resume_state_vcpu(&opened, RESUME_VCPU_MAX - 1, &last, NULL), RESUME_OK);
    assert_int_equal(last.regs.rip, good.vcpu.regs.rip);
    assert_int_equal(resume_state_size(&good.machine, vcpus, RESUME_VCPU_MAX + 1, &size),
                     RESUME_EINVAL);
    free(bytes);
    free(vcpus);
}

static void assert_refuses(int expected, const struct resume_machine *machine,
                           const struct resume_vcpu *vcpu)
{
    static uint8_t bytes[BLOB_MAX];
    static uint8_t before[BLOB_MAX];
    size_t size = 77;

    memset(bytes, 0xa5, sizeof(bytes));
    memcpy(before, bytes, sizeof(bytes));
    assert_int_equal(resume_state_size(machine, vcpu, 1, &size), expected);
    assert_int_equal(size, 77);
    assert_int_equal(resume_state_write(machine, vcpu, 1, bytes, sizeof(bytes), &size), expected);
    assert_int_equal(size, 77);
    assert_memory_equal(bytes, before, sizeof(bytes));
}

#define REFUSES_VCPU(expected, change)                                                             \
    do {                                                                                           \
        struct resume_vcpu vcpu = good.vcpu;                                                       \
        change;                                                                                    \
        assert_refuses(expected, &good.machine, &vcpu);                                            \
    } while (0)
#define REFUSES_MACHINE(expected, change)                                                          \
    do {                                                                                           \
        struct resume_machine machine = good.machine;                                              \
        change;                                                                                    \
        assert_refuses(expected, &machine, &good.vcpu);                                            \
    } while (0)

static void what_could_not_be_read_back_is_refused(void **state)
{
    (void)state;
    REFUSES_VCPU(RESUME_ELENGTH, vcpu.msr_count = RESUME_MSR_MAX + 1);
    REFUSES_VCPU(RESUME_ELENGTH, vcpu.msr_count = UINT32_MAX);
    REFUSES_VCPU(RESUME_ELENGTH, vcpu.xsave.comp_count = RESUME_XCOMP_MAX + 1);
    REFUSES_VCPU(RESUME_ELENGTH, vcpu.xsave.length = RESUME_XSAVE_MAX + 1);
    REFUSES_VCPU(RESUME_ELENGTH, vcpu.xsave.length = 575);
    REFUSES_VCPU(RESUME_EINVAL, vcpu.xsave.area = NULL);
    REFUSES_VCPU(RESUME_EINVAL, vcpu.xsave.length = 0);
    REFUSES_VCPU(RESUME_EDUPLICATE, vcpu.msr[5].index = vcpu.msr[2].index);
    REFUSES_VCPU(RESUME_ERESERVED, vcpu.msr[5].flags = 2);
    REFUSES_VCPU(RESUME_EREGISTER, vcpu.run.mp_state = 4);
    REFUSES_MACHINE(RESUME_ELENGTH, machine.range_count = RESUME_RANGE_MAX + 1);
    REFUSES_MACHINE(RESUME_ECONSISTENT, machine.range[1].base_pa = 0x1000);
    REFUSES_MACHINE(RESUME_ECONSISTENT, machine.range[1].length = 0);
    REFUSES_MACHINE(RESUME_EINVAL, memset(machine.type, 'x', RESUME_NAME_MAX));
    REFUSES_MACHINE(RESUME_EINVAL, machine.producer[0] = '\n');
    REFUSES_MACHINE(RESUME_EINVAL, machine.type[0] = 127);
    REFUSES_MACHINE(RESUME_EINVAL, machine.producer[63] = 'x');
}

static void wrong_arguments_are_refused(void **state)
{
    static uint8_t bytes[BLOB_MAX];
    size_t size = 77;

    (void)state;
    assert_int_equal(resume_state_size(NULL, &good.vcpu, 1, &size), RESUME_EINVAL);
    assert_int_equal(resume_state_size(&good.machine, NULL, 1, &size), RESUME_EINVAL);
    assert_int_equal(resume_state_size(&good.machine, &good.vcpu, 0, &size), RESUME_EINVAL);
    assert_int_equal(resume_state_size(&good.machine, &good.vcpu, 1, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_write(&good.machine, &good.vcpu, 1, NULL, sizeof(bytes), &size),
                     RESUME_EINVAL);
    assert_int_equal(resume_state_write(&good.machine, &good.vcpu, 1, bytes, sizeof(bytes), NULL),
                     RESUME_EINVAL);
    assert_int_equal(size, 77);
}

static void small_buffers_are_refused_and_left_alone(void **state)
{
    static uint8_t bytes[BLOB_MAX];
    static const uint8_t zero[BLOB_MAX];
    size_t size;
    size_t written = 77;

    (void)state;
    assert_int_equal(resume_state_size(&good.machine, &good.vcpu, 1, &size), RESUME_OK);
    for (size_t capacity = 0; capacity < size; capacity++) {
        assert_int_equal(
            resume_state_write(&good.machine, &good.vcpu, 1, bytes, capacity, &written),
            RESUME_ENOSPC);
    }
    assert_int_equal(written, 77);
    assert_memory_equal(bytes, zero, sizeof(bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_as_by_hand),
        cmocka_unit_test(what_does_not_count_does_not_show),
        cmocka_unit_test(largest_records_come_back),
        cmocka_unit_test(odd_image_length),
        cmocka_unit_test(most_vcpus),
        cmocka_unit_test(what_could_not_be_read_back_is_refused),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(small_buffers_are_refused_and_left_alone),
    };

    return cmocka_run_group_tests(tests, fill, NULL);
}
