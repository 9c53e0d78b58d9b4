/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/format.h>
#include <resume/state.h>

static void every_member_is_in_the_table(void **state)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    size_t bytes = 0;

    (void)state;
    /* 18 general, 8 segments of 4 parts, 2 tables of 2, 9 control, 6 debug, 10 run. */
    assert_int_equal(count, 18 + 8 * 4 + 2 * 2 + 9 + 6 + 10);
    for (size_t i = 0; i < count; i++) {
        bytes += table[i].size;
        if (i > 0) {
            assert_true(table[i].offset >= table[i - 1].offset + table[i - 1].size);
        }
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(table[i].name, table[k].name);
        }
    }
    assert_int_equal(bytes, 18 * 8 + 8 * 18 + 2 * 12 + 9 * 8 + 6 * 8 + 10 * 4);
}

static void names_reach_the_members(void **state)
{
    struct resume_vcpu vcpu;
    const struct {
        const char *name;
        const char *record;
        const void *member;
        uint16_t size;
        uint16_t tag;
        const uint64_t *valid;
        uint64_t mask;
    } samples[] = {
        {"rax", "GPR", &vcpu.regs.gpr[RESUME_RAX], 8, 0x100, &vcpu.regs.valid, 1},
        {"rbx", "GPR", &vcpu.regs.gpr[RESUME_RBX], 8, 0x100, &vcpu.regs.valid, 1 << 3},
        {"r15", "GPR", &vcpu.regs.gpr[RESUME_R15], 8, 0x100, &vcpu.regs.valid, 1 << 15},
        {"rip", "GPR", &vcpu.regs.rip, 8, 0x100, &vcpu.regs.valid, RESUME_REGS_RIP},
        {"rflags", "GPR", &vcpu.regs.rflags, 8, 0x100, &vcpu.regs.valid, RESUME_REGS_RFLAGS},
        {"cs.base", "SEG", &vcpu.segs.seg[1].base, 8, 0x101, &vcpu.segs.valid, 1 << 1},
        {"ss.limit", "SEG", &vcpu.segs.seg[2].limit, 4, 0x101, &vcpu.segs.valid, 1 << 2},
        {"fs.access", "SEG", &vcpu.segs.seg[4].access, 4, 0x101, &vcpu.segs.valid, 1 << 4},
        {"tr.selector", "SEG", &vcpu.segs.seg[7].selector, 2, 0x101, &vcpu.segs.valid, 1 << 7},
        {"idtr.limit", "SEG", &vcpu.segs.seg[9].limit, 4, 0x101, &vcpu.segs.valid, 1 << 9},
        {"cr8", "CTRL", &vcpu.ctrl.cr8, 8, 0x102, &vcpu.ctrl.valid, RESUME_CTRL_CR8},
        {"efer", "CTRL", &vcpu.ctrl.efer, 8, 0x102, &vcpu.ctrl.valid, RESUME_CTRL_EFER},
        {"apic_base", "CTRL", &vcpu.ctrl.apic_base, 8, 0x102, &vcpu.ctrl.valid,
         RESUME_CTRL_APIC_BASE},
        {"dr3", "DEBUG", &vcpu.debug.dr[3], 8, 0x103, &vcpu.debug.valid, 1 << 3},
        {"dr7", "DEBUG", &vcpu.debug.dr7, 8, 0x103, &vcpu.debug.valid, RESUME_DEBUG_DR7},
        {"nmi_pending", "RUN", &vcpu.run.nmi_pending, 4, 0x104, &vcpu.run.valid,
         RESUME_RUN_NMI_PENDING},
        {"interrupt_vector", "RUN", &vcpu.run.interrupt_vector, 4, 0x104, &vcpu.run.valid,
         RESUME_RUN_INTERRUPT},
        {"apic_id", "RUN", &vcpu.run.apic_id, 4, 0x104, &vcpu.run.valid, 0x100},
        {"shadow_length", "RUN", &vcpu.run.shadow_length, 4, 0x104, &vcpu.run.valid, 0x200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const struct resume_field *field = resume_field_find(samples[i].name);
        uint64_t cut = samples[i].size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * samples[i].size) - 1;
        uint8_t stored[8] = {0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01};

        assert_non_null(field);
        assert_string_equal(field->record, samples[i].record);
        assert_int_equal(field->size, samples[i].size);
        assert_int_equal(field->tag, samples[i].tag);

        memset(&vcpu, 0, sizeof(vcpu));
        assert_int_equal(resume_field_valid(&vcpu, field), 0);
        assert_int_equal(resume_field_get(&vcpu, field), 0);
        resume_field_set(&vcpu, field, 0x0123456789abcdef);
        assert_int_equal(resume_field_valid(&vcpu, field), 1);
        assert_int_equal(*samples[i].valid, samples[i].mask);
        assert_int_equal(resume_field_get(&vcpu, field), 0x0123456789abcdef & cut);
        assert_memory_equal(samples[i].member, stored, samples[i].size);
    }
}

/* Setting every field sets every validity bit and nothing but the table's bytes. */
static void validity_words_are_complete(void **state)
{
    struct resume_vcpu vcpu = {0};
    size_t count;
    const struct resume_field *table = resume_field_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        resume_field_set(&vcpu, &table[i], UINT64_MAX);
    }
    assert_int_equal(vcpu.regs.valid, RESUME_REGS_ALL);
    assert_int_equal(vcpu.segs.valid, RESUME_SEGS_ALL);
    assert_int_equal(vcpu.ctrl.valid, RESUME_CTRL_ALL);
    assert_int_equal(vcpu.debug.valid, RESUME_DEBUG_ALL);
    assert_int_equal(vcpu.run.valid, RESUME_RUN_ALL);
    assert_int_equal(vcpu.msr_count, 0);
    for (unsigned i = 0; i < RESUME_SEG_COUNT; i++) {
        assert_int_equal(vcpu.segs.seg[i].reserved[0], 0);
    }
    assert_int_equal(vcpu.segs.seg[RESUME_GDTR].selector, 0);
    assert_int_equal(vcpu.segs.seg[RESUME_IDTR].access, 0);
}

static void unknown_names_are_not_found(void **state)
{
    (void)state;
    assert_null(resume_field_find("rax "));
    assert_null(resume_field_find("ra"));
    assert_null(resume_field_find(""));
    assert_null(resume_field_find("gdtr.selector"));
    assert_null(resume_field_find(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_in_the_table),
        cmocka_unit_test(names_reach_the_members),
        cmocka_unit_test(validity_words_are_complete),
        cmocka_unit_test(unknown_names_are_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
