/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The body of a fuzz target for one importer: the input as a file in memory. Include it, after
 * defining IMPORT_FUZZ_FORMAT as the format's name (or NULL: found out).
 */
#ifndef RESUME_TESTS_IMPORT_FUZZ_H
#define RESUME_TESTS_IMPORT_FUZZ_H

#include "import_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct import_memfile file = {.fd = -1};
    if (file.fd < 0)
        import_memfile_open(&file);
    import_memfile_set(&file, data, size);
    import_exercise(file.path, IMPORT_FUZZ_FORMAT);
    return 0;
}

#endif
