/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Content of the records: blobs laid out by hand decode to the values they were made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "blob.h"
#include "good_state.h"

static struct good_state good;
static struct good_state empty;

static int fill(void **state)
{
    (void)state;
    good_state_fill(&good);
    return 0;
}

static int decode(const struct blob *blob, struct resume_vcpu *vcpu, struct resume_diag *diag)
{
    struct resume_state state;
    int err = resume_state_open(blob->data, blob->length, &state, diag);

    return err != RESUME_OK ? err : resume_state_vcpu(&state, 0, vcpu, diag);
}

static void assert_same(const struct resume_vcpu *left, const struct resume_vcpu *right)
{
    assert_memory_equal(&left->regs, &right->regs, sizeof(left->regs));
    assert_memory_equal(&left->segs, &right->segs, sizeof(left->segs));
    assert_memory_equal(&left->ctrl, &right->ctrl, sizeof(left->ctrl));
    assert_memory_equal(&left->debug, &right->debug, sizeof(left->debug));
    assert_memory_equal(&left->run, &right->run, sizeof(left->run));
    assert_int_equal(left->msr_count, right->msr_count);
    assert_memory_equal(left->msr, right->msr, sizeof(left->msr));
    assert_int_equal(left->xsave.length, right->xsave.length);
    assert_int_equal(left->xsave.comp_count, right->xsave.comp_count);
    assert_memory_equal(left->xsave.comp, right->xsave.comp, sizeof(left->xsave.comp));
    if (left->xsave.length != 0) {
        assert_memory_equal(left->xsave.area, right->xsave.area, left->xsave.length);
    }
}

static void full_state(void **state)
{
    static struct blob blob;
    struct resume_vcpu vcpu;

    (void)state;
    blob_build(&blob, &good.machine, &good.vcpu, 1, NULL, NULL);
    assert_int_equal(decode(&blob, &vcpu, NULL), RESUME_OK);
    assert_same(&vcpu, &good.vcpu);
    /* The image is not copied. */
    assert_ptr_equal(vcpu.xsave.area, blob.data + blob.length - GOOD_AREA_LENGTH);
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_LSTAR), 0xffffffff81800080);
    assert_null(resume_vcpu_msr(&vcpu, 0x1234));
}

static void machine_facts(void **state)
{
    static struct blob blob;
    struct resume_state opened;
    struct resume_machine machine;

    (void)state;
    blob_build(&blob, &good.machine, &good.vcpu, 1, NULL, NULL);
    assert_int_equal(resume_state_open(blob.data, blob.length, &opened, NULL), RESUME_OK);
    assert_int_equal(resume_state_machine(&opened, &machine, NULL), RESUME_OK);
    assert_int_equal(machine.source, RESUME_SOURCE_QEMU_STREAM);
    assert_int_equal(machine.accel, RESUME_ACCEL_TCG);
    assert_string_equal(machine.type, "pc-q35-7.2");
    assert_string_equal(machine.producer, "by hand 1");
    assert_int_equal(machine.range_count, 2);
    assert_int_equal(machine.range[0].base_pa, 0);
    assert_int_equal(machine.range[0].length, 0x80000000);
    assert_int_equal(machine.range[1].base_pa, 0x100000000);
    assert_int_equal(machine.range[1].length, 0x40000000);
}

static void nothing_known(void **state)
{
    static struct blob blob;
    struct resume_vcpu vcpu;

    (void)state;
    blob_build(&blob, &empty.machine, &empty.vcpu, 1, NULL, NULL);
    assert_int_equal(decode(&blob, &vcpu, NULL), RESUME_OK);
    assert_same(&vcpu, &empty.vcpu);
    assert_null(vcpu.xsave.area);
}

/* Each validity bit for itself: its fields come through and no others. */
static void one_validity_bit_at_a_time(void **state)
{
    static struct blob blob;
    size_t count;
    const struct resume_field *table = resume_field_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct resume_vcpu source = {0};
        struct resume_vcpu vcpu;

        resume_field_set(&source, &table[i], 1);
        blob_build(&blob, &empty.machine, &source, 1, NULL, NULL);
        assert_int_equal(decode(&blob, &vcpu, NULL), RESUME_OK);
        for (size_t k = 0; k < count; k++) {
            bool shared = table[k].valid_offset == table[i].valid_offset &&
                          table[k].valid_bit == table[i].valid_bit;

            assert_int_equal(resume_field_valid(&vcpu, &table[k]), shared);
            assert_int_equal(resume_field_get(&vcpu, &table[k]), k == i);
        }
    }
}

/* Where a field lies in its record is written out here for the first of each kind. */
static void values_without_validity_are_refused(void **state)
{
    static struct blob blob;
    static const struct {
        uint16_t tag;
        uint16_t at; /* in the payload */
        const char *name;
    } fields[] = {
        {0x0100, 8, "rax"},         {0x0100, 128, "r15"},
        {0x0100, 136, "rip"},       {0x0100, 144, "rflags"},
        {0x0101, 8, "es.base"},     {0x0101, 16, "es.limit"},
        {0x0101, 20, "es.access"},  {0x0101, 24, "es.selector"},
        {0x0101, 32, "cs.base"},    {0x0101, 192, "tr.selector"},
        {0x0101, 200, "gdtr.base"}, {0x0101, 208, "gdtr.limit"},
        {0x0101, 224, "idtr.base"}, {0x0102, 8, "cr0"},
        {0x0102, 72, "apic_base"},  {0x0103, 8, "dr0"},
        {0x0103, 40, "dr6"},        {0x0103, 48, "dr7"},
        {0x0104, 8, "mp_state"},    {0x0104, 36, "interrupt_vector"},
        {0x0104, 40, "apic_id"},    {0x0104, 44, "shadow_length"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct resume_vcpu vcpu = {.reserved = 77};
        struct resume_diag diag = {0};
        size_t at;

        blob_build(&blob, &empty.machine, &empty.vcpu, 1, NULL, NULL);
        at = blob_record(&blob, fields[i].tag, 0) + 16 + fields[i].at;
        blob_put(&blob, at, 1, 1);
        blob_seal(&blob);
        assert_int_equal(decode(&blob, &vcpu, &diag), RESUME_ERESERVED);
        assert_string_equal(diag.field, fields[i].name);
        assert_int_equal(diag.offset, at);
        assert_int_equal(diag.found, 1);
        assert_int_equal(diag.vcpu, 0);
        assert_int_equal(vcpu.reserved, 77);
    }
}

static void unknown_validity_bits_are_refused(void **state)
{
    static struct blob blob;
    static const struct {
        uint16_t tag;
        unsigned first_unknown;
    } records[] = {{0x0001, 4}, {0x0002, 1},  {0x0100, 18}, {0x0101, 10}, {0x0102, 9},
                   {0x0103, 6}, {0x0104, 10}, {0x0105, 1},  {0x0106, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        for (unsigned bit = records[i].first_unknown; bit < 64; bit++) {
            struct resume_state opened;
            struct resume_machine machine;
            struct resume_vcpu vcpu;
            struct resume_diag diag = {0};
            uint32_t owner = records[i].tag < 0x100 ? 0xffffffff : 0;
            size_t at;
            int err;

            blob_build(&blob, &good.machine, &good.vcpu, 1, NULL, NULL);
            at = blob_record(&blob, records[i].tag, owner) + 16;
            blob_put(&blob, at, 8, blob_get(&blob, at, 8) | UINT64_C(1) << bit);
            blob_seal(&blob);
            assert_int_equal(resume_state_open(blob.data, blob.length, &opened, NULL), RESUME_OK);
            err = owner == 0 ? resume_state_vcpu(&opened, 0, &vcpu, &diag)
                             : resume_state_machine(&opened, &machine, &diag);
            assert_int_equal(err, RESUME_ERESERVED);
            assert_string_equal(diag.field, "valid");
            assert_int_equal(diag.offset, at);
        }
    }
}

/* A later minor version: what it appended is skipped, what is known is read as ever. */
static void grow(struct blob *blob, const void *arg)
{
    size_t at = blob_record(blob, 0x0104, 0);

    (void)arg;
    blob_insert(blob, blob_after(blob, at), 8);
    blob_put(blob, at + 12, 4, 56);
    blob_put(blob, at + 16, 8, 0x7ff);
    blob_put(blob, at + 64, 8, UINT64_MAX);
    at = blob_record(blob, 0x0105, 0);
    blob_insert(blob, blob_after(blob, at), 8);
    blob_put(blob, at + 12, 4, blob_get(blob, at + 12, 4) + 5);
    blob_put(blob, 10, 2, 9);
}

static void records_of_a_later_minor_version(void **state)
{
    static struct blob blob;
    struct resume_vcpu vcpu;

    (void)state;
    blob_build(&blob, &good.machine, &good.vcpu, 1, grow, NULL);
    assert_int_equal(decode(&blob, &vcpu, NULL), RESUME_OK);
    assert_same(&vcpu, &good.vcpu);
    /* The same bytes in this minor version are not. */
    blob_put(&blob, 10, 2, 1);
    blob_seal(&blob);
    assert_int_equal(decode(&blob, &vcpu, NULL), RESUME_ELENGTH);
}

/* Minor version 0: RUN ended with the interrupt; what was not there is not valid. */
static void shrink(struct blob *blob, const void *arg)
{
    size_t at = blob_record(blob, 0x0104, 0);

    (void)arg;
    blob_remove(blob, at + 56, 8);
    blob_put(blob, at + 12, 4, 40);
    blob_put(blob, at + 16, 8, 0xff);
    blob_put(blob, 10, 2, 0);
}

static void records_of_the_first_minor_version(void **state)
{
    static struct blob blob;
    struct resume_vcpu vcpu;
    struct resume_vcpu expected = good.vcpu;

    (void)state;
    expected.run.valid = 0xff;
    expected.run.apic_id = 0;
    expected.run.shadow_length = 0;
    blob_build(&blob, &good.machine, &good.vcpu, 1, shrink, NULL);
    assert_int_equal(decode(&blob, &vcpu, NULL), RESUME_OK);
    assert_same(&vcpu, &expected);
}

static void each_vcpu_has_its_own_records(void **state)
{
    static struct blob blob;
    struct resume_vcpu vcpus[3] = {good.vcpu, empty.vcpu, good.vcpu};
    struct resume_state opened;
    struct resume_vcpu vcpu;

    (void)state;
    vcpus[2].regs.rip = 0x1234;
    blob_build(&blob, &good.machine, vcpus, 3, NULL, NULL);
    assert_int_equal(resume_state_open(blob.data, blob.length, &opened, NULL), RESUME_OK);
    assert_int_equal(opened.vcpu_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(resume_state_vcpu(&opened, i, &vcpu, NULL), RESUME_OK);
        assert_same(&vcpu, &vcpus[i]);
    }
}

static void wrong_arguments_are_refused(void **state)
{
    static struct blob blob;
    const struct resume_state closed = {0};
    struct resume_state opened;
    struct resume_machine machine = {.reserved = 77};
    struct resume_vcpu vcpu = {.reserved = 77};

    (void)state;
    blob_build(&blob, &good.machine, &good.vcpu, 1, NULL, NULL);
    assert_int_equal(resume_state_open(blob.data, blob.length, &opened, NULL), RESUME_OK);
    assert_int_equal(resume_state_vcpu(&opened, 1, &vcpu, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_vcpu(&opened, UINT32_MAX, &vcpu, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_vcpu(&opened, 0, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_vcpu(NULL, 0, &vcpu, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_vcpu(&closed, 0, &vcpu, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_machine(&opened, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_machine(NULL, &machine, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_machine(&closed, &machine, NULL), RESUME_EINVAL);
    assert_int_equal(vcpu.reserved, 77);
    assert_int_equal(machine.reserved, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_state),
        cmocka_unit_test(machine_facts),
        cmocka_unit_test(nothing_known),
        cmocka_unit_test(one_validity_bit_at_a_time),
        cmocka_unit_test(values_without_validity_are_refused),
        cmocka_unit_test(unknown_validity_bits_are_refused),
        cmocka_unit_test(records_of_a_later_minor_version),
        cmocka_unit_test(records_of_the_first_minor_version),
        cmocka_unit_test(each_vcpu_has_its_own_records),
        cmocka_unit_test(wrong_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, fill, NULL);
}
