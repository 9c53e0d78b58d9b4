/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Prints what the code knows of QEMU's CPU state, a line each, columns divided by tabs:
 *   row PATTERN CLASS REASON    the table of fields, in its order
 *   field PATH MSR              each field of a stream with every subsection; MSR - when it is none
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qemu_fields.h"
#include "qemu_msr.h"
#include "stream_build.h"

static uint64_t zero(void *ctx, const char *path)
{
    (void)ctx;
    (void)path;
    return 0;
}

static void print_rows(void)
{
    size_t count;
    const struct qemu_field_row *rows = qemu_field_table(&count);
    for (size_t i = 0; i < count; i++)
        printf("row\t%s\t%s\t%s\n", rows[i].pattern, qemu_field_class_name(rows[i].class),
               rows[i].reason);
}

static int print_fields(void)
{
    struct builder b = {0};
    struct vmdesc desc;
    struct stream_error error;
    build_header(&b, "pc-q35-7.2");
    build_small_ram(&b, 1);
    build_vcpu(&b, 0, BUILD_CPU_ALL, zero, NULL);
    build_finish(&b);
    if (vmdesc_open(&desc, b.data + b.devices_at, b.length - b.devices_at, 0, &error) != 0) {
        fprintf(stderr, "dump_state: %s\n", error.why);
        build_free(&b);
        return 1;
    }
    for (uint32_t i = 0; i < desc.field_count; i++) {
        uint32_t index;
        const char *path = desc.fields[i].path;
        if (strncmp(path, "cpu", 3) != 0)
            continue;
        if (qemu_msr_find(path, &index) != NULL)
            printf("field\t%s\t%" PRIu32 "\n", path, index);
        else
            printf("field\t%s\t-\n", path);
    }
    vmdesc_close(&desc);
    build_free(&b);
    return 0;
}

int main(void)
{
    print_rows();
    return print_fields();
}
