/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* State blobs as an input like any other. The samples are those of tests/golden/valid (make_golden). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_exercise.h"
#include "import_torture.h"

#define SAMPLES RESUME_TEST_GOLDEN_DIR "/import/state/"
#define SAMPLE_MAX 8192

static size_t load(const char *path, uint8_t *bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(bytes, 1, SAMPLE_MAX, file);
    fclose(file);
    return length;
}

static void is_what_the_library_reads(void **unused)
{
    static uint8_t bytes[SAMPLE_MAX];
    struct resume_import *import = NULL;
    struct resume_import_error error;
    struct resume_state state;
    struct resume_machine machine;
    struct resume_phys phys;
    (void)unused;
    size_t length = load(SAMPLES "two_vcpus.rsm", bytes);
    assert_int_equal(resume_state_open(bytes, length, &state, NULL), 0);
    assert_int_equal(resume_import_open(SAMPLES "two_vcpus.rsm", NULL, &import, &error), 0);
    assert_string_equal(resume_import_format(import)->name, "state");
    assert_string_equal(resume_import_detail(import), "format 1.1, written by by hand 1");
    assert_int_equal(resume_import_vcpus(import), 2);
    for (uint32_t i = 0; i < 2; i++) {
        struct resume_vcpu theirs;
        struct resume_vcpu ours;
        assert_int_equal(resume_state_vcpu(&state, i, &theirs, NULL), 0);
        assert_int_equal(resume_import_vcpu(import, i, &ours, &error), 0);
        assert_int_equal(ours.xsave.length, theirs.xsave.length);
        assert_memory_equal(ours.xsave.area, theirs.xsave.area, ours.xsave.length);
        ours.xsave.area = theirs.xsave.area;
        assert_memory_equal(&ours, &theirs, sizeof(ours));
    }
    assert_int_equal(resume_import_machine(import, &machine, &error), 0);
    assert_string_equal(machine.type, "pc-q35-7.2");
    assert_int_equal(machine.range_count, 2);
    assert_int_equal(resume_import_memory(import, &phys, &error), RESUME_EUNREACHABLE);
    resume_import_close(import);
}

/* A plan belongs to a snapshot: it is told from what is not known at all. */
static void refuses_a_plan_by_name(void **unused)
{
    static const uint8_t plan[64] = "RSMPLAN";
    struct resume_import *import = NULL;
    struct resume_import_error error;
    struct import_memfile file;
    (void)unused;
    import_memfile_open(&file);
    import_memfile_set(&file, plan, sizeof(plan));
    assert_int_equal(resume_import_open(file.path, NULL, &import, &error), RESUME_EUNSUPPORTED);
    assert_non_null(strstr(error.why, "plan"));
    assert_non_null(strstr(error.hint, "snapshot directory"));
    import_memfile_close(&file);
}

/* The checksum is in the way of a change that would be believed. */
static void bears_bad_input(void **unused)
{
    static uint8_t bytes[SAMPLE_MAX];
    (void)unused;
    size_t length = load(SAMPLES "two_vcpus.rsm", bytes);
    const struct torture_field fields[] = {{14, 2, 0}, {16, 8, 0}, {24, 4, 0}, {28, 4, 0}};
    struct torture torture = {.format = "state", .data = bytes, .length = length, .needed = length};
    struct torture_result result = import_torture(&torture);
    assert_int_equal(result.tried - result.refused, 2); /* the good one, at first and at last */
    torture.fields = fields;
    torture.field_count = sizeof(fields) / sizeof(fields[0]);
    import_torture(&torture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_what_the_library_reads),
        cmocka_unit_test(refuses_a_plan_by_name),
        cmocka_unit_test(bears_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
