/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A stream that a test builds, and a file for it to be imported from, as a test's state. */
#ifndef RESUME_TESTS_IMPORT_BUILT_H
#define RESUME_TESTS_IMPORT_BUILT_H

#include <resume/import.h>

#include "import_exercise.h"
#include "stream_build.h"

struct import_built {
    struct builder b;
    struct import_memfile file;
    struct resume_import_error error; /* of the last import_built_open */
};

/* import_built_setup, _teardown - for cmocka's functions of these names. Return 0 or -1. */
int import_built_setup(void **state);
int import_built_teardown(void **state);

/*
 * import_built_open - import what the file holds now. Returns resume_import_open's code, and shows
 * its reason when it is not @expected.
 */
int import_built_open(struct import_built *built, struct resume_import **ret, int expected);

/* import_built_write - make the file hold what was built. */
void import_built_write(struct import_built *built);

#endif
