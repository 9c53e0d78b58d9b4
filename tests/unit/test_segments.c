/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Descriptors in guest memory against segment registers. The GDT is Linux's, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <resume/segments.h>

#include "linux_vcpu.h"
#include "phys.h"

#define GDT_VA UINT64_C(0xfffffe0000001000)
#define GDT_PA UINT64_C(0x8000)
#define LDT_VA UINT64_C(0xfffffe0000001ffc) /* its first descriptor lies across two pages */

struct fixture {
    struct phys phys;
    struct resume_paging paging;
    struct resume_vcpu vcpu;
};

static int setup(void **context)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    phys_open(&f.phys, 0, 16);
    f.paging.phys = phys_access(&f.phys);
    f.paging.levels = 4;
    f.paging.nxe = 1;
    f.paging.pa_bits = 40;
    /* Tables by hand: indexes of GDT_VA are 508, 0, 0, 1. */
    f.paging.root_pa = 0x1000;
    phys_poke(&f.phys, 0x1000 + 508 * 8, 0x2000 | 3);
    phys_poke(&f.phys, 0x2000, 0x3000 | 3);
    phys_poke(&f.phys, 0x3000, 0x4000 | 3);
    phys_poke(&f.phys, 0x4000 + 1 * 8, GDT_PA | 3);
    phys_poke(&f.phys, 0x4000 + 2 * 8, 0xa000 | 3); /* not the next page of RAM */
    /* arch/x86: kernel code, kernel data, user 32-bit code, user data, user code, TSS. */
    phys_poke(&f.phys, GDT_PA + 0x10, UINT64_C(0x00af9b000000ffff));
    phys_poke(&f.phys, GDT_PA + 0x18, UINT64_C(0x00cf93000000ffff));
    phys_poke(&f.phys, GDT_PA + 0x20, UINT64_C(0x00cffb000000ffff));
    phys_poke(&f.phys, GDT_PA + 0x28, UINT64_C(0x00cff3000000ffff));
    phys_poke(&f.phys, GDT_PA + 0x30, UINT64_C(0x00affb000000ffff));
    phys_poke(&f.phys, GDT_PA + 0x40, UINT64_C(0x00008b0030004087));
    phys_poke(&f.phys, GDT_PA + 0x48, UINT64_C(0x00000000fffffe00));
    linux_vcpu_user(&f.vcpu);
    *context = &f;
    return 0;
}

static int teardown(void **context)
{
    struct fixture *f = *context;

    phys_close(&f->phys);
    return 0;
}

static int check(struct fixture *f, struct resume_diag *diag)
{
    return resume_segments_check(&f->vcpu, 5, &f->paging, diag);
}

static void linux_agrees(void **context)
{
    struct fixture *f = *context;

    assert_int_equal(check(f, NULL), 0);
    linux_vcpu_kernel(&f->vcpu);
    assert_int_equal(check(f, NULL), 0);
}

static void expect(struct fixture *f, int err, const char *where, const char *field)
{
    struct resume_diag diag = {0};

    assert_int_equal(check(f, &diag), err);
    assert_string_equal(diag.where, where);
    assert_string_equal(diag.field, field);
    assert_int_equal(diag.vcpu, 5);
}

/* Only CS and SS come from the guest's tables. */
static void the_others_may_have_changed(void **context)
{
    struct fixture *f = *context;
    struct resume_segment *seg = f->vcpu.segs.seg;

    seg[RESUME_TR].base += 0x1000;
    seg[RESUME_DS] = (struct resume_segment){.base = 0x1000, .access = 0x40f3, .selector = 0x53};
    seg[RESUME_LDTR] = (struct resume_segment){.access = 0x82, .selector = 0x60};
    assert_int_equal(check(f, NULL), 0);
}

static void what_is_no_segment_is_found(void **context)
{
    struct fixture *f = *context;

    phys_poke(&f->phys, GDT_PA + 0x28, UINT64_C(0x00cf73000000ffff)); /* not present */
    expect(f, RESUME_EUNSUPPORTED, "SS", "access");
    phys_poke(&f->phys, GDT_PA + 0x28, UINT64_C(0x0000ec000030ffff)); /* a call gate now */
    expect(f, RESUME_EUNSUPPORTED, "SS", "access");
    f->vcpu.segs.seg[RESUME_SS].access = RESUME_SEG_UNUSABLE;
    assert_int_equal(check(f, NULL), 0);
}

static void changed_code_segments_are_found(void **context)
{
    struct fixture *f = *context;

    phys_poke(&f->phys, GDT_PA + 0x30, UINT64_C(0x00cffb000000ffff)); /* 32-bit */
    expect(f, RESUME_ECONSISTENT, "CS", "access");
    phys_poke(&f->phys, GDT_PA + 0x30, UINT64_C(0x00af9b000000ffff)); /* DPL 0 */
    expect(f, RESUME_ECONSISTENT, "CS", "access");
    phys_poke(&f->phys, GDT_PA + 0x30, UINT64_C(0x00affa000000ffff)); /* only "accessed" differs */
    assert_int_equal(check(f, NULL), 0);
    phys_poke(&f->phys, GDT_PA + 0x30, UINT64_C(0x12affb345678ffff)); /* a base: no meaning */
    assert_int_equal(check(f, NULL), 0);
}

/* In compatibility mode bases and limits count, and the size of the stack. */
static void compatibility_mode_is_exact(void **context)
{
    struct fixture *f = *context;
    struct resume_segment *seg = f->vcpu.segs.seg;

    phys_poke(&f->phys, GDT_PA + 0x28, UINT64_C(0x008ff3000000ffff)); /* a 16-bit stack */
    assert_int_equal(check(f, NULL), 0);
    seg[RESUME_CS] =
        (struct resume_segment){.limit = UINT32_MAX, .access = 0xc0fb, .selector = 0x23};
    expect(f, RESUME_ECONSISTENT, "SS", "access");
    phys_poke(&f->phys, GDT_PA + 0x28, UINT64_C(0x00cff3000000ffff));
    assert_int_equal(check(f, NULL), 0);
    seg[RESUME_SS].base = 0x1000;
    expect(f, RESUME_ECONSISTENT, "SS", "base");
    seg[RESUME_SS].base = 0;
    seg[RESUME_SS].limit = 0xfffff;
    expect(f, RESUME_ECONSISTENT, "SS", "limit");
    seg[RESUME_SS].limit = UINT32_MAX;
    seg[RESUME_CS].base = UINT64_C(0x12000000);
    expect(f, RESUME_ECONSISTENT, "CS", "base");
}

static void local_descriptors_are_read(void **context)
{
    struct fixture *f = *context;
    struct resume_segment *seg = f->vcpu.segs.seg;

    /* LDT at 0x50: base LDT_VA, limit 15. */
    phys_poke(&f->phys, GDT_PA + 0x50, UINT64_C(0x000082001ffc000f));
    phys_poke(&f->phys, GDT_PA + 0x58, UINT64_C(0x00000000fffffe00));
    /* Its entry 0 lies across the page boundary: the low half at the end of the GDT's page. */
    phys_poke(&f->phys, GDT_PA + 0xff8, UINT64_C(0x0000ffff00000000));
    phys_poke(&f->phys, 0xa000, UINT64_C(0x0000000000cff300));
    seg[RESUME_LDTR] =
        (struct resume_segment){.base = LDT_VA, .limit = 15, .access = 0x82, .selector = 0x50};
    seg[RESUME_SS].selector = 0x7;
    assert_int_equal(check(f, NULL), 0);
    phys_poke(&f->phys, 0xa000, UINT64_C(0x0000000000cffb00));
    expect(f, RESUME_ECONSISTENT, "SS", "access");
}

static void unmapped_tables_are_told(void **context)
{
    struct fixture *f = *context;
    struct resume_diag diag;

    phys_poke(&f->phys, 0x4000 + 1 * 8, 0);
    assert_int_equal(check(f, &diag), RESUME_EUNMAPPED);
    phys_poke(&f->phys, 0x4000 + 1 * 8, UINT64_C(0x100000) | 3);
    assert_int_equal(check(f, &diag), RESUME_EUNREACHABLE);
    assert_int_equal(resume_segments_check(NULL, 0, &f->paging, NULL), RESUME_EINVAL);
    assert_int_equal(resume_segments_check(&f->vcpu, 0, NULL, NULL), RESUME_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(linux_agrees),
        TEST(the_others_may_have_changed),
        TEST(what_is_no_segment_is_found),
        TEST(changed_code_segments_are_found),
        TEST(compatibility_mode_is_exact),
        TEST(local_descriptors_are_read),
        TEST(unmapped_tables_are_told),
    };

    return cmocka_run_group_tests_name("segments", tests, NULL, NULL);
}
