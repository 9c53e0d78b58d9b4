/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Firecracker's states, each with the right checksum in its last 8 bytes. */
#include <stdlib.h>
#include <string.h>

#include "import_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t table[256];

static void make_table(void)
{
    for (unsigned i = 0; i < 256; i++) {
        table[i] = i;
        for (unsigned k = 0; k < 8; k++)
            table[i] = (table[i] >> 1) ^ ((table[i] & 1) != 0 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct import_memfile file = {.fd = -1};
    uint64_t crc = 0;
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL)
        return 0;
    if (file.fd < 0) {
        import_memfile_open(&file);
        make_table();
    }
    if (size != 0)
        memcpy(copy, data, size);
    for (size_t i = 0; i + 8 < size; i++)
        crc = table[(uint8_t)(crc ^ copy[i])] ^ (crc >> 8);
    for (size_t i = 0; i < 8 && size >= 8; i++)
        copy[size - 8 + i] = (uint8_t)(crc >> (8 * i));
    import_memfile_set(&file, copy, size);
    import_exercise(file.path, "firecracker");
    free(copy);
    return 0;
}
