/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "import_built.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int import_built_setup(void **state)
{
    struct import_built *built = calloc(1, sizeof(*built));
    if (built == NULL)
        return -1;
    import_memfile_open(&built->file);
    *state = built;
    return 0;
}

int import_built_teardown(void **state)
{
    struct import_built *built = *state;
    import_memfile_close(&built->file);
    build_free(&built->b);
    free(built);
    return 0;
}

void import_built_write(struct import_built *built)
{
    import_memfile_set(&built->file, built->b.data, built->b.length);
}

int import_built_open(struct import_built *built, struct resume_import **ret, int expected)
{
    memset(&built->error, 0, sizeof(built->error));
    int code = resume_import_open(built->file.path, "qemu-stream", ret, &built->error);
    if (code != expected)
        fprintf(stderr, "%s (%d, expected %d)\n", built->error.why, code, expected);
    return code;
}
