/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "import_sample.h"

#include <stdio.h>
#include <stdlib.h>

int import_sample_setup(void **state, const char *path)
{
    struct import_sample *sample = calloc(1, sizeof(*sample));
    FILE *file = fopen(path, "rb");
    if (sample == NULL || file == NULL)
        return -1;
    sample->length = fread(sample->data, 1, sizeof(sample->data), file);
    fclose(file);
    import_memfile_open(&sample->file);
    *state = sample;
    return 0;
}

int import_sample_teardown(void **state)
{
    struct import_sample *sample = *state;
    import_memfile_close(&sample->file);
    free(sample);
    return 0;
}
