/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/xsave.h>

#include "arch.h"
#include "internal.h"

/* The legacy region and the header (Intel SDM vol. 1, "Format of an FXSAVE Area"). */
#define FCW 0u
#define FTW 4u
#define FOP 6u
#define FIP 8u
#define MXCSR 24u
#define X87_REGISTERS 32u
#define X87_COUNT 8u
#define X87_SLOT 16u
#define X87_SIZE 10u
#define XMM_REGISTERS 160u
#define XMM_SIZE 256u
#define XSTATE_BV 512u

#define FCW_INITIAL 0x37f
#define LEGACY (RESUME_XCR0_X87 | RESUME_XCR0_SSE)

/* Names, and what holds state of a component whose end is reserved. */
static const struct {
    uint32_t id;
    uint32_t size; /* 0 = all of it */
    char name[12];
} components[] = {
    {0, 0, "x87"},     {1, 0, "SSE"},       {2, 0, "AVX"},        {3, 0, "BNDREGS"},
    {4, 16, "BNDCSR"}, {5, 0, "opmask"},    {6, 0, "ZMM_Hi256"},  {7, 0, "Hi16_ZMM"},
    {8, 0, "PT"},      {9, 4, "PKRU"},      {10, 0, "PASID"},     {11, 0, "CET_U"},
    {12, 0, "CET_S"},  {13, 0, "HDC"},      {14, 0, "UINTR"},     {15, 0, "LBR"},
    {16, 0, "HWP"},    {17, 0, "XTILECFG"}, {18, 0, "XTILEDATA"}, {19, 0, "APX"},
    {62, 0, "LWP"},
};
#define COMPONENTS (sizeof(components) / sizeof(components[0]))

const char *resume_xsave_component_name(uint32_t id)
{
    for (size_t i = 0; i < COMPONENTS; i++) {
        if (components[i].id == id) {
            return components[i].name;
        }
    }
    return "component";
}

static uint32_t bytes_of_state(const struct resume_xcomp *comp)
{
    for (size_t i = 0; i < COMPONENTS; i++) {
        if (components[i].id == comp->id && components[i].size != 0 &&
            components[i].size < comp->size) {
            return components[i].size;
        }
    }
    return comp->size;
}

static bool enabled(uint64_t mask, uint32_t id)
{
    return id >= 2 && id < 63 && (mask >> id & 1) != 0;
}

static const struct resume_xcomp *find(const struct resume_xcomp *comp, uint32_t count, uint32_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (comp[i].id == id) {
            return &comp[i];
        }
    }
    return NULL;
}

static int fail(struct resume_diag *diag, int err, const char *field, uint32_t id, uint64_t found,
                uint64_t expected)
{
    return resume_fail(diag, err, "XSAVE image", field, id, found, expected, RESUME_NO_VCPU);
}

/* Everything that can be wrong, before a byte is written. */
static int check(const struct resume_xsave *from, const struct resume_xcomp *to, uint32_t to_count,
                 uint64_t xcr0, uint64_t in_use, uint32_t capacity, uint32_t *ret_length,
                 struct resume_diag *diag)
{
    uint32_t length = RESUME_XSAVE_MIN;

    if (capacity < length) {
        return fail(diag, RESUME_ENOSPC, "length", 0, length, capacity);
    }
    for (uint32_t i = 0; i < to_count; i++) {
        const char *name = resume_xsave_component_name(to[i].id);

        if (!enabled(xcr0, to[i].id)) {
            continue;
        }
        if (to[i].offset < RESUME_XSAVE_MIN) {
            return fail(diag, RESUME_ECPU, name, to[i].id, to[i].offset, RESUME_XSAVE_MIN);
        }
        if (!resume_range_within(to[i].offset, to[i].size, capacity)) {
            return fail(diag, RESUME_ENOSPC, name, to[i].id, (uint64_t)to[i].offset + to[i].size,
                        capacity);
        }
        if (to[i].offset + to[i].size > length) {
            length = to[i].offset + to[i].size;
        }
    }
    for (uint32_t id = 2; id < 63; id++) {
        const struct resume_xcomp *source = find(from->comp, from->comp_count, id);
        const struct resume_xcomp *target = find(to, to_count, id);
        const char *name = resume_xsave_component_name(id);

        if (!enabled(xcr0, id)) {
            continue;
        }
        if (enabled(in_use, id) &&
            (source == NULL || source->offset < RESUME_XSAVE_MIN ||
             !resume_range_within(source->offset, source->size, from->length))) {
            return fail(diag, RESUME_EINVAL, name, id, source != NULL ? source->offset : 0,
                        from->length);
        }
        if (enabled(in_use, id) && target == NULL) {
            return fail(diag, RESUME_ECPU, name, id, source->size, 0);
        }
        if (source != NULL && target != NULL && source->size != target->size) {
            return fail(diag, RESUME_EUNSUPPORTED, name, id, source->size, target->size);
        }
    }
    *ret_length = length;
    return RESUME_OK;
}

static void write_legacy(const uint8_t *from, uint64_t in_use, uint8_t *area)
{
    memcpy(area + MXCSR, from + MXCSR, 4);
    if ((in_use & RESUME_XCR0_X87) != 0) {
        memcpy(area + FCW, from + FCW, FTW + 1 - FCW);
        memcpy(area + FOP, from + FOP, MXCSR - FOP);
        for (uint32_t i = 0; i < X87_COUNT; i++) {
            uint32_t at = X87_REGISTERS + i * X87_SLOT;

            memcpy(area + at, from + at, X87_SIZE);
        }
    } else {
        resume_store_le16(area + FCW, FCW_INITIAL);
    }
    if ((in_use & RESUME_XCR0_SSE) != 0) {
        memcpy(area + XMM_REGISTERS, from + XMM_REGISTERS, XMM_SIZE);
    }
}

int resume_xsave_transcode(const struct resume_xsave *from, const struct resume_xcomp *to_comp,
                           uint32_t to_comp_count, uint64_t xcr0, uint8_t *area, uint32_t capacity,
                           uint32_t *ret_length, struct resume_diag *diag)
{
    uint64_t in_use;
    uint32_t length = 0;
    int err;

    if (from == NULL || from->area == NULL || from->length < RESUME_XSAVE_MIN ||
        from->comp_count > RESUME_XCOMP_MAX || (to_comp == NULL && to_comp_count != 0) ||
        to_comp_count > RESUME_XCOMP_MAX || area == NULL || ret_length == NULL) {
        return RESUME_EINVAL;
    }
    in_use = resume_load_le64(from->area + XSTATE_BV) & (xcr0 | LEGACY);
    err = check(from, to_comp, to_comp_count, xcr0, in_use, capacity, &length, diag);
    if (err != RESUME_OK) {
        return err;
    }
    memset(area, 0, capacity);
    write_legacy(from->area, in_use, area);
    resume_store_le64(area + XSTATE_BV, in_use);
    for (uint32_t i = 0; i < to_comp_count; i++) {
        const struct resume_xcomp *source = find(from->comp, from->comp_count, to_comp[i].id);

        /* Zeroes are the initial configuration of every component beyond the legacy region. */
        if (enabled(in_use, to_comp[i].id) && source != NULL) {
            memcpy(area + to_comp[i].offset, from->area + source->offset, source->size);
        }
    }
    *ret_length = length;
    return RESUME_OK;
}

/* @count counts on when @out is full. */
static void add(struct resume_span *out, uint32_t capacity, uint32_t *count, uint32_t offset,
                uint32_t length)
{
    uint32_t at = (*count)++;

    if (at >= capacity) {
        return;
    }
    /* The legacy region comes in order; CPUID's components need not. */
    while (at > 0 && out[at - 1].offset > offset) {
        out[at] = out[at - 1];
        at--;
    }
    out[at] = (struct resume_span){.offset = offset, .length = length};
}

uint32_t resume_xsave_spans(const struct resume_xcomp *comp, uint32_t comp_count, uint64_t xcr0,
                            struct resume_span *out, uint32_t capacity)
{
    uint32_t count = 0;

    add(out, capacity, &count, FCW, FTW + 1 - FCW);
    add(out, capacity, &count, MXCSR, 4);
    for (uint32_t i = 0; i < X87_COUNT; i++) {
        add(out, capacity, &count, X87_REGISTERS + i * X87_SLOT, X87_SIZE);
    }
    add(out, capacity, &count, XMM_REGISTERS, XMM_SIZE);
    for (uint32_t i = 0; i < comp_count && i < RESUME_XCOMP_MAX; i++) {
        if (enabled(xcr0, comp[i].id)) {
            add(out, capacity, &count, comp[i].offset, bytes_of_state(&comp[i]));
        }
    }
    return count;
}
