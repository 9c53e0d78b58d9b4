/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "good_state.h"

#include <stdlib.h>
#include <string.h>

void good_state_put_area(struct good_state *good, size_t at, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        good->area[at + i] = (uint8_t)(value >> (8 * i));
    }
}

void good_state_add_msr(struct good_state *good, uint32_t index, uint32_t flags, uint64_t value)
{
    good->vcpu.msr[good->vcpu.msr_count++] =
        (struct resume_msr){.index = index, .flags = flags, .value = value};
}

static struct resume_msr *find_msr(struct good_state *good, uint32_t index)
{
    for (uint32_t i = 0; i < good->vcpu.msr_count; i++) {
        if (good->vcpu.msr[i].index == index) {
            return &good->vcpu.msr[i];
        }
    }
    abort();
}

uint64_t *good_state_msr(struct good_state *good, uint32_t index)
{
    return &find_msr(good, index)->value;
}

void good_state_remove_msr(struct good_state *good, uint32_t index)
{
    struct resume_msr *msr = find_msr(good, index);
    size_t after = (size_t)(&good->vcpu.msr[good->vcpu.msr_count] - (msr + 1));

    memmove(msr, msr + 1, after * sizeof(*msr));
    good->vcpu.msr_count--;
}

static void fill_registers(struct resume_vcpu *vcpu)
{
    vcpu->regs = (struct resume_regs){
        .valid = 0x3ffff,
        .gpr = {0x00000000005eb198, 0x1111111111111111, 0x2222222222222222, 0x3333333333333333,
                0x00007ffc6ab619a8, 0x5555555555555555, 0x6666666666666666, 0x7777777777777777,
                0x8888888888888888, 0x9999999999999999, 0xaaaaaaaaaaaaaaaa, 0xbbbbbbbbbbbbbbbb,
                0xcccccccccccccccc, 0xdddddddddddddddd, 0xeeeeeeeeeeeeeeee, 0x0f0e0d0c0b0a0908},
        .rip = 0x00000000004ec5ac,
        .rflags = 0x206,
    };
    vcpu->segs = (struct resume_segs){
        .valid = 0x3ff,
        .seg = {{.access = 0x10000},
                {.limit = 0xffffffff, .access = 0xa0fb, .selector = 0x33},
                {.limit = 0xffffffff, .access = 0xc0f3, .selector = 0x2b},
                {.access = 0x10000},
                {.base = 0x00000000136933c0, .access = 0x10000},
                {.base = 0xffff888012345000, .access = 0x10000},
                {.access = 0x0082},
                {.base = 0xfffffe0000003000, .limit = 0x4087, .access = 0x0089, .selector = 0x40},
                {.base = 0xfffffe0000001000, .limit = 0x7f},
                {.base = 0xfffffe0000000000, .limit = 0xfff}},
    };
    vcpu->ctrl = (struct resume_ctrl){
        .valid = 0x1ff,
        .cr0 = 0x80050033,
        .cr2 = 0x00000000005633e7,
        .cr3 = 0x000000001e423000,
        .cr4 = 0x1506b0,
        .cr8 = 0x2,
        .efer = 0xd01,
        .xcr0 = 0x7,
        .xss = 0,
        .apic_base = 0xfee00900,
    };
    vcpu->debug = (struct resume_debug){
        .valid = 0x3f,
        .dr = {0x00000000004ec000, 0x00000000004ec001, 0x00000000004ec002, 0x00000000004ec003},
        .dr6 = 0xffff0ff0,
        .dr7 = 0x400,
    };
    vcpu->run = (struct resume_run){
        .valid = 0x3ff,
        .mp_state = RESUME_MP_RUNNING,
        .exception_vector = RESUME_NO_EVENT,
        .interrupt_vector = RESUME_NO_EVENT,
        .apic_id = 0x105,
    };
}

void good_state_fill(struct good_state *good)
{
    memset(good, 0, sizeof(*good));

    good->machine.source = RESUME_SOURCE_QEMU_STREAM;
    good->machine.accel = RESUME_ACCEL_TCG;
    strcpy(good->machine.type, "pc-q35-7.2");
    strcpy(good->machine.producer, "by hand 1");
    good->machine.range_count = 2;
    good->machine.range[0] = (struct resume_range){0, 0x80000000};
    good->machine.range[1] = (struct resume_range){0x100000000, 0x40000000};

    fill_registers(&good->vcpu);

    good_state_add_msr(good, 0x00000010, RESUME_MSR_OPTIONAL, 0x0000000123456789);
    good_state_add_msr(good, 0x00000174, 0, 0x10);
    good_state_add_msr(good, 0x00000175, 0, 0xfffffe0000003000);
    good_state_add_msr(good, 0x00000176, 0, 0xffffffff81801950);
    good_state_add_msr(good, 0x00000277, 0, 0x0407050600070106);
    good_state_add_msr(good, 0xc0000081, 0, 0x0023001000000000);
    good_state_add_msr(good, 0xc0000082, 0, 0xffffffff81800080);
    good_state_add_msr(good, 0xc0000083, 0, 0xffffffff81801a80);
    good_state_add_msr(good, 0xc0000084, 0, 0x257fd5);
    good_state_add_msr(good, 0xc0000102, 0, 0xffff88801f400000);
    good_state_add_msr(good, 0xc0000103, RESUME_MSR_OPTIONAL, 0x1);

    good_state_put_area(good, 0, 2, 0x37f);               /* FCW */
    good_state_put_area(good, 24, 4, 0x1f80);             /* MXCSR */
    good_state_put_area(good, 28, 4, 0xffff);             /* MXCSR_MASK */
    good_state_put_area(good, 32, 8, 0x8000000000000000); /* ST0 = 1.0 */
    good_state_put_area(good, 40, 2, 0x3fff);
    for (unsigned i = 0; i < 16; i++) {
        good_state_put_area(good, 160 + 16 * i, 8, 0x0101010101010101 * i); /* XMM */
        good_state_put_area(good, 576 + 16 * i, 8, 0x1010101010101010 ^ i); /* YMM, upper half */
    }
    good_state_put_area(good, 512, 8, 0x7); /* XSTATE_BV */
    good->vcpu.xsave.area = good->area;
    good->vcpu.xsave.length = GOOD_AREA_LENGTH;
    good->vcpu.xsave.comp_count = 1;
    good->vcpu.xsave.comp[0] = (struct resume_xcomp){.id = 2, .offset = 576, .size = 256};
}
