/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "qemu_events.h"
#include "qemu_machine.h"

static void events_and_run_states_are_in_the_record(void **state)
{
    static const struct {
        const char *path;
        uint64_t value;
        int code;
        struct resume_run run;
    } cases[] = {
        {"cpu/env.hflags", 1 << 3, 0, {.interrupt_shadow = 3}},
        {"cpu/env.hflags", 1 << 19, 0, {.smm = 1}},
        {"cpu/env.hflags2", 1 << 2, 0, {.nmi_masked = 1}},
        {"cpu/env.nmi_pending", 1, 0, {.nmi_pending = 1}},
        {"cpu/env.nmi_injected", 1, 0, {.nmi_pending = 1}},
        {"cpu_common/interrupt_request", 0x200, 0, {.nmi_pending = 1}},
        {"cpu_common/interrupt_request", 2, 0, {0}}, /* an ordinary interrupt waits in the APIC */
        {"cpu_common/interrupt_request", 0x40, RESUME_EUNSUPPORTED, {0}},
        {"cpu_common/halted", 1, 0, {.mp_state = RESUME_MP_HALTED}},
        {"cpu/env.mp_state", 3, 0, {.mp_state = RESUME_MP_HALTED}},
        {"cpu/env.mp_state", 2, 0, {.mp_state = RESUME_MP_WAIT_SIPI}},
        {"cpu/env.mp_state", 1, 0, {.mp_state = RESUME_MP_UNINITIALIZED}},
        {"cpu/env.mp_state", 4, RESUME_EUNSUPPORTED, {0}},
        {"cpu/env.sipi_vector", 0x9a, 0, {.sipi_vector = 0x9a}},
        {"cpu/env.sipi_vector", 0x100, RESUME_EREGISTER, {0}},
        {"cpu/env.exception_nr", 14, 0, {.exception_vector = 14}},
        {"cpu/env.exception_nr", 256, RESUME_EUNSUPPORTED, {0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct machine *m = machine_make();
        struct resume_run want = cases[i].run;
        want.valid = RESUME_RUN_ALL;
        if (want.exception_vector == 0)
            want.exception_vector = RESUME_NO_EVENT;
        if (want.interrupt_vector == 0)
            want.interrupt_vector = RESUME_NO_EVENT;
        machine_set(m, "cpu/env.hflags", 0);
        machine_set(m, cases[i].path, cases[i].value);
        assert_int_equal(machine_decode(m), cases[i].code);
        if (cases[i].code == 0)
            assert_memory_equal(&m->vcpu.run, &want, sizeof(want));
        machine_free(m);
    }
}

/* A processor that the guest has never started waits for INIT and SIPI: they stay with it. */
static void a_dormant_vcpu_may_have_anything_pending(void **state)
{
    struct machine *m = machine_make();
    (void)state;
    m->parts = BUILD_CPU_SIPI | BUILD_CPU_EVENTS;
    machine_set(m, "apic/apic_sipi/wait_for_sipi", 1);
    machine_set(m, "cpu_common/halted", 1);
    machine_set(m, "cpu_common/interrupt_request", 0x402);
    machine_set(m, "cpu/triple_fault/env.triple_fault_pending", 1);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.run.mp_state, RESUME_MP_WAIT_SIPI);

    machine_set(m, "apic/apic_sipi/wait_for_sipi", 0);
    assert_int_equal(machine_decode(m), RESUME_EUNSUPPORTED);
    /* Halted with interrupts disabled, outside of long mode: in the loop of the firmware. */
    machine_set(m, "cpu/env.eflags", 2);
    machine_set(m, "cpu/env.efer", 0);
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.run.mp_state, RESUME_MP_HALTED);
    machine_free(m);
}

/* Vector 0x61 in service: bit 1 of the fourth word. */
static struct machine *make_injected(void)
{
    struct machine *m = machine_make();
    m->device = "kvmclock";
    machine_set(m, "cpu/env.interrupt_injected", 0x61);
    machine_set(m, "apic/isr[3]", 0x80000002);
    machine_set(m, "apic/irr[3]", 0x01000000);
    return m;
}

static uint32_t word(const struct machine *m, const uint8_t *payload, const char *path)
{
    const struct vmdesc_section *apic = vmdesc_section_find(&m->desc, "apic", 0);
    const struct vmdesc_field *field = vmdesc_field_find(&m->desc, apic, path);
    assert_non_null(field);
    const uint8_t *p = payload + (field->data - (m->desc.tail + apic->payload));
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void an_interrupt_goes_back_to_the_local_apic(void **state)
{
    struct machine *m = make_injected();
    uint32_t vector = 0;
    (void)state;
    assert_int_equal(machine_decode(m), 0);
    assert_int_equal(m->vcpu.run.interrupt_vector, RESUME_NO_EVENT);
    machine_open(m);
    assert_int_equal(qemu_events_injected(&m->desc, 0, &vector, &m->error), 0);
    assert_int_equal(vector, 0x61);
    const struct vmdesc_section *apic = vmdesc_section_find(&m->desc, "apic", 0);
    const uint8_t *before = m->desc.tail + apic->payload;
    uint8_t *payload = malloc(apic->payload_length);
    assert_non_null(payload);
    memcpy(payload, before, apic->payload_length);
    assert_int_equal(qemu_events_uninject(&m->desc, apic, vector, payload, &m->error), 0);
    assert_int_equal(word(m, payload, "apic/isr[3]"), 0x80000000);
    assert_int_equal(word(m, payload, "apic/irr[3]"), 0x01000002);
    size_t changed = 0;
    for (size_t i = 0; i < apic->payload_length; i++)
        changed += payload[i] != before[i];
    assert_int_equal(changed, 2);
    /* Not in service: nothing is changed. */
    memcpy(payload, before, apic->payload_length);
    assert_int_equal(qemu_events_uninject(&m->desc, apic, 0x62, payload, &m->error),
                     RESUME_ECONSISTENT);
    assert_int_equal(qemu_events_uninject(&m->desc, apic, 0x161, payload, &m->error),
                     RESUME_EINVAL);
    assert_memory_equal(payload, before, apic->payload_length);
    /* The first and the last vector. */
    assert_int_equal(qemu_events_uninject(&m->desc, apic, 0x7f, payload, &m->error), 0);
    assert_int_equal(word(m, payload, "apic/isr[3]"), 2);
    assert_int_equal(word(m, payload, "apic/irr[3]"), 0x81000000);
    free(payload);
    machine_close(m);
    machine_free(m);
}

static void what_cannot_go_back_is_refused_by_name(void **state)
{
    static const struct {
        const char *path;
        uint64_t value;
        const char *name;
    } cases[] = {
        {"cpu/env.soft_interrupt", 1, "software interrupt"},
        {"apic/isr[3]", 0x80000000, "PIC that is being delivered (0x61)"},
        {"cpu/triple_fault/env.triple_fault_pending", 1, "triple fault"},
        {"cpu_common/interrupt_request", 0x1000, "machine check (0x1000)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct machine *m = make_injected();
        m->parts = BUILD_CPU_EVENTS;
        machine_set(m, cases[i].path, cases[i].value);
        assert_int_equal(machine_decode(m), RESUME_EUNSUPPORTED);
        if (strstr(m->error.why, cases[i].name) == NULL)
            fail_msg("%s", m->error.why);
        machine_free(m);
    }
    struct machine *m = make_injected();
    m->parts = BUILD_CPU_NO_APIC;
    assert_int_equal(machine_decode(m), RESUME_EUNSUPPORTED);
    machine_set(m, "cpu/env.interrupt_injected", 0xffffffff);
    uint32_t vector = 0;
    machine_open(m);
    assert_int_equal(qemu_events_injected(&m->desc, 0, &vector, &m->error), 0);
    assert_int_equal(vector, RESUME_NO_EVENT);
    machine_close(m);
    machine_free(m);
}

/* Encodings: Intel SDM vol. 2, STI and MOV. */
static void the_instruction_before_tells_the_shadow(void **state)
{
    static const struct {
        uint8_t before[3];
        uint32_t length;
        uint64_t rflags;
    } cases[] = {
        {{0x90, 0x90, 0xfb}, 1, 0x202}, /* STI */
        {{0x48, 0x89, 0xfb}, 1, 0x202}, /* the same byte; STI again does what it did */
        {{0x90, 0x90, 0xfb}, 0, 0x2},   /* it cannot have been STI: IF is clear */
        {{0x90, 0x8e, 0xd3}, 2, 0x2},   /* MOV SS, BX */
        {{0x66, 0x8e, 0xd3}, 2, 0x202}, {{0x41, 0x8e, 0xd3}, 0, 0x202}, /* MOV SS, R11W */
        {{0x40, 0x8e, 0xd3}, 0, 0x202},                                 /* or not readable */
        {{0x90, 0x8e, 0xd0}, 0, 0x202}, /* MOV SS, AX: but AX is not what SS holds */
        {{0x90, 0x8e, 0xdb}, 0, 0x202}, /* MOV DS, BX makes no shadow */
        {{0x90, 0x8e, 0x13}, 0, 0x202}, /* MOV SS, [RBX] */
        {{0x90, 0x90, 0x17}, 0, 0x202}, /* POP SS */
        {{0x40, 0x40, 0x40}, 0, 0x202}, /* nothing to be read there */
    };
    struct resume_vcpu *vcpu = calloc(1, sizeof(*vcpu));
    (void)state;
    assert_non_null(vcpu);
    vcpu->regs.gpr[RESUME_RBX] = 0xffffffff00000018; /* only 16 bits count */
    vcpu->segs.seg[RESUME_SS].selector = 0x18;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        vcpu->regs.rflags = cases[i].rflags;
        if (qemu_events_shadow_length(vcpu, cases[i].before) != cases[i].length)
            fail_msg("case %zu", i);
    }
    free(vcpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_and_run_states_are_in_the_record),
        cmocka_unit_test(a_dormant_vcpu_may_have_anything_pending),
        cmocka_unit_test(an_interrupt_goes_back_to_the_local_apic),
        cmocka_unit_test(what_cannot_go_back_is_refused_by_name),
        cmocka_unit_test(the_instruction_before_tells_the_shadow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
