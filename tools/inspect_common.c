/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/landing.h>

#include "inspect.h"

uint64_t inspect_in_use(const struct resume_xsave *xsave)
{
    uint64_t value = 0;
    for (unsigned i = 8; xsave->length >= RESUME_XSAVE_MIN && i-- > 0;)
        value = value << 8 | xsave->area[512 + i];
    return value;
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

const char *inspect_range_kind(uint32_t kind)
{
    return kind == MANIFEST_RANGE_RAM ? "ram" : kind == MANIFEST_RANGE_ROM ? "rom" : "romd";
}

const char *inspect_map_source(enum view_map_source source)
{
    switch (source) {
    case VIEW_MAP_MANIFEST:
        return "manifest";
    case VIEW_MAP_INPUT:
        return "input";
    case VIEW_MAP_GUESS:
        return "guess";
    case VIEW_MAP_NONE:
        break;
    }
    return "none";
}
