/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "qemu_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The path; @name has room for one that is to be formatted first. */
static const char *path_of(char name[128], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static const char *path_of(char name[128], const char *format, va_list args)
{
    if (strchr(format, '%') == NULL)
        return format;
    vsnprintf(name, 128, format, args);
    return name;
}

uint64_t qemu_value(struct qemu_reader *reader, uint64_t max, const struct vmdesc_field *field)
{
    uint64_t value = 0;
    if (*reader->ret != 0)
        return 0;
    if (vmdesc_field_u64(field, &value) != 0) {
        *reader->ret = stream_fail(reader->error, RESUME_EREGISTER, field->offset, NULL,
                                   "%.100s is not described as a number", field->path);
        return 0;
    }
    if (value > max) {
        *reader->ret = stream_fail(reader->error, RESUME_EREGISTER, field->offset, NULL,
                                   "%.100s is 0x%llx, at most 0x%llx fits", field->path,
                                   (unsigned long long)value, (unsigned long long)max);
        return 0;
    }
    return value;
}

uint64_t qemu_need(struct qemu_reader *reader, uint64_t max, const char *path, ...)
{
    char name[128];
    va_list args;
    if (*reader->ret != 0)
        return 0;
    va_start(args, path);
    const char *wanted = path_of(name, path, args);
    va_end(args);
    const struct vmdesc_field *field = vmdesc_field_find(reader->desc, reader->section, wanted);
    if (field == NULL) {
        *reader->ret = stream_fail(reader->error, RESUME_EMISSING,
                                   reader->desc->tail_offset + reader->section->start,
                                   "use a QEMU version that this one was tested with",
                                   "field %.100s is not in the stream", wanted);
        return 0;
    }
    return qemu_value(reader, max, field);
}

uint64_t qemu_may(struct qemu_reader *reader, uint64_t max, uint64_t absent, const char *path, ...)
{
    char name[128];
    va_list args;
    if (*reader->ret != 0)
        return 0;
    va_start(args, path);
    const char *wanted = path_of(name, path, args);
    va_end(args);
    const struct vmdesc_field *field = vmdesc_field_find(reader->desc, reader->section, wanted);
    return field == NULL ? absent : qemu_value(reader, max, field);
}
