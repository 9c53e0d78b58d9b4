/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What vCPUs must have in common; and which of them are dormant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/vcpu_set.h>

#include "linux_vcpu.h"

static struct resume_vcpu_set set;
static struct resume_vcpu vcpu;

static int fill(void **state)
{
    (void)state;
    memset(&set, 0, sizeof(set));
    linux_vcpu_kernel(&vcpu);
    return 0;
}

static int add(uint32_t apic_id, struct resume_diag *diag)
{
    vcpu.run.apic_id = apic_id;
    return resume_vcpu_set_add(&set, &vcpu, diag);
}

static void vcpus_are_counted(void **state)
{
    (void)state;
    vcpu.run.mp_state = RESUME_MP_WAIT_SIPI;
    assert_int_equal(add(0, NULL), RESUME_OK);
    assert_int_equal(resume_vcpu_set_finish(&set, NULL), RESUME_EUNSUPPORTED);
    vcpu.run.mp_state = RESUME_MP_RUNNING;
    vcpu.ctrl.cr4 |= 1u << 12;
    assert_int_equal(add(5, NULL), RESUME_OK);
    vcpu.xsave.length = 1000;
    assert_int_equal(add(3, NULL), RESUME_OK);
    vcpu.xsave.length = 832;
    vcpu.run.mp_state = RESUME_MP_HALTED;
    assert_int_equal(add(0xffffffff, NULL), RESUME_OK);
    assert_int_equal(set.count, 4);
    assert_int_equal(set.active, 3);
    assert_int_equal(set.levels, 5);
    assert_int_equal(set.first, 1);
    assert_int_equal(set.xsave_length, 1000);
    assert_int_equal(resume_vcpu_set_finish(&set, NULL), RESUME_OK);
}

static void levels_are_the_same(void **state)
{
    struct resume_diag diag = {0};
    struct resume_vcpu_set before;

    (void)state;
    assert_int_equal(add(0, NULL), RESUME_OK);
    before = set;
    vcpu.ctrl.cr4 |= 1u << 12;
    assert_int_equal(add(1, &diag), RESUME_EUNSUPPORTED);
    assert_string_equal(diag.field, "cr4");
    assert_int_equal(diag.vcpu, 1);
    assert_memory_equal(&set, &before, sizeof(set));
    /* A dormant one throws its CR4 away. */
    vcpu.run.mp_state = RESUME_MP_WAIT_SIPI;
    assert_int_equal(add(1, NULL), RESUME_OK);
}

static void apic_ids_tell_them_apart(void **state)
{
    struct resume_diag diag = {0};

    (void)state;
    assert_int_equal(add(4, NULL), RESUME_OK);
    assert_int_equal(add(2, NULL), RESUME_OK);
    assert_int_equal(add(4, &diag), RESUME_ECONSISTENT);
    assert_string_equal(diag.field, "apic_id");
    assert_string_equal(diag.where, "RUN record");
    assert_int_equal(diag.vcpu, 2);
    assert_int_equal(diag.found, 4);
    vcpu.run.mp_state = RESUME_MP_WAIT_SIPI; /* dormant ones have theirs too */
    assert_int_equal(add(2, &diag), RESUME_ECONSISTENT);
    vcpu.run.valid &= ~RESUME_RUN_APIC_ID;
    assert_int_equal(add(0, &diag), RESUME_EMISSING);
    assert_int_equal(set.count, 2);
}

/* A blob of the first minor version has none: no matter for a single vCPU. */
static void one_needs_no_apic_id(void **state)
{
    struct resume_diag diag = {0};

    (void)state;
    vcpu.run.valid &= ~RESUME_RUN_APIC_ID;
    assert_int_equal(add(0, NULL), RESUME_OK);
    assert_int_equal(resume_vcpu_set_finish(&set, NULL), RESUME_OK);
    vcpu.run.valid |= RESUME_RUN_APIC_ID;
    assert_int_equal(add(1, &diag), RESUME_EMISSING);
    assert_string_equal(diag.field, "apic_id");
}

static void there_is_a_most(void **state)
{
    struct resume_diag diag = {0};

    (void)state;
    for (uint32_t i = 0; i < 256; i++) {
        assert_int_equal(add(1000 - i, NULL), RESUME_OK);
    }
    assert_int_equal(add(2000, &diag), RESUME_EUNSUPPORTED);
    assert_string_equal(diag.field, "vcpus");
    assert_int_equal(diag.expected, 256);
    assert_int_equal(set.active, 256);
    assert_int_equal(resume_vcpu_set_add(NULL, &vcpu, NULL), RESUME_EINVAL);
    assert_int_equal(resume_vcpu_set_add(&set, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(resume_vcpu_set_finish(NULL, NULL), RESUME_EINVAL);
    set.count = 1000;
    set.known = 1000;
    assert_int_equal(resume_vcpu_set_add(&set, &vcpu, NULL), RESUME_EINVAL);
}

static void dormant(void **state)
{
    (void)state;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
    vcpu.run.mp_state = RESUME_MP_WAIT_SIPI;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 1);
    vcpu.run.valid = 0;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
    vcpu.run.valid = RESUME_RUN_MP_STATE;
    vcpu.run.mp_state = RESUME_MP_UNINITIALIZED;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 1);

    /* Halted: an idle Linux, one taken offline, a firmware's loop, one that an interrupt wakes. */
    vcpu.run.mp_state = RESUME_MP_HALTED;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
    vcpu.regs.rflags &= ~UINT64_C(0x200);
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
    vcpu.ctrl.efer = 0;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 1);
    vcpu.ctrl.efer = 0x100; /* LME without LMA: paging is off */
    assert_int_equal(resume_vcpu_dormant(&vcpu), 1);
    vcpu.regs.rflags |= 0x200;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
    vcpu.regs.rflags &= ~UINT64_C(0x200);
    vcpu.ctrl.valid &= ~RESUME_CTRL_EFER;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
    vcpu.ctrl.valid |= RESUME_CTRL_EFER;
    vcpu.regs.valid &= ~RESUME_REGS_RFLAGS;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
    vcpu.regs.valid |= RESUME_REGS_RFLAGS;
    vcpu.run.mp_state = RESUME_MP_RUNNING;
    assert_int_equal(resume_vcpu_dormant(&vcpu), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(vcpus_are_counted, fill),
        cmocka_unit_test_setup(levels_are_the_same, fill),
        cmocka_unit_test_setup(apic_ids_tell_them_apart, fill),
        cmocka_unit_test_setup(one_needs_no_apic_id, fill),
        cmocka_unit_test_setup(there_is_a_most, fill),
        cmocka_unit_test_setup(dormant, fill),
    };

    return cmocka_run_group_tests_name("vcpu_set", tests, NULL, NULL);
}
