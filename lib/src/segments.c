/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/segments.h>

#include "arch.h"
#include "internal.h"

#define TYPE_ACCESSED UINT32_C(1) /* of a code or data segment */
#define DESCRIPTOR 8u

/* Byte by byte: a table need not be aligned, so a descriptor may lie across two pages. */
static int read_bytes(const struct resume_paging *guest, resume_va_t va, uint8_t *out,
                      uint32_t length, struct resume_diag *diag)
{
    for (uint32_t i = 0; i < length; i++) {
        struct resume_translation translation;
        resume_pa_t pa;
        const uint8_t *page;
        int err = resume_paging_walk(guest, va + i, &translation, diag);

        if (err != RESUME_OK) {
            return err;
        }
        pa = translation.pa + (va + i - translation.va);
        page = guest->phys.page(guest->phys.ctx, pa & ~(resume_pa_t)(RESUME_PAGE_SIZE - 1));
        if (page == NULL) {
            return resume_fail(diag, RESUME_EUNREACHABLE, "descriptor", "address", va + i, pa, 0,
                               RESUME_NO_VCPU);
        }
        out[i] = page[pa & (RESUME_PAGE_SIZE - 1)];
    }
    return RESUME_OK;
}

static struct resume_segment decode(const uint8_t *bytes)
{
    uint32_t low = resume_load_le32(bytes);
    uint32_t high = resume_load_le32(bytes + 4);
    struct resume_segment segment = {0};

    segment.base = low >> 16 | (high & 0xff) << 16 | (high & UINT32_C(0xff000000));
    segment.limit = (low & 0xffff) | (high & 0xf0000);
    segment.access = high >> 8 & 0xf0ff;
    if ((segment.access & RESUME_SEG_G) != 0) {
        segment.limit = segment.limit << 12 | 0xfff;
    }
    return segment;
}

/* The bits of the access rights that a load through the descriptor would set. */
static uint32_t access_mask(uint32_t number, bool long_mode)
{
    uint32_t mask =
        (RESUME_SEG_TYPE & ~TYPE_ACCESSED) | RESUME_SEG_S | RESUME_SEG_DPL | RESUME_SEG_P;

    if (number == RESUME_CS) {
        return mask | RESUME_SEG_L | RESUME_SEG_DB;
    }
    return long_mode ? mask : mask | RESUME_SEG_DB;
}

static int compare(const struct resume_vcpu *vcpu, uint32_t number, resume_va_t where,
                   const struct resume_segment *told, uint32_t index, struct resume_diag *diag)
{
    const struct resume_segment *held = &vcpu->segs.seg[number];
    const char *name = number == RESUME_CS ? "CS" : "SS";
    bool long_mode = (vcpu->segs.seg[RESUME_CS].access & RESUME_SEG_L) != 0;
    uint32_t mask = access_mask(number, long_mode);
    const uint32_t usable = RESUME_SEG_P | RESUME_SEG_S;

    if ((told->access & usable) != usable) {
        return resume_fail(diag, RESUME_EUNSUPPORTED, name, "access", where, held->access,
                           told->access, index);
    }
    if (((held->access ^ told->access) & mask) != 0) {
        return resume_fail(diag, RESUME_ECONSISTENT, name, "access", where, held->access & mask,
                           told->access & mask, index);
    }
    if (long_mode) {
        return RESUME_OK;
    }
    if (held->base != told->base) {
        return resume_fail(diag, RESUME_ECONSISTENT, name, "base", where, held->base, told->base,
                           index);
    }
    if (held->limit != told->limit) {
        return resume_fail(diag, RESUME_ECONSISTENT, name, "limit", where, held->limit, told->limit,
                           index);
    }
    return RESUME_OK;
}

int resume_segments_check(const struct resume_vcpu *vcpu, uint32_t index,
                          const struct resume_paging *guest, struct resume_diag *diag)
{
    if (vcpu == NULL || guest == NULL || guest->phys.page == NULL) {
        return RESUME_EINVAL;
    }
    for (uint32_t i = RESUME_CS; i <= RESUME_SS; i++) {
        const struct resume_segment *segment = &vcpu->segs.seg[i];
        uint32_t table = (segment->selector & RESUME_SELECTOR_TI) != 0 ? RESUME_LDTR : RESUME_GDTR;
        resume_va_t where = vcpu->segs.seg[table].base + (segment->selector & ~UINT32_C(7));
        uint8_t bytes[DESCRIPTOR];
        struct resume_segment told;
        int err;

        if ((segment->selector & ~RESUME_SELECTOR_RPL) == 0 ||
            (segment->access & RESUME_SEG_UNUSABLE) != 0) {
            continue;
        }
        err = read_bytes(guest, where, bytes, DESCRIPTOR, diag);
        if (err != RESUME_OK) {
            return err;
        }
        told = decode(bytes);
        err = compare(vcpu, i, where, &told, index, diag);
        if (err != RESUME_OK) {
            return err;
        }
    }
    return RESUME_OK;
}
