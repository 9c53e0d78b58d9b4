/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The table of fields that is shown and compared, the modes that are told, and verdicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diff.h"
#include "fields.h"
#include "good_state.h"
#include "guest_mode.h"

struct fixture {
    struct good_state good;
    struct fields fields;
    struct fields others;
    struct diff diff;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    good_state_fill(&fixture->good);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static const struct field *known(const struct fields *fields, const char *name)
{
    const struct field *field = fields_find(fields, name);
    if (field == NULL || !field->known)
        fail_msg("%s is not there, or not known", name);
    return field;
}

static void has_every_field_once(void **state)
{
    struct fixture *fixture = *state;
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    fields_list(&fixture->good.vcpu, &fixture->fields);
    for (size_t i = 0; i < count; i++) {
        const struct field *field = known(&fixture->fields, table[i].name);
        assert_int_equal(field_value(field), resume_field_get(&fixture->good.vcpu, &table[i]));
        assert_int_equal(field->size, table[i].size);
    }
    /* Table, MSRs, x87 and MXCSR, ST, XMM, upper halves of YMM. */
    assert_int_equal(fixture->fields.count, count + 11 + 7 + 8 + 16 + 16);
    for (uint32_t i = 0; i < fixture->fields.count; i++)
        assert_ptr_equal(fields_find(&fixture->fields, fixture->fields.field[i].name),
                         &fixture->fields.field[i]);
    assert_int_equal(field_value(known(&fixture->fields, "msr_c0000082")), 0xffffffff81800080);
    assert_int_equal(field_value(known(&fixture->fields, "fcw")), 0x37f);
    assert_int_equal(known(&fixture->fields, "st0")->value[9], 0x3f);
    assert_int_equal(field_value(known(&fixture->fields, "xmm3")), 0x0303030303030303);
    assert_int_equal(field_value(known(&fixture->fields, "ymm_high3")), 0x1010101010101013);
}

static void puts_vectors_together(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[64];
    unsigned width;
    fields_list(&fixture->good.vcpu, &fixture->fields);
    assert_true(fields_vector(&fixture->fields, 5, bytes, &width));
    assert_int_equal(width, 32);
    assert_int_equal(bytes[0], 5);
    assert_int_equal(bytes[16], 0x15);
    assert_false(fields_vector(&fixture->fields, 16, bytes, &width));
}

/* Intel SDM vol. 1, "Initial Configuration of State Components": what XRSTOR loads then. */
static void gives_what_is_not_in_use_its_initial_values(void **state)
{
    struct fixture *fixture = *state;
    good_state_put_area(&fixture->good, 512, 8, 0);
    good_state_put_area(&fixture->good, 0, 2, 0x1234);
    fields_list(&fixture->good.vcpu, &fixture->fields);
    assert_int_equal(field_value(known(&fixture->fields, "fcw")), 0x37f);
    assert_int_equal(field_value(known(&fixture->fields, "st0")), 0);
    assert_int_equal(field_value(known(&fixture->fields, "xmm3")), 0);
    assert_int_equal(field_value(known(&fixture->fields, "ymm_high3")), 0);
    assert_int_equal(field_value(known(&fixture->fields, "mxcsr")), 0x1f80);
}

static void does_not_make_up_what_is_not_carried(void **state)
{
    struct fixture *fixture = *state;
    struct resume_vcpu *vcpu = &fixture->good.vcpu;
    char text[FIELD_TEXT_MAX];
    vcpu->ctrl.valid &= ~RESUME_CTRL_EFER;
    vcpu->segs.valid &= ~(UINT64_C(1) << RESUME_TR);
    vcpu->xsave = (struct resume_xsave){0};
    fields_list(vcpu, &fixture->fields);
    static const char *const lost[] = {"efer", "tr.base", "tr.access", "fcw", "st7", "xmm15"};
    for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
        const struct field *field = fields_find(&fixture->fields, lost[i]);
        assert_non_null(field);
        assert_false(field->known);
        assert_int_equal(field_value(field), 0);
        assert_string_equal(field_format(field, text), "not carried");
    }
    assert_null(fields_find(&fixture->fields, "ymm_high0"));
    known(&fixture->fields, "cs.base");
}

/* A hostile blob may have as many components, of any size, as the format allows. */
static void bears_components_that_overlap(void **state)
{
    struct fixture *fixture = *state;
    struct resume_xsave *xsave = &fixture->good.vcpu.xsave;
    xsave->length = RESUME_XSAVE_MAX;
    xsave->comp_count = RESUME_XCOMP_MAX;
    for (uint32_t i = 0; i < RESUME_XCOMP_MAX; i++)
        xsave->comp[i] = (struct resume_xcomp){40 + i % 3, 0, RESUME_XSAVE_MAX};
    xsave->comp[0] = (struct resume_xcomp){2, RESUME_XSAVE_MAX - 8, 256};
    xsave->comp[1] = (struct resume_xcomp){63, 0, 64};
    fields_list(&fixture->good.vcpu, &fixture->fields);
    assert_true(fixture->fields.count <= FIELDS_MAX);
    assert_null(fields_find(&fixture->fields, "ymm_high0"));
    known(&fixture->fields, "xstate40_40");
}

static void says_values_in_words(void **state)
{
    struct fixture *fixture = *state;
    char text[FIELD_TEXT_MAX];
    fixture->good.vcpu.run.mp_state = RESUME_MP_HALTED;
    fixture->good.vcpu.run.interrupt_shadow = 2;
    fields_list(&fixture->good.vcpu, &fixture->fields);
    static const struct {
        const char *name;
        const char *text;
    } words[] = {{"cr0", "0x80050033 PE MP ET NE WP AM PG"},
                 {"mp_state", "halted"},
                 {"smm", "no"},
                 {"interrupt_shadow", "after MOV SS or POP SS"},
                 {"exception_vector", "none"},
                 {"rbx", "0x3333333333333333"},
                 {"st0", "0x3fff8000000000000000"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_string_equal(field_format(known(&fixture->fields, words[i].name), text),
                            words[i].text);
}

static void knows_what_listings_lack(void **state)
{
    struct fixture *fixture = *state;
    fixture->good.vcpu.run.mp_state = RESUME_MP_HALTED;
    fields_list(&fixture->good.vcpu, &fixture->fields);
    fields_lack(&fixture->fields, "qemu-stream");
    known(&fixture->fields, "fip");
    fields_lack(&fixture->fields, "registers");
    assert_false(fields_find(&fixture->fields, "fip")->known);
    known(&fixture->fields, "fcw");
    known(&fixture->fields, "mp_state"); /* in protected mode it has been started */
    fixture->good.vcpu.ctrl.cr0 = 0x60000010;
    fields_list(&fixture->good.vcpu, &fixture->fields);
    fields_lack(&fixture->fields, "registers");
    assert_false(fields_find(&fixture->fields, "mp_state")->known);
}

static uint32_t differing(struct fixture *fixture)
{
    fields_list(&fixture->good.vcpu, &fixture->others);
    diff_fields(&fixture->fields, &fixture->others, &fixture->diff);
    return fixture->diff.totals[DIFF_DIFFERENT];
}

static void compares_what_both_carry(void **state)
{
    struct fixture *fixture = *state;
    struct resume_vcpu *vcpu = &fixture->good.vcpu;
    fields_list(vcpu, &fixture->fields);
    assert_int_equal(differing(fixture), 0);
    vcpu->segs.seg[RESUME_FS].base++;
    good_state_put_area(&fixture->good, 576 + 16 * 7 + 15, 1, 1);
    *good_state_msr(&fixture->good, RESUME_MSR_PAT) ^= 1;
    assert_int_equal(differing(fixture), 3);
    vcpu->ctrl.valid &= ~RESUME_CTRL_CR8;
    good_state_remove_msr(&fixture->good, RESUME_MSR_PAT);
    good_state_add_msr(&fixture->good, 0xc0011029, 0, 1);
    assert_int_equal(differing(fixture), 2);
    assert_int_equal(fixture->diff.totals[DIFF_ONLY_A], 2);
    assert_int_equal(fixture->diff.totals[DIFF_ONLY_B], 1);
}

/* "There is one" agrees with "after STI"; "after MOV SS" and "none" do not. */
static void compares_shadows_as_far_as_they_are_known(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t shadows[][3] = {{3, 1, 0}, {1, 3, 0}, {3, 3, 0}, {1, 2, 1},
                                          {0, 3, 1}, {3, 0, 1}, {0, 0, 0}};
    for (size_t i = 0; i < sizeof(shadows) / sizeof(shadows[0]); i++) {
        fixture->good.vcpu.run.interrupt_shadow = shadows[i][0];
        fields_list(&fixture->good.vcpu, &fixture->fields);
        fixture->good.vcpu.run.interrupt_shadow = shadows[i][1];
        assert_int_equal(differing(fixture), shadows[i][2]);
    }
}

static void tells_modes_as_far_as_it_can(void **state)
{
    struct fixture *fixture = *state;
    struct resume_vcpu *vcpu = &fixture->good.vcpu;
    struct guest_mode mode;
    guest_mode_of(vcpu, &mode);
    assert_string_equal(mode.mode, "64-bit mode");
    assert_int_equal(mode.paging, GUEST_PAGING_4_LEVEL);
    assert_int_equal(mode.cpl, 3);
    assert_false(mode.efer_assumed);
    vcpu->ctrl.valid &= ~RESUME_CTRL_EFER;
    vcpu->ctrl.efer = 0;
    guest_mode_of(vcpu, &mode);
    assert_string_equal(mode.mode, "64-bit mode");
    assert_int_equal(mode.levels, 4);
    assert_true(mode.efer_assumed);
    /* In compatibility mode the tables beyond 4 GiB are left to tell it. */
    vcpu->segs.seg[RESUME_CS].access = 0xc0fb;
    guest_mode_of(vcpu, &mode);
    assert_string_equal(mode.mode, "compatibility mode");
    vcpu->segs.seg[RESUME_GDTR].base = 0x1000;
    vcpu->segs.seg[RESUME_IDTR].base = 0x2000;
    vcpu->segs.seg[RESUME_TR].base = 0x3000;
    guest_mode_of(vcpu, &mode);
    assert_string_equal(mode.mode, "protected mode");
    assert_int_equal(mode.paging, GUEST_PAGING_PAE);
    assert_int_equal(mode.levels, 0);
    vcpu->ctrl.valid &= ~RESUME_CTRL_CR0;
    vcpu->segs.valid = 0;
    guest_mode_of(vcpu, &mode);
    assert_string_equal(mode.mode, "unknown mode");
    assert_int_equal(mode.paging, GUEST_PAGING_UNKNOWN);
    assert_false(mode.cpl_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(has_every_field_once, setup, teardown),
        cmocka_unit_test_setup_teardown(puts_vectors_together, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_what_is_not_in_use_its_initial_values, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(does_not_make_up_what_is_not_carried, setup, teardown),
        cmocka_unit_test_setup_teardown(bears_components_that_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(says_values_in_words, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_what_listings_lack, setup, teardown),
        cmocka_unit_test_setup_teardown(compares_what_both_carry, setup, teardown),
        cmocka_unit_test_setup_teardown(compares_shadows_as_far_as_they_are_known, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_modes_as_far_as_it_can, setup, teardown),
    };
    return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
