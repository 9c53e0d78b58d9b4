/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The home's image and the way into it, looked at with other eyes than those that built them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/plan.h>

#include "linux_vcpu.h"
#include "pt_oracle.h"

#include <trampoline.h>

static const struct resume_home home = {.va = LINUX_HOME_VA,
                                        .pa = LINUX_HOME_PA,
                                        .length = RESUME_HOME_LENGTH,
                                        .kind = RESUME_HOME_PADDING,
                                        .fill = 0xcc};

struct fixture {
    struct resume_vcpu vcpu;
    struct resume_image_input input;
    struct resume_cpu cpu;
    uint8_t *image;
};

static int setup(void **context)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    f->image = aligned_alloc(4096, RESUME_STAGING_LENGTH);
    if (f->image == NULL)
        return -1;
    memset(f->image, 0x5a, RESUME_STAGING_LENGTH);
    linux_vcpu_user(&f->vcpu);
    f->input.vcpu = &f->vcpu;
    f->input.home = &home;
    f->input.trampoline = resume_trampoline;
    f->input.trampoline_length = resume_trampoline_length;
    f->cpu.xsave = 1;
    f->cpu.rdtscp = 1;
    f->input.cpu = &f->cpu;
    f->input.debug_port = 0x402;
    *context = f;
    return 0;
}

static int teardown(void **context)
{
    struct fixture *f = *context;

    free(f->image);
    free(f);
    return 0;
}

static int build(struct fixture *f, struct resume_diag *diag)
{
    return resume_image_build(&f->input, f->image, RESUME_HOME_LENGTH, diag);
}

static const struct resume_handoff *handoff(const struct fixture *f)
{
    return (const struct resume_handoff *)(const void *)f->image;
}

static void the_home_is_mapped_at_its_guest_address(void **context)
{
    struct fixture *f = *context;
    struct pt_machine machine = {.ram = f->image,
                                 .ram_start = LINUX_HOME_PA,
                                 .ram_size = RESUME_HOME_LENGTH,
                                 .maxphyaddr = 40};
    struct pt_mapping list[17];

    assert_int_equal(build(f, NULL), 0);
    machine.cr3 = handoff(f)->tables_cr3;
    assert_in_range(machine.cr3, LINUX_HOME_PA + RESUME_HOME_TABLES,
                    LINUX_HOME_PA + RESUME_HOME_LENGTH - 1);
    assert_int_equal(pt_oracle_enumerate(&machine, list, 17), 16);
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(list[i].linear, LINUX_HOME_VA + i * 4096u);
        assert_int_equal(list[i].physical, LINUX_HOME_PA + i * 4096u);
        assert_true(list[i].writable);
        assert_true(list[i].executable);
        assert_false(list[i].user);
        assert_false(list[i].global);
    }
}

static void the_guest_is_handed_over(void **context)
{
    struct fixture *f = *context;
    const struct resume_handoff *h;

    f->vcpu.ctrl.cr0 |= 1u << 3; /* TS: must not reach XRSTOR */
    f->vcpu.ctrl.cr3 |= 0x18;
    assert_int_equal(build(f, NULL), 0);
    h = handoff(f);
    assert_int_equal(h->magic, RESUME_HANDOFF_MAGIC);
    assert_int_equal(h->size, sizeof(*h));
    assert_int_equal(h->go, 0);
    assert_int_equal(h->stage, RESUME_STAGE_NONE);
    assert_int_equal(h->flags,
                     RESUME_HANDOFF_XSETBV | RESUME_HANDOFF_XRSTOR | RESUME_HANDOFF_DEBUG_PORT);
    assert_int_equal(h->debug_port, 0x402);
    assert_int_equal(h->gpr[RESUME_RBX], 0x13695a58);
    assert_int_equal(h->cr0, 0x8005003b);
    assert_int_equal(h->modes_cr0, 0x80000033);
    assert_int_equal(h->modes_cr4, 0x40620); /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    assert_int_equal(h->cr3, 0x1e01e018);
    assert_int_equal(h->bare_cr3, 0x1e01e000);
    assert_int_equal(h->selector[RESUME_CS], 0x33);
    assert_int_equal(h->selector[RESUME_TR], 0x40);
    assert_int_equal(h->gdtr.limit, 0x7f);
    assert_int_equal(h->own_gdtr.limit, 0x1017);
    assert_int_equal(h->own_gdtr.base, LINUX_HOME_VA + 0x2000);
    assert_int_equal(h->fs_base, 0x136933c0);
    assert_int_equal(h->msr_count, 10);
    assert_memory_equal(f->image + RESUME_HOME_XSAVE, f->vcpu.xsave.area, f->vcpu.xsave.length);
}

static void what_loads_elsewhere_is_not_in_the_msr_list(void **context)
{
    static const uint32_t elsewhere[] = {RESUME_MSR_EFER, RESUME_MSR_FS_BASE, RESUME_MSR_GS_BASE,
                                         RESUME_MSR_TSC, RESUME_MSR_APIC_BASE};
    struct fixture *f = *context;

    for (uint32_t i = 0; i < 5; i++)
        f->vcpu.msr[f->vcpu.msr_count++] = (struct resume_msr){elsewhere[i], 0, 1};
    f->vcpu.msr[f->vcpu.msr_count++] = (struct resume_msr){0x1234, RESUME_MSR_OPTIONAL, 1};
    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(handoff(f)->msr_count, 10);
}

/* An importer may mark TSC_AUX optional; a CPU that has it gets it all the same. */
static void tsc_aux_is_loaded_where_it_exists(void **context)
{
    struct fixture *f = *context;

    f->vcpu.msr[9].flags = RESUME_MSR_OPTIONAL;
    f->vcpu.msr[9].value = 7;
    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(handoff(f)->msr_count, 10);
    assert_int_equal(handoff(f)->msr[9].index, RESUME_MSR_TSC_AUX);
    assert_int_equal(handoff(f)->msr[9].value, 7);
    f->cpu.rdtscp = 0;
    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(handoff(f)->msr_count, 9);
}

static void a_guest_without_xsave_gets_fxrstor(void **context)
{
    struct fixture *f = *context;

    f->vcpu.ctrl.xcr0 = 1;
    f->vcpu.ctrl.cr4 &= ~UINT64_C(0x40000);
    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(handoff(f)->flags & (RESUME_HANDOFF_XSETBV | RESUME_HANDOFF_XRSTOR),
                     RESUME_HANDOFF_XSETBV);
    f->cpu.xsave = 0;
    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(handoff(f)->flags & (RESUME_HANDOFF_XSETBV | RESUME_HANDOFF_XRSTOR), 0);
    assert_int_equal(handoff(f)->modes_cr4, 0x620);
}

/* SDM vol. 3, "64-Bit IDT Gate Descriptors" and "Segment Descriptors", decoded by hand. */
static void own_descriptors_are_right(void **context)
{
    struct fixture *f = *context;
    const struct resume_trampoline_header *header =
        (const struct resume_trampoline_header *)(const void *)(f->image + RESUME_HOME_CODE);
    const uint8_t *gdt = f->image + RESUME_HOME_GDT;
    const uint8_t *idt = f->image + RESUME_HOME_OWN_IDT;

    assert_int_equal(build(f, NULL), 0);
    assert_memory_equal(header, resume_trampoline, resume_trampoline_length);
    assert_int_equal(gdt[0] | gdt[5], 0);
    assert_int_equal(gdt[RESUME_OWN_CS + 5], 0x9b); /* present, DPL 0, code, read, accessed */
    assert_int_equal(gdt[RESUME_OWN_CS + 6], 0xaf); /* G, L */
    assert_int_equal(gdt[RESUME_OWN_DS + 5], 0x93); /* present, DPL 0, data, write, accessed */
    for (uint32_t i = 0; i < 32; i++) {
        const uint8_t *gate = idt + 16 * i;
        uint64_t offset = 0;

        for (int byte = 7; byte >= 0; byte--) {
            static const uint8_t place[8] = {0, 1, 6, 7, 8, 9, 10, 11};

            offset = offset << 8 | gate[place[byte]];
        }
        assert_int_equal(offset, LINUX_HOME_VA + RESUME_HOME_CODE + header->vectors + 16 * i);
        assert_int_equal(gate[2] | gate[3] << 8, RESUME_OWN_CS);
        assert_int_equal(gate[4], 0);
        assert_int_equal(gate[5], 0x8e);
    }
}

static void the_landing_ends_the_home(void **context)
{
    struct fixture *f = *context;
    struct resume_landing landing;

    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(resume_landing_compose(&f->vcpu, &home, &landing), 0);
    assert_memory_equal(f->image + RESUME_HOME_LENGTH - landing.length, landing.bytes,
                        landing.length);
    assert_int_equal(handoff(f)->landing_va, landing.va);
    assert_int_equal(handoff(f)->refill_length, landing.va - LINUX_HOME_VA);
    assert_int_equal(handoff(f)->leave_va, landing.va + landing.leave);
    assert_int_equal(handoff(f)->flags & RESUME_HANDOFF_KERNEL_CS, 0);
    linux_vcpu_kernel(&f->vcpu);
    assert_int_equal(build(f, NULL), 0);
    assert_int_equal(handoff(f)->flags & RESUME_HANDOFF_KERNEL_CS, RESUME_HANDOFF_KERNEL_CS);
}

static void bad_inputs_are_refused(void **context)
{
    struct fixture *f = *context;
    struct resume_diag diag;
    struct resume_home short_home = home;
    uint8_t code[0x2001] = {0};
    struct resume_trampoline_header header = {
        RESUME_TRAMPOLINE_MAGIC, RESUME_HANDOFF_VERSION, sizeof(code), 0, 0, 0, 16};

    assert_int_equal(resume_image_build(NULL, f->image, RESUME_HOME_LENGTH, NULL), RESUME_EINVAL);
    assert_int_equal(resume_image_build(&f->input, f->image, 4096, NULL), RESUME_EINVAL);
    short_home.length = 4096;
    f->input.home = &short_home;
    assert_int_equal(build(f, NULL), RESUME_EINVAL);
    f->input.home = &home;

    f->input.trampoline = code;
    f->input.trampoline_length = 10;
    assert_int_equal(build(f, &diag), RESUME_ETRUNC);
    f->input.trampoline_length = sizeof(code);
    assert_int_equal(build(f, &diag), RESUME_EMAGIC);
    memcpy(code, &header, sizeof(header));
    assert_int_equal(build(f, &diag), RESUME_ENOSPC);
    header.version = 99;
    memcpy(code, &header, sizeof(header));
    assert_int_equal(build(f, &diag), RESUME_EVERSION);
    header.version = RESUME_HANDOFF_VERSION;
    memcpy(code, &header, sizeof(header));
    f->input.trampoline_length = sizeof(code) - 1;
    assert_int_equal(build(f, &diag), RESUME_ETRUNC);
    f->input.trampoline = resume_trampoline;
    f->input.trampoline_length = resume_trampoline_length;

    for (uint32_t i = f->vcpu.msr_count; i <= RESUME_HANDOFF_MSRS; i++)
        f->vcpu.msr[f->vcpu.msr_count++] = (struct resume_msr){RESUME_MSR_PAT, 0, 0};
    assert_int_equal(build(f, &diag), RESUME_EUNSUPPORTED);
    assert_string_equal(diag.field, "msr_count");
    linux_vcpu_user(&f->vcpu);
    f->vcpu.segs.seg[RESUME_GDTR].limit = 0x1000;
    assert_int_equal(build(f, &diag), RESUME_EUNSUPPORTED);
    assert_string_equal(diag.field, "gdtr.limit");
    linux_vcpu_user(&f->vcpu);
    f->vcpu.xsave.length = 4097;
    assert_int_equal(build(f, &diag), RESUME_EUNSUPPORTED);
    f->vcpu.xsave.area = NULL;
    assert_int_equal(build(f, &diag), RESUME_EUNSUPPORTED);
}

static void transit_maps_staging_and_home(void **context)
{
    static const uint64_t staging_pa = 0x3000000;
    struct fixture *f = *context;
    struct pt_machine machine = {.ram = f->image,
                                 .ram_start = staging_pa,
                                 .ram_size = RESUME_STAGING_LENGTH,
                                 .maxphyaddr = 40};
    const struct resume_transit *transit =
        (const struct resume_transit *)(const void *)(f->image + RESUME_STAGING_TRANSIT);
    struct pt_mapping m;

    assert_int_equal(resume_transit_build(&home, f->image, staging_pa, 4, 0x8200a0, NULL), 0);
    assert_int_equal(transit->cr4, 0x20); /* PGE, PCIDE and CET gone */
    assert_int_equal(transit->image_pa, staging_pa);
    assert_int_equal(transit->home_va, LINUX_HOME_VA);
    machine.cr3 = transit->cr3;
    for (uint64_t at = 0; at < RESUME_STAGING_LENGTH; at += 4096) {
        assert_int_equal(pt_oracle_translate(&machine, staging_pa + at, &m), PT_MAPPED);
        assert_int_equal(m.physical, staging_pa + at);
    }
    for (uint64_t at = 0; at < RESUME_HOME_LENGTH; at += 4096) {
        assert_int_equal(pt_oracle_translate(&machine, LINUX_HOME_VA + at, &m), PT_MAPPED);
        assert_int_equal(m.physical, LINUX_HOME_PA + at);
        assert_true(m.executable);
        assert_int_equal(pt_oracle_translate(&machine, LINUX_HOME_PA + at, &m), PT_MAPPED);
        assert_int_equal(m.physical, LINUX_HOME_PA + at);
        assert_true(m.writable);
    }
}

static void transit_refuses_collisions(void **context)
{
    struct fixture *f = *context;
    struct resume_home low = home;
    struct resume_diag diag;

    assert_int_equal(resume_transit_build(&home, f->image, LINUX_HOME_PA + 0xf000, 4, 0, &diag),
                     RESUME_ECONFLICT);
    low.va = 0x3000000; /* the home's guest address is where the staging area lies */
    assert_int_equal(resume_transit_build(&low, f->image, 0x3000000, 4, 0, &diag),
                     RESUME_ECONFLICT);
    assert_int_equal(resume_transit_build(&home, f->image, 0x3000001, 4, 0, &diag), RESUME_EINVAL);
    assert_int_equal(resume_transit_build(NULL, f->image, 0x3000000, 4, 0, &diag), RESUME_EINVAL);
    assert_int_equal(resume_transit_build(&home, NULL, 0x3000000, 4, 0, &diag), RESUME_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_home_is_mapped_at_its_guest_address),
        TEST(the_guest_is_handed_over),
        TEST(what_loads_elsewhere_is_not_in_the_msr_list),
        TEST(tsc_aux_is_loaded_where_it_exists),
        TEST(a_guest_without_xsave_gets_fxrstor),
        TEST(own_descriptors_are_right),
        TEST(the_landing_ends_the_home),
        TEST(bad_inputs_are_refused),
        TEST(transit_maps_staging_and_home),
        TEST(transit_refuses_collisions),
    };

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
