/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fields_internal.h"

struct field *fields_add(struct fields *fields, enum field_group group, const char *name,
                         uint32_t size, bool known)
{
    static struct field spare; /* of one that there is no room for: the bounds forbid it */
    struct field *field = fields->count < FIELDS_MAX ? &fields->field[fields->count++] : &spare;
    memset(field, 0, sizeof(*field));
    field->group = group;
    field->form = size > 8 ? FIELD_WIDE : FIELD_HEX;
    field->size = size;
    field->known = known;
    snprintf(field->name, sizeof(field->name), "%s", name);
    return field;
}

static void put(struct field *field, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        field->value[i] = (uint8_t)(value >> (8 * i));
}

/* Fields of more than plain numbers. */
static const struct {
    const char *name;
    enum field_form form;
    enum decode_register bits;
} forms[] = {
    {"rflags", FIELD_FLAGS, DECODE_RFLAGS},
    {"cr0", FIELD_FLAGS, DECODE_CR0},
    {"cr4", FIELD_FLAGS, DECODE_CR4},
    {"efer", FIELD_FLAGS, DECODE_EFER},
    {"xcr0", FIELD_FLAGS, DECODE_XCR0},
    {"xss", FIELD_FLAGS, DECODE_XCR0},
    {"apic_base", FIELD_FLAGS, DECODE_APIC_BASE},
    {"dr6", FIELD_FLAGS, DECODE_DR6},
    {"dr7", FIELD_FLAGS, DECODE_DR7},
    {"mp_state", FIELD_STATE, DECODE_CR0},
    {"smm", FIELD_BOOL, DECODE_CR0},
    {"interrupt_shadow", FIELD_SHADOW, DECODE_CR0},
    {"nmi_masked", FIELD_BOOL, DECODE_CR0},
    {"nmi_pending", FIELD_BOOL, DECODE_CR0},
    {"exception_vector", FIELD_EVENT, DECODE_CR0},
    {"interrupt_vector", FIELD_EVENT, DECODE_CR0},
    {"shadow_length", FIELD_NUMBER, DECODE_CR0},
};

static void shape(struct field *field)
{
    const char *dot = strchr(field->name, '.');
    if (dot != NULL && strcmp(dot, ".access") == 0) {
        field->form = FIELD_FLAGS;
        field->bits = DECODE_SEGMENT;
        return;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (strcmp(forms[i].name, field->name) == 0) {
            field->form = forms[i].form;
            field->bits = forms[i].bits;
        }
    }
}

static enum field_group group_of(const struct resume_field *field)
{
    static const struct {
        const char *record;
        enum field_group group;
    } groups[] = {{"GPR", FIELD_REGISTERS},
                  {"SEG", FIELD_SEGMENTS},
                  {"CTRL", FIELD_CONTROL},
                  {"DEBUG", FIELD_DEBUG}};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i].record, field->record) == 0)
            return groups[i].group;
    }
    return FIELD_RUN;
}

void fields_list(const struct resume_vcpu *vcpu, struct fields *out)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        const bool known = resume_field_valid(vcpu, &table[i]) != 0;
        struct field *field =
            fields_add(out, group_of(&table[i]), table[i].name, table[i].size, known);
        shape(field);
        if (known)
            put(field, resume_field_get(vcpu, &table[i]));
    }
    for (uint32_t i = 0; i < vcpu->msr_count && i < RESUME_MSR_MAX; i++) {
        char name[FIELD_NAME_MAX];
        snprintf(name, sizeof(name), "msr_%" PRIx32, vcpu->msr[i].index);
        struct field *field = fields_add(out, FIELD_MSRS, name, 8, true);
        field->number = vcpu->msr[i].index;
        put(field, vcpu->msr[i].value);
    }
    fields_add_xsave(out, &vcpu->xsave);
}

static void forget(struct fields *fields, const char *name)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (strcmp(fields->field[i].name, name) == 0) {
            fields->field[i].known = false;
            memset(fields->field[i].value, 0, sizeof(fields->field[i].value));
        }
    }
}

void fields_lack(struct fields *fields, const char *format)
{
    /* QEMU's listing has the state of the x87 without its last instruction. */
    static const char *const of_listings[] = {"fop", "fip", "fdp"};
    if (strcmp(format, "registers") != 0)
        return;
    for (size_t i = 0; i < sizeof(of_listings) / sizeof(of_listings[0]); i++)
        forget(fields, of_listings[i]);
    /* It says "halted" of a vCPU that waits for its first start too, which is one in real mode. */
    const struct field *state = fields_find(fields, "mp_state");
    if (state != NULL && field_value(state) == RESUME_MP_HALTED &&
        (field_value(fields_find(fields, "cr0")) & 1) == 0)
        forget(fields, "mp_state");
}

const struct field *fields_find(const struct fields *fields, const char *name)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const char *other = fields->field[i].name;
        if (other[0] == name[0] && strcmp(other, name) == 0)
            return &fields->field[i];
    }
    return NULL;
}

const struct field *fields_segment(const struct fields *fields, const char *segment,
                                   const char *part)
{
    char name[FIELD_NAME_MAX];
    snprintf(name, sizeof(name), "%s.%s", segment, part);
    return fields_find(fields, name);
}

uint64_t field_value(const struct field *field)
{
    uint64_t value = 0;
    for (unsigned i = 8; i-- > 0;)
        value = value << 8 | field->value[i];
    return value;
}

const char *field_group_name(enum field_group group)
{
    static const char *const names[FIELD_GROUP_COUNT] = {
        "registers", "segments", "control", "debug", "run", "msrs", "fpu"};
    return names[group];
}

const char *field_shadow_name(uint64_t interrupt_shadow)
{
    static const char *const names[] = {"none", "after STI", "after MOV SS or POP SS",
                                        "after an unknown instruction"};
    return names[interrupt_shadow < 3 ? interrupt_shadow : 3];
}

char *field_format(const struct field *field, char *buffer)
{
    const uint64_t value = field_value(field);
    char names[512];
    if (!field->known) {
        snprintf(buffer, FIELD_TEXT_MAX, "not carried");
        return buffer;
    }
    switch (field->form) {
    case FIELD_FLAGS:
        decode_bits(field->bits, value, names, sizeof(names));
        snprintf(buffer, FIELD_TEXT_MAX, "0x%" PRIx64 "%s%s", value, names[0] != '\0' ? " " : "",
                 names);
        break;
    case FIELD_NUMBER:
        snprintf(buffer, FIELD_TEXT_MAX, "%" PRIu64, value);
        break;
    case FIELD_BOOL:
        snprintf(buffer, FIELD_TEXT_MAX, "%s", value != 0 ? "yes" : "no");
        break;
    case FIELD_STATE:
        snprintf(buffer, FIELD_TEXT_MAX, "%s", decode_run_state((uint32_t)value));
        break;
    case FIELD_SHADOW:
        snprintf(buffer, FIELD_TEXT_MAX, "%s", field_shadow_name(value));
        break;
    case FIELD_EVENT:
        if (value == RESUME_NO_EVENT)
            snprintf(buffer, FIELD_TEXT_MAX, "none");
        else
            snprintf(buffer, FIELD_TEXT_MAX, "%" PRIu64, value);
        break;
    case FIELD_WIDE:
        snprintf(buffer, FIELD_TEXT_MAX, "0x");
        for (uint32_t i = 0; i < field->size && i < FIELD_BYTES_MAX; i++)
            snprintf(buffer + 2 + i * 2, 3, "%02x", field->value[field->size - 1 - i]);
        break;
    case FIELD_HEX:
        snprintf(buffer, FIELD_TEXT_MAX, "0x%" PRIx64, value);
        break;
    }
    return buffer;
}
