/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * import_fields INPUT - print all that the importers know of each vCPU, a field a line: "0 rax 1f".
 * For tests that compare.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <resume/import.h>

static void print_bytes(uint32_t index, const char *name, unsigned number, const uint8_t *data,
                        size_t length)
{
    printf("%" PRIu32 " %s%u ", index, name, number);
    for (size_t i = length; i > 0; i--)
        printf("%02x", data[i - 1]);
    putchar('\n');
}

static void print_vcpu(uint32_t index, const struct resume_vcpu *vcpu)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    const struct resume_xsave *xsave = &vcpu->xsave;
    for (size_t i = 0; i < count; i++) {
        if (resume_field_valid(vcpu, &table[i]))
            printf("%" PRIu32 " %s %" PRIx64 "\n", index, table[i].name,
                   resume_field_get(vcpu, &table[i]));
    }
    for (uint32_t i = 0; i < vcpu->msr_count; i++)
        printf("%" PRIu32 " msr_%" PRIx32 " %" PRIx64 "\n", index, vcpu->msr[i].index,
               vcpu->msr[i].value);
    if (xsave->length == 0)
        return;
    print_bytes(index, "x87_control_", 0, xsave->area, 5);
    print_bytes(index, "mxcsr_", 0, xsave->area + 24, 4);
    for (unsigned i = 0; i < 8; i++)
        print_bytes(index, "st", i, xsave->area + 32 + i * 16, 10);
    for (unsigned i = 0; i < 16; i++)
        print_bytes(index, "xmm", i, xsave->area + 160 + i * 16, 16);
    for (uint32_t i = 0; i < xsave->comp_count; i++)
        print_bytes(index, "component", xsave->comp[i].id, xsave->area + xsave->comp[i].offset,
                    xsave->comp[i].size);
}

static int print_import(const char *path)
{
    struct resume_import_error error;
    struct resume_import *import = NULL;
    struct resume_vcpu vcpu;
    int ret = resume_import_open(path, NULL, &import, &error);
    for (uint32_t i = 0; ret == 0 && i < resume_import_vcpus(import); i++) {
        ret = resume_import_vcpu(import, i, &vcpu, &error);
        if (ret == 0)
            print_vcpu(i, &vcpu);
    }
    if (ret != 0)
        fprintf(stderr, "import_fields: %s: %s\n", error.where, error.why);
    resume_import_close(import);
    return ret != 0;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return print_import(argv[1]);
    fprintf(stderr, "import_fields: give one input\n");
    return 2;
}
