/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Xen's HVM guests: the HVM context by itself, or in the record stream that libxc, libxl or xl save
 * (Xen's docs/specs/libxc-migration-stream and libxl-migration-stream). The guest's pages are passed
 * over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "importer.h"
#include "record.h"
#include "xen_structs.h"

#define CONTEXT_MAX (UINT64_C(64) << 20)
#define POLICY_MAX (UINT32_C(64) << 10)
/* Each record of pages holds up to 4 MiB. */
#define RECORDS_MAX (UINT32_C(1) << 21)

static const uint8_t xl_magic[32] = "Xen saved domain, xl format\n \0 \r";
#define XL_HEADER 48u
#define XL_BYTE_ORDER UINT32_C(0x01020304)
static const uint8_t libxl_magic[8] = {'L', 'i', 'b', 'x', 'l', 'F', 'm', 't'};
#define LIBXL_HEADER 16u
#define LIBXL_VERSION 2u
#define LIBXL_OPTION_BIG_ENDIAN 1u
#define LIBXL_OPTION_LEGACY 2u
#define LIBXL_END 0u
#define LIBXL_CONTEXT 1u
static const uint8_t libxc_magic[12] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 'X',  'E',  'N',  'F'};
#define LIBXC_HEADERS 40u
#define DOMAIN_PV 1u
#define DOMAIN_HVM 2u
#define RECORD_HEADER 8u
#define RECORD_END 0u
#define RECORD_HVM_CONTEXT 9u
#define RECORD_CPUID_POLICY 0x11u
#define RECORD_OPTIONAL UINT32_C(0x80000000)
#define CPUID_LEAF 24u

struct xen_file {
    struct import_file file;
    struct xen_context context;
    uint8_t area[RESUME_XSAVE_MAX];
};

static int probe(const struct import_input *input)
{
    uint8_t head[32];
    if (input->is_directory || import_read(&input->file, 0, head, sizeof(head), NULL) != 0)
        return 0;
    return xen_context_starts(head) || memcmp(head, xl_magic, sizeof(xl_magic)) == 0 ||
                   memcmp(head, libxl_magic, sizeof(libxl_magic)) == 0 ||
                   memcmp(head, libxc_magic, sizeof(libxc_magic)) == 0
               ? 100
               : 0;
}

/* Goes past xl's header, if there is one. */
static int skip_xl(const struct import_file *file, uint64_t *at, struct resume_import_error *error)
{
    uint8_t head[XL_HEADER];
    int ret = import_read(file, *at, head, sizeof(head), error);
    if (ret != 0 || memcmp(head, xl_magic, sizeof(xl_magic)) != 0)
        return ret;
    if (import_le32(head + 32) != XL_BYTE_ORDER)
        return import_fail(error, RESUME_EUNSUPPORTED, *at + 32, "xl header", "",
                           "its byte order is not that of x86");
    uint32_t optional = import_le32(head + 44);
    *at += XL_HEADER;
    if (optional > file->size - *at)
        return import_fail(error, RESUME_ETRUNC, *at, "xl header", "is the file complete?",
                           "its optional data of %u bytes goes beyond the end", optional);
    *at += optional;
    return 0;
}

/* Steps over a record. @at: of its header, moved to the next one. */
static int next_record(const struct import_file *file, uint64_t *at, uint32_t *ret_type,
                       uint32_t *ret_length, struct resume_import_error *error)
{
    uint8_t head[RECORD_HEADER];
    int ret = import_read(file, *at, head, sizeof(head), error);
    if (ret != 0)
        return ret;
    *ret_type = import_le32(head);
    *ret_length = import_le32(head + 4);
    uint64_t padded = ((uint64_t)*ret_length + 7) / 8 * 8;
    *at += RECORD_HEADER;
    if (padded > file->size - *at)
        return import_fail(error, RESUME_ETRUNC, *at, "save stream", "is the file complete?",
                           "a record of type 0x%x with %u bytes goes beyond the end", *ret_type,
                           *ret_length);
    *at += padded;
    return 0;
}

/* Goes past libxl's header and records, up to what libxc has written, if they are there. */
static int skip_libxl(const struct import_file *file, uint64_t *at,
                      struct resume_import_error *error)
{
    uint8_t head[LIBXL_HEADER];
    int ret = import_read(file, *at, head, sizeof(head), error);
    if (ret != 0 || memcmp(head, libxl_magic, sizeof(libxl_magic)) != 0)
        return ret;
    uint32_t options = import_be32(head + 12);
    if (import_be32(head + 8) != LIBXL_VERSION)
        return import_fail(error, RESUME_EVERSION, *at + 8, "libxl header", "",
                           "its version is %u, expected %u", import_be32(head + 8), LIBXL_VERSION);
    if ((options & (LIBXL_OPTION_BIG_ENDIAN | LIBXL_OPTION_LEGACY)) != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, *at + 12, "libxl header",
                           "it must be from Xen 4.6 or later, on x86",
                           "the stream is big-endian or in the form before version 2");
    *at += LIBXL_HEADER;
    for (uint32_t i = 0; i < RECORDS_MAX; i++) {
        uint32_t type;
        uint32_t length;
        ret = next_record(file, at, &type, &length, error);
        if (ret != 0)
            return ret;
        if (type == LIBXL_CONTEXT)
            return 0;
        if (type == LIBXL_END)
            break;
    }
    return import_fail(error, RESUME_EMISSING, *at, "libxl stream", "",
                       "it has no record of libxc's");
}

static int check_libxc(const struct import_file *file, uint64_t at, char *detail,
                       size_t detail_size, struct resume_import_error *error)
{
    uint8_t head[LIBXC_HEADERS];
    int ret = import_read(file, at, head, sizeof(head), error);
    if (ret != 0)
        return ret;
    if (memcmp(head, libxc_magic, sizeof(libxc_magic)) != 0)
        return import_fail(error, RESUME_EMAGIC, at, "libxc header", "",
                           "libxc's stream does not start here");
    uint32_t version = import_be32(head + 12);
    uint32_t type = import_le32(head + 24);
    if (version != 2 && version != 3)
        return import_fail(error, RESUME_EVERSION, at + 12, "libxc header", "",
                           "its version is %u, expected 2 or 3", version);
    if ((head[17] & 1) != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, at + 16, "libxc header", "",
                           "the stream is big-endian");
    if (type != DOMAIN_HVM)
        return import_fail(error, RESUME_EUNSUPPORTED, at + 24, "libxc header",
                           "only HVM and PVH guests can be read",
                           "it is a %s, expected an HVM guest",
                           type == DOMAIN_PV ? "PV guest" : "guest of an unknown type");
    snprintf(detail, detail_size, "save stream %u, Xen %u.%u", version, import_le32(head + 32),
             import_le32(head + 36));
    return 0;
}

static int load_context(struct xen_file *state, uint64_t offset, uint64_t length,
                        struct resume_import_error *error)
{
    if (state->context.data != NULL)
        return import_fail(error, RESUME_EDUPLICATE, offset, "save stream", "",
                           "there is a second HVM context");
    if (length == 0 || length > CONTEXT_MAX)
        return import_fail(error, RESUME_ELENGTH, offset, "HVM context", "",
                           "it has %llu bytes, expected at most %llu", (unsigned long long)length,
                           (unsigned long long)CONTEXT_MAX);
    uint8_t *data = malloc((size_t)length);
    if (data == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, "", "",
                           "no memory for %llu bytes", (unsigned long long)length);
    int ret = import_read(&state->file, offset, data, (size_t)length, error);
    if (ret != 0) {
        free(data);
        return ret;
    }
    state->context.data = data;
    state->context.length = (size_t)length;
    state->context.offset = offset;
    return 0;
}

/* The leaves of CPUID; those of 0DH say where the components of the XSAVE image lie. */
static int read_policy(struct xen_file *state, uint64_t offset, uint32_t length,
                       struct resume_import_error *error)
{
    struct xen_context *context = &state->context;
    if (length > POLICY_MAX || length % CPUID_LEAF != 0)
        return import_fail(error, RESUME_ELENGTH, offset, "CPUID policy", "",
                           "it has %u bytes, expected a multiple of %u, at most %u", length,
                           CPUID_LEAF, POLICY_MAX);
    context->layout_count = 0;
    for (uint32_t i = 0; i < length / CPUID_LEAF; i++) {
        uint8_t leaf[CPUID_LEAF];
        int ret = import_read(&state->file, offset + i * CPUID_LEAF, leaf, sizeof(leaf), error);
        if (ret != 0)
            return ret;
        uint32_t component = import_le32(leaf + 4);
        uint32_t size = import_le32(leaf + 8);
        /* Bit 0 of ECX: a supervisor component, which has no place in the standard form. */
        if (import_le32(leaf) != 0xd || component < 2 || component > 62 || size == 0 ||
            (import_le32(leaf + 16) & 1) != 0 || context->layout_count == RESUME_XCOMP_MAX)
            continue;
        context->layout[context->layout_count++] =
            (struct resume_xcomp){.id = component, .offset = import_le32(leaf + 12), .size = size};
    }
    return 0;
}

static int walk(struct xen_file *state, uint64_t at, struct resume_import_error *error)
{
    for (uint32_t i = 0; i < RECORDS_MAX; i++) {
        uint32_t type;
        uint32_t length;
        const uint64_t body = at + RECORD_HEADER;
        int ret = next_record(&state->file, &at, &type, &length, error);
        if (ret == 0 && type == RECORD_HVM_CONTEXT)
            ret = load_context(state, body, length, error);
        else if (ret == 0 && (type & ~RECORD_OPTIONAL) == RECORD_CPUID_POLICY)
            ret = read_policy(state, body, length, error);
        if (ret != 0)
            return ret;
        if (type == RECORD_END) {
            if (state->context.data != NULL)
                return 0;
            return import_fail(error, RESUME_EMISSING, body, "save stream", "",
                               "there is no HVM context in it");
        }
    }
    return import_fail(error, RESUME_ELENGTH, at, "save stream", "",
                       "there are more than %u records in it", RECORDS_MAX);
}

static int load(struct xen_file *state, char *detail, size_t detail_size,
                struct resume_import_error *error)
{
    uint8_t head[32];
    uint64_t at = 0;
    int ret = import_read(&state->file, 0, head, sizeof(head), error);
    if (ret != 0)
        return ret;
    if (xen_context_starts(head)) {
        snprintf(detail, detail_size, "HVM context");
        ret = load_context(state, 0, state->file.size, error);
    } else {
        ret = skip_xl(&state->file, &at, error);
        if (ret == 0)
            ret = skip_libxl(&state->file, &at, error);
        if (ret == 0)
            ret = check_libxc(&state->file, at, detail, detail_size, error);
        if (ret == 0)
            ret = walk(state, at + LIBXC_HEADERS, error);
    }
    return ret != 0 ? ret : xen_context_index(&state->context, error);
}

static void close_file(void *opened)
{
    struct xen_file *state = opened;
    free(state->context.data);
    free(state->context.vcpus);
    free(state);
}

static int open_file(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct xen_file *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    state->file = input->file;
    int ret = load(state, detail, detail_size, error);
    if (ret != 0) {
        close_file(state);
        return ret;
    }
    *ret_state = state;
    *ret_vcpus = state->context.vcpu_count;
    return 0;
}

static int vcpu(void *opened, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    struct xen_file *state = opened;
    return xen_context_vcpu(&state->context, index, state->area, out, error);
}

const struct importer import_xen = {
    .format = {.name = "xen", .title = "Xen HVM context or save file", .readable = 1},
    .probe = probe,
    .open = open_file,
    .vcpu = vcpu,
    .close = close_file,
};
