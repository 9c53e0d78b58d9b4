/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/image.h>

#include <resume/msr.h>
#include <resume/xsave.h>

#include "arch.h"
#include "descriptor.h"
#include "internal.h"
#include "moving_map.h"
#include "trampoline_header.h"
#include "window.h"

/* Descriptors of the trampoline's own GDT: flat, 64-bit code and data, DPL 0, accessed. */
#define OWN_CODE_DESCRIPTOR UINT64_C(0x00af9b000000ffff)
#define OWN_DATA_DESCRIPTOR UINT64_C(0x00cf93000000ffff)
#define OWN_VECTORS 32u
#define GATE_LENGTH 16u
#define GATE_INTERRUPT UINT64_C(0x8e) /* present, DPL 0, 64-bit interrupt gate */
#define TABLE_LENGTH RESUME_PAGE_SIZE /* a block's room for the guest's GDT, and for its LDT */

_Static_assert(RESUME_HOME_TABLES + RESUME_HOME_TABLE_PAGES * RESUME_PAGE_SIZE <=
                   RESUME_HOME_BLOCKS,
               "the tables must end below the blocks");

int resume_image_layout_compute(uint32_t vcpu_count, uint32_t xsave_length,
                                struct resume_image_layout *out)
{
    struct resume_image_layout layout = {.vcpu_count = vcpu_count};
    uint32_t wanted = xsave_length < RESUME_XSAVE_MIN ? RESUME_XSAVE_MIN : xsave_length;
    uint64_t length;

    if (out == NULL || vcpu_count == 0 || vcpu_count > RESUME_HOME_VCPUS ||
        xsave_length > RESUME_XSAVE_MAX) {
        return RESUME_EINVAL;
    }
    layout.xsave_length = (wanted + 0xfff) & ~UINT32_C(0xfff);
    layout.block_length = RESUME_BLOCK_XSAVE + 2 * layout.xsave_length;
    length = RESUME_HOME_BLOCKS + (uint64_t)vcpu_count * layout.block_length;
    length += (uint64_t)vcpu_count * RESUME_LANDING_MAX;
    layout.length = (length + 0xfff) & ~UINT64_C(0xfff);
    /* The slots end the home, so that as much of it as possible lies in one run of fill. */
    layout.landings = (uint32_t)(layout.length - (uint64_t)vcpu_count * RESUME_LANDING_MAX);
    *out = layout;
    return RESUME_OK;
}

static int input_is_sound(const struct resume_image_input *input)
{
    return input != NULL && input->home != NULL && input->layout != NULL && input->cpu != NULL &&
           input->trampoline != NULL && input->home->length == input->layout->length &&
           (input->levels == 4 || input->levels == 5) && input->active_count > 0 &&
           input->active_count <= input->layout->vcpu_count &&
           input->last_out < input->layout->vcpu_count &&
           (input->moving == NULL || resume_moving_is_sound(input->moving));
}

static uint64_t block_offset(const struct resume_image_layout *layout, uint32_t index)
{
    return RESUME_HOME_BLOCKS + (uint64_t)index * layout->block_length;
}

static int fill_code(const struct resume_image_input *input, uint8_t *image,
                     struct resume_diag *diag)
{
    const uint32_t room = RESUME_HOME_TABLES - RESUME_HOME_CODE;
    struct resume_trampoline_header header;
    uint8_t *idt = image + RESUME_HOME_OWN_IDT;
    int err =
        resume_trampoline_header_read(input->trampoline, input->trampoline_length, &header, diag);

    if (err != RESUME_OK) {
        return err;
    }
    if (header.size > room) {
        return resume_fail(diag, RESUME_ENOSPC, "trampoline", "size", 12, header.size, room,
                           RESUME_NO_VCPU);
    }
    memcpy(image + RESUME_HOME_CODE, input->trampoline, header.size);

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

static int fill_tables(const struct resume_image_input *input, uint8_t *image, uint64_t *ret_cr3,
                       struct resume_diag *diag)
{
    const struct resume_home *home = input->home;
    struct resume_window window = {image, home->pa, home->length};
    struct resume_phys phys = {resume_window_page, &window};
    struct resume_paging_builder builder;
    struct resume_arena arena;
    int err =
        resume_arena_init(&arena, &phys, home->pa + RESUME_HOME_TABLES, RESUME_HOME_TABLE_PAGES);

    if (err == RESUME_OK) {
        err = resume_paging_builder_init(&builder, &arena, input->levels, 0, diag);
    }
    if (err == RESUME_OK) {
        err = resume_paging_map(&builder, home->va, home->pa, home->length,
                                RESUME_MAP_WRITE | RESUME_MAP_EXEC, diag);
    }
    if (err == RESUME_OK && input->moving != NULL) {
        err = resume_moving_map_last(input->moving, &builder, diag);
    }
    if (err == RESUME_OK) {
        *ret_cr3 = builder.root_pa;
    }
    return err;
}

int resume_image_begin(const struct resume_image_input *input, uint8_t *image,
                       struct resume_diag *diag)
{
    struct resume_control control;
    int err;

    if (!input_is_sound(input) || image == NULL) {
        return RESUME_EINVAL;
    }
    memset(image, input->home->fill, (size_t)input->home->length);
    memset(image, 0, input->layout->landings);
    memset(&control, 0, sizeof(control));
    control.magic = RESUME_CONTROL_MAGIC;
    control.version = RESUME_HANDOFF_VERSION;
    control.size = sizeof(control);
    control.vcpu_count = input->layout->vcpu_count;
    control.active_count = input->active_count;
    control.block_length = input->layout->block_length;
    control.xsave_length = input->layout->xsave_length;
    control.debug = input->debug_port != 0;
    control.debug_port = input->debug_port;
    control.discreet = input->discreet;
    control.home_va = input->home->va;
    control.home_pa = input->home->pa;
    control.home_length = input->home->length;
    control.refill_length = input->layout->landings;
    control.moving = input->moving != NULL;
    control.own_idtr.limit = OWN_VECTORS * GATE_LENGTH - 1;
    control.own_idtr.base = input->home->va + RESUME_HOME_OWN_IDT;
    err = fill_code(input, image, diag);
    if (err == RESUME_OK) {
        err = fill_tables(input, image, &control.tables_cr3, diag);
    }
    if (err == RESUME_OK) {
        memcpy(image + RESUME_HOME_CONTROL, &control, sizeof(control));
    }
    if (err == RESUME_OK && input->moving != NULL) {
        memcpy(image + RESUME_HOME_LAST, input->moving->last, sizeof(*input->moving->last));
    }
    return err;
}

static void fill_guest(const struct resume_vcpu *vcpu, struct resume_handoff *handoff)
{
    const struct resume_segment *seg = vcpu->segs.seg;

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
    handoff->gdtr.limit = (uint16_t)seg[RESUME_GDTR].limit;
    handoff->gdtr.base = seg[RESUME_GDTR].base;
    handoff->idtr.limit = (uint16_t)seg[RESUME_IDTR].limit;
    handoff->idtr.base = seg[RESUME_IDTR].base;
}

/* Values between the firmware's and the guest's, so that the assembly has nothing to decide. */
static void fill_interim(const struct resume_image_input *input, uint64_t tables_cr3,
                         struct resume_handoff *handoff)
{
    uint64_t cr4 = handoff->cr4 & ~RESUME_CR4_CET; /* needs CR0.WP: the landing sets it */

    handoff->modes_cr0 = (handoff->cr0 & ~(RESUME_CR0_WP | RESUME_CR0_TS | RESUME_CR0_EM |
                                           RESUME_CR0_AM | RESUME_CR0_CD | RESUME_CR0_NW)) |
                         RESUME_CR0_PE | RESUME_CR0_PG;
    handoff->paging_cr4 = cr4;
    handoff->modes_cr4 =
        (cr4 ^ RESUME_CR4_PGE) | RESUME_CR4_PAE | RESUME_CR4_OSFXSR | RESUME_CR4_OSXMMEXCPT;
    if (input->cpu->xsave) {
        handoff->flags |= RESUME_HANDOFF_XSETBV;
        handoff->modes_cr4 |= RESUME_CR4_OSXSAVE;
        if ((handoff->xcr0 & RESUME_XCR0_SSE) != 0) {
            handoff->flags |= RESUME_HANDOFF_XRSTOR;
        }
    }
    handoff->paging_cr3 = tables_cr3;
    if ((cr4 & RESUME_CR4_PCIDE) != 0) {
        handoff->paging_cr3 |= handoff->cr3 & UINT64_C(0xfff);
    }
}

static int fill_msrs(const struct resume_image_input *input, const struct resume_vcpu *vcpu,
                     uint32_t index, struct resume_handoff *handoff, uint8_t *block,
                     struct resume_diag *diag)
{
    struct resume_msr *list = (struct resume_msr *)(void *)(block + RESUME_BLOCK_MSRS);
    uint32_t count;
    uint32_t kept = 0;

    if (resume_msr_list(vcpu, input->accel, list, RESUME_HANDOFF_MSRS, &count) != RESUME_OK) {
        return resume_fail(diag, RESUME_EUNSUPPORTED, "handoff", "msr_count", 0, vcpu->msr_count,
                           RESUME_HANDOFF_MSRS, index);
    }
    for (uint32_t i = 0; i < count; i++) {
        /* What this CPU lacks can only be something that the state may do without. */
        if (list[i].index != RESUME_MSR_TSC_AUX || input->cpu->rdtscp) {
            list[kept++] = list[i];
        }
    }
    handoff->msr_count = kept;
    return RESUME_OK;
}

static int fill_xsave(const struct resume_image_input *input, const struct resume_vcpu *vcpu,
                      struct resume_handoff *handoff, uint8_t *block, struct resume_diag *diag)
{
    uint32_t length;
    int err = resume_xsave_transcode(&vcpu->xsave, input->cpu->comp, input->cpu->comp_count,
                                     handoff->xcr0, block + RESUME_BLOCK_XSAVE,
                                     input->layout->xsave_length, &length, diag);

    if (err == RESUME_OK) {
        handoff->span_count = resume_xsave_spans(input->cpu->comp, input->cpu->comp_count,
                                                 handoff->xcr0, handoff->span, RESUME_SPANS);
    }
    return err;
}

/* Put the descriptor that gives @seg's hidden part where its selector points. */
static int put_descriptor(const struct resume_segment *seg, uint32_t which, uint32_t index,
                          uint8_t *block, struct resume_handoff *handoff, struct resume_diag *diag)
{
    static const uint8_t empty[16];
    const int is_system = which == RESUME_LDTR || which == RESUME_TR;
    struct resume_segment loaded = *seg;
    uint32_t offset = seg->selector & 0xfff8u;
    uint8_t *table = block + RESUME_BLOCK_GDT;
    uint8_t bytes[16];
    uint32_t size;
    int err;

    if ((seg->selector & 0xfffcu) == 0) {
        return RESUME_OK;
    }
    if (which == RESUME_FS || which == RESUME_GS) {
        loaded.base = 0; /* comes by its MSR */
    }
    if (!is_system && (seg->selector & 4u) != 0) {
        handoff->flags |= RESUME_HANDOFF_OWN_LDT;
        table = block + RESUME_BLOCK_LDT;
    }
    err = resume_descriptor_encode(&loaded, is_system, bytes, &size);
    if (err != RESUME_OK || offset + size > TABLE_LENGTH) {
        return resume_fail(diag, RESUME_EUNSUPPORTED, "segment", "selector", which, seg->selector,
                           TABLE_LENGTH - 8, index);
    }
    if (memcmp(table + offset, empty, size) != 0 && memcmp(table + offset, bytes, size) != 0) {
        return resume_fail(diag, RESUME_ECONSISTENT, "segment", "selector", which, seg->selector, 0,
                           index);
    }
    memcpy(table + offset, bytes, size);
    return RESUME_OK;
}

static int fill_descriptors(const struct resume_vcpu *vcpu, uint32_t index, uint64_t block_va,
                            struct resume_handoff *handoff, uint8_t *block,
                            struct resume_diag *diag)
{
    const struct resume_segment ldt = {
        .base = block_va + RESUME_BLOCK_LDT,
        .limit = TABLE_LENGTH - 1,
        .access = RESUME_SEG_P | 2, /* LDT */
    };
    uint8_t *own = block + RESUME_BLOCK_GDT;
    uint32_t size;
    int err = RESUME_OK;

    for (uint32_t i = RESUME_ES; i <= RESUME_TR && err == RESUME_OK; i++) {
        if ((i == RESUME_CS || i == RESUME_SS) &&
            (handoff->flags & RESUME_HANDOFF_KERNEL_CS) == 0) {
            continue;
        }
        err = put_descriptor(&vcpu->segs.seg[i], i, index, block, handoff, diag);
    }
    if (err != RESUME_OK) {
        return err;
    }
    resume_store_le64(own + RESUME_OWN_CS, OWN_CODE_DESCRIPTOR);
    resume_store_le64(own + RESUME_OWN_DS, OWN_DATA_DESCRIPTOR);
    handoff->own_gdtr.limit = RESUME_OWN_GDT_LIMIT;
    handoff->own_gdtr.base = block_va + RESUME_BLOCK_GDT;
    return resume_descriptor_encode(&ldt, 1, own + RESUME_OWN_LDT, &size);
}

static int fill_landing(const struct resume_image_input *input, const struct resume_vcpu *vcpu,
                        uint32_t index, struct resume_handoff *handoff, uint8_t *image)
{
    const struct resume_home *home = input->home;
    const uint64_t slot = input->layout->landings + (uint64_t)index * RESUME_LANDING_MAX;
    const struct resume_landing_place place = {
        .slot_va = home->va + slot,
        .fill = home->fill,
        .last_out = index == input->last_out,
        .others = input->active_count - 1,
        .left_va = home->va + RESUME_HOME_CONTROL + offsetof(struct resume_control, left),
        .refill_va = home->va,
        .refill_length = input->layout->landings,
    };
    struct resume_landing landing;
    int err = resume_landing_compose(vcpu, &place, &landing);

    if (err != RESUME_OK) {
        return err;
    }
    if (place.last_out) {
        handoff->flags |= RESUME_HANDOFF_LAST_OUT;
    }
    if (landing.form == RESUME_LANDING_JUMP) {
        handoff->flags |= RESUME_HANDOFF_KERNEL_CS;
    }
    handoff->landing_rsp = landing.rsp;
    memcpy(handoff->landing_gpr, landing.gpr, sizeof(handoff->landing_gpr));
    handoff->remains = landing.remains;
    handoff->leave_va = place.slot_va + landing.leave;
    handoff->landing_va = place.slot_va + landing.entry;
    memcpy(image + slot, landing.bytes, RESUME_LANDING_MAX);
    return RESUME_OK;
}

/* Decimal digits of @value at @text; returns how many. */
static uint32_t put_decimal(char *text, uint32_t value)
{
    char digits[10];
    uint32_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (uint32_t i = 0; i < count; i++) {
        text[i] = digits[count - 1 - i];
    }
    return count;
}

static void fill_line(struct resume_handoff *handoff)
{
    static const char prefix[] = "libresume: ledger cpu=";
    const uint32_t fields = RESUME_LEDGER_COUNT + handoff->msr_count;

    _Static_assert(sizeof(prefix) - 1 + 10 <= RESUME_LEDGER_PREFIX, "prefix and number must fit");
    memset(handoff->line, ' ', RESUME_LEDGER_PREFIX);
    memcpy(handoff->line, prefix, sizeof(prefix) - 1);
    (void)put_decimal(handoff->line + sizeof(prefix) - 1, handoff->index);
    memset(handoff->line + RESUME_LEDGER_PREFIX, RESUME_LEDGER_UNCHECKED, fields);
    handoff->line[RESUME_LEDGER_PREFIX + fields] = '\n';
    handoff->line_length = RESUME_LEDGER_PREFIX + fields + 1;
}

int resume_image_vcpu(const struct resume_image_input *input, uint32_t index,
                      const struct resume_vcpu *vcpu, uint8_t *image, struct resume_diag *diag)
{
    struct resume_handoff handoff;
    struct resume_control control;
    uint8_t *block;
    uint64_t block_va;
    int err;

    if (!input_is_sound(input) || vcpu == NULL || image == NULL ||
        index >= input->layout->vcpu_count) {
        return RESUME_EINVAL;
    }
    block = image + block_offset(input->layout, index);
    block_va = input->home->va + block_offset(input->layout, index);
    memcpy(&control, image + RESUME_HOME_CONTROL, sizeof(control));
    memset(&handoff, 0, sizeof(handoff));
    handoff.magic = RESUME_HANDOFF_MAGIC;
    handoff.version = RESUME_HANDOFF_VERSION;
    handoff.size = sizeof(handoff);
    handoff.flags = RESUME_HANDOFF_ACTIVE;
    handoff.index = index;
    handoff.apic_id = vcpu->run.apic_id;
    if (vcpu->run.nmi_masked != 0 || vcpu->run.nmi_pending != 0) {
        handoff.flags |= RESUME_HANDOFF_BLOCK_NMI;
    }

    fill_guest(vcpu, &handoff);
    fill_interim(input, control.tables_cr3, &handoff);
    err = fill_msrs(input, vcpu, index, &handoff, block, diag);
    if (err == RESUME_OK) {
        err = fill_xsave(input, vcpu, &handoff, block, diag);
    }
    if (err == RESUME_OK) {
        err = fill_landing(input, vcpu, index, &handoff, image);
    }
    if (err == RESUME_OK) {
        err = fill_descriptors(vcpu, index, block_va, &handoff, block, diag);
    }
    if (err == RESUME_OK) {
        fill_line(&handoff);
        memcpy(block + RESUME_BLOCK_HANDOFF, &handoff, sizeof(handoff));
    }
    return err;
}

int resume_image_finish(const struct resume_image_input *input, const uint8_t *image,
                        struct resume_diag *diag)
{
    struct resume_handoff handoff;
    uint32_t active = 0;
    uint32_t last_out = 0;

    if (!input_is_sound(input) || image == NULL) {
        return RESUME_EINVAL;
    }
    for (uint32_t i = 0; i < input->layout->vcpu_count; i++) {
        memcpy(&handoff, image + block_offset(input->layout, i), sizeof(handoff));
        active += (handoff.flags & RESUME_HANDOFF_ACTIVE) != 0;
        last_out += (handoff.flags & RESUME_HANDOFF_LAST_OUT) != 0;
    }
    if (active != input->active_count || last_out != 1) {
        return resume_fail(diag, RESUME_EMISSING, "image", "vCPUs", 0, active, input->active_count,
                           RESUME_NO_VCPU);
    }
    return RESUME_OK;
}
