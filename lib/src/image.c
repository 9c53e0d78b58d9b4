/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/plan.h>

#include "arch.h"
#include "internal.h"
#include "msr.h"

/* Descriptors of the trampoline's own GDT: flat, 64-bit code and data, DPL 0, accessed. */
#define OWN_CODE_DESCRIPTOR UINT64_C(0x00af9b000000ffff)
#define OWN_DATA_DESCRIPTOR UINT64_C(0x00cf93000000ffff)
#define OWN_VECTORS 32u
#define GATE_LENGTH 16u
#define GATE_INTERRUPT UINT64_C(0x8e) /* present, DPL 0, 64-bit interrupt gate */

_Static_assert(RESUME_HOME_TABLES + RESUME_HOME_TABLE_PAGES * RESUME_PAGE_SIZE +
                       RESUME_HOME_LANDING_MAX <=
                   RESUME_HOME_LENGTH,
               "the tables must end below the landing");
_Static_assert(RESUME_HOME_LANDING_MAX == RESUME_LANDING_MAX, "one landing, one size");

/* The image as physical memory: the page-table builder sees home addresses. */
struct window {
    uint8_t *bytes;
    resume_pa_t base_pa;
    uint64_t length;
};

static void *window_page(void *ctx, resume_pa_t pa)
{
    const struct window *window = ctx;

    if (pa < window->base_pa || pa - window->base_pa >= window->length) {
        return NULL;
    }
    return window->bytes + (pa - window->base_pa);
}

/* An MSR that this CPU lacks can only be one that the state may do without (resume_cpu_check). */
static int msr_is_listed(const struct resume_cpu *cpu, uint32_t index)
{
    return resume_msr_way(index) == RESUME_MSR_BY_LIST &&
           (index != RESUME_MSR_TSC_AUX || cpu->rdtscp);
}

static int fill_msrs(const struct resume_image_input *input, struct resume_handoff *handoff,
                     struct resume_diag *diag)
{
    const struct resume_vcpu *vcpu = input->vcpu;

    for (uint32_t i = 0; i < vcpu->msr_count; i++) {
        if (!msr_is_listed(input->cpu, vcpu->msr[i].index)) {
            continue;
        }
        if (handoff->msr_count == RESUME_HANDOFF_MSRS) {
            return resume_fail(diag, RESUME_EUNSUPPORTED, "handoff", "msr_count", 0,
                               vcpu->msr_count, RESUME_HANDOFF_MSRS, RESUME_NO_VCPU);
        }
        handoff->msr[handoff->msr_count++] = vcpu->msr[i];
    }
    return RESUME_OK;
}

static void fill_guest(const struct resume_vcpu *vcpu, struct resume_handoff *handoff)
{
    const struct resume_segment *seg = vcpu->segs.seg;
    uint64_t gdt_limit = seg[RESUME_GDTR].limit;

    memcpy(handoff->gpr, vcpu->regs.gpr, sizeof(handoff->gpr));
    handoff->rip = vcpu->regs.rip;
    handoff->rflags = vcpu->regs.rflags;
    handoff->cr0 = vcpu->ctrl.cr0;
    handoff->cr2 = vcpu->ctrl.cr2;
    handoff->cr3 = vcpu->ctrl.cr3;
    handoff->cr4 = vcpu->ctrl.cr4;
    handoff->cr8 = vcpu->ctrl.cr8;
    handoff->efer = vcpu->ctrl.efer;
    handoff->xcr0 = (vcpu->ctrl.valid & RESUME_CTRL_XCR0) != 0 ? vcpu->ctrl.xcr0 : UINT64_C(1);
    memcpy(handoff->dr, vcpu->debug.dr, sizeof(handoff->dr));
    handoff->dr6 = vcpu->debug.dr6;
    handoff->dr7 = vcpu->debug.dr7;
    handoff->fs_base = seg[RESUME_FS].base;
    handoff->gs_base = seg[RESUME_GS].base;
    for (uint32_t i = RESUME_ES; i <= RESUME_TR; i++) {
        handoff->selector[i] = seg[i].selector;
    }
    handoff->gdtr.limit = (uint16_t)gdt_limit;
    handoff->gdtr.base = seg[RESUME_GDTR].base;
    handoff->idtr.limit = (uint16_t)seg[RESUME_IDTR].limit;
    handoff->idtr.base = seg[RESUME_IDTR].base;
}

/* Values between the firmware's and the guest's, so that the assembly has nothing to decide. */
static void fill_interim(const struct resume_image_input *input, struct resume_handoff *handoff)
{
    const struct resume_vcpu *vcpu = input->vcpu;
    resume_va_t va = input->home->va;

    handoff->modes_cr0 = (vcpu->ctrl.cr0 & ~(RESUME_CR0_WP | RESUME_CR0_TS | RESUME_CR0_EM |
                                             RESUME_CR0_AM | RESUME_CR0_CD | RESUME_CR0_NW)) |
                         RESUME_CR0_PE | RESUME_CR0_PG;
    handoff->modes_cr4 = RESUME_CR4_PAE | RESUME_CR4_OSFXSR | RESUME_CR4_OSXMMEXCPT |
                         (vcpu->ctrl.cr4 & RESUME_CR4_LA57);
    if (input->cpu->xsave) {
        handoff->flags |= RESUME_HANDOFF_XSETBV;
        handoff->modes_cr4 |= RESUME_CR4_OSXSAVE;
        if ((handoff->xcr0 & RESUME_XCR0_SSE) != 0) {
            handoff->flags |= RESUME_HANDOFF_XRSTOR;
        }
    }
    handoff->bare_cr3 = vcpu->ctrl.cr3 & ~UINT64_C(0xfff);
    handoff->own_gdtr.limit = RESUME_OWN_GDT_LIMIT;
    handoff->own_gdtr.base = va + RESUME_HOME_GDT;
    handoff->own_idtr.limit = OWN_VECTORS * GATE_LENGTH - 1;
    handoff->own_idtr.base = va + RESUME_HOME_OWN_IDT;
    if (input->debug_port != 0) {
        handoff->flags |= RESUME_HANDOFF_DEBUG_PORT;
        handoff->debug_port = input->debug_port;
    }
}

static int fill_landing(const struct resume_image_input *input, struct resume_handoff *handoff,
                        uint8_t *image)
{
    struct resume_landing landing;
    int err = resume_landing_compose(input->vcpu, input->home, &landing);

    if (err != RESUME_OK) {
        return err;
    }
    handoff->landing_va = landing.va;
    handoff->landing_rsp = landing.rsp;
    handoff->landing_flags = landing.rflags;
    handoff->landing_rax = landing.rax;
    handoff->refill_length = landing.refill_length;
    handoff->leave_va = landing.va + landing.leave;
    if (landing.form == RESUME_LANDING_JUMP) {
        handoff->flags |= RESUME_HANDOFF_KERNEL_CS;
    }
    memcpy(image + landing.refill_length, landing.bytes, landing.length);
    return RESUME_OK;
}

/* The XSAVE image as XRSTOR wants it: the components that XCR0 does not enable must be absent. */
static int fill_xsave(const struct resume_image_input *input, const struct resume_handoff *handoff,
                      uint8_t *image, struct resume_diag *diag)
{
    const struct resume_xsave *xsave = &input->vcpu->xsave;
    uint8_t *area = image + RESUME_HOME_XSAVE;
    uint64_t xstate_bv;

    if (xsave->area == NULL || xsave->length < 576 || xsave->length > RESUME_PAGE_SIZE) {
        return resume_fail(diag, RESUME_EUNSUPPORTED, "XSAVE image", "length", 0, xsave->length,
                           RESUME_PAGE_SIZE, RESUME_NO_VCPU);
    }
    memcpy(area, xsave->area, xsave->length);
    xstate_bv = resume_load_le64(area + 512);
    resume_store_le64(area + 512, xstate_bv & (handoff->xcr0 | RESUME_XCR0_X87 | RESUME_XCR0_SSE));
    return RESUME_OK;
}

static int fill_code(const struct resume_image_input *input, uint8_t *image,
                     struct resume_diag *diag)
{
    const uint8_t *code = input->trampoline;
    const uint32_t room = RESUME_HOME_TABLES - RESUME_HOME_CODE;
    struct resume_trampoline_header header;
    uint8_t *gdt = image + RESUME_HOME_GDT;
    uint8_t *idt = image + RESUME_HOME_OWN_IDT;

    if (input->trampoline_length < sizeof(header)) {
        return resume_fail(diag, RESUME_ETRUNC, "trampoline", "size", 0, input->trampoline_length,
                           sizeof(header), RESUME_NO_VCPU);
    }
    memcpy(&header, code,
           sizeof(header)); /* built for this very CPU and compiler: no foreign data */
    if (header.magic != RESUME_TRAMPOLINE_MAGIC) {
        return resume_fail(diag, RESUME_EMAGIC, "trampoline", "magic", 0, header.magic,
                           RESUME_TRAMPOLINE_MAGIC, RESUME_NO_VCPU);
    }
    if (header.version != RESUME_HANDOFF_VERSION) {
        return resume_fail(diag, RESUME_EVERSION, "trampoline", "version", 8, header.version,
                           RESUME_HANDOFF_VERSION, RESUME_NO_VCPU);
    }
    if (header.size != input->trampoline_length) {
        return resume_fail(diag, RESUME_ETRUNC, "trampoline", "size", 12, input->trampoline_length,
                           header.size, RESUME_NO_VCPU);
    }
    if (header.size > room) {
        return resume_fail(diag, RESUME_ENOSPC, "trampoline", "size", 12, header.size, room,
                           RESUME_NO_VCPU);
    }
    memcpy(image + RESUME_HOME_CODE, code, header.size);

    resume_store_le64(gdt + RESUME_OWN_CS, OWN_CODE_DESCRIPTOR);
    resume_store_le64(gdt + RESUME_OWN_DS, OWN_DATA_DESCRIPTOR);
    for (uint32_t i = 0; i < OWN_VECTORS; i++) {
        uint64_t entry =
            input->home->va + RESUME_HOME_CODE + header.vectors + (uint64_t)i * header.vector_size;
        uint8_t *gate = idt + i * GATE_LENGTH;

        resume_store_le64(gate, (entry & 0xffff) | (uint64_t)RESUME_OWN_CS << 16 |
                                    GATE_INTERRUPT << 40 | (entry >> 16 & 0xffff) << 48);
        resume_store_le64(gate + 8, entry >> 32);
    }
    return RESUME_OK;
}

static int fill_tables(const struct resume_image_input *input, struct resume_handoff *handoff,
                       uint8_t *image, struct resume_diag *diag)
{
    const struct resume_home *home = input->home;
    struct window window = {image, home->pa, home->length};
    struct resume_phys phys = {window_page, &window};
    struct resume_paging_builder builder;
    struct resume_arena arena;
    uint32_t levels = (input->vcpu->ctrl.cr4 & RESUME_CR4_LA57) != 0 ? 5 : 4;
    int err =
        resume_arena_init(&arena, &phys, home->pa + RESUME_HOME_TABLES, RESUME_HOME_TABLE_PAGES);

    if (err == RESUME_OK) {
        err = resume_paging_builder_init(&builder, &arena, levels, 0, diag);
    }
    if (err == RESUME_OK) {
        err = resume_paging_map(&builder, home->va, home->pa, home->length,
                                RESUME_MAP_WRITE | RESUME_MAP_EXEC, diag);
    }
    if (err == RESUME_OK) {
        handoff->tables_cr3 = builder.root_pa;
    }
    return err;
}

int resume_image_build(const struct resume_image_input *input, uint8_t *image, size_t image_length,
                       struct resume_diag *diag)
{
    struct resume_handoff handoff;
    int err;

    if (input == NULL || input->vcpu == NULL || input->home == NULL || input->cpu == NULL ||
        input->trampoline == NULL || image == NULL || image_length != RESUME_HOME_LENGTH ||
        input->home->length != RESUME_HOME_LENGTH) {
        return RESUME_EINVAL;
    }
    memset(&handoff, 0, sizeof(handoff));
    memset(image, input->home->fill, image_length);
    memset(image, 0, RESUME_HOME_CODE);
    if (input->vcpu->segs.seg[RESUME_GDTR].limit >= RESUME_PAGE_SIZE) {
        return resume_fail(diag, RESUME_EUNSUPPORTED, "handoff", "gdtr.limit", 0,
                           input->vcpu->segs.seg[RESUME_GDTR].limit, RESUME_PAGE_SIZE - 1,
                           RESUME_NO_VCPU);
    }
    handoff.magic = RESUME_HANDOFF_MAGIC;
    handoff.version = RESUME_HANDOFF_VERSION;
    handoff.size = sizeof(handoff);
    handoff.home_va = input->home->va;
    handoff.home_pa = input->home->pa;
    handoff.home_length = input->home->length;

    fill_guest(input->vcpu, &handoff);
    fill_interim(input, &handoff);
    err = fill_msrs(input, &handoff, diag);
    if (err == RESUME_OK) {
        err = fill_xsave(input, &handoff, image, diag);
    }
    if (err == RESUME_OK) {
        err = fill_code(input, image, diag);
    }
    if (err == RESUME_OK) {
        err = fill_tables(input, &handoff, image, diag);
    }
    if (err == RESUME_OK) {
        err = fill_landing(input, &handoff, image);
    }
    if (err == RESUME_OK) {
        memcpy(image + RESUME_HOME_HANDOFF, &handoff, sizeof(handoff));
    }
    return err;
}

static int overlap(uint64_t a, uint64_t b, uint64_t a_length, uint64_t b_length)
{
    return a < b ? b - a < a_length : a - b < b_length;
}

int resume_transit_build(const struct resume_home *home, uint8_t *staging, resume_pa_t staging_pa,
                         uint32_t levels, uint64_t cr4, struct resume_diag *diag)
{
    struct window window = {staging, staging_pa, RESUME_STAGING_LENGTH};
    struct resume_phys phys = {window_page, &window};
    const uint32_t rights = RESUME_MAP_WRITE | RESUME_MAP_EXEC;
    struct resume_transit transit;
    struct resume_paging_builder builder;
    struct resume_arena arena;
    int err;

    if (home == NULL || staging == NULL || !resume_aligned(staging_pa, RESUME_PAGE_SIZE)) {
        return RESUME_EINVAL;
    }
    if (overlap(home->pa, staging_pa, home->length, RESUME_STAGING_LENGTH)) {
        return resume_fail(diag, RESUME_ECONFLICT, "transit", "staging", staging_pa, staging_pa,
                           home->pa, RESUME_NO_VCPU);
    }
    memset(&transit, 0, sizeof(transit));
    err = resume_arena_init(&arena, &phys, staging_pa + RESUME_STAGING_TABLES,
                            RESUME_STAGING_TABLE_PAGES);
    if (err == RESUME_OK) {
        err = resume_paging_builder_init(&builder, &arena, levels, 0, diag);
    }
    if (err == RESUME_OK) {
        err = resume_paging_map(&builder, staging_pa, staging_pa, RESUME_STAGING_LENGTH, rights,
                                diag);
    }
    if (err == RESUME_OK) {
        err = resume_paging_map(&builder, home->pa, home->pa, home->length, rights, diag);
    }
    if (err == RESUME_OK) {
        err = resume_paging_map(&builder, home->va, home->pa, home->length, rights, diag);
    }
    if (err != RESUME_OK) {
        return err;
    }
    transit.cr3 = builder.root_pa;
    transit.cr4 = cr4 & ~(RESUME_CR4_PGE | RESUME_CR4_PCIDE |
                          RESUME_CR4_CET); /* the trampoline has no shadow stack */
    transit.image_pa = staging_pa + RESUME_STAGING_IMAGE;
    transit.home_pa = home->pa;
    transit.home_va = home->va;
    transit.home_length = home->length;
    memcpy(staging + RESUME_STAGING_TRANSIT, &transit, sizeof(transit));
    return RESUME_OK;
}
