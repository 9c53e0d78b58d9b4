/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Archives of KVM's structures, with the right checksum in each header up to the first impossible one. */
#include <stdlib.h>
#include <string.h>

#include "import_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCK 512u

static size_t load_octal(const uint8_t *from, size_t digits)
{
    size_t value = 0;
    for (size_t i = 0; i < digits && from[i] >= '0' && from[i] <= '7'; i++)
        value = value * 8 + (size_t)(from[i] - '0');
    return value;
}

static void set_checksums(uint8_t *data, size_t size)
{
    size_t at = 0;
    while (size - at >= BLOCK) {
        uint8_t *header = data + at;
        unsigned sum = 0;
        /* What is no header, or the end, is left as it is. */
        if (memcmp(header + 257, "ustar", 5) != 0)
            return;
        memset(header + 148, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++)
            sum += header[i];
        for (unsigned i = 0; i < 6; i++)
            header[153 - i] = (uint8_t)('0' + (sum >> (3 * i) & 7));
        header[154] = 0;
        /* Eleven digits are below 2 to the 33rd. */
        size_t blocks = (load_octal(header + 124, 11) + BLOCK - 1) / BLOCK;
        at += BLOCK;
        if (blocks > (size - at) / BLOCK)
            return;
        at += blocks * BLOCK;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct import_memfile file = {.fd = -1};
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL)
        return 0;
    if (file.fd < 0)
        import_memfile_open(&file);
    if (size != 0)
        memcpy(copy, data, size);
    set_checksums(copy, size);
    import_memfile_set(&file, copy, size);
    import_exercise(file.path, "kvm");
    free(copy);
    return 0;
}
