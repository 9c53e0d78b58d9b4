/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * IGVM files (the crate igvm_defs): the state that a loader gives a guest's processors, and the pages
 * that it loads. A file can hold states for several platforms; that of the first one of `platforms`
 * for which there is a state is read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "importer.h"
#include "memory.h"
#include "record.h"
#include "vmsa_structs.h"

#define HEADER_1 24u
#define HEADER_2 32u
#define VARIABLE_MAX (UINT32_C(256) << 20)
#define PAGE UINT64_C(4096)
#define LARGE_PAGE (UINT64_C(2) << 20)

/* Types of variable headers; the top bit says that a loader may pass over it. */
#define TYPE_OPTIONAL UINT32_C(0x80000000)
#define TYPE_PLATFORM 0x001u
#define TYPE_PAGE_DATA 0x302u
#define TYPE_VP_CONTEXT 0x304u

#define PLATFORM_NATIVE 0u
#define PLATFORM_SNP 2u
#define PLATFORM_SEV 4u
#define PLATFORM_SEV_ES 5u
#define PAGE_FLAG_LARGE 1u
#define NATIVE_LENGTH 232u

static const struct {
    uint8_t type;
    uint8_t vmsa; /* else, registers in IGVM's own form */
    const char *name;
} platforms[] = {
    {PLATFORM_SNP, 1, "SEV-SNP"},
    {PLATFORM_SEV_ES, 1, "SEV-ES"},
    {PLATFORM_NATIVE, 0, "native"},
    {PLATFORM_SEV, 0, "SEV"},
};
#define PLATFORMS (sizeof(platforms) / sizeof(platforms[0]))

struct igvm_vcpu {
    uint32_t offset; /* in the file */
    uint16_t index;  /* the file's number for it */
};

/* A page that the loader fills; offset 0 means with zeros. */
struct igvm_page {
    uint64_t pa;
    uint32_t length;
    uint32_t offset;
};

struct igvm_file {
    struct import_file file;
    uint8_t *variable;
    uint32_t variable_offset;
    uint32_t variable_length;
    uint32_t masks[PLATFORMS]; /* compatibility mask of each platform, 0 when the file has none */
    size_t platform;           /* the one that is read */
    struct igvm_vcpu *vcpus;
    uint32_t vcpu_count;
    struct igvm_page *page_list;
    size_t page_count;
    struct import_pages cache;
    uint8_t page[VMSA_PAGE];
    uint8_t area[VMSA_XSAVE];
};

/* One variable header. */
struct igvm_header {
    uint32_t type;
    uint32_t length;
    const uint8_t *body;
    uint64_t offset; /* in the file, for messages */
};

static int probe(const struct import_input *input)
{
    uint8_t magic[4];
    return !input->is_directory && import_read(&input->file, 0, magic, 4, NULL) == 0 &&
                   memcmp(magic, "IGVM", 4) == 0
               ? 100
               : 0;
}

static int load_headers(struct igvm_file *state, uint32_t *ret_version,
                        struct resume_import_error *error)
{
    uint8_t fixed[HEADER_2] = {0};
    int ret = import_read(&state->file, 0, fixed, HEADER_1, error);
    if (ret != 0)
        return ret;
    uint32_t version = import_le32(fixed + 4);
    if (version != 1 && version != 2)
        return import_fail(error, RESUME_EVERSION, 4, "fixed header", "",
                           "its version is %u, expected 1 or 2", version);
    size_t length = version == 1 ? HEADER_1 : HEADER_2;
    ret = import_read(&state->file, 0, fixed, length, error);
    if (ret != 0)
        return ret;
    if (version == 2 && (import_le32(fixed + 24) != 0 || import_le32(fixed + 28) != PAGE))
        return import_fail(
            error, RESUME_EUNSUPPORTED, 24, "fixed header", "",
            "it is for architecture %u with pages of %u bytes, expected x64 and 4096",
            import_le32(fixed + 24), import_le32(fixed + 28));
    uint32_t offset = import_le32(fixed + 8);
    uint32_t size = import_le32(fixed + 12);
    uint32_t total = import_le32(fixed + 16);
    uint32_t checksum = import_le32(fixed + 20);
    if (total > state->file.size)
        return import_fail(error, RESUME_ETRUNC, 16, "fixed header", "is the file complete?",
                           "it announces %u bytes, there are %llu", total,
                           (unsigned long long)state->file.size);
    if (offset < length || offset % 8 != 0 || offset > total || size > total - offset ||
        size > VARIABLE_MAX || size == 0)
        return import_fail(error, RESUME_ELENGTH, 8, "fixed header", "",
                           "%u bytes of variable headers at %u are impossible in %u bytes", size,
                           offset, total);
    state->file.size = total;
    state->variable = malloc(size);
    if (state->variable == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, "", "",
                           "no memory for %u bytes", size);
    state->variable_offset = offset;
    state->variable_length = size;
    ret = import_read(&state->file, offset, state->variable, size, error);
    if (ret != 0)
        return ret;
    import_put_le32(fixed + 20, 0);
    uLong found = crc32(crc32(0, fixed, (uInt)length), state->variable, size);
    if (found != checksum)
        return import_fail(error, RESUME_ECRC, 20, "fixed header", "is the file damaged?",
                           "the checksum is 0x%08x, that of the headers 0x%08lx", checksum, found);
    *ret_version = version;
    return 0;
}

/* The header at *@at of the variable headers, which is then moved. 1 when there is none any more. */
static int next_header(const struct igvm_file *state, uint32_t *at, struct igvm_header *out,
                       struct resume_import_error *error)
{
    uint32_t left = state->variable_length - *at;
    out->offset = (uint64_t)state->variable_offset + *at;
    if (left == 0)
        return 1;
    if (left < 8)
        return import_fail(error, RESUME_ETRUNC, out->offset, "variable header", "",
                           "%u bytes are left, expected a header", left);
    out->type = import_le32(state->variable + *at) & ~TYPE_OPTIONAL;
    out->length = import_le32(state->variable + *at + 4);
    out->body = state->variable + *at + 8;
    uint64_t padded = ((uint64_t)out->length + 7) / 8 * 8;
    if (padded > left - 8)
        return import_fail(error, RESUME_ELENGTH, out->offset, "variable header", "",
                           "type 0x%x has %u bytes, only %u are left", out->type, out->length,
                           left - 8);
    *at += 8 + (uint32_t)padded;
    return 0;
}

static int check_length(const struct igvm_header *header, uint32_t least,
                        struct resume_import_error *error)
{
    if (header->length >= least)
        return 0;
    return import_fail(error, RESUME_ELENGTH, header->offset, "variable header", "",
                       "type 0x%x has %u bytes, expected at least %u", header->type, header->length,
                       least);
}

/* First pass: which platforms, how many states for each, how many pages in all. */
static int count(struct igvm_file *state, uint32_t counts[PLATFORMS],
                 struct resume_import_error *error)
{
    struct igvm_header header = {0};
    uint32_t at = 0;
    int contexts = 0;
    int ret;
    while ((ret = next_header(state, &at, &header, error)) == 0) {
        if (header.type == TYPE_PLATFORM) {
            if (contexts)
                return import_fail(error, RESUME_EORDER, header.offset, "variable header", "",
                                   "a platform follows what is meant for platforms");
            ret = check_length(&header, 16, error);
            for (size_t i = 0; ret == 0 && i < PLATFORMS; i++) {
                if (header.body[5] == platforms[i].type)
                    state->masks[i] |= import_le32(header.body);
            }
        } else if (header.type == TYPE_VP_CONTEXT) {
            contexts = 1;
            ret = check_length(&header, 20, error);
            for (size_t i = 0; ret == 0 && i < PLATFORMS; i++)
                counts[i] += (import_le32(header.body + 8) & state->masks[i]) != 0;
        } else if (header.type == TYPE_PAGE_DATA) {
            ret = check_length(&header, 24, error);
            state->page_count++;
        }
        if (ret != 0)
            return ret;
    }
    return ret == 1 ? 0 : ret;
}

/* Second pass: keep what belongs to the platform. */
static int collect(struct igvm_file *state, struct resume_import_error *error)
{
    const uint32_t mask = state->masks[state->platform];
    struct igvm_header header = {0};
    uint32_t at = 0;
    size_t pages = 0;
    uint32_t vcpus = 0;
    int ret;
    while ((ret = next_header(state, &at, &header, error)) == 0) {
        if (header.type == TYPE_VP_CONTEXT && (import_le32(header.body + 8) & mask) != 0) {
            state->vcpus[vcpus++] = (struct igvm_vcpu){.offset = import_le32(header.body + 12),
                                                       .index = import_le16(header.body + 16)};
        } else if (header.type == TYPE_PAGE_DATA && (import_le32(header.body + 8) & mask) != 0) {
            int large = (import_le32(header.body + 16) & PAGE_FLAG_LARGE) != 0;
            struct igvm_page page = {.pa = import_le64(header.body),
                                     .length = (uint32_t)(large ? LARGE_PAGE : PAGE),
                                     .offset = import_le32(header.body + 12)};
            if (page.pa % page.length != 0)
                return import_fail(error, RESUME_ECONSISTENT, header.offset, "page data", "",
                                   "its address 0x%llx is not aligned",
                                   (unsigned long long)page.pa);
            state->page_list[pages++] = page;
        }
    }
    state->page_count = pages;
    return ret == 1 ? 0 : ret;
}

static int compare_pages(const void *left, const void *right)
{
    const struct igvm_page *a = left;
    const struct igvm_page *b = right;
    return a->pa < b->pa ? -1 : a->pa > b->pa;
}

static int compare_vcpus(const void *left, const void *right)
{
    const struct igvm_vcpu *a = left;
    const struct igvm_vcpu *b = right;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int check(struct igvm_file *state, struct resume_import_error *error)
{
    qsort(state->vcpus, state->vcpu_count, sizeof(*state->vcpus), compare_vcpus);
    for (uint32_t i = 1; i < state->vcpu_count; i++) {
        if (state->vcpus[i - 1].index == state->vcpus[i].index)
            return import_fail(error, RESUME_EDUPLICATE, state->variable_offset, "VP context", "",
                               "there are two for VP %u", state->vcpus[i].index);
    }
    if (state->page_count > 1)
        qsort(state->page_list, state->page_count, sizeof(*state->page_list), compare_pages);
    for (size_t i = 1; i < state->page_count; i++) {
        if (state->page_list[i].pa - state->page_list[i - 1].pa < state->page_list[i - 1].length)
            return import_fail(error, RESUME_ECONSISTENT, state->variable_offset, "page data", "",
                               "two pages overlap at 0x%llx",
                               (unsigned long long)state->page_list[i].pa);
    }
    return 0;
}

static int choose(struct igvm_file *state, const uint32_t counts[PLATFORMS],
                  struct resume_import_error *error)
{
    for (size_t i = 0; i < PLATFORMS; i++) {
        if (counts[i] == 0)
            continue;
        if (counts[i] > RESUME_VCPU_MAX)
            return import_fail(error, RESUME_ELENGTH, state->variable_offset, "VP context", "",
                               "there are %u of them, expected at most %u", counts[i],
                               RESUME_VCPU_MAX);
        state->platform = i;
        state->vcpu_count = counts[i];
        return 0;
    }
    return import_fail(error, RESUME_EUNSUPPORTED, state->variable_offset, "VP context",
                       "those for SEV-SNP, SEV-ES, SEV and native guests are read",
                       "it has no processor's state for a platform that is read");
}

static int load(struct igvm_file *state, char *detail, size_t detail_size,
                struct resume_import_error *error)
{
    uint32_t counts[PLATFORMS] = {0};
    uint32_t version = 0;
    int ret = load_headers(state, &version, error);
    if (ret == 0)
        ret = count(state, counts, error);
    if (ret == 0)
        ret = choose(state, counts, error);
    if (ret != 0)
        return ret;
    /* Both counts are of headers that are there, so the file's size bounds them. */
    state->vcpus = calloc(state->vcpu_count, sizeof(*state->vcpus));
    state->page_list = calloc(state->page_count + 1, sizeof(*state->page_list));
    if (state->vcpus == NULL || state->page_list == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, "", "",
                           "no memory");
    ret = collect(state, error);
    if (ret == 0)
        ret = check(state, error);
    snprintf(detail, detail_size, "version %u, %s", version, platforms[state->platform].name);
    return ret;
}

static void close_file(void *opened)
{
    struct igvm_file *state = opened;
    import_pages_close(&state->cache);
    free(state->variable);
    free(state->vcpus);
    free(state->page_list);
    free(state);
}

static int open_file(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct igvm_file *state = calloc(1, sizeof(*state));
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
    *ret_vcpus = state->vcpu_count;
    return 0;
}

static void set_segment(struct resume_segs *segs, unsigned number, const uint8_t *from)
{
    struct resume_segment *segment = &segs->seg[number];
    segment->selector = import_le16(from);
    /* In the record's own form already; only "unusable" is not in it. */
    segment->access = import_access((import_le16(from + 2) & UINT32_C(0xff)) << 8 |
                                    (import_le16(from + 2) & UINT32_C(0xf000)) << 8);
    segment->base = import_le32(from + 4);
    segment->limit = import_le32(from + 8);
    segs->valid |= UINT64_C(1) << number;
}

/* struct IgvmNativeVpContextX64. What is not in it is as after a reset, which is left out here. */
static void read_native(const uint8_t *from, struct resume_vcpu *out)
{
    static const uint8_t data_segments[] = {RESUME_ES, RESUME_SS, RESUME_DS, RESUME_FS, RESUME_GS};
    for (unsigned i = 0; i < RESUME_GPR_COUNT; i++)
        out->regs.gpr[i] = import_le64(from + 8 * i);
    out->regs.rip = import_le64(from + 128);
    out->regs.rflags = import_le64(from + 136);
    out->regs.valid = RESUME_REGS_ALL;
    out->segs.seg[RESUME_IDTR].base = import_le64(from + 144);
    out->segs.seg[RESUME_IDTR].limit = import_le16(from + 152);
    out->segs.seg[RESUME_GDTR].limit = import_le16(from + 158);
    out->segs.seg[RESUME_GDTR].base = import_le64(from + 160);
    out->segs.valid = UINT64_C(1) << RESUME_IDTR | UINT64_C(1) << RESUME_GDTR;
    set_segment(&out->segs, RESUME_CS, from + 168);
    for (size_t i = 0; i < sizeof(data_segments); i++)
        set_segment(&out->segs, data_segments[i], from + 180);
    out->segs.seg[RESUME_GS].base = import_le64(from + 192);
    out->ctrl.cr0 = import_le64(from + 200);
    out->ctrl.cr3 = import_le64(from + 208);
    out->ctrl.cr4 = import_le64(from + 216);
    out->ctrl.efer = import_le64(from + 224);
    out->ctrl.valid = RESUME_CTRL_CR0 | RESUME_CTRL_CR3 | RESUME_CTRL_CR4 | RESUME_CTRL_EFER;
}

static int vcpu(void *opened, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    struct igvm_file *state = opened;
    const struct igvm_vcpu *at = &state->vcpus[index];
    char where[32];
    snprintf(where, sizeof(where), "VP %u", at->index);
    int ret = import_read(&state->file, at->offset, state->page, VMSA_PAGE, error);
    if (ret != 0)
        return ret;
    if (platforms[state->platform].vmsa)
        return vmsa_vcpu(state->page, state->area, out, at->offset, where, error);
    for (size_t i = NATIVE_LENGTH; i < VMSA_PAGE; i++) {
        if (state->page[i] != 0)
            return import_fail(error, RESUME_ERESERVED, at->offset + i, where, "",
                               "the bytes behind its registers are not zero");
    }
    read_native(state->page, out);
    return 0;
}

static int machine(void *opened, struct resume_machine *out, struct resume_import_error *error)
{
    const struct igvm_file *state = opened;
    (void)error;
    for (size_t i = 0; i < state->page_count; i++) {
        const struct igvm_page *page = &state->page_list[i];
        struct resume_range *last = &out->range[out->range_count - (out->range_count != 0)];
        if (page->pa > UINT64_MAX - page->length)
            break;
        if (out->range_count != 0 && last->base_pa + last->length == page->pa)
            last->length += page->length;
        else if (out->range_count < RESUME_RANGE_MAX)
            out->range[out->range_count++] =
                (struct resume_range){.base_pa = page->pa, .length = page->length};
    }
    return 0;
}

static int read_guest_page(void *ctx, uint64_t pa, uint8_t *page)
{
    const struct igvm_file *state = ctx;
    size_t low = 0;
    size_t high = state->page_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct igvm_page *at = &state->page_list[middle];
        if (pa < at->pa) {
            high = middle;
        } else if (pa - at->pa >= at->length) {
            low = middle + 1;
        } else {
            memset(page, 0, PAGE);
            return at->offset == 0
                       ? 0
                       : import_read(&state->file, at->offset + (pa - at->pa), page, PAGE, NULL);
        }
    }
    return -1;
}

static int memory(void *opened, struct resume_phys *out, struct resume_import_error *error)
{
    struct igvm_file *state = opened;
    return import_pages_open(&state->cache, read_guest_page, state, out, error);
}

const struct importer import_igvm = {
    .format = {.name = "igvm", .title = "IGVM file", .readable = 1},
    .probe = probe,
    .open = open_file,
    .vcpu = vcpu,
    .machine = machine,
    .memory = memory,
    .close = close_file,
};
