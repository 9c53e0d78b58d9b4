/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The header: every field of it is a claim of the host, until the structures are authenticated. */
#include <resume/sealed.h>

#include "internal.h"
#include "protect.h"
#include "read.h"

#define WHERE "image header"

int read_all(const struct resume_sealed_source *source, uint64_t offset, void *buffer,
             size_t length, const char *where, struct resume_diag *diag)
{
    uint8_t *to = buffer;
    size_t done = 0;
    while (done < length) {
        size_t got = 0;
        int error = source->read(source->context, offset + done, to + done, length - done, &got);
        if (error != 0)
            return resume_fail(diag, RESUME_EIO, where, "source", offset + done, (uint32_t)error, 0,
                               RESUME_NO_VCPU);
        /* A source that claims more than was asked for cannot be believed in anything. */
        if (got > length - done)
            return resume_fail(diag, RESUME_EIO, where, "source", offset + done, got, length - done,
                               RESUME_NO_VCPU);
        if (got == 0)
            return resume_fail(diag, RESUME_ETRUNC, where, "length", offset + done, done, length,
                               RESUME_NO_VCPU);
        done += got;
    }
    return RESUME_OK;
}

static int fail(struct resume_diag *diag, int err, const char *field, uint64_t offset,
                uint64_t found, uint64_t expected)
{
    return resume_fail(diag, err, WHERE, field, offset, found, expected, RESUME_NO_VCPU);
}

static int check_zero(const uint8_t *raw, size_t from, size_t to, const char *field,
                      struct resume_diag *diag)
{
    for (size_t i = from; i < to; i++)
        if (raw[i] != 0)
            return fail(diag, RESUME_ERESERVED, field, i, raw[i], 0);
    return RESUME_OK;
}

static int check_version(const uint8_t *raw, struct resume_diag *diag)
{
    if (memcmp(raw, RESUME_SEALED_MAGIC, 8) != 0)
        return fail(diag, RESUME_EMAGIC, "magic", RESUME_SEALED_HEADER_MAGIC, resume_load_le64(raw),
                    resume_load_le64((const uint8_t *)RESUME_SEALED_MAGIC));
    uint16_t major = resume_load_le16(raw + RESUME_SEALED_HEADER_MAJOR);
    if (major != RESUME_SEALED_MAJOR)
        return fail(diag, RESUME_EVERSION, "major version", RESUME_SEALED_HEADER_MAJOR, major,
                    RESUME_SEALED_MAJOR);
    uint16_t minor = resume_load_le16(raw + RESUME_SEALED_HEADER_MINOR);
    uint16_t compatible = resume_load_le16(raw + RESUME_SEALED_HEADER_COMPATIBLE);
    if (compatible > RESUME_SEALED_MINOR)
        return fail(diag, RESUME_EVERSION, "compatible version", RESUME_SEALED_HEADER_COMPATIBLE,
                    compatible, RESUME_SEALED_MINOR);
    if (compatible > minor)
        return fail(diag, RESUME_EVERSION, "compatible version", RESUME_SEALED_HEADER_COMPATIBLE,
                    compatible, minor);
    uint16_t length = resume_load_le16(raw + RESUME_SEALED_HEADER_LENGTH);
    if (length != RESUME_SEALED_HEADER_SIZE)
        return fail(diag, RESUME_ELENGTH, "header length", RESUME_SEALED_HEADER_LENGTH, length,
                    RESUME_SEALED_HEADER_SIZE);
    int result =
        check_zero(raw, RESUME_SEALED_HEADER_RESERVED, RESUME_SEALED_HEADER_SALT, "reserved", diag);
    if (result == RESUME_OK)
        result =
            check_zero(raw, RESUME_SEALED_HEADER_END, RESUME_SEALED_HEADER_SIZE, "reserved", diag);
    return result;
}

static void decode(struct resume_sealed_header *out)
{
    const uint8_t *raw = out->raw;
    out->total = resume_load_le64(raw + RESUME_SEALED_HEADER_TOTAL);
    out->protection = resume_load_le32(raw + RESUME_SEALED_HEADER_PROTECTION);
    out->compression = resume_load_le32(raw + RESUME_SEALED_HEADER_COMPRESSION);
    out->chunk_pages = resume_load_le32(raw + RESUME_SEALED_HEADER_CHUNK_PAGES);
    out->vcpus = resume_load_le32(raw + RESUME_SEALED_HEADER_VCPUS);
    out->content = resume_load_le64(raw + RESUME_SEALED_HEADER_CONTENT);
    out->chunks = resume_load_le64(raw + RESUME_SEALED_HEADER_CHUNKS);
    out->host = resume_load_le64(raw + RESUME_SEALED_HEADER_HOST);
    out->host_length = resume_load_le64(raw + RESUME_SEALED_HEADER_HOST_LENGTH);
    out->devices = resume_load_le64(raw + RESUME_SEALED_HEADER_DEVICES);
    out->devices_length = resume_load_le64(raw + RESUME_SEALED_HEADER_DEVICES_LENGTH);
    out->structures = resume_load_le64(raw + RESUME_SEALED_HEADER_STRUCTURES);
    out->structures_length = resume_load_le64(raw + RESUME_SEALED_HEADER_STRUCTURES_LENGTH);
    out->data = resume_load_le64(raw + RESUME_SEALED_HEADER_DATA);
    out->data_length = resume_load_le64(raw + RESUME_SEALED_HEADER_DATA_LENGTH);
    for (unsigned i = 0; i < RESUME_SEALED_PARTS; i++) {
        const uint8_t *entry = raw + RESUME_SEALED_HEADER_PARTS + i * RESUME_SEALED_PART_SIZE;
        out->part[i] = resume_load_le64(entry + RESUME_SEALED_PART_OFFSET);
        out->part_length[i] = resume_load_le64(entry + RESUME_SEALED_PART_LENGTH);
    }
    protect_sha256(raw, RESUME_SEALED_HEADER_SIZE, out->identity);
}

static int check_kinds(const struct resume_sealed_header *h, struct resume_diag *diag)
{
    if (h->protection > RESUME_SEALED_AES_256_GCM)
        return fail(diag, RESUME_EUNSUPPORTED, "protection", RESUME_SEALED_HEADER_PROTECTION,
                    h->protection, RESUME_SEALED_AES_256_GCM);
    if (h->compression > RESUME_SEALED_ZSTD)
        return fail(diag, RESUME_EUNSUPPORTED, "compression", RESUME_SEALED_HEADER_COMPRESSION,
                    h->compression, RESUME_SEALED_ZSTD);
    if (h->chunk_pages < RESUME_SEALED_CHUNK_PAGES_MIN ||
        h->chunk_pages > RESUME_SEALED_CHUNK_PAGES_MAX ||
        (h->chunk_pages & (h->chunk_pages - 1)) != 0)
        return fail(diag, RESUME_ELENGTH, "chunk pages", RESUME_SEALED_HEADER_CHUNK_PAGES,
                    h->chunk_pages, RESUME_SEALED_CHUNK_PAGES_MAX);
    if (h->vcpus == 0 || h->vcpus > RESUME_SEALED_VCPUS_MAX)
        return fail(diag, RESUME_ELENGTH, "vCPUs", RESUME_SEALED_HEADER_VCPUS, h->vcpus,
                    RESUME_SEALED_VCPUS_MAX);
    if (h->content == 0 || h->content > RESUME_SEALED_PAGES_MAX)
        return fail(diag, RESUME_ELENGTH, "content pages", RESUME_SEALED_HEADER_CONTENT, h->content,
                    RESUME_SEALED_PAGES_MAX);
    uint64_t chunks = (h->content + h->chunk_pages - 1) / h->chunk_pages;
    if (h->chunks != chunks)
        return fail(diag, RESUME_ECONSISTENT, "chunks", RESUME_SEALED_HEADER_CHUNKS, h->chunks,
                    chunks);
    if (h->protection == RESUME_SEALED_CHECKSUM)
        return check_zero(h->raw, RESUME_SEALED_HEADER_CHECK, RESUME_SEALED_HEADER_HOST,
                          "key check", diag);
    return RESUME_OK;
}

/* A piece of the file that must begin where the one before ended. */
static int follow(uint64_t *end, uint64_t offset, uint64_t length, uint64_t limit,
                  const char *field, uint64_t at, struct resume_diag *diag)
{
    if (offset != *end)
        return fail(diag, RESUME_ECONSISTENT, field, at, offset, *end);
    if (length > limit || length > UINT64_MAX - offset)
        return fail(diag, RESUME_ELENGTH, field, at + 8, length, limit);
    *end = offset + length;
    return RESUME_OK;
}

/* The pieces fill the file without gaps. */
static int check_file(const struct resume_sealed_header *h, uint64_t size, struct resume_diag *diag)
{
    uint64_t end = RESUME_SEALED_HEADER_SIZE;
    if (h->total < RESUME_SEALED_HEADER_SIZE)
        return fail(diag, RESUME_ELENGTH, "total", RESUME_SEALED_HEADER_TOTAL, h->total,
                    RESUME_SEALED_HEADER_SIZE);
    /* A cut file first: that is what the user can do something about. */
    if (size < h->total)
        return resume_fail(diag, RESUME_ETRUNC, "image", "length", size, size, h->total,
                           RESUME_NO_VCPU);
    if (size > h->total)
        return resume_fail(diag, RESUME_ELENGTH, "image", "length", h->total, size, h->total,
                           RESUME_NO_VCPU);
    int result = follow(&end, h->host, h->host_length, RESUME_SEALED_HOST_MAX, "host facts",
                        RESUME_SEALED_HEADER_HOST, diag);
    if (result == RESUME_OK)
        result = follow(&end, h->devices, h->devices_length, h->total, "device part",
                        RESUME_SEALED_HEADER_DEVICES, diag);
    if (result == RESUME_OK)
        result = follow(&end, h->structures, h->structures_length, RESUME_SEALED_STRUCTURES_MAX,
                        "structures", RESUME_SEALED_HEADER_STRUCTURES, diag);
    if (result == RESUME_OK)
        result = follow(&end, h->data, h->data_length, h->total, "data", RESUME_SEALED_HEADER_DATA,
                        diag);
    if (result != RESUME_OK)
        return result;
    if (h->structures_length < RESUME_SEALED_TAG)
        return fail(diag, RESUME_ELENGTH, "structures", RESUME_SEALED_HEADER_STRUCTURES_LENGTH,
                    h->structures_length, RESUME_SEALED_TAG);
    if (h->data % RESUME_SEALED_PAGE != 0)
        return fail(diag, RESUME_ECONSISTENT, "data", RESUME_SEALED_HEADER_DATA, h->data,
                    h->data / RESUME_SEALED_PAGE * RESUME_SEALED_PAGE);
    if (end != h->total)
        return fail(diag, RESUME_ECONSISTENT, "total", RESUME_SEALED_HEADER_TOTAL, h->total, end);
    return RESUME_OK;
}

/* The parts fill the structures, but for padding. */
static int check_parts(const struct resume_sealed_header *h, struct resume_diag *diag)
{
    uint64_t room = h->structures_length - RESUME_SEALED_TAG;
    uint64_t end = 0;
    for (unsigned i = 0; i < RESUME_SEALED_PARTS; i++) {
        uint64_t at = RESUME_SEALED_HEADER_PARTS + i * RESUME_SEALED_PART_SIZE;
        uint64_t begin =
            (end + RESUME_SEALED_ALIGN - 1) / RESUME_SEALED_ALIGN * RESUME_SEALED_ALIGN;
        int result = follow(&begin, h->part[i], h->part_length[i], room, "part", at, diag);
        if (result != RESUME_OK)
            return result;
        if (begin > room)
            return fail(diag, RESUME_ELENGTH, "part", at + 8, h->part_length[i], room);
        end = begin;
    }
    return RESUME_OK;
}

int resume_sealed_header(const struct resume_sealed_source *source,
                         struct resume_sealed_header *out, struct resume_diag *diag)
{
    struct resume_sealed_header header;
    int result = read_all(source, 0, header.raw, sizeof(header.raw), WHERE, diag);
    if (result == RESUME_OK)
        result = check_version(header.raw, diag);
    if (result != RESUME_OK)
        return result;
    decode(&header);
    result = check_kinds(&header, diag);
    if (result == RESUME_OK)
        result = check_file(&header, source->size, diag);
    if (result == RESUME_OK)
        result = check_parts(&header, diag);
    if (result == RESUME_OK)
        *out = header;
    return result;
}
