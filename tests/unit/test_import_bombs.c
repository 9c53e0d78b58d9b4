/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Inputs that are small on disk and claim to be large, or have more of something than there can be: each
 * is read or refused in little memory and in time that does not follow from what is claimed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_exercise.h"

#define GOLDEN RESUME_TEST_GOLDEN_DIR "/import"
#define VAST ((off_t)1 << 40)
#define MEMORY_MAX ((rlim_t)384 << 20)
#define SAMPLE_MAX ((size_t)1 << 20)

struct sample {
    uint8_t *data;
    size_t length;
};

static struct sample sample_load(const char *path)
{
    struct sample sample = {.data = malloc(SAMPLE_MAX)};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(sample.data);
    sample.length = fread(sample.data, 1, SAMPLE_MAX, file);
    assert_true(feof(file));
    fclose(file);
    return sample;
}

static uint64_t load_le(const uint8_t *from, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = size; i-- > 0;)
        value = value << 8 | from[i];
    return value;
}

static void store_le(uint8_t *to, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

/* Sanitizers have mappings of their own that are larger than any limit. */
static void limit_memory(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return;
#endif
#endif
    const struct rlimit limit = {MEMORY_MAX, MEMORY_MAX};
    assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
}

/* What it says must not be that memory was not enough. */
static int try_file(const char *path, const char *format, struct resume_import_error *error)
{
    struct resume_import *import = NULL;
    memset(error, 0, sizeof(*error));
    int ret = resume_import_open(path, format, &import, error);
    resume_import_close(import);
    if (strstr(error->why, "no memory") != NULL || strstr(error->why, "out of memory") != NULL)
        fail_msg("%s: %s: %s", path, error->where, error->why);
    if (ret == 0)
        import_exercise(path, format);
    return ret;
}

/* Holes of a TiB behind what is good. */
static void bears_vast_files(void **state)
{
    DIR *formats = opendir(GOLDEN);
    struct dirent *format;
    unsigned tried = 0;
    unsigned refused = 0;
    (void)state;
    assert_non_null(formats);
    while ((format = readdir(formats)) != NULL) {
        char directory[512];
        struct dirent *name;
        if (format->d_name[0] == '.')
            continue;
        snprintf(directory, sizeof(directory), "%s/%s", GOLDEN, format->d_name);
        DIR *names = opendir(directory);
        assert_non_null(names);
        while ((name = readdir(names)) != NULL) {
            char path[1024];
            struct resume_import_error error;
            struct import_memfile file;
            if (name->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", directory, name->d_name);
            struct sample sample = sample_load(path);
            import_memfile_open(&file);
            import_memfile_set(&file, sample.data, sample.length);
            free(sample.data);
            assert_int_equal(ftruncate(file.fd, VAST), 0);
            int ret = try_file(file.path, NULL, &error);
            print_message("%s/%s: %s %s\n", format->d_name, name->d_name,
                          ret != 0 ? "refused:" : "read", error.why);
            refused += ret != 0;
            tried++;
            import_memfile_close(&file);
        }
        closedir(names);
    }
    closedir(formats);
    assert_true(tried > 10 && refused > 0);
}

/* Nothing but a hole, for each format that is named. */
static void refuses_holes(void **state)
{
    size_t count;
    const struct resume_import_format *const *formats = resume_import_formats(&count);
    struct import_memfile file;
    struct resume_import_error error;
    (void)state;
    import_memfile_open(&file);
    assert_int_equal(ftruncate(file.fd, VAST), 0);
    assert_int_not_equal(try_file(file.path, NULL, &error), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_not_equal(try_file(file.path, formats[i]->name, &error), 0);
    import_memfile_close(&file);
}

static void expect(const uint8_t *data, size_t length, const char *format, const char *why)
{
    struct import_memfile file;
    struct resume_import_error error;
    import_memfile_open(&file);
    import_memfile_set(&file, data, length);
    int ret = try_file(file.path, format, &error);
    import_memfile_close(&file);
    if (why == NULL) {
        assert_int_equal(ret, 0);
    } else if (ret == 0 || strstr(error.why, why) == NULL) {
        fail_msg("%s: %d \"%s\", expected \"%s\"", format, ret, error.why, why);
    }
}

static void bounds_listings(void **state)
{
    struct sample sample = sample_load(GOLDEN "/registers_text/qemu-7.2-haswell-two-vcpus");
    const size_t most = RESUME_VCPU_MAX / 2;
    uint8_t *data = malloc(sample.length * (most + 1));
    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i <= most; i++)
        memcpy(data + sample.length * i, sample.data, sample.length);
    expect(data, sample.length * most, "registers", NULL);
    expect(data, sample.length * (most + 1), "registers", "4098 vCPUs");
    free(data);
    free(sample.data);
}

/* The notes' segment once more at the end, with the first vCPU's note again and again. */
static void bounds_notes(void **state)
{
    struct sample sample = sample_load(GOLDEN "/elf_dump/qemu-7.2-two-vcpus");
    uint8_t *header = sample.data + load_le(sample.data + 32, 8);
    (void)state;
    while (load_le(header, 4) != 4)
        header += 56;
    const uint8_t *note = sample.data + load_le(header + 8, 8);
    while (memcmp(note + 12, "QEMU", 5) != 0)
        note += 12 + (load_le(note, 4) + 3) / 4 * 4 + (load_le(note + 4, 4) + 3) / 4 * 4;
    const size_t size = 12 + 8 + (size_t)load_le(note + 4, 4);
    const size_t length = sample.length + size * (RESUME_VCPU_MAX + 1);
    uint8_t *data = malloc(length);
    assert_non_null(data);
    for (unsigned i = 0; i <= RESUME_VCPU_MAX; i++)
        memcpy(data + sample.length + size * i, note, size);
    store_le(header + 8, sample.length, 8);
    store_le(header + 32, size * RESUME_VCPU_MAX, 8);
    memcpy(data, sample.data, sample.length);
    expect(data, length, "elf-dump", NULL);
    store_le(header + 32, size * (RESUME_VCPU_MAX + 1), 8);
    memcpy(data, sample.data, sample.length);
    expect(data, length, "elf-dump", "too many vCPUs (4097)");
    free(data);
    free(sample.data);
}

static void bounds_save_areas(void **state)
{
    const size_t page = 4096;
    struct sample sample = sample_load(GOLDEN "/vmsa/two_vcpus.vmsa");
    uint8_t *data = malloc(page * (RESUME_VCPU_MAX + 1));
    (void)state;
    assert_non_null(data);
    for (unsigned i = 0; i <= RESUME_VCPU_MAX; i++)
        memcpy(data + page * i, sample.data, page);
    expect(data, page * RESUME_VCPU_MAX, "vmsa", NULL);
    expect(data, page * (RESUME_VCPU_MAX + 1), "vmsa", "no AMD VMSA page");
    free(data);
    free(sample.data);
}

/* Records without contents, of a type that may be passed over, in front of the HVM context. */
static void bounds_records(void **state)
{
    const size_t records = ((size_t)1 << 21) + 1;
    struct sample sample = sample_load(GOLDEN "/xen/xl.save");
    size_t at = 0;
    (void)state;
    while (load_le(sample.data + at, 4) != 9 || load_le(sample.data + at + 8, 4) != 1 ||
           load_le(sample.data + at + 4, 4) > sample.length)
        at++;
    assert_true(at < sample.length);
    uint8_t *data = malloc(sample.length + records * 8);
    assert_non_null(data);
    memcpy(data, sample.data, at);
    for (size_t i = 0; i < records; i++)
        store_le(data + at + i * 8, UINT32_C(0x80000fff), 8);
    memcpy(data + at + records * 8, sample.data + at, sample.length - at);
    expect(data, sample.length + records * 8, "xen", "more than 2097152 records");
    free(data);
    free(sample.data);
}

/* An archive that has, behind what is needed, a great many files without contents. */
static void bears_empty_files(void **state)
{
    struct sample sample = sample_load(GOLDEN "/kvm/two-vcpus.tar");
    const size_t headers = 65536;
    uint8_t header[512];
    char field[16];
    unsigned sum = 0;
    size_t at = sample.length;
    (void)state;
    memcpy(header, sample.data, sizeof(header));
    memset(header, 0, 100);
    memcpy(header, "nothing", 7);
    memcpy(header + 124, "00000000000", 12);
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < sizeof(header); i++)
        sum += header[i];
    snprintf(field, sizeof(field), "%06o", sum);
    memcpy(header + 148, field, 7);
    while (sample.data[at - 1] == 0)
        at--;
    at = (at + 511) / 512 * 512;
    size_t length = at + headers * sizeof(header) + sample.length;
    uint8_t *data = calloc(1, length);
    assert_non_null(data);
    memcpy(data, sample.data, at);
    for (size_t i = 0; i < headers; i++)
        memcpy(data + at + i * sizeof(header), header, sizeof(header));
    expect(data, length, "kvm", NULL);
    free(data);
    free(sample.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bears_vast_files),  cmocka_unit_test(refuses_holes),
        cmocka_unit_test(bounds_listings),   cmocka_unit_test(bounds_notes),
        cmocka_unit_test(bounds_save_areas), cmocka_unit_test(bounds_records),
        cmocka_unit_test(bears_empty_files),
    };
    limit_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
