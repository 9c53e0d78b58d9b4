/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The splice of several vCPUs: each with its own state, the dormant ones with the devices. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "splice_sides.h"

static const uint32_t no_lines[SIDES_VCPU_MAX];

static void takes_each_vcpu_from_its_side(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 4, 8};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct sides *f = sides_open(counts[i]);
        sides_assert_spliced(f, no_lines);
        assert_int_equal(f->result.sections, 2 + 2 * counts[i]);
        assert_int_equal(f->result.replaced, 2 * counts[i]);
        assert_int_equal(f->parked.home_length, f->home_length);
        sides_close(f);
    }
}

/* Not the last one only: cores of a CPU that was left out lie between others. */
static void leaves_dormant_vcpus_to_the_source(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    sides_sleep(f, 1);
    sides_sleep(f, 3);
    /* What would be refused of a resumed one. */
    f->source_cpu[1].interrupt_request = SPLICE_IRQ_INIT | SPLICE_IRQ_EXITTB;
    f->source_cpu[1].mcg_cap = 0x806;
    f->source_cpu[1].x87_pointers = true;
    f->target_cpu[3].x87_pointers = true;
    f->target_cpu[3].interrupt_request = SPLICE_IRQ_HARD;
    sides_assert_spliced(f, no_lines);
    assert_int_equal(f->result.replaced, 4);
    sides_close(f);
}

static void knows_who_is_active(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    uint64_t offset = 0;
    sides_sleep(f, 2);
    assert_int_equal(sides_read_target(f), 0);
    assert_true(splice_parked_active(&f->parked, 1));
    assert_false(splice_parked_active(&f->parked, 2));
    assert_true(splice_parked_active(&f->parked, 3));
    assert_false(splice_parked_active(&f->parked, 4));
    assert_int_equal(splice_parked_index(&f->parked, 3), 3);
    assert_int_equal(splice_parked_index(&f->parked, 4), UINT32_MAX);
    const uint8_t *slot = splice_parked_slot(&f->parked, 3, &offset);
    assert_non_null(slot);
    assert_int_equal(offset, f->home_length - 256);
    assert_memory_equal(slot, f->home + offset, 256);
    assert_null(splice_parked_slot(&f->parked, 2, &offset));
    sides_close(f);
}

static void keeps_the_lines_of_each(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    static const uint32_t wanted[SIDES_VCPU_MAX] = {SPLICE_IRQ_HARD, 0, SPLICE_IRQ_NMI,
                                                    SPLICE_IRQ_POLL | SPLICE_IRQ_NMI};
    f->source_cpu[0].interrupt_request = SPLICE_IRQ_HARD | SPLICE_IRQ_EXITTB;
    f->target_cpu[1].interrupt_request = SPLICE_IRQ_HARD | SPLICE_IRQ_NMI;
    f->source_cpu[2].interrupt_request = SPLICE_IRQ_NMI;
    f->source_cpu[3].interrupt_request = SPLICE_IRQ_NMI | SPLICE_IRQ_POLL;
    for (uint32_t i = 2; i < 4; i++) {
        f->handoff[i].flags |= RESUME_HANDOFF_BLOCK_NMI;
        f->target_cpu[i].hflags2 = 5; /* GIF, and NMIs blocked */
    }
    sides_assert_spliced(f, wanted);
    assert_memory_equal(f->result.interrupt_request, wanted, sizeof(wanted));
    sides_close(f);
}

static void refuses_an_nmi_that_is_not_blocked(void **state)
{
    (void)state;
    struct sides *f = sides_open(2);
    f->source_cpu[1].interrupt_request = SPLICE_IRQ_NMI;
    sides_assert_refused(f, sides_splice(f), "non-maskable");
    f->handoff[1].flags |= RESUME_HANDOFF_BLOCK_NMI;
    f->target_cpu[1].hflags2 = 1;
    sides_assert_refused(f, sides_read_target(f), "vCPU 1: it waits with NMIs unblocked");
    f->target_cpu[1].hflags2 = 4;
    assert_int_equal(sides_splice(f), 0);
    f->handoff[0].flags |= RESUME_HANDOFF_BLOCK_NMI;
    sides_assert_refused(f, sides_read_target(f), "vCPU 0: it waits with NMIs unblocked");
    sides_close(f);
}

/* One vCPU's section grows, another's does not: the description has to say so of the right one. */
static void describes_each_vcpu(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    struct stream stream;
    struct stream_event event;
    struct stream_error error;
    struct vmdesc desc;
    const uint8_t *tail;
    size_t length;
    uint64_t offset;
    f->target_cpu[2].x87_pointers = true;
    f->source_cpu[1].x87_pointers = true;
    assert_int_equal(sides_splice(f), 0);
    assert_int_equal(stream_open_memory(&stream, f->out, f->out_length, &error), 0);
    do
        assert_int_equal(stream_next(&stream, &event, &error), 0);
    while (event.kind != STREAM_DEVICES);
    assert_int_equal(stream_tail(&stream, &tail, &length, &offset, &error), 0);
    assert_int_equal(vmdesc_open(&desc, tail, length, offset, &error), 0);
    for (uint32_t i = 0; i < 4; i++) {
        const struct vmdesc_section *cpu = vmdesc_section_find(&desc, "cpu", i);
        uint64_t rip = 0;
        assert_non_null(cpu);
        assert_int_equal(vmdesc_has_subsection(&desc, cpu, "cpu/fpop_ip_dp"), i == 2);
        assert_int_equal(vmdesc_field_u64(vmdesc_field_find(&desc, cpu, "cpu/env.eip"), &rip), 0);
        assert_int_equal(rip, f->target_cpu[i].rip);
    }
    vmdesc_close(&desc);
    stream_close(&stream);
    sides_close(f);
}

static void refuses_a_vcpu_outside_the_home(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    sides_sleep(f, 3);
    f->target_cpu[2].rip = SIDES_HOME_VA + f->home_length;
    sides_assert_refused(f, sides_read_target(f), "vCPU 2: it does not wait in the home");
    f->target_cpu[2].rip = SIDES_HOME_VA + f->home_length - 1;
    assert_int_equal(sides_read_target(f), 0);
    f->target_cpu[1].halted = 1;
    sides_assert_refused(f, sides_read_target(f), "vCPU 1: it does not wait in the home");
    sides_close(f);
}

static void refuses_a_vcpu_that_is_not_parked(void **state)
{
    (void)state;
    struct sides *f = sides_open(8);
    f->handoff[7].stage = RESUME_STAGE_ENTER;
    sides_assert_refused(f, sides_read_target(f), "handoff of vCPU 7: the vCPU is not parked");
    f->handoff[7].stage = RESUME_STAGE_PARKED;
    f->control.parked = 7;
    sides_assert_refused(f, sides_read_target(f), "7 of 8 active vCPUs wait");
    f->control.parked = 9;
    sides_assert_refused(f, sides_read_target(f), "9 of 8 active vCPUs wait");
    f->control.parked = 8;
    assert_int_equal(sides_read_target(f), 0);
    sides_close(f);
}

static void refuses_a_wrong_handoff(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    struct resume_handoff *handoff = &f->handoff[2];
    handoff->magic ^= 1;
    sides_assert_refused(f, sides_read_target(f), "handoff of vCPU 2: no handoff");
    handoff->magic ^= 1;
    handoff->index = 1;
    sides_assert_refused(f, sides_read_target(f), "says that it is of vCPU 1");
    handoff->index = 2;
    handoff->leave_va += 16;
    sides_assert_refused(f, sides_read_target(f), "is not in its slot");
    handoff->leave_va -= 16;
    handoff->landing_va -= 0x61;
    sides_assert_refused(f, sides_read_target(f), "is not in its slot");
    handoff->landing_va += 0x61;
    handoff->remains = 256;
    sides_assert_refused(f, sides_read_target(f), "is not in its slot");
    handoff->remains = 255;
    assert_int_equal(sides_read_target(f), 0);
    sides_close(f);
}

static void refuses_wrong_counts(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    sides_sleep(f, 3);
    f->control.active_count = 4;
    f->control.parked = 4;
    sides_assert_refused(f, sides_read_target(f), "4 vCPUs are to be resumed, but 3 have");
    f->control.active_count = 2;
    f->control.parked = 2;
    sides_assert_refused(f, sides_read_target(f), "2 vCPUs are to be resumed, but 3 have");
    f->control.active_count = 0;
    f->control.parked = 0;
    sides_assert_refused(f, sides_read_target(f), "0 of 0 active vCPUs wait");
    f->control.active_count = 3;
    f->control.parked = 3;
    f->control.vcpu_count = 3;
    sides_assert_refused(f, sides_read_target(f), "do not make a home");
    f->control.vcpu_count = UINT32_MAX;
    sides_assert_refused(f, sides_read_target(f), "do not make a home");
    f->control.vcpu_count = 4;
    f->control.block_length += 0x1000;
    sides_assert_refused(f, sides_read_target(f), "do not make a home");
    f->control.block_length -= 0x1000;
    f->control.xsave_length = 0xfff;
    sides_assert_refused(f, sides_read_target(f), "do not make a home");
    f->control.xsave_length = 0x1000;
    assert_int_equal(sides_read_target(f), 0);
    sides_close(f);
}

static void refuses_another_number_of_vcpus(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    f->target.cpus = 3;
    sides_assert_refused(f, sides_read_target(f), "it has 3 vCPUs, the snapshot 4");
    f->target.cpus = 4;
    f->source.cpus = 3;
    sides_assert_refused(f, sides_splice(f), "the source has 3 such sections, the parked target 4");
    sides_close(f);
}

/* The n-th vCPU of one stream has to be the n-th of the other: the home counts them. */
static void refuses_another_order_of_vcpus(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    f->target.reversed = true;
    sides_assert_refused(f, sides_splice(f), "instance 0 is vCPU 0 in the source, but another");
    f->source.reversed = true;
    assert_int_equal(sides_splice(f), 0);
    sides_close(f);
}

/* Interrupt 0x31 is being delivered to vCPU 1 by KVM, and in service for its APIC already. */
static void gives_half_delivered_events_back(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    size_t length;
    size_t again;
    f->source.apic = true;
    f->target.apic = true;
    for (uint32_t i = 0; i < 4; i++) {
        f->source_cpu[i].in_service = 0x80000000;
        f->source_cpu[i].requested = 0x100;
        f->target_cpu[i].in_service = 0x55;
    }
    sides_assert_spliced(f, no_lines);
    f->source_cpu[1].injected = 0x31;
    f->source_cpu[1].in_service |= 1u << (0x31 - 32);
    assert_int_equal(sides_splice(f), 0);
    uint8_t *before = sides_expected(f, no_lines, &length);
    f->source_cpu[1].in_service = 0x80000000;
    f->source_cpu[1].requested |= 1u << (0x31 - 32);
    uint8_t *wanted = sides_expected(f, no_lines, &again);
    assert_int_equal(length, again);
    assert_int_equal(f->out_length, length);
    assert_memory_not_equal(before, wanted, length);
    assert_memory_equal(f->out, wanted, length);
    free(before);
    free(wanted);
    /* One that the APIC does not know of came from elsewhere. */
    sides_assert_refused(f, sides_splice(f), "interrupt");
    sides_close(f);
}

static void leaves_half_delivered_events_of_dormant_vcpus(void **state)
{
    (void)state;
    struct sides *f = sides_open(2);
    f->source.apic = true;
    f->target.apic = true;
    sides_sleep(f, 1);
    f->source_cpu[1].injected = 0x31;
    f->source_cpu[1].nmi_pending = true;
    sides_assert_spliced(f, no_lines);
    sides_close(f);
}

/* KVM keeps a pending NMI in the vCPU, which is not taken over. */
static void keeps_an_nmi_that_kvm_had_pending(void **state)
{
    (void)state;
    static const uint32_t wanted[SIDES_VCPU_MAX] = {0, SPLICE_IRQ_NMI};
    struct sides *f = sides_open(2);
    f->source.apic = true;
    f->target.apic = true;
    f->source_cpu[1].nmi_pending = true;
    sides_assert_refused(f, sides_splice(f), "non-maskable");
    f->handoff[1].flags |= RESUME_HANDOFF_BLOCK_NMI;
    f->target_cpu[1].hflags2 = 4;
    sides_assert_spliced(f, wanted);
    sides_close(f);
}

static void names_the_vcpu_that_differs(void **state)
{
    (void)state;
    struct sides *f = sides_open(4);
    f->source_cpu[3].mcg_cap = 0x806;
    int result = sides_splice(f);
    sides_assert_refused(f, result, "cpu/env.mcg_cap");
    sides_assert_refused(f, result, "vCPU 3: the source has 0x806");
    f->source_cpu[3].mcg_cap = 0xc06;
    f->source_cpu[2].interrupt_request = SPLICE_IRQ_SIPI;
    sides_assert_refused(f, sides_splice(f), "a startup IPI");
    sides_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_each_vcpu_from_its_side),
        cmocka_unit_test(leaves_dormant_vcpus_to_the_source),
        cmocka_unit_test(knows_who_is_active),
        cmocka_unit_test(keeps_the_lines_of_each),
        cmocka_unit_test(refuses_an_nmi_that_is_not_blocked),
        cmocka_unit_test(describes_each_vcpu),
        cmocka_unit_test(refuses_a_vcpu_outside_the_home),
        cmocka_unit_test(refuses_a_vcpu_that_is_not_parked),
        cmocka_unit_test(refuses_a_wrong_handoff),
        cmocka_unit_test(refuses_wrong_counts),
        cmocka_unit_test(refuses_another_number_of_vcpus),
        cmocka_unit_test(refuses_another_order_of_vcpus),
        cmocka_unit_test(gives_half_delivered_events_back),
        cmocka_unit_test(leaves_half_delivered_events_of_dormant_vcpus),
        cmocka_unit_test(keeps_an_nmi_that_kvm_had_pending),
        cmocka_unit_test(names_the_vcpu_that_differs),
    };
    return cmocka_run_group_tests_name("splice of several vCPUs", tests, NULL, NULL);
}
