/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Layout: POSIX, pax, "ustar Interchange Format". */
#include "tar.h"

#include <string.h>

#define BLOCK 512u
#define NAME_SIZE 100u
#define SIZE_OFFSET 124u
#define SIZE_SIZE 12u
#define CHECKSUM_OFFSET 148u
#define CHECKSUM_SIZE 8u
#define TYPE_OFFSET 156u
#define MAGIC_OFFSET 257u

/* Octal digits, with blanks before and a blank or zero behind. Returns nonzero for anything else. */
static int read_octal(const uint8_t *field, size_t size, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    size_t digits = 0;
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++, digits++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    for (; i < size; i++) {
        if (field[i] != ' ' && field[i] != 0)
            return -1;
    }
    *out = value;
    return digits == 0;
}

static int checksum_fits(const uint8_t *header)
{
    uint64_t expected;
    uint64_t sum = 0;
    if (read_octal(header + CHECKSUM_OFFSET, CHECKSUM_SIZE, &expected) != 0)
        return 0;
    for (size_t i = 0; i < BLOCK; i++) {
        int own = i >= CHECKSUM_OFFSET && i < CHECKSUM_OFFSET + CHECKSUM_SIZE;
        sum += own ? (uint64_t)' ' : header[i];
    }
    return sum == expected;
}

int tar_next(const struct import_file *file, uint64_t *at, struct tar_entry *out,
             struct resume_import_error *error)
{
    static const uint8_t zeroes[BLOCK];
    uint8_t header[BLOCK];
    char name[NAME_SIZE + 1];
    /* An archive ends with a block of zeroes: without it, files may be missing. */
    int ret = import_read(file, *at, header, sizeof(header), error);
    if (ret != 0)
        return ret;
    if (memcmp(header, zeroes, BLOCK) == 0)
        return 0;
    if (memcmp(header + MAGIC_OFFSET, "ustar", 5) != 0)
        return import_fail(error, RESUME_EMAGIC, *at, file->name, "", "this is no header of tar's");
    if (!checksum_fits(header))
        return import_fail(error, RESUME_ECRC, *at, file->name, "make the archive again",
                           "a header's checksum is wrong");
    if (read_octal(header + SIZE_OFFSET, SIZE_SIZE, &out->size) != 0 ||
        out->size > file->size - *at - BLOCK)
        return import_fail(error, RESUME_ELENGTH, *at, file->name, "is the archive complete?",
                           "a file in it is longer than the archive");
    memcpy(name, header, NAME_SIZE);
    name[NAME_SIZE] = 0;
    const char *slash = strrchr(name, '/');
    const char *base = slash != NULL ? slash + 1 : name;
    memcpy(out->name, base, strlen(base) + 1);
    out->regular = header[TYPE_OFFSET] == '0' || header[TYPE_OFFSET] == 0;
    out->offset = *at + BLOCK;
    uint64_t padded = (out->size + BLOCK - 1) / BLOCK * BLOCK;
    *at = padded > file->size - out->offset ? file->size : out->offset + padded;
    return 1;
}
