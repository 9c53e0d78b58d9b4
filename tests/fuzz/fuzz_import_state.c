/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* State blobs as files: once as they are, and once with the checksum put right. */
#include <stdlib.h>
#include <string.h>

#include "blob_fuzz.h"
#include "import_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct import_memfile file = {.fd = -1};
    uint8_t *sealed = malloc(size + 1);
    if (sealed == NULL)
        return 0;
    if (file.fd < 0)
        import_memfile_open(&file);
    import_memfile_set(&file, data, size);
    import_exercise(file.path, "state");
    if (size != 0)
        memcpy(sealed, data, size);
    import_memfile_set(&file, sealed, blob_fuzz_seal(sealed, size));
    import_exercise(file.path, "state");
    free(sealed);
    return 0;
}
