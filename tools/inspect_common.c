/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <string.h>

#include <resume/landing.h>

#include "inspect.h"

enum { COMPONENT_AVX = 2, COMPONENT_ZMM_HIGH = 6, COMPONENT_HIGH_ZMM = 7 };

uint64_t inspect_le(const uint8_t *data, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | data[bytes];
    return value;
}

const uint8_t *inspect_component(const struct resume_xsave *xsave, uint32_t id, uint32_t size)
{
    for (uint32_t i = 0; i < xsave->comp_count && i < RESUME_XCOMP_MAX; i++) {
        const struct resume_xcomp *comp = &xsave->comp[i];
        if (comp->id == id && comp->size >= size && comp->offset <= xsave->length &&
            xsave->length - comp->offset >= size)
            return xsave->area + comp->offset;
    }
    return NULL;
}

unsigned inspect_vector_width(const struct resume_xsave *xsave)
{
    if (inspect_component(xsave, COMPONENT_ZMM_HIGH, 512) != NULL)
        return 64;
    return inspect_component(xsave, COMPONENT_AVX, 256) != NULL ? 32 : 16;
}

unsigned inspect_vector_count(const struct resume_xsave *xsave)
{
    return inspect_component(xsave, COMPONENT_HIGH_ZMM, 1024) != NULL ? 32 : 16;
}

void inspect_vector(const struct resume_xsave *xsave, unsigned index, unsigned bytes,
                    uint8_t out[64])
{
    const uint8_t *avx = inspect_component(xsave, COMPONENT_AVX, 256);
    const uint8_t *high = inspect_component(xsave, COMPONENT_ZMM_HIGH, 512);
    const uint8_t *upper = inspect_component(xsave, COMPONENT_HIGH_ZMM, 1024);
    memset(out, 0, 64);
    if (index >= 16) {
        if (upper != NULL && index < 32)
            memcpy(out, upper + (size_t)(index - 16) * 64, bytes);
        return;
    }
    memcpy(out, xsave->area + 160 + (size_t)index * 16, 16);
    if (bytes >= 32 && avx != NULL)
        memcpy(out + 16, avx + (size_t)index * 16, 16);
    if (bytes >= 64 && high != NULL)
        memcpy(out + 32, high + (size_t)index * 32, 32);
}

const char *inspect_home_kind(uint32_t kind)
{
    return kind == RESUME_HOME_PADDING ? "padding" : kind == RESUME_HOME_ZERO ? "zeroes" : "none";
}

const char *inspect_landing_form(uint32_t form)
{
    switch (form) {
    case RESUME_LANDING_JUMP:
        return "JMP";
    case RESUME_LANDING_RETF:
        return "RETFQ";
    case RESUME_LANDING_IRET:
        return "IRETQ";
    default:
        return "unknown";
    }
}

const char *inspect_shadow(uint32_t interrupt_shadow)
{
    static const char *const names[] = {"none", "after STI", "after MOV SS or POP SS",
                                        "after an unknown instruction"};
    return interrupt_shadow < 4 ? names[interrupt_shadow] : names[3];
}

const char *inspect_range_kind(uint32_t kind)
{
    return kind == MANIFEST_RANGE_RAM ? "ram" : kind == MANIFEST_RANGE_ROM ? "rom" : "romd";
}

const char *inspect_map_source(enum view_map_source source)
{
    switch (source) {
    case VIEW_MAP_MANIFEST:
        return "manifest";
    case VIEW_MAP_STATE:
        return "state";
    case VIEW_MAP_GUESS:
        return "guess";
    case VIEW_MAP_NONE:
        break;
    }
    return "none";
}
