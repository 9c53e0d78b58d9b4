/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "descriptor.h"

#include "internal.h"

#define TYPE_ACCESSED UINT32_C(1)
#define TYPE_LDT UINT32_C(2)
#define TYPE_TSS_AVAILABLE UINT32_C(9)
#define TYPE_TSS_BUSY UINT32_C(11)

/* The access rights that a descriptor has in the same places: bits 8 to 15 and 20 to 23. */
#define ACCESS_IN_DESCRIPTOR UINT32_C(0xf0ff)

int resume_descriptor_encode(const struct resume_segment *seg, int is_system, uint8_t out[16],
                             uint32_t *ret_size)
{
    uint32_t access = seg->access & ACCESS_IN_DESCRIPTOR;
    uint32_t type = access & RESUME_SEG_TYPE;
    bool granular = (access & RESUME_SEG_G) != 0;
    uint32_t limit = granular ? seg->limit >> 12 : seg->limit;
    uint32_t base = (uint32_t)seg->base;
    bool system = is_system != 0;

    if ((seg->access & RESUME_SEG_UNUSABLE) != 0 || (access & RESUME_SEG_P) == 0 ||
        ((access & RESUME_SEG_S) == 0) != system) {
        return RESUME_EUNSUPPORTED;
    }
    if (granular ? (seg->limit & 0xfff) != 0xfff : seg->limit > 0xfffff) {
        return RESUME_EUNSUPPORTED;
    }
    if (!system) {
        access |= TYPE_ACCESSED;
    } else if (type == TYPE_TSS_BUSY) {
        access ^= TYPE_TSS_BUSY ^ TYPE_TSS_AVAILABLE;
    } else if (type != TYPE_TSS_AVAILABLE && type != TYPE_LDT) {
        return RESUME_EUNSUPPORTED;
    }
    resume_store_le32(out, (limit & 0xffff) | base << 16);
    resume_store_le32(out + 4, (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) |
                                   (base & UINT32_C(0xff000000)));
    resume_store_le64(out + 8, system ? seg->base >> 32 : 0);
    *ret_size = system ? RESUME_DESCRIPTOR_SYSTEM_SIZE : RESUME_DESCRIPTOR_SIZE;
    return RESUME_OK;
}
