/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Snapshots in qcow2 images. The sample was written by QEMU 7.2's savevm (tests/support/make_containers.py),
 * with what it listed at the same two stops; all others are built from the format's description.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_build_qcow2.h"
#include "import_build_stream.h"
#include "import_built.h"
#include "import_torture.h"
#include "qcow2.h"

#define GOLDEN RESUME_TEST_GOLDEN_DIR "/import/"
#define SAMPLE GOLDEN "qcow2/qemu-7.2-two-snapshots"
#define PAGE 4096u

static struct resume_import *open_path(const char *path)
{
    struct resume_import *import = NULL;
    struct resume_import_error error;
    int ret = resume_import_open(path, NULL, &import, &error);
    if (ret != 0)
        print_error("%s: %s\n", error.where, error.why);
    assert_int_equal(ret, 0);
    return import;
}

static void compare(const char *path, const char *listing_path, const char *detail)
{
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    struct resume_import *import = open_path(path);
    struct resume_import *listing = open_path(listing_path);
    struct resume_vcpu left;
    struct resume_vcpu right;
    unsigned compared = 0;
    assert_string_equal(resume_import_format(import)->name, "qcow2");
    assert_string_equal(resume_import_detail(import), detail);
    assert_int_equal(resume_import_vcpus(import), 1);
    assert_int_equal(resume_import_vcpu(import, 0, &left, NULL), 0);
    assert_int_equal(resume_import_vcpu(listing, 0, &right, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        if (!resume_field_valid(&left, &table[i]) || !resume_field_valid(&right, &table[i]))
            continue;
        if (resume_field_get(&left, &table[i]) != resume_field_get(&right, &table[i]))
            fail_msg("%s: %s", path, table[i].name);
        compared++;
    }
    assert_true(compared >= 59);
    resume_import_close(listing);
    resume_import_close(import);
}

/* The two differ in RIP, and in whether the vCPU is halted. */
static void reads_what_savevm_wrote(void **state)
{
    (void)state;
    static const char reset[] = "snapshot \"reset\" of 2 (\"reset\", \"halted\"), TCG, isapc";
    static const char halted[] = "snapshot \"halted\" of 2 (\"reset\", \"halted\"), TCG, isapc";
    compare(SAMPLE, GOLDEN "registers_text/qemu-7.2-isapc-halted", halted);
    compare(SAMPLE "#halted", GOLDEN "registers_text/qemu-7.2-isapc-halted", halted);
    compare(SAMPLE "#reset", GOLDEN "registers_text/qemu-7.2-isapc-reset", reset);
    compare(SAMPLE "#1", GOLDEN "registers_text/qemu-7.2-isapc-reset", reset);
}

static void says_which_there_are(void **state)
{
    (void)state;
    struct resume_import *import = NULL;
    struct resume_import_error error;
    assert_int_equal(resume_import_open(SAMPLE "#3", NULL, &import, &error), RESUME_EMISSING);
    assert_string_equal(error.hint, "snapshots that have one: \"reset\", \"halted\"");
    assert_non_null(strstr(error.why, "\"3\""));
    assert_int_equal(resume_import_open(SAMPLE "#", NULL, &import, &error), RESUME_EMISSING);
}

static uint8_t *pattern(size_t size, size_t grain)
{
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    /* Of each three pieces one is zero, and sometimes two. */
    for (size_t i = 0; i < size; i++)
        bytes[i] = i / grain % 3 == 1 || i / grain % 7 == 5 ? 0 : (uint8_t)(i % 251 + 1);
    return bytes;
}

static void open_image(const struct qcow2_build *build, struct import_memfile *memory,
                       struct import_file *file)
{
    import_memfile_set(memory, build->data, build->length);
    *file = (struct import_file){.fd = memory->fd, .size = build->length, .name = "image"};
}

static void read_back(const struct qcow2_build *build, const uint8_t *state, size_t size)
{
    struct import_memfile memory;
    struct import_file file;
    struct import_file view;
    struct qcow2 qcow2;
    struct qcow2_snapshot snapshot;
    struct import_extent *extents = NULL;
    size_t count = 0;
    uint8_t *got = malloc(size);
    import_memfile_open(&memory);
    open_image(build, &memory, &file);
    assert_int_equal(qcow2_open(&qcow2, &file, NULL), 0);
    assert_int_equal(qcow2_find(&qcow2, NULL, &snapshot, NULL), 0);
    assert_int_equal(snapshot.state_size, size);
    assert_int_equal(qcow2_map(&qcow2, &snapshot, &extents, &count, NULL), 0);
    assert_int_equal(import_file_view(&file, extents, count, size, "view", &view), 0);
    assert_int_equal(import_read(&view, 0, got, size, NULL), 0);
    assert_memory_equal(got, state, size);
    free(extents);
    free(got);
    import_memfile_close(&memory);
}

static void reads_all_sizes_of_clusters(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned bits = kind == 2 ? 14 : 9; bits <= 21; bits++) {
            /* Some tables, or else some clusters, and a part of one. */
            size_t cluster = (size_t)1 << bits;
            size_t size = (bits < 12 ? 3 * cluster * cluster / 8 : 5 * cluster) + 777;
            uint8_t *bytes = pattern(size, cluster / (kind == 2 ? 32 : 1));
            struct qcow2_build build = {.version = kind == 0 ? 2 : 3,
                                        .cluster_bits = bits,
                                        .extended = kind == 2,
                                        .disk_size = (UINT64_C(1) << 34) + 512};
            qcow2_build_begin(&build);
            qcow2_build_snapshot(&build, "1", "only", 5, bytes, size);
            qcow2_build_end(&build);
            read_back(&build, bytes, size);
            free(build.data);
            free(bytes);
        }
    }
}

static int find(const struct qcow2_build *build, const char *name, struct qcow2_snapshot *out,
                struct resume_import_error *error)
{
    struct import_memfile memory;
    struct import_file file;
    struct qcow2 qcow2;
    import_memfile_open(&memory);
    open_image(build, &memory, &file);
    int ret = qcow2_open(&qcow2, &file, error);
    if (ret == 0)
        ret = qcow2_find(&qcow2, name, out, error);
    import_memfile_close(&memory);
    return ret;
}

static void chooses_a_snapshot(void **state)
{
    (void)state;
    static const struct {
        const char *asked;
        size_t size; /* of the state of the one to be found; 0: none */
    } cases[] = {
        {NULL, 5},        {"old", 10}, {"twice", 40}, {"3", 60}, {"1", 10},
        {"disk only", 0}, {"2", 0},    {"", 0},       {"ol", 0}, {"old ", 0},
    };
    uint8_t bytes[64] = {1};
    struct resume_import_error error;
    struct qcow2_snapshot found;
    struct qcow2_build build = {.version = 3, .cluster_bits = 9, .disk_size = 512};
    qcow2_build_begin(&build);
    qcow2_build_snapshot(&build, "1", "old", 100, bytes, 10);
    qcow2_build_snapshot(&build, "2", "disk only", 900, NULL, 0);
    qcow2_build_snapshot(&build, "8", "twice", 200, bytes, 40);
    qcow2_build_snapshot(&build, "4", "twice", 150, bytes, 30);
    /* Its name is another one's ID, which is newer: the name counts. */
    qcow2_build_snapshot(&build, "5", "3", 300, bytes, 60);
    qcow2_build_snapshot(&build, "3", "bel\al\x1b[31m", 301, bytes, 5);
    qcow2_build_end(&build);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int ret = find(&build, cases[i].asked, &found, &error);
        assert_int_equal(ret, cases[i].size != 0 ? 0 : RESUME_EMISSING);
        if (ret == 0)
            assert_int_equal(found.state_size, cases[i].size);
    }
    assert_int_equal(found.with_state, 5);
    assert_string_equal(found.others, "\"old\", \"twice\", \"twice\", \"3\", \"bel?l?[31m\"");
    free(build.data);
}

static void names_what_is_not_read(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint64_t value;
        unsigned bytes;
        int code;
        const char *why;
    } cases[] = {
        {4, 1, 4, RESUME_EVERSION, "another (1)"},
        {4, 4, 4, RESUME_EVERSION, "another (4)"},
        {32, 1, 4, RESUME_EUNSUPPORTED, "encrypted (AES)"},
        {32, 2, 4, RESUME_EUNSUPPORTED, "encrypted (LUKS)"},
        {72, 4, 8, RESUME_EUNSUPPORTED, "external data file"},
        {72, 0x23, 8, RESUME_EUNSUPPORTED, "bits 0x20"},
        {72, 0x10, 8, RESUME_ELENGTH, "impossible size"}, /* subclusters need larger clusters */
        {20, 8, 4, RESUME_ELENGTH, "impossible size"},
        {20, 22, 4, RESUME_ELENGTH, "impossible size"},
        {60, 0, 4, RESUME_EMISSING, "none of its 0 snapshots"},
        {60, 65537, 4, RESUME_ELENGTH, "more snapshots"},
    };
    struct resume_import_error error;
    struct qcow2_snapshot found;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qcow2_build build = {.version = 3, .cluster_bits = 9, .disk_size = 512};
        qcow2_build_begin(&build);
        qcow2_build_snapshot(&build, "1", "only", 1, "x", 1);
        qcow2_build_end(&build);
        qcow2_build_put(&build, cases[i].at, cases[i].value, cases[i].bytes);
        assert_int_equal(find(&build, NULL, &found, &error), cases[i].code);
        if (strstr(error.why, cases[i].why) == NULL)
            fail_msg("%s, expected %s", error.why, cases[i].why);
        free(build.data);
    }
}

static int map_image(const struct qcow2_build *build, struct resume_import_error *error)
{
    struct import_memfile memory;
    struct import_file file;
    struct qcow2 qcow2;
    struct qcow2_snapshot found;
    struct import_extent *extents = NULL;
    size_t count;
    import_memfile_open(&memory);
    open_image(build, &memory, &file);
    assert_int_equal(qcow2_open(&qcow2, &file, error), 0);
    assert_int_equal(qcow2_find(&qcow2, NULL, &found, error), 0);
    int ret = qcow2_map(&qcow2, &found, &extents, &count, error);
    free(extents);
    import_memfile_close(&memory);
    return ret;
}

/* Much from little: each must be refused, or be done with what the file has. */
static void bounds_what_little_can_claim(void **state)
{
    (void)state;
    struct resume_import_error error;
    const size_t size = 100000;
    uint8_t *bytes = pattern(size, size);
    for (unsigned i = 0; i < 8; i++) {
        struct qcow2_build build = {.version = 3, .cluster_bits = 9, .disk_size = 512};
        int expected = RESUME_ECONSISTENT;
        qcow2_build_begin(&build);
        qcow2_build_snapshot(&build, "1", "only", 1, bytes, size);
        qcow2_build_end(&build);
        switch (i) {
        case 0: /* 2 TiB of state */
            qcow2_build_put(&build, build.entry_at + 40, UINT64_C(1) << 41, 8);
            expected = RESUME_ELENGTH;
            break;
        case 1: /* and a table that would hold it */
            qcow2_build_put(&build, build.entry_at + 40, UINT64_C(1) << 41, 8);
            qcow2_build_put(&build, build.entry_at + 8, (1 << 26) + 1, 4);
            expected = RESUME_ELENGTH;
            break;
        case 2: /* one cluster for all */
            for (size_t k = 0; k < 4 * 64; k++)
                memcpy(build.data + build.l2_at + 8 * k, build.data + build.l2_at, 8);
            qcow2_build_put(&build, build.entry_at + 40, 4 * 32768, 8);
            break;
        case 3: /* the whole file as a table of tables, all the same */
            build.data = realloc(build.data, build.length + 80000);
            assert_non_null(build.data);
            for (size_t k = 0; k < 10000; k++)
                qcow2_build_put(&build, build.length + 8 * k, build.l2_at, 8);
            qcow2_build_put(&build, build.entry_at, build.length, 8);
            qcow2_build_put(&build, build.entry_at + 8, 10000, 4);
            qcow2_build_put(&build, build.entry_at + 40, 9999 * 32768, 8);
            build.length += 80000;
            break;
        case 4: /* a compressed cluster */
            qcow2_build_put(&build, build.l2_at, UINT64_C(0x4000000000000600), 8);
            expected = RESUME_EUNSUPPORTED;
            break;
        case 5: /* beyond the end */
            qcow2_build_put(&build, build.l2_at, build.length, 8);
            expected = RESUME_ETRUNC;
            break;
        case 6: /* a table beyond the end */
            qcow2_build_put(&build, build.l1_entry_at, build.length, 8);
            expected = RESUME_ETRUNC;
            break;
        default: /* a cluster of zeroes in an image that knows none */
            qcow2_build_put(&build, build.l2_at, 1, 8);
            qcow2_build_put(&build, 4, 2, 4);
            expected = RESUME_ERESERVED;
            break;
        }
        int ret = map_image(&build, &error);
        if (ret != expected)
            fail_msg("%u: %d, expected %d: %s", i, ret, expected, error.why);
        free(build.data);
    }
    free(bytes);
}

/* The same tables, over and over, without one cluster in them: no data, but time. */
static void bounds_the_tables_it_reads(void **state)
{
    (void)state;
    struct resume_import_error error;
    struct qcow2_build build = {.version = 3, .cluster_bits = 9, .disk_size = 512};
    uint8_t zeroes[1024] = {0};
    qcow2_build_begin(&build);
    qcow2_build_snapshot(&build, "1", "only", 1, zeroes, sizeof(zeroes));
    qcow2_build_end(&build);
    build.data = realloc(build.data, build.length + 80000);
    assert_non_null(build.data);
    memset(build.data + build.l2_at, 0, 512);
    for (size_t k = 0; k < 10000; k++)
        qcow2_build_put(&build, build.length + 8 * k, build.l2_at, 8);
    qcow2_build_put(&build, build.entry_at, build.length, 8);
    qcow2_build_put(&build, build.entry_at + 8, 10000, 4);
    qcow2_build_put(&build, build.entry_at + 40, 9999 * 32768, 8);
    build.length += 80000;
    assert_int_equal(map_image(&build, &error), RESUME_ECONSISTENT);
    assert_non_null(strstr(error.why, "L2 table"));
    free(build.data);
}

static void refuses_subclusters_that_are_both(void **state)
{
    (void)state;
    struct resume_import_error error;
    struct qcow2_build build = {.version = 3, .cluster_bits = 16, .extended = 1, .disk_size = 512};
    qcow2_build_begin(&build);
    qcow2_build_snapshot(&build, "1", "only", 1, "x", 1);
    qcow2_build_end(&build);
    assert_int_equal(map_image(&build, &error), 0);
    qcow2_build_put(&build, build.l2_at + 8, UINT64_C(0x0000000100000001), 8);
    assert_int_equal(map_image(&build, &error), RESUME_ECONSISTENT);
    qcow2_build_put(&build, build.l2_at, 0, 8);
    qcow2_build_put(&build, build.l2_at + 8, 1, 8);
    assert_int_equal(map_image(&build, &error), RESUME_ECONSISTENT);
    free(build.data);
}

static void gives_memory_through_the_clusters(void **state)
{
    struct import_built *built = *state;
    struct qcow2_build build = {.version = 3, .cluster_bits = 10, .disk_size = 99999};
    struct resume_import *import = NULL;
    struct resume_phys phys;
    import_build_stream(&built->b);
    qcow2_build_begin(&build);
    qcow2_build_snapshot(&build, "1", "only", 1, built->b.data, built->b.length);
    qcow2_build_end(&build);
    import_memfile_set(&built->file, build.data, build.length);
    assert_int_equal(resume_import_open(built->file.path, "qcow2", &import, NULL), 0);
    assert_string_equal(resume_import_detail(import), "snapshot \"only\", TCG, pc-q35-7.2");
    struct resume_vcpu vcpu;
    assert_int_equal(resume_import_vcpu(import, 0, &vcpu, NULL), 0);
    assert_int_equal(vcpu.regs.rip, STREAM_VCPU_RIP);
    assert_int_equal(resume_import_memory(import, &phys, NULL), 0);
    const uint8_t *page = phys.page(phys.ctx, 2 * PAGE);
    assert_non_null(page);
    for (size_t i = 0; i < PAGE; i++)
        assert_int_equal(page[i], build_page_byte(0x21, i));
    resume_import_close(import);
    free(build.data);
}

static void survives_torture(void **state)
{
    struct import_built *built = *state;
    struct qcow2_build build = {.version = 3, .cluster_bits = 9, .disk_size = 512};
    import_build_stream(&built->b);
    qcow2_build_begin(&build);
    qcow2_build_snapshot(&build, "1", "older", 1, built->b.data, built->b.length);
    qcow2_build_snapshot(&build, "2", "newer", 2, built->b.data, built->b.length);
    qcow2_build_end(&build);
    const size_t entry = build.entry_at;
    const struct torture_field fields[] = {
        {4, 4, 1},
        {8, 8, 1},
        {20, 4, 1},
        {24, 8, 1},
        {32, 4, 1},
        {36, 4, 1},
        {60, 4, 1},
        {64, 8, 1},
        {72, 8, 1},
        {100, 4, 1},
        {entry, 8, 1},
        {entry + 8, 4, 1},
        {entry + 12, 2, 1},
        {entry + 14, 2, 1},
        {entry + 36, 4, 1},
        {entry + 40, 8, 1},
        {entry + 48, 8, 1},
        {build.l1_entry_at, 8, 1},
        {build.l1_entry_at + 8, 8, 1},
        {build.l2_at, 8, 1},
        {build.l2_at + 8, 8, 1},
        {build.l2_at + 512, 8, 1},
    };
    const struct torture torture = {
        .format = "qcow2",
        .data = build.data,
        .length = build.length,
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
        .needed = entry + 56,
        .stride = 113,
    };
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    assert_true(result.refused > result.tried / 10);
    free(build.data);
}

#define BUILT(function)                                                                            \
    cmocka_unit_test_setup_teardown(function, import_built_setup, import_built_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_savevm_wrote),
        cmocka_unit_test(says_which_there_are),
        cmocka_unit_test(reads_all_sizes_of_clusters),
        cmocka_unit_test(chooses_a_snapshot),
        cmocka_unit_test(names_what_is_not_read),
        cmocka_unit_test(bounds_what_little_can_claim),
        cmocka_unit_test(bounds_the_tables_it_reads),
        cmocka_unit_test(refuses_subclusters_that_are_both),
        BUILT(gives_memory_through_the_clusters),
        BUILT(survives_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
