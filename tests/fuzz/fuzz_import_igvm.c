/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* IGVM files, each with the right checksum, without which nothing behind the header would be tried. */
#include <stdlib.h>
#include <string.h>

#include "import_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t load(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static uint32_t add(uint32_t crc, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (unsigned k = 0; k < 8; k++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    }
    return crc;
}

static void set_checksum(uint8_t *data, size_t size)
{
    if (size < 32)
        return;
    size_t begin = load(data + 8);
    size_t length = load(data + 12);
    if (begin > size || length > size - begin)
        return;
    memset(data + 20, 0, 4);
    uint32_t crc = ~add(add(~0u, data, load(data + 4) == 1 ? 24 : 32), data + begin, length);
    for (unsigned i = 0; i < 4; i++)
        data[20 + i] = (uint8_t)(crc >> (8 * i));
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
    set_checksum(copy, size);
    import_memfile_set(&file, copy, size);
    import_exercise(file.path, "igvm");
    free(copy);
    return 0;
}
