/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "shadow.h"

#include "qemu_events.h"

#define CR4_LA57 (UINT64_C(1) << 12)
#define EFER_NXE (UINT64_C(1) << 11)
/* Physical-address bits above the CPU's width are reserved in page tables; the width is not in the
 * stream. The architecture's limit errs on the side of accepting, and the firmware checks again. */
#define PA_BITS 52

/* A prefix without meaning of its own: no instruction that makes a shadow ends with it. */
#define UNREADABLE 0x40

void vcpu_paging(struct ram *ram, const struct resume_vcpu *vcpu, struct resume_paging *out)
{
    *out = (struct resume_paging){
        .phys = ram_phys(ram),
        .root_pa = vcpu->ctrl.cr3 & UINT64_C(0x000ffffffffff000),
        .levels = (vcpu->ctrl.cr4 & CR4_LA57) != 0 ? 5 : 4,
        .nxe = (vcpu->ctrl.efer & EFER_NXE) != 0,
        .pa_bits = PA_BITS,
    };
}

static uint8_t read_byte(const struct resume_paging *guest, resume_va_t va)
{
    struct resume_translation leaf;
    if (resume_paging_walk(guest, va, &leaf, NULL) != 0)
        return UNREADABLE;
    const resume_pa_t pa = leaf.pa + (va - leaf.va);
    const uint8_t *page =
        guest->phys.page(guest->phys.ctx, pa & ~(resume_pa_t)(RESUME_PAGE_SIZE - 1));
    return page != NULL ? page[pa % RESUME_PAGE_SIZE] : UNREADABLE;
}

void shadow_complete(struct resume_vcpu *vcpu, const struct resume_paging *guest)
{
    struct resume_run *run = &vcpu->run;
    const struct resume_segment *cs = &vcpu->segs.seg[RESUME_CS];
    uint8_t before[3];
    if ((run->valid & RESUME_RUN_SHADOW) == 0 || run->interrupt_shadow == 0)
        return;
    for (uint32_t i = 0; i < sizeof(before); i++) {
        uint64_t va = vcpu->regs.rip - sizeof(before) + i;
        if ((cs->access & RESUME_SEG_L) == 0)
            va = (uint32_t)(cs->base + va);
        before[i] = read_byte(guest, va);
    }
    const uint32_t length = qemu_events_shadow_length(vcpu, before);
    if (length != 1 && length != 2)
        return;
    run->shadow_length = length;
    run->interrupt_shadow = length; /* STI has one byte, and is 1; MOV to SS two, and is 2 */
    run->valid |= RESUME_RUN_SHADOW_LENGTH;
}
