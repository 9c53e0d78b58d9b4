/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Manifests: round trip, every kind of damage, checksums, and comparing machines. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "manifest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* XXH3-128 with seed 0 of nothing, of "a" and of "abc", as xxhsum -H2 prints them. */
#define HASH_EMPTY "99aa06d3014798d86001c324468d497f"
#define HASH_A "a96faf705af16834e6c632b61e964e1f"
#define HASH_ABC "06b05ab6733a618578af5f94892f3950"

struct fixture {
    char directory[32];
    struct manifest manifest;
    struct manifest other;
};

static void write_file(const struct fixture *fixture, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", fixture->directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const struct fixture *fixture, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", fixture->directory, name);
    (void)unlink(path);
}

static void fill(struct manifest *manifest)
{
    memset(manifest, 0, sizeof(*manifest));
    manifest->format = MANIFEST_FORMAT;
    strcpy(manifest->tool, "resumectl 0.1.0");
    manifest->qemu_version[0] = 7;
    manifest->qemu_version[1] = 2;
    manifest->qemu_version[2] = 22;
    strcpy(manifest->qemu_package, "Debian 1:7.2");
    strcpy(manifest->machine_type, "pc-q35-7.2");
    strcpy(manifest->accelerator, "tcg");
    manifest->memory_size = UINT64_C(5) << 30;
    manifest->cpu_count = 1;
    strcpy(manifest->cpu_type, "qemu64-x86_64-cpu");
    manifest->feature_count = 2;
    manifest->feature[0] = (struct manifest_feature){.leaf = 1, .reg = "EDX", .value = 0x0783fbfd};
    manifest->feature[1] = (struct manifest_feature){
        .leaf = 7, .has_subleaf = true, .subleaf = 0, .reg = "EBX", .value = 0x20};
    manifest->range_count = 3;
    manifest->range[0] = (struct manifest_range){0, 0xc0000, 0, MANIFEST_RANGE_RAM, "pc.ram"};
    manifest->range[1] = (struct manifest_range){0xc0000, 0x20000, 0, MANIFEST_RANGE_ROM, "pc.rom"};
    manifest->range[2] =
        (struct manifest_range){0x100000, 0x7ff00000, 0x100000, MANIFEST_RANGE_RAM, "pc.ram"};
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->directory, "/tmp/test-manifest-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fill(&fixture->manifest);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {MANIFEST_FILE, MANIFEST_STREAM, MANIFEST_STATE,
                                        MANIFEST_PLAN};
    for (size_t i = 0; i < COUNT(names); i++)
        remove_file(fixture, names[i]);
    assert_int_equal(rmdir(fixture->directory), 0);
    free(fixture);
    return 0;
}

static void add_files(struct fixture *fixture)
{
    struct report_failure failure = {0};
    write_file(fixture, MANIFEST_STREAM, "abc");
    write_file(fixture, MANIFEST_STATE, "");
    write_file(fixture, MANIFEST_PLAN, "a");
    static const char *const names[] = {MANIFEST_STREAM, MANIFEST_STATE, MANIFEST_PLAN};
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(
            manifest_add_file(&fixture->manifest, fixture->directory, names[i], NULL, &failure), 0);
}

static void checksums_are_xxh3_128(void **state)
{
    struct fixture *fixture = *state;
    add_files(fixture);
    const struct manifest_file *file = manifest_find_file(&fixture->manifest, MANIFEST_STREAM);
    assert_non_null(file);
    assert_int_equal(file->size, 3);
    assert_string_equal(file->xxh3_128, HASH_ABC);
    assert_string_equal(manifest_find_file(&fixture->manifest, MANIFEST_STATE)->xxh3_128,
                        HASH_EMPTY);
    assert_string_equal(manifest_find_file(&fixture->manifest, MANIFEST_PLAN)->xxh3_128, HASH_A);
    assert_null(manifest_find_file(&fixture->manifest, "nix"));
}

static void what_is_written_is_read_again(void **state)
{
    struct fixture *fixture = *state;
    struct report_failure failure = {0};
    add_files(fixture);
    assert_int_equal(manifest_write(&fixture->manifest, fixture->directory, &failure), 0);
    if (manifest_read(&fixture->other, fixture->directory, &failure) != 0)
        fail_msg("%s", failure.why);
    assert_memory_equal(&fixture->manifest, &fixture->other, sizeof(fixture->manifest));
    assert_int_equal(manifest_verify(&fixture->other, fixture->directory, NULL, &failure), 0);
    /* a manifest that is there is not written over */
    assert_int_equal(manifest_write(&fixture->manifest, fixture->directory, &failure),
                     -EXIT_CODE_ENVIRONMENT);
}

static void a_name_that_is_not_utf8_is_no_silent_loss(void **state)
{
    struct fixture *fixture = *state;
    struct report_failure failure = {0};
    add_files(fixture);
    strcpy(fixture->manifest.range[1].block, "\xff\xfe");
    assert_int_equal(manifest_write(&fixture->manifest, fixture->directory, &failure),
                     -EXIT_CODE_ENVIRONMENT);
    assert_non_null(strstr(failure.why, "not UTF-8"));
}

static void damaged_files_are_named(void **state)
{
    struct fixture *fixture = *state;
    struct report_failure failure = {0};
    add_files(fixture);
    write_file(fixture, MANIFEST_STREAM, "abd");
    assert_int_equal(manifest_verify(&fixture->manifest, fixture->directory, NULL, &failure),
                     -EXIT_CODE_REFUSED);
    assert_non_null(strstr(failure.where, "/" MANIFEST_STREAM));
    assert_non_null(strstr(failure.why, "the manifest says " HASH_ABC));
    write_file(fixture, MANIFEST_STREAM, "abcd");
    assert_int_equal(manifest_verify(&fixture->manifest, fixture->directory, NULL, &failure),
                     -EXIT_CODE_REFUSED);
    assert_string_equal(failure.why, "its size is 4 bytes, the manifest says 3");
    write_file(fixture, MANIFEST_STREAM, "abc");
    remove_file(fixture, MANIFEST_PLAN);
    assert_int_equal(manifest_verify(&fixture->manifest, fixture->directory, NULL, &failure),
                     -EXIT_CODE_REFUSED);
    assert_non_null(strstr(failure.where, "/" MANIFEST_PLAN));
    assert_string_equal(failure.why, "the file is missing");
}

/* Reads the manifest file into @text. */
static void load(const struct fixture *fixture, char *text, size_t capacity)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/" MANIFEST_FILE, fixture->directory);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t length = fread(text, 1, capacity - 1, file);
    text[length] = '\0';
    assert_true(length < capacity - 1);
    fclose(file);
}

static void damaged_manifests_are_refused(void **state)
{
    /* what is replaced by what, and a part of the reason */
    static const struct {
        const char *from;
        const char *to;
        const char *why;
    } cases[] = {
        {"libresume snapshot", "libresume", "\"kind\" is not"},
        {"\"format\": 1", "\"format\": 2", "its format is 2, this resumectl reads 1"},
        {"\"format\": 1", "\"format\": -1", "\"format\" is missing"},
        {"\"tool\": ", "\"Tool\": ", "\"tool\" is missing"},
        {"7,", "\"7\",", "\"version\" is not three numbers"},
        {"\"0x140000000\"", "5368709120", "\"memory_size\" is missing"},
        {"\"0x140000000\"", "\"0x14000000000000000\"", "\"memory_size\" is missing"},
        {"\"0x140000000\"", "\"0x\"", "\"memory_size\" is missing"},
        {"\"0x783fbfd\"", "\"0x1783fbfdd\"", "\"value\" is out of range"},
        {"\"cpu_features\": [", "\"cpu_features\": 1, \"x\": [", "\"cpu_features\" is missing"},
        {"\"rom\"", "\"rim\"", "\"kind\" is none of"},
        {"\"0x7ff00000\"", "\"0x0\"", "has an empty range"},
        {"\"0x7ff00000\"", "\"0xffffffffffffffff\"", "wraps around"},
        {"\"0xc0000\",\n        \"length\": \"0x20000\"",
         "\"0xbf000\",\n        \"length\": \"0x20000\"", "is not in ascending order"},
        {"\"pc.rom\"", "17", "\"block\" is missing"},
        {"\"plan.rsm\"", "\"../plan.rsm\"", "\"name\" is no plain file name"},
        {"\"plan.rsm\"", "\".plan\"", "\"name\" is no plain file name"},
        {"\"0xc0000\"", "\"0x0\"", "has an empty range"},
        {"\"plan.rsm\"", "\"stream\"", "\"files\" has a name twice"},
        {"\"plan.rsm\"", "\"plan\"", "\"plan.rsm\" is not among its files"},
        {HASH_ABC, "99aa", "\"xxh3_128\" is not 32"},
        {HASH_ABC, "99AA06d3014798d86001c324468d497f", "\"xxh3_128\" is not 32"},
        {"\"size\": 3", "\"size\": -3", "\"size\" is missing"},
        {"\"kind\": \"libresume snapshot\",", "\"kind\": 1, \"kind\": 2,", "duplicate"},
        {"\"tool\": \"resumectl 0.1.0\"", "\"tool\": \"a\\u0000b\"", "line"},
        {"]\n}\n", "]\n", "line"},
    };
    struct fixture *fixture = *state;
    struct report_failure failure = {0};
    char text[8192];
    char changed[8192];
    add_files(fixture);
    assert_int_equal(manifest_write(&fixture->manifest, fixture->directory, &failure), 0);
    load(fixture, text, sizeof(text));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *at = strstr(text, cases[i].from);
        if (at == NULL)
            fail_msg("\"%s\" is not in the manifest", cases[i].from);
        snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, cases[i].to,
                 at + strlen(cases[i].from));
        write_file(fixture, MANIFEST_FILE, changed);
        memset(&fixture->other, 0x55, sizeof(fixture->other));
        int result = manifest_read(&fixture->other, fixture->directory, &failure);
        if (result != -EXIT_CODE_REFUSED || strstr(failure.why, cases[i].why) == NULL)
            fail_msg("%s -> %s: %d \"%s\"", cases[i].from, cases[i].to, result, failure.why);
        assert_int_equal(fixture->other.format, 0x55555555); /* untouched */
    }
    /* cut short, it is refused */
    for (size_t length = 0; length < strlen(text) - 1; length += 7) {
        snprintf(changed, sizeof(changed), "%.*s", (int)length, text);
        write_file(fixture, MANIFEST_FILE, changed);
        assert_int_equal(manifest_read(&fixture->other, fixture->directory, &failure),
                         -EXIT_CODE_REFUSED);
    }
}

static void assert_no_snapshot(const char *directory, const char *why)
{
    static struct manifest manifest;
    struct report_failure failure = {0};
    assert_int_equal(manifest_read(&manifest, directory, &failure), -EXIT_CODE_REFUSED);
    if (strstr(failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, failure.why);
}

static void other_directories_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    char path[64];
    assert_no_snapshot(fixture->directory, "has no manifest.json");
    snprintf(path, sizeof(path), "%s/x.partial/", fixture->directory);
    assert_no_snapshot(path, "No such file");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_no_snapshot(path, "interrupted");
    assert_int_equal(rmdir(path), 0);
    write_file(fixture, MANIFEST_PLAN, "");
    snprintf(path, sizeof(path), "%s/" MANIFEST_PLAN, fixture->directory);
    assert_no_snapshot(path, "not a directory");
}

static void assert_differs(const struct fixture *fixture, const char *where, const char *why)
{
    struct report_failure failure = {0};
    assert_int_equal(manifest_compare_machine(&fixture->manifest, &fixture->other, &failure),
                     -EXIT_CODE_REFUSED);
    assert_string_equal(failure.where, where);
    if (strstr(failure.why, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, failure.why);
}

static void machines_are_compared(void **state)
{
    struct fixture *fixture = *state;
    struct manifest *other = &fixture->other;
    struct report_failure failure = {0};
    fill(other);
    other->qemu_version[0] = 10;
    other->feature[0].value |= 2; /* one feature more */
    /* the legacy area may look different: RAM where there was a ROM */
    other->range_count = 1;
    other->range[0] = (struct manifest_range){0, 0x80000000, 0, MANIFEST_RANGE_RAM, "pc.ram"};
    assert_int_equal(manifest_compare_machine(&fixture->manifest, other, &failure), 0);

    fill(other);
    strcpy(other->machine_type, "pc-q35-8.0");
    assert_differs(fixture, "machine type", "the source is a pc-q35-7.2, the target a pc-q35-8.0");
    fill(other);
    other->memory_size--;
    assert_differs(fixture, "memory", "the source has 5368709120 bytes");
    fill(other);
    other->cpu_count = 2;
    assert_differs(fixture, "vCPUs", "the source has 1, the target 2");
    fill(other);
    other->feature[1].value = 0;
    assert_differs(fixture, "CPU", "CPUID leaf 0x7 subleaf 0x0 EBX, bits 0x00000020");
    fill(other);
    other->feature_count = 1;
    other->feature[0].value ^= 1;
    assert_differs(fixture, "CPU", "CPUID leaf 0x1 EDX, bits 0x00000001");
    fill(other);
    other->range[2].length -= 4096;
    assert_differs(fixture, "memory map", "0x7ff00000 bytes of pc.ram at 0x100000");
    fill(other);
    strcpy(other->range[2].block, "m");
    assert_differs(fixture, "memory map", "0x7ff00000 bytes of m at 0x100000");
    fill(other);
    other->range_count = 2;
    assert_differs(fixture, "memory map", "0x0 bytes of nothing");
    fill(other);
    other->range[2].offset = 0;
    assert_differs(fixture, "memory map", "");
}

/* Facts for the host, with room for the @extra members. */
static char *facts_text(const char *kind, const char *cpu_count, const char *extra)
{
    char *text = NULL;
    assert_true(
        asprintf(&text,
                 "{\"kind\": \"%s\", \"format\": 1, \"tool\": \"resumectl 0.1.0\","
                 " \"qemu\": {\"version\": [7, 2, 22], \"package\": \"\"},"
                 " \"machine\": {\"type\": \"pc-q35-7.2\", \"accelerator\": \"tcg\","
                 " \"memory_size\": \"0x8000000\", \"cpu_count\": %s,"
                 " \"cpu_type\": \"qemu64-x86_64-cpu\", \"cpu_features\": [], \"memory_map\":"
                 " [{\"base\": \"0x0\", \"length\": \"0x8000000\", \"kind\": \"ram\","
                 " \"block\": \"pc.ram\", \"offset\": \"0x0\"}]}%s}",
                 kind, cpu_count, extra) >= 0);
    return text;
}

#define FACTS_HOME ", \"home\": {\"base\": \"0x2000\", \"length\": \"0x18000\"}"

static void facts_of_images_are_read(void **state)
{
    struct fixture *fixture = *state;
    struct report_failure failure = {0};
    struct manifest_image image;
    memset(&image, 0xff, sizeof(image));
    char *text = facts_text("libresume image", "4", FACTS_HOME ", \"dormant\": [1, 3]");
    if (manifest_read_image(&fixture->other, &image, text, strlen(text), "vm.rsm", &failure) != 0)
        fail_msg("%s", failure.why);
    free(text);
    assert_int_equal(fixture->other.memory_size, 0x8000000);
    assert_int_equal(fixture->other.cpu_count, 4);
    assert_string_equal(fixture->other.range[0].block, "pc.ram");
    assert_int_equal(fixture->other.file_count, 0);
    assert_int_equal(image.home_pa, 0x2000);
    assert_int_equal(image.home_length, 0x18000);
    for (uint32_t i = 0; i < MANIFEST_VCPU_MAX; i++)
        assert_int_equal(image.dormant[i], i == 1 || i == 3);
}

static void facts_of_images_are_not_trusted(void **state)
{
    static const struct {
        const char *kind;
        const char *cpu_count;
        const char *extra;
        const char *why;
    } cases[] = {
        {"libresume snapshot", "4", FACTS_HOME ", \"dormant\": []", "is not \"libresume image\""},
        {"libresume image", "257", FACTS_HOME ", \"dormant\": []", "\"cpu_count\" is out of"},
        {"libresume image", "4", FACTS_HOME, "\"dormant\" is missing"},
        {"libresume image", "4", FACTS_HOME ", \"dormant\": [4]", "no number of a vCPU"},
        {"libresume image", "4", FACTS_HOME ", \"dormant\": [-1]", "no number of a vCPU"},
        {"libresume image", "4", FACTS_HOME ", \"dormant\": [\"1\"]", "no number of a vCPU"},
        {"libresume image", "4", ", \"dormant\": []", "\"base\" is missing"},
        {"libresume image", "4", ", \"home\": {\"base\": \"0x0\"}, \"dormant\": []",
         "\"length\" is missing"},
        {"libresume image", "4", ", \"home\": 1,", "line 1"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct report_failure failure = {0};
        struct manifest_image image;
        char *text = facts_text(cases[i].kind, cases[i].cpu_count, cases[i].extra);
        assert_int_equal(
            manifest_read_image(&fixture->other, &image, text, strlen(text), "vm.rsm", &failure),
            -EXIT_CODE_REFUSED);
        if (strstr(failure.why, cases[i].why) == NULL)
            fail_msg("case %zu: %s", i, failure.why);
        assert_string_equal(failure.where, "vm.rsm");
        assert_string_equal(failure.advice, "the image is damaged: use another copy");
        free(text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(checksums_are_xxh3_128, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_is_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_is_not_utf8_is_no_silent_loss, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_manifests_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_directories_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(machines_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(facts_of_images_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(facts_of_images_are_not_trusted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
