/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What QEMU's dump-guest-memory writes without a kdump format: an ELF core file. Layout: ELF
 * specification; what QEMU does differently: its source, dump/dump.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "qemu_notes.h"
#include "record.h"

#define ET_CORE 4u
#define EM_386 3u
#define EM_X86_64 62u
#define PN_XNUM 0xffffu
#define PT_LOAD 1u
#define PT_NOTE 4u
#define HEADER_SIZE 64u
#define CLASS_64 2u

/* With paging=true there is a header for each stretch of the guest's virtual memory. */
#define HEADERS_MAX (UINT32_C(1) << 20)
#define PHYSICAL_END (UINT64_C(1) << 52)

struct elf_dump {
    const struct import_file *file;
    int wide; /* ELF64 */
    uint64_t headers_at;
    uint32_t header_count;
    struct qemu_notes notes;
    struct import_span *spans; /* owned */
    size_t span_count;
    int paging;
    struct import_pages pages;
};

struct program_header {
    uint32_t type;
    uint64_t offset;
    uint64_t va;
    uint64_t pa;
    uint64_t size;
};

static int probe(const struct import_input *input)
{
    uint8_t header[HEADER_SIZE];
    if (input->is_directory || import_read(&input->file, 0, header, sizeof(header), NULL) != 0 ||
        memcmp(header, "\177ELF", 4) != 0 || header[5] != 1 || import_le16(header + 16) != ET_CORE)
        return 0;
    return import_le16(header + 18) == EM_X86_64 || import_le16(header + 18) == EM_386 ? 90 : 0;
}

static size_t header_size(const struct elf_dump *dump)
{
    return dump->wide ? 56 : 32;
}

static int read_file_header(struct elf_dump *dump, struct resume_import_error *error)
{
    uint8_t header[HEADER_SIZE];
    uint8_t section[64];
    int ret = import_read(dump->file, 0, header, sizeof(header), error);
    if (ret != 0)
        return ret;
    dump->wide = header[4] == CLASS_64;
    dump->headers_at = dump->wide ? import_le64(header + 32) : import_le32(header + 28);
    dump->header_count = import_le16(header + (dump->wide ? 56 : 44));
    size_t size = import_le16(header + (dump->wide ? 54 : 42));
    if (size != header_size(dump))
        return import_fail(error, RESUME_ELENGTH, 54, dump->file->name, "",
                           "a program header has %zu bytes, expected %zu", size, header_size(dump));
    if (dump->header_count == PN_XNUM) {
        uint64_t sections_at = dump->wide ? import_le64(header + 40) : import_le32(header + 32);
        ret = import_read(dump->file, sections_at, section, dump->wide ? 64 : 40, error);
        if (ret != 0)
            return ret;
        dump->header_count = import_le32(section + (dump->wide ? 44 : 28));
    }
    if (dump->header_count > HEADERS_MAX || dump->headers_at > dump->file->size ||
        dump->header_count * header_size(dump) > dump->file->size - dump->headers_at)
        return import_fail(
            error, RESUME_ELENGTH, dump->headers_at, dump->file->name, "is the file complete?",
            "%u program headers are more than the file has room for", dump->header_count);
    return 0;
}

static int read_header(const struct elf_dump *dump, uint32_t index, struct program_header *out,
                       struct resume_import_error *error)
{
    uint8_t bytes[56];
    int ret = import_read(dump->file, dump->headers_at + index * header_size(dump), bytes,
                          header_size(dump), error);
    if (ret != 0)
        return ret;
    out->type = import_le32(bytes);
    if (dump->wide) {
        out->offset = import_le64(bytes + 8);
        out->va = import_le64(bytes + 16);
        out->pa = import_le64(bytes + 24);
        out->size = import_le64(bytes + 32);
    } else {
        out->offset = import_le32(bytes + 4);
        out->va = import_le32(bytes + 8);
        out->pa = import_le32(bytes + 12);
        out->size = import_le32(bytes + 16);
    }
    return 0;
}

static int check_inside(const struct elf_dump *dump, const struct program_header *header,
                        const char *what, struct resume_import_error *error)
{
    if (header->offset <= dump->file->size && header->size <= dump->file->size - header->offset)
        return 0;
    return import_fail(error, RESUME_ETRUNC, header->offset, dump->file->name,
                       "is the file complete? make the dump again",
                       "%llu bytes of %s, of which some are beyond the end",
                       (unsigned long long)header->size, what);
}

static int read_notes(struct elf_dump *dump, const struct program_header *header,
                      struct resume_import_error *error)
{
    if (dump->notes.data != NULL)
        return import_fail(error, RESUME_EDUPLICATE, header->offset, dump->file->name, "",
                           "there are two segments of notes");
    int ret = check_inside(dump, header, "notes", error);
    if (ret != 0)
        return ret;
    if (header->size > QEMU_NOTES_MAX)
        return import_fail(error, RESUME_ELENGTH, header->offset, dump->file->name, "",
                           "the notes have %llu bytes, expected at most %llu",
                           (unsigned long long)header->size, (unsigned long long)QEMU_NOTES_MAX);
    dump->notes.length = (size_t)header->size;
    dump->notes.offset = header->offset;
    dump->notes.where = dump->file->name;
    dump->notes.data = malloc(dump->notes.length + 1);
    if (dump->notes.data == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           dump->file->name, "", "no memory");
    return import_read(dump->file, header->offset, dump->notes.data, dump->notes.length, error);
}

static int add_span(struct elf_dump *dump, const struct program_header *header,
                    struct resume_import_error *error)
{
    /* With paging=true, virtual memory behind which there is no RAM. */
    if (header->size == 0)
        return 0;
    int ret = check_inside(dump, header, "memory", error);
    if (ret != 0)
        return ret;
    if (header->pa >= PHYSICAL_END || header->size > PHYSICAL_END - header->pa)
        return import_fail(error, RESUME_ELENGTH, header->offset, dump->file->name, "",
                           "memory is at 0x%llx, beyond all physical addresses",
                           (unsigned long long)header->pa);
    /* Without paging they are 0, or the same. */
    dump->paging |= header->va != 0 && header->va != header->pa;
    dump->spans[dump->span_count++] =
        (struct import_span){.pa = header->pa, .length = header->size, .offset = header->offset};
    return 0;
}

/* The same page may be mapped, and with paging=true be in the file, more than once. */
static void drop_overlaps(struct elf_dump *dump)
{
    size_t count = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < dump->span_count; i++) {
        struct import_span span = dump->spans[i];
        uint64_t covered = span.pa < end ? end - span.pa : 0;
        if (covered >= span.length)
            continue;
        span.pa += covered;
        span.offset += covered;
        span.length -= covered;
        end = span.pa + span.length;
        dump->spans[count++] = span;
    }
    dump->span_count = count;
}

static int read_headers(struct elf_dump *dump, struct resume_import_error *error)
{
    int ret = read_file_header(dump, error);
    if (ret != 0)
        return ret;
    dump->spans = malloc((size_t)dump->header_count * sizeof(*dump->spans) + 1);
    if (dump->spans == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           dump->file->name, "", "no memory");
    for (uint32_t i = 0; i < dump->header_count && ret == 0; i++) {
        struct program_header header = {0};
        ret = read_header(dump, i, &header, error);
        if (ret == 0 && header.type == PT_NOTE)
            ret = read_notes(dump, &header, error);
        else if (ret == 0 && header.type == PT_LOAD)
            ret = add_span(dump, &header, error);
    }
    if (ret != 0)
        return ret;
    import_spans_sort(dump->spans, dump->span_count);
    drop_overlaps(dump);
    dump->notes.where = dump->file->name;
    return qemu_notes_open(&dump->notes, error);
}

static void close_dump(void *state)
{
    struct elf_dump *dump = state;
    import_pages_close(&dump->pages);
    qemu_notes_close(&dump->notes);
    free(dump->spans);
    free(dump);
}

static int open_dump(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct elf_dump *dump = calloc(1, sizeof(*dump));
    if (dump == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           input->file.name, "", "no memory");
    dump->file = &input->file;
    int ret = read_headers(dump, error);
    if (ret != 0) {
        close_dump(dump);
        return ret;
    }
    snprintf(detail, detail_size, "ELF%d%s", dump->wide ? 64 : 32,
             dump->paging ? ", paging=true" : "");
    *ret_state = dump;
    *ret_vcpus = dump->notes.count;
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    const struct elf_dump *dump = state;
    return qemu_notes_vcpu(&dump->notes, index, out, error);
}

static int machine(void *state, struct resume_machine *out, struct resume_import_error *error)
{
    const struct elf_dump *dump = state;
    (void)error;
    /* With paging=true only what was mapped is there: that is not the machine's RAM. */
    if (!dump->paging)
        import_spans_ranges(dump->spans, dump->span_count, out);
    return 0;
}

static int read_page(void *ctx, uint64_t pa, uint8_t *page)
{
    const struct elf_dump *dump = ctx;
    return import_spans_read(dump->file, dump->spans, dump->span_count, pa, page);
}

static int memory(void *state, struct resume_phys *out, struct resume_import_error *error)
{
    struct elf_dump *dump = state;
    if (dump->span_count == 0)
        return import_fail(error, RESUME_EUNREACHABLE, RESUME_IMPORT_NO_OFFSET, dump->file->name,
                           "make the dump without a filter", "there is no memory in this dump");
    return import_pages_open(&dump->pages, read_page, dump, out, error);
}

const struct importer import_elf_dump = {
    .format = {.name = "elf-dump", .title = "QEMU ELF dump", .readable = 1},
    .probe = probe,
    .open = open_dump,
    .vcpu = vcpu,
    .machine = machine,
    .memory = memory,
    .close = close_dump,
};
