/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the trampoline read back, for people and for programs. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "readback.h"

/* Text that is cut where it does not fit. */
struct text {
    char *buffer;
    size_t capacity;
    size_t length;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *text, const char *format, ...)
{
    va_list args;
    if (text->length + 1 >= text->capacity)
        return;
    va_start(args, format);
    int written =
        vsnprintf(text->buffer + text->length, text->capacity - text->length, format, args);
    va_end(args);
    if (written > 0)
        text->length += (size_t)written;
}

/* The names of the fields of one kind, those of all vCPUs once. */
static void add_names(struct text *text, const struct readback *readback, char kind)
{
    char seen[32][READBACK_NAME_MAX];
    uint32_t count = 0;
    bool more = false;
    for (uint32_t i = 0; i < readback->vcpu_count; i++) {
        const struct readback_vcpu *vcpu = &readback->vcpu[i];
        for (uint32_t field = 0; vcpu->came && field < vcpu->wanted_count; field++) {
            char name[READBACK_NAME_MAX];
            bool known = false;
            if (vcpu->field[field] != kind)
                continue;
            readback_name(readback, i, field, name);
            for (uint32_t n = 0; n < count && !known; n++)
                known = strcmp(seen[n], name) == 0;
            more = more || (!known && count == sizeof(seen) / sizeof(seen[0]));
            if (!known && !more)
                memcpy(seen[count++], name, sizeof(name));
        }
    }
    for (uint32_t n = 0; n < count; n++)
        add(text, "%s%s", n == 0 ? " (" : ", ", seen[n]);
    add(text, "%s%s", more ? ", ..." : "", count != 0 ? ")" : "");
}

static struct readback_counts total(const struct readback *readback, uint32_t *ret_vcpus)
{
    struct readback_counts sum = {0, 0, 0, 0, 0};
    *ret_vcpus = 0;
    for (uint32_t i = 0; i < readback->vcpu_count; i++) {
        struct readback_counts counts = readback_count(readback, i);
        sum.exact += counts.exact;
        sum.approximate += counts.approximate;
        sum.refused += counts.refused;
        sum.different += counts.different;
        sum.unchecked += counts.unchecked;
        *ret_vcpus += readback->vcpu[i].came ? 1 : 0;
    }
    return sum;
}

char *readback_summary(const struct readback *readback, char *buffer, size_t capacity)
{
    struct text text = {buffer, capacity, 0};
    uint32_t vcpus;
    buffer[0] = '\0';
    if (!readback->heard) {
        add(&text, "not available: the command line has a debug console of its own");
        return buffer;
    }
    struct readback_counts sum = total(readback, &vcpus);
    add(&text, "%" PRIu32 " vCPU%s, %" PRIu32 " fields exact", vcpus, vcpus == 1 ? "" : "s",
        sum.exact);
    if (sum.approximate != 0) {
        add(&text, ", %" PRIu32 " approximate", sum.approximate);
        add_names(&text, readback, RESUME_LEDGER_APPROXIMATE);
    }
    if (sum.refused != 0) {
        add(&text, ", %" PRIu32 " refused by the CPU", sum.refused);
        add_names(&text, readback, RESUME_LEDGER_REFUSED);
    }
    if (sum.different != 0) {
        add(&text, ", %" PRIu32 " DIFFERENT", sum.different);
        add_names(&text, readback, RESUME_LEDGER_DIFFERENT);
    }
    return buffer;
}

static const char *kind_name(char kind)
{
    switch (kind) {
    case RESUME_LEDGER_EXACT:
        return "exact";
    case RESUME_LEDGER_APPROXIMATE:
        return "approximate";
    case RESUME_LEDGER_REFUSED:
        return "refused";
    case RESUME_LEDGER_DIFFERENT:
        return "different";
    default:
        return "unchecked";
    }
}

static void print_fields(const struct readback *readback, uint32_t index, FILE *out)
{
    const struct readback_vcpu *vcpu = &readback->vcpu[index];
    fprintf(out, "vCPU %" PRIu32 ":\n", index);
    for (uint32_t i = 0; i < vcpu->wanted_count; i++) {
        char name[READBACK_NAME_MAX];
        uint64_t value;
        readback_name(readback, index, i, name);
        const char *kind = kind_name(vcpu->field[i]);
        if (readback_wanted(readback, index, i, &value))
            fprintf(out, "  %-36s %-11s 0x%" PRIx64 "\n", name, kind, value);
        else
            fprintf(out, "  %-36s %s\n", name, kind);
    }
}

void readback_print(const struct readback *readback, FILE *out, bool fields)
{
    fprintf(out, "Read back by the trampoline, before the guest was entered:\n");
    if (!readback->heard) {
        fprintf(out, "  not available: the command line has a debug console of its own\n");
        return;
    }
    fprintf(out, "  vCPU  exact  approximate  refused  different  not checked\n");
    for (uint32_t i = 0; i < readback->vcpu_count; i++) {
        struct readback_counts counts = readback_count(readback, i);
        if (!readback->vcpu[i].active)
            fprintf(out, "  %4" PRIu32 "  not started by the guest: left as it was\n", i);
        else if (!readback->vcpu[i].came)
            fprintf(out, "  %4" PRIu32 "  nothing came\n", i);
        else
            fprintf(out,
                    "  %4" PRIu32 "  %5" PRIu32 "  %11" PRIu32 "  %7" PRIu32 "  %9" PRIu32
                    "  %11" PRIu32 "\n",
                    i, counts.exact, counts.approximate, counts.refused, counts.different,
                    counts.unchecked);
    }
    for (uint32_t i = 0; fields && i < readback->vcpu_count; i++) {
        if (readback->vcpu[i].came)
            print_fields(readback, i, out);
    }
    fflush(out);
}

/* Numbers of 64 bits as text, as in the JSON of inspect: JSON's own numbers are not all exact. */
static json_t *hex(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "0x%" PRIx64, value);
    return json_string(text);
}

static json_t *fields_json(const struct readback *readback, uint32_t index)
{
    const struct readback_vcpu *vcpu = &readback->vcpu[index];
    json_t *fields = json_array();
    for (uint32_t i = 0; vcpu->came && i < vcpu->wanted_count; i++) {
        char name[READBACK_NAME_MAX];
        uint64_t value;
        json_t *field = json_pack("{s:s, s:s}", "name", readback_name(readback, index, i, name),
                                  "result", kind_name(vcpu->field[i]));
        if (readback_wanted(readback, index, i, &value))
            json_object_set_new(field, "wanted", hex(value));
        json_array_append_new(fields, field);
    }
    return fields;
}

static json_t *vcpu_json(const struct readback *readback, uint32_t index)
{
    const struct readback_vcpu *vcpu = &readback->vcpu[index];
    if (!vcpu->active)
        return json_pack("{s:I, s:b}", "vcpu", (json_int_t)index, "active", 0);
    struct readback_counts counts = readback_count(readback, index);
    return json_pack("{s:I, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "vcpu", (json_int_t)index,
                     "active", 1, "came", (int)(vcpu->came && !vcpu->bad), "exact",
                     (json_int_t)counts.exact, "approximate", (json_int_t)counts.approximate,
                     "refused", (json_int_t)counts.refused, "different",
                     (json_int_t)counts.different, "unchecked", (json_int_t)counts.unchecked,
                     "fields", fields_json(readback, index));
}

json_t *readback_json(const struct readback *readback)
{
    json_t *vcpus = json_array();
    for (uint32_t i = 0; i < readback->vcpu_count; i++)
        json_array_append_new(vcpus, vcpu_json(readback, i));
    json_t *object = json_pack("{s:b, s:o}", "available", (int)readback->heard, "vcpus", vcpus);
    const struct readback_difference *differs = &readback->differs;
    char name[READBACK_NAME_MAX];
    if (object == NULL || !differs->came)
        return object;
    json_t *stopped = json_pack("{s:I, s:s}", "vcpu", (json_int_t)differs->vcpu, "field",
                                readback_name(readback, differs->vcpu, differs->field, name));
    if (stopped != NULL && differs->told) {
        json_object_set_new(stopped, "wanted", hex(differs->wanted));
        json_object_set_new(stopped, "got", hex(differs->got));
    }
    json_object_set_new(object, "stopped", stopped);
    return object;
}
