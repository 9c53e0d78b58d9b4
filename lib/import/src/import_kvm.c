/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The structures of KVM's ioctls as files, in a directory or in a tar archive: docs/FORMATS.md says how they
 * are named.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm_structs.h"
#include "record.h"
#include "tar.h"

/* More than any of the structures can have: 4096 MSRs with their header. */
#define PART_MAX 65544u
#define LIST_HEADER 8u
#define DIRECTORY_MAX 1048576u
#define ARCHIVE_PROBED 64u

/* vcpu3.regs and so on. */
static const char *const suffixes[IMPORT_KVM_PARTS] = {
    [IMPORT_KVM_REGS] = "regs",          [IMPORT_KVM_SREGS] = "sregs",
    [IMPORT_KVM_SREGS2] = "sregs2",      [IMPORT_KVM_FPU] = "fpu",
    [IMPORT_KVM_XSAVE] = "xsave",        [IMPORT_KVM_XCRS] = "xcrs",
    [IMPORT_KVM_MSRS] = "msrs",          [IMPORT_KVM_DEBUGREGS] = "debugregs",
    [IMPORT_KVM_EVENTS] = "vcpu_events", [IMPORT_KVM_MP_STATE] = "mp_state",
    [IMPORT_KVM_LAPIC] = "lapic",        [IMPORT_KVM_CPUID] = "cpuid2",
};

/* What is known of one vCPU: which parts there are, and in an archive where. */
struct place {
    uint32_t present;
    uint32_t size[IMPORT_KVM_PARTS];
    uint64_t offset[IMPORT_KVM_PARTS];
};

struct kvm {
    const struct import_input *input;
    uint32_t count;
    uint32_t room;
    struct place *places;            /* owned */
    uint8_t *data[IMPORT_KVM_PARTS]; /* owned: of the vCPU that was read last */
    uint8_t area[RESUME_XSAVE_MAX];
};

/* Takes a name apart; returns 0 when it is none of ours. */
static int parse_name(const char *name, uint32_t *ret_vcpu, unsigned *ret_part)
{
    uint32_t vcpu = 0;
    const char *at = name + 4;
    if (strncmp(name, "vcpu", 4) != 0)
        return 0;
    /* No leading zeroes: each file has one name. */
    if (*at < '0' || *at > '9' || (*at == '0' && at[1] != '.'))
        return 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        vcpu = vcpu * 10 + (uint32_t)(*at - '0');
        if (vcpu >= RESUME_VCPU_MAX)
            return 0;
    }
    if (*at != '.')
        return 0;
    for (unsigned i = 0; i < IMPORT_KVM_PARTS; i++) {
        if (strcmp(at + 1, suffixes[i]) == 0) {
            *ret_vcpu = vcpu;
            *ret_part = i;
            return 1;
        }
    }
    return 0;
}

static int probe_directory(const struct import_input *input)
{
    static const char *const first[] = {"vcpu0.regs", "vcpu0.sregs", "vcpu0.sregs2", "vcpu0.msrs"};
    struct import_file file;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        if (import_open_beside(input->path, first[i], &file, NULL) == 0) {
            import_file_close(&file);
            return 70;
        }
    }
    return 0;
}

static int probe(const struct import_input *input)
{
    struct tar_entry entry;
    uint64_t at = 0;
    uint32_t vcpu;
    unsigned part;
    if (input->is_directory)
        return probe_directory(input);
    for (unsigned i = 0; i < ARCHIVE_PROBED; i++) {
        if (tar_next(&input->file, &at, &entry, NULL) != 1)
            return 0;
        if (entry.regular && parse_name(entry.name, &vcpu, &part))
            return 70;
    }
    return 0;
}

static int grow(struct kvm *kvm, uint32_t vcpu, struct resume_import_error *error)
{
    uint32_t room = kvm->room == 0 ? 8 : kvm->room;
    while (room <= vcpu)
        room *= 2;
    if (room > kvm->room) {
        struct place *places = realloc(kvm->places, room * sizeof(*places));
        if (places == NULL)
            return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                               kvm->input->path, "", "no memory");
        memset(places + kvm->room, 0, (room - kvm->room) * sizeof(*places));
        kvm->places = places;
        kvm->room = room;
    }
    if (kvm->count <= vcpu)
        kvm->count = vcpu + 1;
    return 0;
}

static int add(struct kvm *kvm, const char *name, uint64_t offset, uint64_t size,
               struct resume_import_error *error)
{
    uint32_t vcpu;
    unsigned part;
    if (!parse_name(name, &vcpu, &part))
        return 0;
    /* Each has a header in the archive at least. */
    if (!kvm->input->is_directory && vcpu > kvm->input->file.size / 512)
        return import_fail(error, RESUME_EMISSING, offset, kvm->input->path,
                           "number the vCPUs from 0", "there are fewer files than vCPUs by %s",
                           name);
    int ret = grow(kvm, vcpu, error);
    if (ret != 0)
        return ret;
    struct place *place = &kvm->places[vcpu];
    if ((place->present >> part & 1) != 0)
        return import_fail(error, RESUME_EDUPLICATE, offset, kvm->input->path,
                           "make the archive anew instead of appending to it", "%s is there twice",
                           name);
    if (size > PART_MAX)
        return import_fail(error, RESUME_ELENGTH, offset, kvm->input->path, "",
                           "%s has %llu bytes, expected at most %u", name, (unsigned long long)size,
                           PART_MAX);
    place->present |= UINT32_C(1) << part;
    place->offset[part] = offset;
    place->size[part] = (uint32_t)size;
    return 0;
}

static int list_archive(struct kvm *kvm, struct resume_import_error *error)
{
    struct tar_entry entry;
    uint64_t at = 0;
    int ret;
    while ((ret = tar_next(&kvm->input->file, &at, &entry, error)) == 1) {
        if (entry.regular)
            ret = add(kvm, entry.name, entry.offset, entry.size, error);
        if (ret < 0)
            return ret;
    }
    return ret;
}

static int list_directory(struct kvm *kvm, struct resume_import_error *error)
{
    DIR *directory = opendir(kvm->input->path);
    struct dirent *entry;
    int ret = 0;
    if (directory == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(errno), RESUME_IMPORT_NO_OFFSET,
                           kvm->input->path, "", "%s", strerror(errno));
    for (unsigned i = 0; i < DIRECTORY_MAX && ret == 0; i++) {
        entry = readdir(directory);
        if (entry == NULL)
            break;
        ret = add(kvm, entry->d_name, RESUME_IMPORT_NO_OFFSET, 0, error);
    }
    closedir(directory);
    return ret;
}

static void close_kvm(void *state)
{
    struct kvm *kvm = state;
    for (unsigned i = 0; i < IMPORT_KVM_PARTS; i++)
        free(kvm->data[i]);
    free(kvm->places);
    free(kvm);
}

static int list(struct kvm *kvm, struct resume_import_error *error)
{
    int ret = kvm->input->is_directory ? list_directory(kvm, error) : list_archive(kvm, error);
    if (ret != 0)
        return ret;
    if (kvm->count == 0)
        return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, kvm->input->path,
                           "see docs/FORMATS.md for the names", "there is no file of a vCPU");
    for (uint32_t i = 0; i < kvm->count; i++) {
        if (kvm->places[i].present == 0)
            return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, kvm->input->path,
                               "number the vCPUs from 0",
                               "there is no file of vCPU %u, but one of vCPU %u", i,
                               kvm->count - 1);
    }
    return 0;
}

static int open_kvm(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                    char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct kvm *kvm = calloc(1, sizeof(*kvm));
    if (kvm == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    kvm->input = input;
    int ret = list(kvm, error);
    if (ret != 0) {
        close_kvm(kvm);
        return ret;
    }
    snprintf(detail, detail_size, "KVM, %s", input->is_directory ? "directory" : "tar");
    *ret_state = kvm;
    *ret_vcpus = kvm->count;
    return 0;
}

/* Reads one part into kvm->data, which is freed with the next. */
static int read_part(struct kvm *kvm, uint32_t index, unsigned part, size_t *ret_length,
                     struct resume_import_error *error)
{
    const struct place *place = &kvm->places[index];
    char name[32];
    struct import_file file;
    if (!kvm->input->is_directory) {
        *ret_length = place->size[part];
        kvm->data[part] = malloc(*ret_length + 1);
        if (kvm->data[part] == NULL)
            return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                               kvm->input->path, "", "no memory");
        return import_read(&kvm->input->file, place->offset[part], kvm->data[part], *ret_length,
                           error);
    }
    snprintf(name, sizeof(name), "vcpu%u.%s", index, suffixes[part]);
    int ret = import_open_beside(kvm->input->path, name, &file, error);
    if (ret != 0)
        return ret;
    ret = import_load(&file, PART_MAX, &kvm->data[part], ret_length, error);
    import_file_close(&file);
    return ret;
}

/* struct kvm_msrs and struct kvm_cpuid2 have the number of entries in front of them. */
static int cut_header(struct import_kvm_vcpu *vcpu, unsigned part, size_t entry,
                      struct resume_import_error *error)
{
    const uint8_t *data = vcpu->part[part].data;
    size_t length = vcpu->part[part].length;
    if (data == NULL)
        return 0;
    if (length < LIST_HEADER || (length - LIST_HEADER) / entry < import_le32(data))
        return import_fail(error, RESUME_ELENGTH, vcpu->part[part].offset, vcpu->where, "",
                           "%s has %zu bytes, too few for its %u entries",
                           import_kvm_part_name((enum import_kvm_part)part), length,
                           length < LIST_HEADER ? 0 : import_le32(data));
    vcpu->part[part].data += LIST_HEADER;
    vcpu->part[part].length = import_le32(data) * entry;
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    struct kvm *kvm = state;
    struct import_kvm_vcpu parts = {.where = kvm->input->path};
    int ret = 0;
    for (unsigned i = 0; i < IMPORT_KVM_PARTS && ret == 0; i++) {
        free(kvm->data[i]);
        kvm->data[i] = NULL;
        if ((kvm->places[index].present >> i & 1) == 0)
            continue;
        ret = read_part(kvm, index, i, &parts.part[i].length, error);
        parts.part[i].data = kvm->data[i];
        parts.part[i].offset = kvm->places[index].offset[i];
    }
    if (ret == 0)
        ret = cut_header(&parts, IMPORT_KVM_MSRS, 16, error);
    if (ret == 0)
        ret = cut_header(&parts, IMPORT_KVM_CPUID, 40, error);
    return ret != 0 ? ret : import_kvm_decode(&parts, kvm->area, out, error);
}

static int machine(void *state, struct resume_machine *out, struct resume_import_error *error)
{
    (void)state;
    (void)error;
    out->accel = RESUME_ACCEL_KVM;
    return 0;
}

const struct importer import_kvm = {
    .format = {.name = "kvm", .title = "set of KVM's structures", .readable = 1},
    .probe = probe,
    .open = open_kvm,
    .vcpu = vcpu,
    .machine = machine,
    .close = close_kvm,
};
