/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "import_exercise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <resume/import.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define VCPUS 8u

void import_memfile_open(struct import_memfile *file)
{
    file->size = 0;
    file->fd = memfd_create("import", MFD_CLOEXEC);
    MUST(file->fd >= 0);
    snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
}

void import_memfile_close(struct import_memfile *file)
{
    close(file->fd);
    file->fd = -1;
}

void import_memfile_patch(struct import_memfile *file, uint64_t offset, const void *data,
                          size_t size)
{
    MUST(pwrite(file->fd, data, size, (off_t)offset) == (ssize_t)size);
}

void import_memfile_set(struct import_memfile *file, const void *data, size_t size)
{
    if (file->size != size)
        MUST(ftruncate(file->fd, (off_t)size) == 0);
    file->size = size;
    if (size != 0)
        import_memfile_patch(file, 0, data, size);
}

static int failed(int code, const struct resume_import_error *error)
{
    MUST(code < 0 && error->code == code && error->why[0] != 0);
    MUST(memchr(error->where, 0, sizeof(error->where)) != NULL);
    MUST(memchr(error->why, 0, sizeof(error->why)) != NULL);
    MUST(memchr(error->hint, 0, sizeof(error->hint)) != NULL);
    return code;
}

/* A sanitizer sees bytes that are not there, or were never written. */
static unsigned sum_of(const uint8_t *data, size_t length)
{
    unsigned sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = sum * 31 + data[i];
    return sum;
}

static int try_vcpu(struct resume_import *import, uint32_t index)
{
    static const struct resume_machine machine;
    const char *names[64];
    struct resume_vcpu vcpu;
    struct resume_vcpu before;
    struct resume_import_error error;
    struct resume_diag diag;
    size_t size;

    memset(&error, 0, sizeof(error));
    memset(&vcpu, 0x5a, sizeof(vcpu));
    before = vcpu;
    int ret = resume_import_vcpu(import, index, &vcpu, &error);
    if (ret != 0) {
        MUST(memcmp(&before, &vcpu, sizeof(vcpu)) == 0);
        return failed(ret, &error);
    }
    MUST(resume_state_size(&machine, &vcpu, 1, &size) == 0);
    uint8_t *blob = malloc(size);
    MUST(blob != NULL);
    MUST(resume_state_write(&machine, &vcpu, 1, blob, size, &size) == 0);
    sum_of(blob, size);
    free(blob);
    if (resume_vcpu_validate(&vcpu, index, &diag) == RESUME_EMISSING)
        MUST(resume_import_missing(&vcpu, names, 64) != 0);
    MUST(resume_import_missing(&vcpu, names, 0) == resume_import_missing(&vcpu, names, 64));
    return 0;
}

static void try_memory(struct resume_import *import)
{
    static const uint64_t places[] = {0,       0x1000,     0x100000,          0x12345000,
                                      1 << 30, 0xfee00000, UINT64_C(1) << 32, UINT64_C(1) << 51};
    struct resume_import_error error;
    struct resume_machine machine;
    struct resume_phys phys;

    memset(&error, 0, sizeof(error));
    int ret = resume_import_machine(import, &machine, &error);
    if (ret != 0) {
        failed(ret, &error);
        machine.range_count = 0;
    }
    MUST(machine.range_count <= RESUME_RANGE_MAX);
    ret = resume_import_memory(import, &phys, &error);
    if (ret != 0) {
        failed(ret, &error);
        return;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const uint8_t *page = phys.page(phys.ctx, places[i]);
        if (page != NULL)
            sum_of(page, RESUME_PAGE_SIZE);
    }
    /* Each page stays while the next 16 are asked for. */
    const uint8_t *kept = NULL;
    unsigned sum = 0;
    for (uint32_t i = 0; i < machine.range_count && i < 4; i++) {
        uint64_t base = machine.range[i].base_pa;
        kept = phys.page(phys.ctx, base);
        sum = kept != NULL ? sum_of(kept, RESUME_PAGE_SIZE) : 0;
        for (unsigned k = 1; k <= 16; k++) {
            const uint8_t *page = phys.page(phys.ctx, base + k * UINT64_C(4096));
            if (page != NULL)
                sum_of(page, RESUME_PAGE_SIZE);
        }
        MUST(kept == NULL || sum_of(kept, RESUME_PAGE_SIZE) == sum);
    }
}

int import_exercise(const char *path, const char *format)
{
    struct resume_import *import = NULL;
    struct resume_import_error error;
    int first = 0;

    memset(&error, 0, sizeof(error));
    int ret = resume_import_open(path, format, &import, &error);
    if (ret != 0) {
        MUST(import == NULL);
        return failed(ret, &error);
    }
    uint32_t count = resume_import_vcpus(import);
    MUST(count >= 1 && count <= RESUME_VCPU_MAX);
    MUST(resume_import_format(import) != NULL && resume_import_format(import)->readable);
    MUST(strlen(resume_import_detail(import)) < 1024);
    for (uint32_t i = 0; i < count && i < VCPUS; i++) {
        ret = try_vcpu(import, i < VCPUS - 1 ? i : count - 1);
        if (first == 0)
            first = ret;
    }
    MUST(try_vcpu(import, count) == RESUME_EINVAL);
    try_memory(import);
    /* Reading memory leaves the vCPUs what they were. */
    ret = try_vcpu(import, 0);
    MUST(first != 0 || ret == 0);
    resume_import_close(import);
    return first;
}
