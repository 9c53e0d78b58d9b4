/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The ledger's names and wanted values, field by field, against a list of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/ledger.h>

/* A different value in every field, so that a mix-up shows. */
static void number_fields(struct resume_handoff *h)
{
    memset(h, 0x5a, sizeof(*h));
    h->modes_cr0 = UINT64_C(0x1000000000000001);
    h->cr2 = UINT64_C(0x1000000000000002);
    h->cr3 = UINT64_C(0x1000000000000003);
    h->paging_cr4 = UINT64_C(0x1000000000000004);
    h->cr8 = UINT64_C(0x1000000000000005);
    h->efer = UINT64_C(0x1000000000000006);
    h->xcr0 = UINT64_C(0x1000000000000007);
    for (uint32_t i = 0; i < 4; i++)
        h->dr[i] = UINT64_C(0x1000000000000008) + i;
    h->dr6 = UINT64_C(0x100000000000000c);
    h->dr7 = UINT64_C(0x100000000000000d);
    h->fs_base = UINT64_C(0x100000000000000e);
    h->gs_base = UINT64_C(0x100000000000000f);
    for (uint32_t i = 0; i < 8; i++)
        h->selector[i] = (uint16_t)(0xab00 + i);
}

static void every_field_has_name_and_value(void **context)
{
    static const struct {
        uint32_t field;
        const char *name;
        uint64_t wanted;
    } expected[] = {
        {RESUME_LEDGER_CR0, "cr0", UINT64_C(0x1000000000000001)},
        {RESUME_LEDGER_CR2, "cr2", UINT64_C(0x1000000000000002)},
        {RESUME_LEDGER_CR3, "cr3", UINT64_C(0x1000000000000003)},
        {RESUME_LEDGER_CR4, "cr4", UINT64_C(0x1000000000000004)},
        {RESUME_LEDGER_CR8, "cr8", UINT64_C(0x1000000000000005)},
        {RESUME_LEDGER_EFER, "efer", UINT64_C(0x1000000000000006)},
        {RESUME_LEDGER_XCR0, "xcr0", UINT64_C(0x1000000000000007)},
        {RESUME_LEDGER_DR0, "dr0", UINT64_C(0x1000000000000008)},
        {RESUME_LEDGER_DR1, "dr1", UINT64_C(0x1000000000000009)},
        {RESUME_LEDGER_DR2, "dr2", UINT64_C(0x100000000000000a)},
        {RESUME_LEDGER_DR3, "dr3", UINT64_C(0x100000000000000b)},
        {RESUME_LEDGER_DR6, "dr6", UINT64_C(0x100000000000000c)},
        {RESUME_LEDGER_DR7, "dr7", UINT64_C(0x100000000000000d)},
        {RESUME_LEDGER_ES, "es", 0xab00},
        {RESUME_LEDGER_CS, "cs", 0xab01},
        {RESUME_LEDGER_SS, "ss", 0xab02},
        {RESUME_LEDGER_DS, "ds", 0xab03},
        {RESUME_LEDGER_FS, "fs", 0xab04},
        {RESUME_LEDGER_GS, "gs", 0xab05},
        {RESUME_LEDGER_LDTR, "ldtr", 0xab06},
        {RESUME_LEDGER_TR, "tr", 0xab07},
        {RESUME_LEDGER_FS_BASE, "fs_base", UINT64_C(0x100000000000000e)},
        {RESUME_LEDGER_GS_BASE, "gs_base", UINT64_C(0x100000000000000f)},
        {RESUME_LEDGER_XSAVE, "xsave", 0},
    };
    struct resume_handoff handoff;

    (void)context;
    number_fields(&handoff);
    assert_int_equal(sizeof(expected) / sizeof(expected[0]), RESUME_LEDGER_COUNT);
    for (uint32_t i = 0; i < RESUME_LEDGER_COUNT; i++) {
        assert_int_equal(expected[i].field, i);
        assert_string_equal(resume_ledger_name(i), expected[i].name);
        assert_int_equal(resume_ledger_wanted(&handoff, i), expected[i].wanted);
    }
}

static void beyond_the_last_there_is_nothing(void **context)
{
    struct resume_handoff handoff;

    (void)context;
    number_fields(&handoff);
    assert_null(resume_ledger_name(RESUME_LEDGER_COUNT));
    assert_null(resume_ledger_name(UINT32_MAX));
    assert_int_equal(resume_ledger_wanted(&handoff, RESUME_LEDGER_COUNT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_has_name_and_value),
        cmocka_unit_test(beyond_the_last_there_is_nothing),
    };

    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
