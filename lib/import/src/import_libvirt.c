/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What libvirt's "virsh save" and "managedsave" write: a header, the domain as XML, and QEMU's
 * migration stream, compressed or not. Layout: libvirt's src/qemu/qemu_saveimage.[ch].
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_stream.h"
#include "record.h"
#include "unpack.h"

#define MAGIC_SIZE 16u
#define MAGIC_COMPLETE "LibvirtQemudSave"
#define MAGIC_PARTIAL "LibvirtQemudPart"
#define HEADER_SIZE 92u
#define VERSION_MAX 2u /* version 1 knew no compression */

#define XML_SEEN 4096u /* the domain's name is near its begin */

enum {
    FORMAT_RAW,
    FORMAT_GZIP,
    FORMAT_BZIP2,
    FORMAT_XZ,
    FORMAT_LZOP,
    FORMAT_ZSTD,
    FORMAT_SPARSE, /* made with QEMU's mapped-ram */
};

struct save {
    struct import_extent extent; /* of a stream that is not compressed */
    struct import_file file;     /* the stream */
    struct import_file unpacked; /* fd below 0: there is none */
    struct qemu_stream *stream;
};

/* What of the header counts here. */
struct header {
    uint32_t version;
    uint32_t data_length;
    uint32_t was_running;
    uint32_t format;
    uint32_t cookie_at; /* in the data; 0: there is none */
    char domain[48];
};

static int probe(const struct import_input *input)
{
    uint8_t magic[MAGIC_SIZE];
    if (input->is_directory || import_read(&input->file, 0, magic, sizeof(magic), NULL) != 0)
        return 0;
    return memcmp(magic, MAGIC_COMPLETE, MAGIC_SIZE) == 0 ||
                   memcmp(magic, MAGIC_PARTIAL, MAGIC_SIZE) == 0
               ? 100
               : 0;
}

static uint32_t swap(uint32_t value)
{
    return value >> 24 | (value >> 8 & 0xff00) | (value << 8 & 0xff0000) | value << 24;
}

/* The domain's name out of its XML, for people. Nothing is made of what cannot be found. */
static void find_domain(const struct import_file *file, struct header *header)
{
    static const char open[] = "<name>";
    char xml[XML_SEEN + 1];
    uint32_t length = header->cookie_at != 0 ? header->cookie_at : header->data_length;
    size_t seen = length < XML_SEEN ? length : XML_SEEN;
    header->domain[0] = 0;
    if (import_read(file, HEADER_SIZE, xml, seen, NULL) != 0)
        return;
    xml[seen] = 0;
    const char *name = strstr(xml, open);
    const char *end = name != NULL ? strchr(name + strlen(open), '<') : NULL;
    if (end == NULL)
        return;
    name += strlen(open);
    size_t room = sizeof(header->domain) - 1;
    size_t used = (size_t)(end - name) < room ? (size_t)(end - name) : room;
    for (size_t i = 0; i < used; i++)
        header->domain[i] =
            (unsigned char)name[i] < 0x20 || (unsigned char)name[i] >= 0x7f ? '?' : name[i];
    header->domain[used] = 0;
}

static int fail_length(const struct import_file *file, uint64_t offset, const char *what,
                       uint64_t value, struct resume_import_error *error)
{
    return import_fail(error, RESUME_ELENGTH, offset, file->name, "is the file complete?",
                       "%s: %llu, in a file of %llu bytes", what, (unsigned long long)value,
                       (unsigned long long)file->size);
}

/* The numbers are those of the host that saved it, in its byte order. */
static int read_header(const struct import_file *file, struct header *out,
                       struct resume_import_error *error)
{
    uint8_t bytes[HEADER_SIZE];
    uint32_t fields[5];
    int ret = import_read(file, 0, bytes, sizeof(bytes), error);
    if (ret != 0)
        return ret;
    if (memcmp(bytes, MAGIC_PARTIAL, MAGIC_SIZE) == 0)
        return import_fail(error, RESUME_ETRUNC, 0, file->name, "save the domain again",
                           "the save was not finished: it says so itself");
    for (unsigned i = 0; i < 5; i++)
        fields[i] = import_le32(bytes + MAGIC_SIZE + 4 * i);
    if (fields[0] > VERSION_MAX) {
        for (unsigned i = 0; i < 5; i++)
            fields[i] = swap(fields[i]);
    }
    if (fields[0] == 0 || fields[0] > VERSION_MAX)
        return import_fail(error, RESUME_EVERSION, MAGIC_SIZE, file->name, "",
                           "versions 1 and 2 are read, this is %u",
                           import_le32(bytes + MAGIC_SIZE));
    *out = (struct header){.version = fields[0],
                           .data_length = fields[1],
                           .was_running = fields[2],
                           .format = fields[0] == 1 ? FORMAT_RAW : fields[3],
                           .cookie_at = fields[4]};
    if (out->data_length == 0 || out->data_length > file->size - HEADER_SIZE)
        return fail_length(file, MAGIC_SIZE + 4, "the length of the domain's XML", out->data_length,
                           error);
    if (out->cookie_at > out->data_length)
        return fail_length(file, MAGIC_SIZE + 16, "the place of the cookie", out->cookie_at, error);
    find_domain(file, out);
    return 0;
}

static const char *format_name(uint32_t format)
{
    static const char *const names[] = {"not compressed", "gzip", "bzip2", "xz",
                                        "lzop",           "zstd", "sparse"};
    return names[format];
}

/* A library for lzop's files there is not, only for what is inside their blocks. */
static int refuse(const struct import_file *file, uint32_t format, uint64_t offset,
                  struct resume_import_error *error)
{
    char hint[160];
    if (format != FORMAT_LZOP)
        return import_fail(error, RESUME_EUNSUPPORTED, MAGIC_SIZE + 12, file->name, "",
                           "the stream is in libvirt's format %u, and up to %u are known", format,
                           (unsigned)FORMAT_SPARSE);
    snprintf(hint, sizeof(hint), "unpack it: tail -c +%llu FILE | lzop -dc >stream",
             (unsigned long long)offset + 1);
    return import_fail(error, RESUME_EUNSUPPORTED, offset, file->name, hint,
                       "the stream is compressed with lzop, which is not read");
}

static int show_stream(struct save *save, const struct import_file *file,
                       const struct header *header, struct resume_import_error *error)
{
    uint64_t offset = (uint64_t)HEADER_SIZE + header->data_length;
    enum unpack_method method;
    int ret;
    switch (header->format) {
    case FORMAT_RAW:
    case FORMAT_SPARSE:
        save->extent = (struct import_extent){0, file->size - offset, offset};
        ret =
            import_file_view(file, &save->extent, 1, file->size - offset, file->name, &save->file);
        return ret == 0 ? 0 : fail_length(file, offset, "the stream's place", offset, error);
    case FORMAT_GZIP:
        method = UNPACK_GZIP;
        break;
    case FORMAT_BZIP2:
        method = UNPACK_BZIP2;
        break;
    case FORMAT_XZ:
        method = UNPACK_XZ;
        break;
    case FORMAT_ZSTD:
        method = UNPACK_ZSTD;
        break;
    default:
        return refuse(file, header->format, offset, error);
    }
    ret = unpack_file(file, offset, method, &save->unpacked, error);
    if (ret == 0)
        save->file = save->unpacked;
    return ret;
}

static void close_save(void *state)
{
    struct save *save = state;
    qemu_stream_close(save->stream);
    import_file_close(&save->unpacked);
    free(save);
}

static int open_parts(struct save *save, const struct import_input *input, char *detail,
                      size_t detail_size, struct resume_import_error *error)
{
    struct header header;
    char stream[80] = "";
    int ret = read_header(&input->file, &header, error);
    if (ret == 0)
        ret = show_stream(save, &input->file, &header, error);
    if (ret == 0)
        ret = qemu_stream_open(&save->file, &save->stream, stream, sizeof(stream), error);
    if (ret != 0)
        return ret;
    snprintf(detail, detail_size, "domain \"%s\", %s, %s, %s", header.domain,
             header.was_running != 0 ? "running" : "paused", format_name(header.format), stream);
    return 0;
}

static int open_save(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct save *save = calloc(1, sizeof(*save));
    if (save == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    save->unpacked.fd = -1;
    int ret = open_parts(save, input, detail, detail_size, error);
    if (ret != 0) {
        close_save(save);
        return ret;
    }
    *ret_state = save;
    *ret_vcpus = qemu_stream_vcpus(save->stream);
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    const struct save *save = state;
    return qemu_stream_vcpu(save->stream, index, out, error);
}

static int machine(void *state, struct resume_machine *out, struct resume_import_error *error)
{
    const struct save *save = state;
    return qemu_stream_machine(save->stream, out, error);
}

static int memory(void *state, struct resume_phys *out, struct resume_import_error *error)
{
    const struct save *save = state;
    return qemu_stream_memory(save->stream, out, error);
}

const struct importer import_libvirt = {
    .format = {.name = "libvirt-save", .title = "libvirt save file", .readable = 1},
    .probe = probe,
    .open = open_save,
    .vcpu = vcpu,
    .machine = machine,
    .memory = memory,
    .close = close_save,
};
