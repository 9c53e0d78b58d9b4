/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The home's image, looked at with other eyes than those that built it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/image.h>

#include "linux_vcpu.h"
#include "pt_oracle.h"

#include <trampoline.h>

#define VCPUS 3u
#define BLOCK 0x7000u /* 5 pages, and one for each of the XSAVE images */

struct fixture {
    struct resume_vcpu vcpu;
    struct resume_image_layout layout;
    struct resume_home home;
    struct resume_image_input input;
    struct resume_cpu cpu;
    uint8_t *image;
};

static int setup(void **context)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL || resume_image_layout_compute(VCPUS, 832, &f->layout) != 0)
        return -1;
    f->image = aligned_alloc(4096, f->layout.length);
    if (f->image == NULL)
        return -1;
    memset(f->image, 0x5a, f->layout.length);
    linux_vcpu_user(&f->vcpu);
    f->home = (struct resume_home){.va = LINUX_HOME_VA,
                                   .pa = LINUX_HOME_PA,
                                   .length = f->layout.length,
                                   .kind = RESUME_HOME_PADDING,
                                   .fill = 0xcc};
    f->cpu.xsave = 1;
    f->cpu.rdtscp = 1;
    f->cpu.comp_count = 1;
    f->cpu.comp[0] = (struct resume_xcomp){.id = 2, .offset = 576, .size = 256};
    f->input = (struct resume_image_input){.home = &f->home,
                                           .layout = &f->layout,
                                           .cpu = &f->cpu,
                                           .trampoline = resume_trampoline,
                                           .trampoline_length = resume_trampoline_length,
                                           .levels = 4,
                                           .active_count = 2,
                                           .last_out = 2,
                                           .debug_port = 0x402};
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

static int build_one(struct fixture *f, uint32_t index, struct resume_diag *diag)
{
    int err = resume_image_begin(&f->input, f->image, diag);

    return err == 0 ? resume_image_vcpu(&f->input, index, &f->vcpu, f->image, diag) : err;
}

static const struct resume_control *control(const struct fixture *f)
{
    return (const struct resume_control *)(const void *)f->image;
}

static const uint8_t *block(const struct fixture *f, uint32_t index)
{
    return f->image + 0x10000 + (size_t)index * BLOCK;
}

static const struct resume_handoff *handoff(const struct fixture *f, uint32_t index)
{
    return (const struct resume_handoff *)(const void *)block(f, index);
}

static void the_layout_is_what_the_documents_say(void **context)
{
    struct resume_image_layout layout;

    (void)context;
    assert_int_equal(resume_image_layout_compute(1, 0, &layout), 0);
    assert_int_equal(layout.block_length, BLOCK);
    assert_int_equal(layout.length, 0x18000);
    assert_int_equal(layout.landings, 0x18000 - 0x100);
    assert_int_equal(resume_image_layout_compute(8, 11008, &layout), 0); /* with AMX */
    assert_int_equal(layout.xsave_length, 0x3000);
    assert_int_equal(layout.block_length, 0xb000);
    assert_int_equal(layout.length, 0x10000 + 8 * 0xb000 + 0x1000);
    assert_int_equal(resume_image_layout_compute(0, 0, &layout), RESUME_EINVAL);
    assert_int_equal(resume_image_layout_compute(257, 0, &layout), RESUME_EINVAL);
    assert_int_equal(resume_image_layout_compute(1, 16385, &layout), RESUME_EINVAL);
    assert_int_equal(resume_image_layout_compute(1, 0, NULL), RESUME_EINVAL);
}

static void the_home_is_mapped_at_its_guest_address(void **context)
{
    struct fixture *f = *context;
    uint32_t pages = (uint32_t)(f->layout.length / 4096);
    struct pt_mapping *list = calloc(pages + 1, sizeof(*list));

    for (uint32_t levels = 4; levels <= 5; levels++) {
        struct pt_machine machine = {.ram = f->image,
                                     .ram_start = LINUX_HOME_PA,
                                     .ram_size = f->layout.length,
                                     .maxphyaddr = 40,
                                     .la57 = levels == 5};

        f->input.levels = levels;
        assert_int_equal(build_one(f, 0, NULL), 0);
        machine.cr3 = control(f)->tables_cr3;
        assert_in_range(machine.cr3, LINUX_HOME_PA + RESUME_HOME_TABLES,
                        LINUX_HOME_PA + RESUME_HOME_BLOCKS - 4096);
        assert_int_equal(pt_oracle_enumerate(&machine, list, pages + 1), pages);
        for (uint32_t i = 0; i < pages; i++) {
            assert_int_equal(list[i].linear, LINUX_HOME_VA + i * 4096u);
            assert_int_equal(list[i].physical, LINUX_HOME_PA + i * 4096u);
            assert_true(list[i].writable);
            assert_true(list[i].executable);
            assert_false(list[i].user);
            assert_false(list[i].global);
        }
    }
    free(list);
}

static void the_guest_is_handed_over(void **context)
{
    struct fixture *f = *context;
    const struct resume_handoff *h;

    f->vcpu.ctrl.cr0 |= 1u << 3; /* TS: must not reach XRSTOR */
    f->vcpu.ctrl.cr3 |= 0x18;
    f->vcpu.run.apic_id = 0x11;
    assert_int_equal(build_one(f, 1, NULL), 0);
    assert_int_equal(control(f)->magic, RESUME_CONTROL_MAGIC);
    assert_int_equal(control(f)->size, sizeof(struct resume_control));
    assert_int_equal(control(f)->go, 0);
    assert_int_equal(control(f)->vcpu_count, VCPUS);
    assert_int_equal(control(f)->active_count, 2);
    assert_int_equal(control(f)->block_length, BLOCK);
    assert_int_equal(control(f)->debug, 1);
    assert_int_equal(control(f)->debug_port, 0x402);
    assert_int_equal(control(f)->own_idtr.base, LINUX_HOME_VA + 0x800);
    h = handoff(f, 1);
    assert_int_equal(h->magic, RESUME_HANDOFF_MAGIC);
    assert_int_equal(h->size, sizeof(*h));
    assert_int_equal(h->index, 1);
    assert_int_equal(h->apic_id, 0x11);
    assert_int_equal(h->stage, RESUME_STAGE_NONE);
    assert_int_equal(h->flags,
                     RESUME_HANDOFF_ACTIVE | RESUME_HANDOFF_XSETBV | RESUME_HANDOFF_XRSTOR);
    assert_int_equal(h->gpr[RESUME_RBX], 0x13695a58);
    assert_int_equal(h->cr0, 0x8005003b);
    assert_int_equal(h->modes_cr0, 0x80000033);
    assert_int_equal(h->paging_cr4, 0x406b0);
    assert_int_equal(h->modes_cr4, 0x40630); /* without PGE */
    assert_int_equal(h->cr3, 0x1e01e018);
    assert_int_equal(h->paging_cr3, control(f)->tables_cr3);
    assert_int_equal(h->selector[RESUME_CS], 0x33);
    assert_int_equal(h->selector[RESUME_TR], 0x40);
    assert_int_equal(h->gdtr.limit, 0x7f);
    assert_int_equal(h->own_gdtr.limit, 0x1027);
    assert_int_equal(h->own_gdtr.base, LINUX_HOME_VA + 0x10000 + BLOCK + 0x2000);
    assert_int_equal(h->fs_base, 0x136933c0);
    assert_int_equal(h->msr_count, 10);
    assert_true(h->span_count > 2);
    assert_memory_equal(block(f, 1) + 0x5000, f->vcpu.xsave.area, f->vcpu.xsave.length);
    assert_memory_equal(h->line, "libresume: ledger cpu=1         ...", 35);
    assert_int_equal(h->line[h->line_length - 1], '\n');
    assert_int_equal(h->line_length, 32 + RESUME_LEDGER_COUNT + 10 + 1);
}

/* PCID: the own tables run under the guest's, and PGE is written both ways. */
static void what_governs_translations_is_prepared(void **context)
{
    struct fixture *f = *context;

    f->vcpu.ctrl.cr4 = (f->vcpu.ctrl.cr4 | 1u << 17 | 1u << 23) & ~UINT64_C(0x80);
    f->vcpu.ctrl.cr3 |= 0x806;
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_int_equal(handoff(f, 0)->rip, 0x4ec5ac);
    assert_int_equal(handoff(f, 0)->paging_cr3, control(f)->tables_cr3 | 0x806);
    assert_int_equal(handoff(f, 0)->paging_cr4, 0x60630); /* CET only with WP, in the landing */
    assert_int_equal(handoff(f, 0)->modes_cr4, 0x606b0);
}

static void nmis_are_kept_out_where_the_guest_has_them_blocked_or_waiting(void **context)
{
    struct fixture *f = *context;

    linux_vcpu_kernel(&f->vcpu);
    f->vcpu.run.nmi_masked = 1;
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_true((handoff(f, 0)->flags & RESUME_HANDOFF_BLOCK_NMI) != 0);
    f->vcpu.run.nmi_masked = 0;
    f->vcpu.run.nmi_pending = 1;
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_true((handoff(f, 0)->flags & RESUME_HANDOFF_BLOCK_NMI) != 0);
}

static void what_loads_elsewhere_is_not_in_the_msr_list(void **context)
{
    static const uint32_t elsewhere[] = {RESUME_MSR_EFER, RESUME_MSR_FS_BASE, RESUME_MSR_GS_BASE,
                                         RESUME_MSR_APIC_BASE};
    struct fixture *f = *context;

    for (uint32_t i = 0; i < 4; i++)
        f->vcpu.msr[f->vcpu.msr_count++] = (struct resume_msr){elsewhere[i], 0, 1};
    f->vcpu.msr[f->vcpu.msr_count++] = (struct resume_msr){0x1234, RESUME_MSR_OPTIONAL, 1};
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_int_equal(handoff(f, 0)->msr_count, 10);
}

/* An importer may mark TSC_AUX optional; a CPU that has it gets it all the same. */
static void tsc_aux_is_loaded_where_it_exists(void **context)
{
    struct fixture *f = *context;
    const struct resume_msr *list;
    uint32_t found = 0;

    f->vcpu.msr[9].flags = RESUME_MSR_OPTIONAL;
    f->vcpu.msr[9].value = 7;
    assert_int_equal(build_one(f, 0, NULL), 0);
    list = (const struct resume_msr *)(const void *)(block(f, 0) + 0x1000);
    for (uint32_t i = 0; i < handoff(f, 0)->msr_count; i++)
        found += list[i].index == RESUME_MSR_TSC_AUX && list[i].value == 7;
    assert_int_equal(found, 1);
    assert_int_equal(handoff(f, 0)->msr_count, 10);
    f->cpu.rdtscp = 0;
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_int_equal(handoff(f, 0)->msr_count, 9);
}

static void a_guest_without_xsave_gets_fxrstor(void **context)
{
    struct fixture *f = *context;
    const uint32_t both = RESUME_HANDOFF_XSETBV | RESUME_HANDOFF_XRSTOR;

    f->vcpu.ctrl.xcr0 = 1;
    f->vcpu.ctrl.cr4 &= ~UINT64_C(0x40000);
    f->vcpu.xsave.comp_count = 0;
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_int_equal(handoff(f, 0)->flags & both, RESUME_HANDOFF_XSETBV);
    f->cpu.xsave = 0;
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_int_equal(handoff(f, 0)->flags & both, 0);
    assert_int_equal(handoff(f, 0)->modes_cr4, 0x630);
}

/* SDM vol. 3, "64-Bit IDT Gate Descriptors" and "Segment Descriptors", decoded by hand. */
static void own_descriptors_are_right(void **context)
{
    struct fixture *f = *context;
    const struct resume_trampoline_header *header =
        (const struct resume_trampoline_header *)(const void *)(f->image + RESUME_HOME_CODE);
    const uint8_t *gdt = block(f, 0) + 0x2000;
    const uint8_t *idt = f->image + RESUME_HOME_OWN_IDT;

    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_memory_equal(header, resume_trampoline, resume_trampoline_length);
    assert_int_equal(gdt[0] | gdt[5], 0);
    assert_int_equal(gdt[RESUME_OWN_CS + 5], 0x9b); /* present, DPL 0, code, read, accessed */
    assert_int_equal(gdt[RESUME_OWN_CS + 6], 0xaf); /* G, L */
    assert_int_equal(gdt[RESUME_OWN_DS + 5], 0x93); /* present, DPL 0, data, write, accessed */
    assert_int_equal(gdt[RESUME_OWN_LDT + 5], 0x82);
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

/* TR 0x40: base 0xfffffe0000003000, limit 0x4087, busy in the record, available in the table. */
static void descriptors_come_from_the_record(void **context)
{
    static const uint8_t tss[16] = {0x87, 0x40, 0x00, 0x30, 0x00, 0x89, 0x00, 0x00,
                                    0x00, 0xfe, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00};
    static const uint8_t data[8] = {0xff, 0xff, 0x00, 0x00, 0x00, 0xf3, 0xcf, 0x00};
    const struct resume_segment flat = {.limit = UINT32_MAX, .access = 0xc0f3};
    struct fixture *f = *context;

    f->vcpu.segs.seg[RESUME_DS] = flat;
    f->vcpu.segs.seg[RESUME_DS].selector = 0x2b;
    f->vcpu.segs.seg[RESUME_ES] = flat;
    f->vcpu.segs.seg[RESUME_ES].selector = 0x0f; /* in the LDT */
    f->vcpu.segs.seg[RESUME_FS].selector = 0x2b; /* whose base comes by its MSR */
    f->vcpu.segs.seg[RESUME_FS].limit = UINT32_MAX;
    f->vcpu.segs.seg[RESUME_FS].access = 0xc0f3;
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_memory_equal(block(f, 0) + 0x2040, tss, 16);
    assert_memory_equal(block(f, 0) + 0x2028, data, 8);
    assert_memory_equal(block(f, 0) + 0x4008, data, 8);
    assert_true((handoff(f, 0)->flags & RESUME_HANDOFF_OWN_LDT) != 0);
    /* Two registers, one selector, different hidden parts: the guest changed the descriptor. */
    f->vcpu.segs.seg[RESUME_ES].selector = 0x2b;
    f->vcpu.segs.seg[RESUME_ES].base = 0x1000;
    assert_int_equal(build_one(f, 0, NULL), RESUME_ECONSISTENT);
    f->vcpu.segs.seg[RESUME_ES].selector = 0x1003;
    assert_int_equal(build_one(f, 0, NULL), RESUME_EUNSUPPORTED);
}

static void a_kernel_code_segment_is_there_for_the_trampoline(void **context)
{
    struct fixture *f = *context;

    linux_vcpu_kernel(&f->vcpu);
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_true((handoff(f, 0)->flags & RESUME_HANDOFF_KERNEL_CS) != 0);
    assert_int_equal(block(f, 0)[0x2010 + 5], 0x9b);
    assert_int_equal(block(f, 0)[0x2018 + 5], 0x93);
    linux_vcpu_user(&f->vcpu);
    assert_int_equal(build_one(f, 0, NULL), 0);
    assert_true((handoff(f, 0)->flags & RESUME_HANDOFF_KERNEL_CS) == 0);
    assert_int_equal(block(f, 0)[0x2030 + 5], 0);
}

static void each_landing_has_its_slot(void **context)
{
    struct fixture *f = *context;

    assert_int_equal(resume_image_begin(&f->input, f->image, NULL), 0);
    assert_int_equal(resume_image_vcpu(&f->input, 2, &f->vcpu, f->image, NULL), 0);
    assert_int_equal(resume_image_finish(&f->input, f->image, NULL), RESUME_EMISSING);
    assert_int_equal(resume_image_vcpu(&f->input, 0, &f->vcpu, f->image, NULL), 0);
    assert_int_equal(resume_image_finish(&f->input, f->image, NULL), 0);
    for (uint32_t i = 0; i < VCPUS; i++) {
        uint64_t slot = f->layout.length - (VCPUS - i) * 256;

        if (i == 1) { /* dormant: nothing was put there */
            for (uint32_t at = 0; at < 256; at++)
                assert_int_equal(f->image[slot + at], 0xcc);
            assert_int_equal(handoff(f, i)->magic, 0);
            continue;
        }
        assert_in_range(handoff(f, i)->landing_va, LINUX_HOME_VA + slot,
                        LINUX_HOME_VA + slot + 255);
        assert_in_range(handoff(f, i)->leave_va, handoff(f, i)->landing_va,
                        LINUX_HOME_VA + slot + 255);
        assert_in_range(handoff(f, i)->landing_rsp, LINUX_HOME_VA + slot,
                        LINUX_HOME_VA + slot + 255);
        assert_int_equal((handoff(f, i)->flags & RESUME_HANDOFF_LAST_OUT) != 0, i == 2);
    }
    assert_int_equal(control(f)->refill_length, f->layout.length - 3 * 256);
}

static void bad_inputs_are_refused(void **context)
{
    struct fixture *f = *context;
    struct resume_diag diag;
    uint8_t code[0x3001] = {0};
    struct resume_trampoline_header header = {.magic = RESUME_TRAMPOLINE_MAGIC,
                                              .version = RESUME_HANDOFF_VERSION,
                                              .size = sizeof(code),
                                              .vector_size = 16};

    assert_int_equal(resume_image_begin(NULL, f->image, NULL), RESUME_EINVAL);
    assert_int_equal(resume_image_begin(&f->input, NULL, NULL), RESUME_EINVAL);
    f->home.length = 4096;
    assert_int_equal(build_one(f, 0, NULL), RESUME_EINVAL);
    f->home.length = f->layout.length;
    assert_int_equal(build_one(f, VCPUS, NULL), RESUME_EINVAL);
    f->input.levels = 3;
    assert_int_equal(build_one(f, 0, NULL), RESUME_EINVAL);
    f->input.levels = 4;
    f->input.last_out = VCPUS;
    assert_int_equal(build_one(f, 0, NULL), RESUME_EINVAL);
    f->input.last_out = 2;
    f->input.active_count = 0;
    assert_int_equal(build_one(f, 0, NULL), RESUME_EINVAL);
    f->input.active_count = 2;

    f->input.trampoline = code;
    f->input.trampoline_length = 10;
    assert_int_equal(build_one(f, 0, &diag), RESUME_ETRUNC);
    f->input.trampoline_length = sizeof(code);
    assert_int_equal(build_one(f, 0, &diag), RESUME_EMAGIC);
    memcpy(code, &header, sizeof(header));
    assert_int_equal(build_one(f, 0, &diag), RESUME_ENOSPC);
    header.version = 99;
    memcpy(code, &header, sizeof(header));
    assert_int_equal(build_one(f, 0, &diag), RESUME_EVERSION);
    header.version = RESUME_HANDOFF_VERSION;
    memcpy(code, &header, sizeof(header));
    f->input.trampoline_length = sizeof(code) - 1;
    assert_int_equal(build_one(f, 0, &diag), RESUME_ETRUNC);
    f->input.trampoline = resume_trampoline;
    f->input.trampoline_length = resume_trampoline_length;
    f->vcpu.xsave.area = NULL;
    assert_true(build_one(f, 0, &diag) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_what_the_documents_say),
        TEST(the_home_is_mapped_at_its_guest_address),
        TEST(the_guest_is_handed_over),
        TEST(what_governs_translations_is_prepared),
        TEST(nmis_are_kept_out_where_the_guest_has_them_blocked_or_waiting),
        TEST(what_loads_elsewhere_is_not_in_the_msr_list),
        TEST(tsc_aux_is_loaded_where_it_exists),
        TEST(a_guest_without_xsave_gets_fxrstor),
        TEST(own_descriptors_are_right),
        TEST(descriptors_come_from_the_record),
        TEST(a_kernel_code_segment_is_there_for_the_trampoline),
        TEST(each_landing_has_its_slot),
        TEST(bad_inputs_are_refused),
    };

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
