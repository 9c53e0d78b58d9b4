/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "import_build_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "import_exercise.h"

void bytes_add(struct bytes *bytes, const void *data, size_t length)
{
    bytes->data = realloc(bytes->data, bytes->length + length + 1);
    assert_non_null(bytes->data);
    if (length != 0)
        memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
}

static void add_little(struct bytes *bytes, uint64_t value, unsigned length)
{
    uint8_t data[8];
    for (unsigned i = 0; i < length; i++)
        data[i] = (uint8_t)(value >> (8 * i));
    bytes_add(bytes, data, length);
}

void bytes_add_u8(struct bytes *bytes, uint8_t value)
{
    add_little(bytes, value, 1);
}

void bytes_add_u16(struct bytes *bytes, uint16_t value)
{
    add_little(bytes, value, 2);
}

void bytes_add_u32(struct bytes *bytes, uint32_t value)
{
    add_little(bytes, value, 4);
}

void bytes_add_u64(struct bytes *bytes, uint64_t value)
{
    add_little(bytes, value, 8);
}

void bytes_add_be32(struct bytes *bytes, uint32_t value)
{
    add_little(bytes, __builtin_bswap32(value), 4);
}

void bytes_add_zeros(struct bytes *bytes, size_t count)
{
    static const uint8_t zeros[64];
    for (; count > sizeof(zeros); count -= sizeof(zeros))
        bytes_add(bytes, zeros, sizeof(zeros));
    bytes_add(bytes, zeros, count);
}

void bytes_add_text(struct bytes *bytes, const char *text)
{
    bytes_add(bytes, text, strlen(text));
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof(*bytes));
}

/* Values that not every bit pattern will do for. */
static const struct {
    const char *name;
    uint64_t value;
} fixed[] = {
    {"rflags", 0x246},
    {"es.access", 0xc093},
    {"cs.access", 0xa0fb},
    {"ss.access", 0xd0f3},
    {"ds.access", 0x10000},
    {"fs.access", 0x40f3},
    {"gs.access", 0x80f1},
    {"ldtr.access", 0x0082},
    {"tr.access", 0x008b},
    {"cr0", 0x80050033},
    {"cr4", 0x0000000003406f0},
    {"cr8", 9},
    {"efer", 0xd01},
    {"xcr0", 0x207},
    {"xss", 0x800},
    {"apic_base", 0xfee00d00},
    {"mp_state", 0},
    {"sipi_vector", 0},
    {"smm", 0},
    {"interrupt_shadow", 0},
    {"nmi_masked", 0},
    {"nmi_pending", 0},
    {"apic_id", 0x11},
    {"shadow_length", 0},
    {"exception_vector", RESUME_NO_EVENT},
    {"interrupt_vector", RESUME_NO_EVENT},
    {"dr6", 0xffff0ff0},
    {"dr7", 0x400},
};

uint64_t guest_value(unsigned n, const char *field)
{
    const struct resume_field *known = resume_field_find(field);
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    if (known == NULL)
        fail_msg("no field is named %s", field);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (strcmp(fixed[i].name, field) == 0)
            return fixed[i].value + (strcmp(field, "apic_id") == 0 ? n : 0);
    }
    for (const char *at = field; *at != 0; at++)
        value = (value ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    value += n * UINT64_C(0x0101010101010101);
    return known->size == 8 ? value : value & ((UINT64_C(1) << (8 * known->size)) - 1);
}

uint64_t guest_msr(unsigned n, uint32_t index)
{
    uint64_t value = UINT64_C(0xf1e2d3c400000000) + index * UINT64_C(0x100000001) + n;
    return index == RESUME_MSR_TSC_AUX ? value & UINT32_MAX : value;
}

uint16_t guest_attributes(unsigned n, const char *segment)
{
    char name[24];
    snprintf(name, sizeof(name), "%s.access", segment);
    uint64_t access = guest_value(n, name);
    return (uint16_t)((access & 0xff) | (access >> 4 & 0xf00));
}

void guest_component(unsigned n, uint32_t id, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(i * 7 + id * 29 + n * 3 + 1);
}

void guest_fxsave(unsigned n, uint8_t area[512])
{
    static const uint8_t head[32] = {0x7f, 0x03, 0x00, 0x28, 0xc5, 0,    0x11, 0x05,
                                     0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
                                     0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
                                     0x80, 0x1f, 0,    0,    0,    0,    0,    0};
    memset(area, 0, 512);
    memcpy(area, head, 32);
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned k = 0; k < 10; k++)
            area[32 + 16 * i + k] = (uint8_t)(0x40 + 16 * i + k + n);
    }
    guest_component(n, 1, area + 160, 256);
}

static int is_lacking(const char *name, const char *const *lacking)
{
    for (; *lacking != NULL; lacking++) {
        if (strncmp(name, *lacking, strlen(*lacking)) == 0)
            return 1;
    }
    return 0;
}

void guest_expect_field(const struct resume_vcpu *vcpu, const char *name, uint64_t value)
{
    const struct resume_field *field = resume_field_find(name);
    assert_non_null(field);
    if (!resume_field_valid(vcpu, field))
        fail_msg("%s is not valid", name);
    if (resume_field_get(vcpu, field) != value)
        fail_msg("%s is 0x%llx, expected 0x%llx", name,
                 (unsigned long long)resume_field_get(vcpu, field), (unsigned long long)value);
}

void guest_expect(const struct resume_vcpu *vcpu, unsigned n, const char *const *lacking)
{
    size_t count;
    const struct resume_field *fields = resume_field_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (!is_lacking(fields[i].name, lacking))
            guest_expect_field(vcpu, fields[i].name, guest_value(n, fields[i].name));
        else if (resume_field_valid(vcpu, &fields[i]))
            fail_msg("%s is valid, but the input cannot have it", fields[i].name);
    }
}

void guest_expect_msr(const struct resume_vcpu *vcpu, unsigned n, uint32_t index)
{
    const uint64_t *value = resume_vcpu_msr(vcpu, index);
    if (value == NULL)
        fail_msg("MSR 0x%x is missing", index);
    else if (*value != guest_msr(n, index))
        fail_msg("MSR 0x%x is 0x%llx, expected 0x%llx", index, (unsigned long long)*value,
                 (unsigned long long)guest_msr(n, index));
}

void guest_expect_xsave(const struct resume_vcpu *vcpu, unsigned n, uint64_t xstate_bv,
                        const uint32_t *ids)
{
    uint8_t legacy[512];
    uint8_t component[1024];
    uint8_t header[64] = {(uint8_t)xstate_bv, (uint8_t)(xstate_bv >> 8)};
    size_t count = 0;
    guest_fxsave(n, legacy);
    assert_non_null(vcpu->xsave.area);
    assert_true(vcpu->xsave.length >= 576);
    assert_memory_equal(vcpu->xsave.area, legacy, 512);
    assert_memory_equal(vcpu->xsave.area + 512, header, 64);
    for (; ids[count] != 0; count++) {
        const struct resume_xcomp *at = &vcpu->xsave.comp[count];
        if (count >= vcpu->xsave.comp_count || at->id != ids[count])
            fail_msg("component %u is not there", ids[count]);
        assert_true(at->offset + at->size <= vcpu->xsave.length && at->size <= sizeof(component));
        guest_component(n, at->id, component, at->size);
        assert_memory_equal(vcpu->xsave.area + at->offset, component, at->size);
    }
    assert_int_equal(vcpu->xsave.comp_count, count);
}

struct resume_import *guest_open(const struct bytes *bytes, const char *name, uint32_t vcpus)
{
    struct import_memfile file;
    struct resume_import *import = NULL;
    struct resume_import_error error = {0};
    import_memfile_open(&file);
    import_memfile_set(&file, bytes->data, bytes->length);
    if (resume_import_open(file.path, NULL, &import, &error) != 0)
        fail_msg("%s at %llu: %s", error.where, (unsigned long long)error.offset, error.why);
    import_memfile_close(&file);
    assert_string_equal(resume_import_format(import)->name, name);
    assert_int_equal(resume_import_vcpus(import), vcpus);
    return import;
}

int guest_try(const struct bytes *bytes, struct resume_import_error *error)
{
    struct import_memfile file;
    struct resume_import *import = NULL;
    struct resume_import_error why = {0};
    struct resume_vcpu vcpu;
    import_memfile_open(&file);
    import_memfile_set(&file, bytes->data, bytes->length);
    int ret = resume_import_open(file.path, NULL, &import, &why);
    for (uint32_t i = 0; ret == 0 && i < resume_import_vcpus(import); i++)
        ret = resume_import_vcpu(import, i, &vcpu, &why);
    resume_import_close(import);
    import_memfile_close(&file);
    if (error != NULL)
        *error = why;
    return ret;
}

void guest_golden_at(const struct bytes *bytes, const char *path, int write)
{
    FILE *file = fopen(path, write ? "wb" : "rb");
    if (file == NULL)
        fail_msg("%s cannot be opened", path);
    if (write) {
        assert_int_equal(fwrite(bytes->data, 1, bytes->length, file), bytes->length);
    } else {
        uint8_t *data = malloc(bytes->length + 1);
        assert_non_null(data);
        assert_int_equal(fread(data, 1, bytes->length + 1, file), bytes->length);
        assert_memory_equal(data, bytes->data, bytes->length);
        free(data);
    }
    assert_int_equal(fclose(file), 0);
}
