/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What QEMU's dump-guest-memory writes in its kdump formats, flattened or not. Layout: QEMU's source,
 * include/sysemu/dump.h and dump/dump.c; makedumpfile's diskdump_mod.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "flattened.h"
#include "memory.h"
#include "qemu_notes.h"
#include "record.h"

#define SIGNATURE "KDUMP   "
#define SIGNATURE_SIZE 8u
#define HEADER_SIZE 464u
#define MACHINE_OFFSET 272u
#define SUB_HEADER_SIZE 104u
#define OLDEST_VERSION 6u

#define PAGE 4096u
#define DESCRIPTOR_SIZE 24u
#define COMPRESSED_ZLIB 1u
#define COMPRESSED_LZO 2u
#define COMPRESSED_SNAPPY 4u
#define COMPRESSED_ZSTD 0x20u
#define COMPRESSED (COMPRESSED_ZLIB | COMPRESSED_LZO | COMPRESSED_SNAPPY | COMPRESSED_ZSTD)

/* One bit per page: 2^40 bytes of physical memory. */
#define BITMAP_MAX (UINT64_C(1) << 25)

struct kdump {
    struct flattened dump;
    const char *where;
    uint64_t bitmap_at; /* of the pages that are in the dump */
    uint64_t bitmap_length;
    uint64_t descriptors_at;
    uint32_t *before; /* owned: pages in the dump before each page of the bitmap */
    uint32_t compression;
    struct qemu_notes notes;
    struct import_pages pages;
};

static int probe(const struct import_input *input)
{
    uint8_t header[SIGNATURE_SIZE];
    if (input->is_directory)
        return 0;
    if (flattened_is(&input->file))
        return 90;
    return import_read(&input->file, 0, header, sizeof(header), NULL) == 0 &&
                   memcmp(header, SIGNATURE, sizeof(header)) == 0
               ? 90
               : 0;
}

static int fail(const struct kdump *kdump, int code, struct resume_import_error *error,
                const char *what, uint64_t value)
{
    return import_fail(error, code, RESUME_IMPORT_NO_OFFSET, kdump->where,
                       "make the dump again, or in the ELF format", "%s (%llu)", what,
                       (unsigned long long)value);
}

static int read_header(struct kdump *kdump, uint64_t *ret_notes_at, uint64_t *ret_notes_size,
                       struct resume_import_error *error)
{
    uint8_t header[HEADER_SIZE];
    uint8_t sub[SUB_HEADER_SIZE];
    int ret = flattened_read(&kdump->dump, 0, header, sizeof(header), error);
    if (ret != 0)
        return ret;
    if (memcmp(header, SIGNATURE, SIGNATURE_SIZE) != 0)
        return fail(kdump, RESUME_EMAGIC, error, "there is no dump in the flattened file", 0);
    uint32_t version = import_le32(header + 8);
    uint32_t block = import_le32(header + 428);
    uint64_t sub_blocks = import_le32(header + 432);
    uint64_t bitmap_blocks = import_le32(header + 436);
    if (version < OLDEST_VERSION)
        return fail(kdump, RESUME_EVERSION, error, "the header's version is older than 6", version);
    if (strncmp((const char *)header + MACHINE_OFFSET, "x86_64", 65) != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, RESUME_IMPORT_NO_OFFSET, kdump->where,
                           "make the dump in the ELF format",
                           "it is not the dump of a machine in 64-bit mode");
    if (block != PAGE)
        return fail(kdump, RESUME_EUNSUPPORTED, error, "a block has not 4096 bytes", block);
    /* Two bitmaps of the same size: the memory's pages, and those that are in the dump. */
    kdump->bitmap_length = bitmap_blocks * block / 2;
    kdump->bitmap_at = (1 + sub_blocks) * block + kdump->bitmap_length;
    kdump->descriptors_at = (1 + sub_blocks + bitmap_blocks) * block;
    ret = flattened_read(&kdump->dump, block, sub, sizeof(sub), error);
    if (ret != 0)
        return ret;
    *ret_notes_at = import_le64(sub + 48);
    *ret_notes_size = import_le64(sub + 56);
    return 0;
}

static int read_notes(struct kdump *kdump, uint64_t at, uint64_t size,
                      struct resume_import_error *error)
{
    if (size > QEMU_NOTES_MAX || size > kdump->dump.file->size)
        return fail(kdump, RESUME_ELENGTH, error, "the notes are longer than they can be", size);
    kdump->notes.length = (size_t)size;
    kdump->notes.offset = at;
    kdump->notes.where = kdump->where;
    kdump->notes.data = malloc(kdump->notes.length + 1);
    if (kdump->notes.data == NULL)
        return fail(kdump, RESUME_IMPORT_ERRNO(ENOMEM), error, "no memory", size);
    int ret = flattened_read(&kdump->dump, at, kdump->notes.data, kdump->notes.length, error);
    return ret != 0 ? ret : qemu_notes_open(&kdump->notes, error);
}

static uint32_t count_bits(const uint8_t *data, size_t length)
{
    uint32_t count = 0;
    for (size_t i = 0; i < length; i++) {
        for (unsigned byte = data[i]; byte != 0; byte &= byte - 1)
            count++;
    }
    return count;
}

static int count_pages(struct kdump *kdump, struct resume_import_error *error)
{
    uint8_t bits[PAGE];
    uint64_t length = kdump->bitmap_length;
    uint32_t count = 0;
    if (length > BITMAP_MAX || length > kdump->dump.file->size || length % PAGE != 0)
        return fail(kdump, RESUME_ELENGTH, error, "the bitmap has an impossible length", length);
    size_t chunks = (size_t)(length / PAGE);
    kdump->before = calloc(chunks + 1, sizeof(*kdump->before));
    if (kdump->before == NULL)
        return fail(kdump, RESUME_IMPORT_ERRNO(ENOMEM), error, "no memory", length);
    for (size_t i = 0; i < chunks; i++) {
        int ret = flattened_read(&kdump->dump, kdump->bitmap_at + i * PAGE, bits, PAGE, error);
        if (ret != 0)
            return ret;
        kdump->before[i] = count;
        count += count_bits(bits, PAGE);
    }
    kdump->before[chunks] = count;
    return 0;
}

/* The descriptor of a page; nonzero when the page is not in the dump. */
static int find_page(const struct kdump *kdump, uint64_t pa, uint8_t descriptor[DESCRIPTOR_SIZE])
{
    uint8_t bits[PAGE];
    uint64_t number = pa / PAGE;
    uint64_t byte = number / 8;
    if (byte >= kdump->bitmap_length)
        return -1;
    size_t chunk = (size_t)(byte / PAGE);
    size_t within = (size_t)(byte % PAGE);
    if (flattened_read(&kdump->dump, kdump->bitmap_at + chunk * PAGE, bits, within + 1, NULL) !=
            0 ||
        (bits[within] >> number % 8 & 1) == 0)
        return -1;
    uint64_t index = kdump->before[chunk] + (uint64_t)count_bits(bits, within);
    bits[within] &= (uint8_t)((1u << number % 8) - 1);
    index += count_bits(bits + within, 1);
    return flattened_read(&kdump->dump, kdump->descriptors_at + index * DESCRIPTOR_SIZE, descriptor,
                          DESCRIPTOR_SIZE, NULL);
}

static int read_page(void *ctx, uint64_t pa, uint8_t *page)
{
    const struct kdump *kdump = ctx;
    uint8_t descriptor[DESCRIPTOR_SIZE];
    uint8_t packed[PAGE];
    uLongf length = PAGE;
    if (find_page(kdump, pa, descriptor) != 0)
        return -1;
    uint32_t size = import_le32(descriptor + 8);
    uint32_t compression = import_le32(descriptor + 12) & COMPRESSED;
    if (size > PAGE || (compression == 0 && size != PAGE) ||
        (compression != 0 && compression != COMPRESSED_ZLIB) ||
        flattened_read(&kdump->dump, import_le64(descriptor), packed, size, NULL) != 0)
        return -1;
    if (compression == 0) {
        memcpy(page, packed, PAGE);
        return 0;
    }
    return uncompress(page, &length, packed, size) == Z_OK && length == PAGE ? 0 : -1;
}

/* How the first pages are compressed: QEMU compresses all in one way, or leaves them as they are. */
static void find_compression(struct kdump *kdump)
{
    uint8_t descriptor[DESCRIPTOR_SIZE];
    uint32_t count = kdump->before[kdump->bitmap_length / PAGE];
    for (uint32_t i = 0; i < count && i < 4096 && kdump->compression == 0; i++) {
        uint64_t at = kdump->descriptors_at + (uint64_t)i * DESCRIPTOR_SIZE;
        if (flattened_read(&kdump->dump, at, descriptor, sizeof(descriptor), NULL) != 0)
            return;
        kdump->compression = import_le32(descriptor + 12) & COMPRESSED;
    }
}

static const char *compression_name(uint32_t compression)
{
    switch (compression) {
    case 0:
        return "not compressed";
    case COMPRESSED_ZLIB:
        return "zlib";
    case COMPRESSED_LZO:
        return "LZO";
    case COMPRESSED_SNAPPY:
        return "Snappy";
    case COMPRESSED_ZSTD:
        return "Zstandard";
    default:
        return "an unknown compression";
    }
}

static void close_dump(void *state)
{
    struct kdump *kdump = state;
    import_pages_close(&kdump->pages);
    qemu_notes_close(&kdump->notes);
    flattened_close(&kdump->dump);
    free(kdump->before);
    free(kdump);
}

static int open_parts(struct kdump *kdump, const struct import_input *input,
                      struct resume_import_error *error)
{
    uint64_t notes_at;
    uint64_t notes_size;
    int ret = flattened_open(&kdump->dump, &input->file, error);
    if (ret == 0)
        ret = read_header(kdump, &notes_at, &notes_size, error);
    if (ret == 0)
        ret = read_notes(kdump, notes_at, notes_size, error);
    if (ret == 0)
        ret = count_pages(kdump, error);
    return ret;
}

static int open_dump(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct kdump *kdump = calloc(1, sizeof(*kdump));
    if (kdump == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           input->file.name, "", "no memory");
    kdump->where = input->file.name;
    int ret = open_parts(kdump, input, error);
    if (ret != 0) {
        close_dump(kdump);
        return ret;
    }
    find_compression(kdump);
    snprintf(detail, detail_size, "%s, %s",
             kdump->dump.is_flattened ? "flattened" : "not flattened",
             compression_name(kdump->compression));
    *ret_state = kdump;
    *ret_vcpus = kdump->notes.count;
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    const struct kdump *kdump = state;
    return qemu_notes_vcpu(&kdump->notes, index, out, error);
}

static int memory(void *state, struct resume_phys *out, struct resume_import_error *error)
{
    struct kdump *kdump = state;
    if (kdump->compression != 0 && kdump->compression != COMPRESSED_ZLIB)
        return import_fail(error, RESUME_EUNREACHABLE, RESUME_IMPORT_NO_OFFSET, kdump->where,
                           "make the dump as kdump-zlib, or in the ELF format",
                           "the memory in this dump is compressed with %s, which is not read",
                           compression_name(kdump->compression));
    return import_pages_open(&kdump->pages, read_page, kdump, out, error);
}

const struct importer import_kdump = {
    .format = {.name = "kdump", .title = "kdump-compressed dump", .readable = 1},
    .probe = probe,
    .open = open_dump,
    .vcpu = vcpu,
    .memory = memory,
    .close = close_dump,
};
