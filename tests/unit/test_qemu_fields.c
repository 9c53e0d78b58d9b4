/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <resume/msr.h>

#include "qemu_fields.h"
#include "qemu_machine.h"
#include "qemu_msr.h"

static void fields_have_the_class_they_should(void **state)
{
    static const struct {
        const char *path;
        enum field_class class;
    } known[] = {
        {"cpu/env.regs[15]", FIELD_RESTORED},
        {"cpu/env.segs[4].base", FIELD_RESTORED},
        {"cpu/env.gdt.flags", FIELD_IRRELEVANT},
        {"cpu/env.gdt.base", FIELD_RESTORED},
        {"cpu/env.dr[7]", FIELD_RESTORED},
        {"cpu/env.dr[4]", FIELD_IRRELEVANT},
        {"cpu/env.hflags", FIELD_DERIVED},
        {"cpu/env.xstate_bv", FIELD_DERIVED},
        {"cpu/env.tsc", FIELD_RESTORED},
        {"cpu/env.tsc_aux", FIELD_RESTORED},
        {"cpu/env.tsc_offset", FIELD_MUST_EQUAL},
        {"cpu/env.mtrr_var[3].mask", FIELD_RESTORED},
        {"cpu/env.mce_banks[7]", FIELD_RESTORED},
        {"cpu/env.mcg_cap", FIELD_MUST_EQUAL},
        {"cpu/xss/env.xss", FIELD_RESTORED},
        {"cpu/pkru/env.pkru", FIELD_RESTORED},
        {"cpu/mpx/env.msr_bndcfgs", FIELD_RESTORED},
        {"cpu/cet/env.u_cet", FIELD_RESTORED},
        {"cpu/cet/cpu/cet_shstk/env.guest_ssp", FIELD_DERIVED},
        {"cpu/spec_ctrl/env.spec_ctrl", FIELD_RESTORED},
        {"cpu/env.system_time_msr", FIELD_RESTORED},
        {"cpu/fred/env.fred_rsp1", FIELD_RESTORED},
        {"cpu/env.smbase", FIELD_MUST_EQUAL},
        {"cpu_common/halted", FIELD_IRRELEVANT},
        {"cpu_common/interrupt_request", FIELD_DERIVED},
        {"cpu_common/novelty", FIELD_UNKNOWN},
        {"cpu/env.novelty", FIELD_UNKNOWN},
        {"cpu/env.eipx", FIELD_UNKNOWN},
        {"apic/tpr", FIELD_CARRIED},
        {"cpux/env.eip", FIELD_CARRIED},
    };
    const char *reason = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (qemu_field_class(known[i].path, &reason) != known[i].class)
            fail_msg("%s is %s", known[i].path,
                     qemu_field_class_name(qemu_field_class(known[i].path, NULL)));
        assert_non_null(reason);
    }
}

/* The whole of a stream, of all versions; and no row of the table is there for nothing. */
static void every_field_has_a_row_and_every_row_a_field(void **state)
{
    struct machine *m = machine_make();
    bool used[256] = {false};
    size_t count;
    const struct qemu_field_row *rows = qemu_field_table(&count);
    (void)state;
    assert_in_range(count, 1, sizeof(used) / sizeof(used[0]));
    m->parts = BUILD_CPU_ALL;
    machine_open(m);
    assert_true(m->desc.field_count > 800);
    for (uint32_t i = 0; i < m->desc.field_count; i++) {
        const char *reason;
        const char *path = m->desc.fields[i].path;
        if (strncmp(path, "cpu", 3) != 0)
            continue;
        if (qemu_field_class(path, &reason) == FIELD_UNKNOWN)
            fail_msg("%s has no class", path);
        /* The first row that fits: found by what it says, and by its pattern. */
        for (size_t k = 0; k < count; k++) {
            size_t length = strlen(rows[k].pattern);
            bool prefix = rows[k].pattern[length - 1] == '*';
            if (prefix ? strncmp(rows[k].pattern, path, length - 1) == 0
                       : strcmp(rows[k].pattern, path) == 0) {
                assert_ptr_equal(rows[k].reason, reason);
                used[k] = true;
                break;
            }
        }
    }
    for (size_t k = 0; k < count; k++) {
        /* A structure that a pointer leads to, and QEMU for 32-bit guests: not built here. */
        if (!used[k] && strcmp(rows[k].pattern, "cpu/nested_state/*") != 0 &&
            strcmp(rows[k].pattern, "cpu/efer32/*") != 0)
            fail_msg("no field fits %s", rows[k].pattern);
    }
    machine_close(m);
    machine_free(m);
}

/* A register is restored exactly when the library has a way to do it. */
static void classes_and_ways_of_registers_agree(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    m->parts = BUILD_CPU_ALL;
    machine_open(m);
    for (uint32_t i = 0; i < m->desc.field_count; i++) {
        const char *path = m->desc.fields[i].path;
        uint32_t index;
        if (qemu_msr_find(path, &index) == NULL)
            continue;
        enum field_class class = qemu_field_class(path, NULL);
        bool locked = strncmp(path, "cpu/msr_ia32_feature_control/", 29) == 0 ||
                      strncmp(path, "cpu/intel_sgx/", 14) == 0;
        bool restored = resume_msr_way(index) != RESUME_MSR_NOT_RESTORED && !locked;
        if ((class == FIELD_RESTORED) != restored)
            fail_msg("%s (MSR 0x%x) is %s", path, index, qemu_field_class_name(class));
    }
    machine_close(m);
    machine_free(m);
}

static void a_register_that_is_not_carried_must_be_equal(void **state)
{
    struct machine *m = machine_make();
    const char *reason = NULL;
    const uint32_t kvm = RESUME_ACCEL_KVM;
    (void)state;
    m->parts = BUILD_CPU_MSRS;
    machine_set(m, "cpu/umwait/env.umwait", 4);
    machine_open(m);
    const struct vmdesc_section *cpu = vmdesc_section_find(&m->desc, "cpu", 0);
    const struct vmdesc_field *spec =
        vmdesc_field_find(&m->desc, cpu, "cpu/spec_ctrl/env.spec_ctrl");
    const struct vmdesc_field *umwait = vmdesc_field_find(&m->desc, cpu, "cpu/umwait/env.umwait");
    const struct vmdesc_field *rip = vmdesc_field_find(&m->desc, cpu, "cpu/env.eip");
    const struct vmdesc_field *cap = vmdesc_field_find(&m->desc, cpu, "cpu/env.mcg_cap");
    assert_int_equal(qemu_field_class_between(kvm, umwait, umwait, &reason), FIELD_RESTORED);
    assert_int_equal(qemu_field_class_between(kvm, umwait, NULL, &reason), FIELD_RESTORED);
    assert_int_equal(qemu_field_class_between(kvm, NULL, umwait, &reason), FIELD_MUST_EQUAL);
    assert_non_null(strstr(reason, "reset"));
    assert_int_equal(qemu_field_class_between(kvm, spec, umwait, NULL), FIELD_MUST_EQUAL);
    assert_int_equal(qemu_field_class_between(kvm, rip, rip, NULL), FIELD_RESTORED);
    assert_int_equal(qemu_field_class_between(kvm, cap, cap, NULL), FIELD_MUST_EQUAL);
    machine_close(m);
    machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_have_the_class_they_should),
        cmocka_unit_test(every_field_has_a_row_and_every_row_a_field),
        cmocka_unit_test(classes_and_ways_of_registers_agree),
        cmocka_unit_test(a_register_that_is_not_carried_must_be_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
