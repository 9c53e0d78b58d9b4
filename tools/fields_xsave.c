/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Fields out of an XSAVE image (Intel SDM vol. 1, "XSAVE-Managed State", "Initial Configuration"). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fields_internal.h"

enum {
    COMPONENT_X87 = 0,
    COMPONENT_SSE = 1,
    COMPONENT_AVX = 2,
    COMPONENT_BNDREGS = 3,
    COMPONENT_BNDCSR = 4,
    COMPONENT_OPMASK = 5,
    COMPONENT_ZMM_HIGH = 6,
    COMPONENT_HIGH_ZMM = 7,
    COMPONENT_PKRU = 9
};

#define FCW_INITIAL 0x37f

/* The legacy region. */
static const struct {
    const char *name;
    uint8_t offset;
    uint8_t size;
    uint8_t component;
} legacy[] = {
    {"fcw", 0, 2, COMPONENT_X87}, {"fsw", 2, 2, COMPONENT_X87}, {"ftw", 4, 1, COMPONENT_X87},
    {"fop", 6, 2, COMPONENT_X87}, {"fip", 8, 8, COMPONENT_X87}, {"fdp", 16, 8, COMPONENT_X87},
};

/* Components that are rows of registers. */
static const struct {
    uint32_t id;
    const char *name; /* with the number behind it */
    uint8_t first;
    uint8_t count;
    uint8_t size;
} rows[] = {
    {COMPONENT_AVX, "ymm_high", 0, 16, 16},  {COMPONENT_BNDREGS, "bnd", 0, 4, 16},
    {COMPONENT_OPMASK, "k", 0, 8, 8},        {COMPONENT_ZMM_HIGH, "zmm_high", 0, 16, 32},
    {COMPONENT_HIGH_ZMM, "zmm", 16, 16, 64},
};

static bool in_use(const struct resume_xsave *xsave, uint32_t id)
{
    return xsave->length >= RESUME_XSAVE_MIN && (xsave->area[512 + id / 8] >> id % 8 & 1) != 0;
}

static void take(struct field *field, const uint8_t *from, bool used)
{
    if (used && field->known)
        memcpy(field->value, from, field->size);
}

static void add_legacy(struct fields *fields, const struct resume_xsave *xsave)
{
    const bool known = xsave->length >= RESUME_XSAVE_MIN;
    const bool x87 = known && in_use(xsave, COMPONENT_X87);
    const bool sse = known && in_use(xsave, COMPONENT_SSE);
    char name[FIELD_NAME_MAX];
    for (size_t i = 0; i < sizeof(legacy) / sizeof(legacy[0]); i++) {
        struct field *field = fields_add(fields, FIELD_FPU, legacy[i].name, legacy[i].size, known);
        take(field, known ? xsave->area + legacy[i].offset : NULL, x87);
    }
    if (known && !x87) {
        struct field *fcw = &fields->field[fields->count - sizeof(legacy) / sizeof(legacy[0])];
        fcw->value[0] = FCW_INITIAL & 0xff;
        fcw->value[1] = FCW_INITIAL >> 8;
    }
    /* XRSTOR loads MXCSR whether SSE is in use or not. */
    take(fields_add(fields, FIELD_FPU, "mxcsr", 4, known), known ? xsave->area + 24 : NULL, known);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "st%u", i);
        take(fields_add(fields, FIELD_FPU, name, 10, known),
             known ? xsave->area + 32 + i * 16 : NULL, x87);
    }
    for (unsigned i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "xmm%u", i);
        take(fields_add(fields, FIELD_FPU, name, 16, known),
             known ? xsave->area + 160 + i * 16 : NULL, sse);
    }
}

static void add_row(struct fields *fields, const struct resume_xsave *xsave, size_t row,
                    const uint8_t *from)
{
    for (unsigned i = 0; i < rows[row].count; i++) {
        char name[FIELD_NAME_MAX];
        snprintf(name, sizeof(name), "%s%u", rows[row].name, rows[row].first + i);
        take(fields_add(fields, FIELD_FPU, name, rows[row].size, true), from + i * rows[row].size,
             in_use(xsave, rows[row].id));
    }
}

/* A component of no known shape, in pieces. */
static void add_raw(struct fields *fields, const struct resume_xsave *xsave,
                    const struct resume_xcomp *comp)
{
    const uint8_t *from = xsave->area + comp->offset;
    for (uint32_t at = 0; at < comp->size; at += FIELD_BYTES_MAX) {
        const uint32_t left = comp->size - at;
        char name[FIELD_NAME_MAX];
        snprintf(name, sizeof(name), "xstate%" PRIu32 "_%" PRIx32, comp->id, at);
        take(fields_add(fields, FIELD_FPU, name, left < FIELD_BYTES_MAX ? left : FIELD_BYTES_MAX,
                        true),
             from + at, in_use(xsave, comp->id));
    }
}

static void add_component(struct fields *fields, const struct resume_xsave *xsave,
                          const struct resume_xcomp *comp)
{
    const uint8_t *from = xsave->area + comp->offset;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].id == comp->id && comp->size >= (uint32_t)rows[i].count * rows[i].size) {
            add_row(fields, xsave, i, from);
            return;
        }
    }
    if (comp->id == COMPONENT_PKRU && comp->size >= 4) {
        take(fields_add(fields, FIELD_FPU, "pkru", 4, true), from, in_use(xsave, comp->id));
    } else if (comp->id == COMPONENT_BNDCSR && comp->size >= 16) {
        take(fields_add(fields, FIELD_FPU, "bndcfgu", 8, true), from, in_use(xsave, comp->id));
        take(fields_add(fields, FIELD_FPU, "bndstatus", 8, true), from + 8,
             in_use(xsave, comp->id));
    } else {
        add_raw(fields, xsave, comp);
    }
}

void fields_add_xsave(struct fields *fields, const struct resume_xsave *xsave)
{
    add_legacy(fields, xsave);
    if (xsave->length < RESUME_XSAVE_MIN)
        return;
    for (uint32_t i = 0; i < xsave->comp_count && i < RESUME_XCOMP_MAX; i++) {
        const struct resume_xcomp *comp = &xsave->comp[i];
        if (comp->id < 63 && comp->offset <= xsave->length &&
            comp->size <= xsave->length - comp->offset)
            add_component(fields, xsave, comp);
    }
}

/* Appends the part of that name; false when it is not there. */
static bool append(const struct fields *fields, const char *row, unsigned index, uint8_t *out,
                   unsigned *width)
{
    char name[FIELD_NAME_MAX];
    snprintf(name, sizeof(name), "%s%u", row, index);
    const struct field *field = fields_find(fields, name);
    if (field == NULL || !field->known || *width + field->size > 64)
        return false;
    memcpy(out + *width, field->value, field->size);
    *width += field->size;
    return true;
}

bool fields_vector(const struct fields *fields, unsigned index, uint8_t out[64],
                   unsigned *ret_width)
{
    unsigned width = 0;
    memset(out, 0, 64);
    if (index >= 16) {
        if (!append(fields, "zmm", index, out, &width))
            return false;
    } else {
        if (!append(fields, "xmm", index, out, &width))
            return false;
        if (append(fields, "ymm_high", index, out, &width))
            append(fields, "zmm_high", index, out, &width);
    }
    *ret_width = width;
    return true;
}
