/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A golden sample of an importer as a test's state: its bytes, and a file for changed ones. */
#ifndef RESUME_TESTS_IMPORT_SAMPLE_H
#define RESUME_TESTS_IMPORT_SAMPLE_H

#include <resume/import.h>

#include "import_exercise.h"

#define IMPORT_SAMPLE_MAX 65536u

struct import_sample {
    uint8_t data[IMPORT_SAMPLE_MAX];
    size_t length;
    struct import_memfile file;
    struct resume_import_error error;
};

/* import_sample_setup, _teardown - for cmocka's functions of these names. Returns 0 or -1. */
int import_sample_setup(void **state, const char *path);
int import_sample_teardown(void **state);

#endif
