/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Firecracker's microVM state files, versions 2.0.0 to 8.0.0 of the format, which Firecracker 1.8 to
 * 1.14 write (its src/vmm/src/snapshot, persist.rs and vstate; the crates kvm-bindings, vmm-sys-util
 * and vm-allocator). The guest's memory is in another file, of any name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bincode_structs.h"
#include "importer.h"
#include "kvm_structs.h"
#include "record.h"

/* Firecracker itself reads no more. */
#define STATE_MAX (UINT64_C(10) << 20)
#define MAGIC UINT64_C(0x0710198486640000)
#define MAGIC_ARM UINT64_C(0x07101984aaaa0000)
#define CRC_LENGTH 8u
#define POLYNOMIAL UINT64_C(0x95ac9329ac4bc9b5) /* of Jones, reflected */
#define XSAVE_REGION 4096u

/* What sets the layouts apart. */
struct layout {
    uint32_t version;      /* of the format, its first number */
    uint8_t region_offset; /* memory regions say where they lie in the memory file */
    uint8_t region_type;   /* memory regions have a type, and slots that are plugged or not */
    uint8_t kvm_state;     /* the capabilities stand before the VM's devices, not behind */
    uint8_t memory_in_vm;  /* the memory regions are part of the VM's state */
    uint8_t resources;     /* so are the allocators of resources */
    uint8_t xsave2;        /* struct kvm_xsave has what does not fit in 4096 bytes behind it */
    const char *name;
};
static const struct layout layouts[] = {
    {2, 1, 0, 0, 0, 0, 0, "1.8"},  {3, 1, 0, 0, 0, 0, 0, "1.9 or 1.10.0"},
    {4, 1, 0, 0, 0, 0, 0, "1.10"}, {5, 0, 0, 1, 0, 0, 0, "1.11"},
    {6, 0, 0, 1, 1, 0, 1, "1.12"}, {8, 0, 1, 1, 1, 1, 1, "1.14"},
    {8, 0, 0, 1, 1, 1, 1, "1.13"},
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

struct firecracker {
    uint8_t *data;
    size_t length; /* without the checksum */
    const struct layout *layout;
    size_t *vcpus; /* where each one starts */
    uint32_t vcpu_count;
    struct resume_range range[RESUME_RANGE_MAX];
    uint32_t range_count;
    const char *path;
    /* Of the vCPU that was decoded last. */
    uint8_t *lists; /* CPUID, MSRs, XSAVE, put together */
    uint8_t area[RESUME_XSAVE_MAX];
};

static int probe(const struct import_input *input)
{
    uint8_t magic[8];
    if (input->is_directory || import_read(&input->file, 0, magic, 8, NULL) != 0)
        return 0;
    /* Before 1.8 the low 16 bits were a version. */
    uint64_t found = import_le64(magic) & ~UINT64_C(0xffff);
    return found == MAGIC || found == MAGIC_ARM ? 100 : 0;
}

static uint64_t checksum(const uint8_t *data, size_t length)
{
    uint64_t table[256];
    uint64_t crc = 0;
    for (unsigned i = 0; i < 256; i++) {
        uint64_t value = i;
        for (unsigned k = 0; k < 8; k++)
            value = (value >> 1) ^ ((value & 1) != 0 ? POLYNOMIAL : 0);
        table[i] = value;
    }
    for (size_t i = 0; i < length; i++)
        crc = table[(uint8_t)(crc ^ data[i])] ^ (crc >> 8);
    return crc;
}

static void skip_info(struct bincode *in)
{
    bincode_raw(in, 8 + 1 + 4, "machine configuration");
    bincode_skip_bytes(in, "kernel path");
    if (bincode_option(in, "initrd path"))
        bincode_skip_bytes(in, "initrd path");
    if (bincode_option(in, "boot arguments"))
        bincode_skip_bytes(in, "boot arguments");
    bincode_raw(in, 4, "huge pages");
}

static void read_regions(struct bincode *in, const struct layout *layout, struct firecracker *state)
{
    uint64_t count = bincode_count(in, 16, "memory regions");
    state->range_count = 0;
    for (uint64_t i = 0; i < count && in->field == NULL; i++) {
        struct resume_range range = {.base_pa = bincode_u64(in, "memory region")};
        range.length = bincode_u64(in, "memory region");
        if (layout->region_offset)
            bincode_u64(in, "memory region");
        if (layout->region_type) {
            bincode_u32(in, "memory region");
            bincode_skip_bytes(in, "slots of a memory region");
        }
        if (in->field == NULL && state->range_count < RESUME_RANGE_MAX)
            state->range[state->range_count++] = range;
    }
}

static void skip_capabilities(struct bincode *in)
{
    uint64_t count = bincode_count(in, 8, "KVM capabilities");
    for (uint64_t i = 0; i < count && in->field == NULL; i++)
        bincode_skip_bytes(in, "KVM capability");
}

static void skip_resources(struct bincode *in)
{
    for (unsigned i = 0; i < 2; i++) {
        bincode_u32(in, "identifiers");
        if (bincode_option(in, "identifiers"))
            bincode_u32(in, "identifiers");
        bincode_u32(in, "identifiers");
        uint64_t count = bincode_count(in, 4, "free identifiers");
        bincode_raw(in, (size_t)count * 4, "free identifiers");
    }
    for (unsigned i = 0; i < 4; i++) {
        bincode_raw(in, 16, "address space");
        bincode_skip_tree(in, "address space");
    }
}

static void skip_devices_of_kvm(struct bincode *in)
{
    bincode_skip_bytes(in, "kvm_pit_state2");
    bincode_skip_bytes(in, "kvm_clock_data");
    for (unsigned i = 0; i < 3; i++)
        bincode_skip_bytes(in, "kvm_irqchip");
}

/* A structure with a flexible array: its header, which counts them, then the entries. */
static uint64_t enter_list(struct bincode *in, size_t header, size_t least, const char *field)
{
    const uint8_t *from = bincode_bytes(in, header, field);
    uint64_t count = bincode_count(in, least, field);
    if (from != NULL && in->field == NULL && import_le32(from) != count) {
        in->field = field;
        in->found = count;
    }
    return in->field == NULL ? count : 0;
}

/* Appends the entries to @to, if that is not NULL. Returns their size. */
static size_t read_entries(struct bincode *in, size_t entry, uint8_t *to, const char *field)
{
    uint64_t count = enter_list(in, 8, 8 + entry, field);
    size_t size = 0;
    for (uint64_t i = 0; i < count && in->field == NULL; i++) {
        const uint8_t *from = bincode_bytes(in, entry, field);
        if (from != NULL && to != NULL)
            memcpy(to + size, from, entry);
        size += entry;
    }
    return size;
}

static void set_part(struct import_kvm_vcpu *out, enum import_kvm_part part, const uint8_t *data,
                     size_t length, size_t offset)
{
    if (out == NULL)
        return;
    out->part[part].data = length == 0 ? NULL : data;
    out->part[part].length = length;
    out->part[part].offset = offset;
}

static void read_bytes(struct bincode *in, struct import_kvm_vcpu *out, enum import_kvm_part part,
                       size_t length)
{
    const uint8_t *from = bincode_bytes(in, length, import_kvm_part_name(part));
    set_part(out, part, from, from == NULL ? 0 : length, in->at - length);
}

/*
 * One vCPU. @out and @lists: NULL to pass over it, else filled; @lists has room for as many bytes as
 * the vCPU takes up in the file.
 */
static void read_vcpu(struct bincode *in, const struct layout *layout, struct import_kvm_vcpu *out,
                      uint8_t *lists)
{
    size_t offset = in->at;
    size_t used = read_entries(in, 40, lists, "kvm_cpuid2");
    set_part(out, IMPORT_KVM_CPUID, lists, used, offset);
    offset = in->at;
    uint64_t count = bincode_count(in, 16, "kvm_msrs");
    size_t begin = used;
    for (uint64_t i = 0; i < count && in->field == NULL; i++)
        used += read_entries(in, 16, lists == NULL ? NULL : lists + used, "kvm_msrs");
    set_part(out, IMPORT_KVM_MSRS, lists == NULL ? NULL : lists + begin, used - begin, offset);
    read_bytes(in, out, IMPORT_KVM_DEBUGREGS, 128);
    read_bytes(in, out, IMPORT_KVM_LAPIC, 1024);
    read_bytes(in, out, IMPORT_KVM_MP_STATE, 4);
    read_bytes(in, out, IMPORT_KVM_REGS, 144);
    read_bytes(in, out, IMPORT_KVM_SREGS, 312);
    read_bytes(in, out, IMPORT_KVM_EVENTS, 64);
    read_bytes(in, out, IMPORT_KVM_XCRS, 392);
    if (!layout->xsave2) {
        read_bytes(in, out, IMPORT_KVM_XSAVE, XSAVE_REGION);
    } else {
        /* The header is a 64-bit count and the structure of 4096 bytes. */
        offset = in->at + 16;
        const uint8_t *from = bincode_bytes(in, 8 + XSAVE_REGION, "kvm_xsave");
        count = bincode_count(in, 4, "kvm_xsave");
        const uint8_t *more = bincode_raw(in, (size_t)count * 4, "kvm_xsave");
        if (more != NULL && import_le64(from) != count) {
            in->field = "kvm_xsave";
            in->found = count;
        } else if (more != NULL && lists != NULL) {
            memcpy(lists + used, from + 8, XSAVE_REGION);
            memcpy(lists + used + XSAVE_REGION, more, (size_t)count * 4);
            set_part(out, IMPORT_KVM_XSAVE, lists + used, XSAVE_REGION + (size_t)count * 4, offset);
        }
    }
    if (bincode_option(in, "TSC frequency"))
        bincode_u32(in, "TSC frequency");
}

static void read_state(struct firecracker *state, const struct layout *layout, struct bincode *in)
{
    skip_info(in);
    if (!layout->memory_in_vm)
        read_regions(in, layout, state);
    if (layout->kvm_state)
        skip_capabilities(in);
    if (layout->memory_in_vm)
        read_regions(in, layout, state);
    if (layout->resources)
        skip_resources(in);
    skip_devices_of_kvm(in);
    if (!layout->kvm_state)
        skip_capabilities(in);
    /* The smallest vCPU that there could be is much longer than this. */
    uint64_t count = bincode_count(in, XSAVE_REGION, "vCPUs");
    if (in->field == NULL && (count == 0 || count > RESUME_VCPU_MAX)) {
        in->field = "vCPUs";
        in->found = count;
    }
    if (in->field != NULL)
        return;
    free(state->vcpus);
    state->vcpus = calloc((size_t)count, sizeof(*state->vcpus));
    state->vcpu_count = state->vcpus == NULL ? 0 : (uint32_t)count;
    for (uint32_t i = 0; i < state->vcpu_count && in->field == NULL; i++) {
        state->vcpus[i] = in->at;
        read_vcpu(in, layout, NULL, NULL);
    }
}

static int check_version(struct firecracker *state, struct bincode *in, uint32_t *ret_version,
                         struct resume_import_error *error)
{
    uint64_t magic = bincode_u64(in, "magic");
    if (magic == MAGIC_ARM)
        return import_fail(error, RESUME_EUNSUPPORTED, 0, state->path, "",
                           "it is of a guest on aarch64");
    size_t length = 0;
    if (magic == MAGIC)
        length = (size_t)bincode_count(in, 1, "version");
    const uint8_t *text = bincode_raw(in, length, "version");
    /* One digit, then the rest of a version; a later one could have more digits. */
    if (magic != MAGIC || text == NULL || length < 5 || text[1] != '.')
        return import_fail(error, RESUME_EVERSION, 0, state->path,
                           "restore it with its Firecracker, and take it again with 1.8 to 1.14",
                           "it is in the format of a Firecracker before 1.8 or after 1.14");
    *ret_version = (uint32_t)(text[0] - '0');
    for (size_t i = 0; i < LAYOUTS; i++) {
        if (layouts[i].version == *ret_version)
            return 0;
    }
    return import_fail(error, RESUME_EVERSION, 16, state->path,
                       "Firecracker 1.8 to 1.14 write versions 2 to 6 and 8",
                       "version %.*s of the format is not read", (int)(length < 16 ? length : 16),
                       (const char *)text);
}

static int load(struct firecracker *state, const struct import_file *file, char *detail,
                size_t detail_size, struct resume_import_error *error)
{
    uint32_t version = 0;
    int ret = import_load(file, STATE_MAX, &state->data, &state->length, error);
    if (ret != 0)
        return ret;
    struct bincode in = {.data = state->data, .length = state->length};
    ret = check_version(state, &in, &version, error);
    if (ret != 0)
        return ret;
    if (state->length - in.at < CRC_LENGTH)
        return import_fail(error, RESUME_ETRUNC, in.at, state->path, "is the file complete?",
                           "it ends before its checksum");
    state->length -= CRC_LENGTH;
    uint64_t stored = import_le64(state->data + state->length);
    uint64_t found = checksum(state->data, state->length);
    if (stored != found)
        return import_fail(error, RESUME_ECRC, state->length, state->path, "is the file complete?",
                           "the checksum is 0x%016llx, that of the contents 0x%016llx",
                           (unsigned long long)stored, (unsigned long long)found);
    size_t begin = in.at;
    for (size_t i = 0; i < LAYOUTS; i++) {
        if (layouts[i].version != version)
            continue;
        in = (struct bincode){.data = state->data, .length = state->length, .at = begin};
        read_state(state, &layouts[i], &in);
        if (in.field == NULL) {
            if (state->vcpus == NULL)
                return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                                   state->path, "", "no memory");
            state->layout = &layouts[i];
            snprintf(detail, detail_size, "version %u, Firecracker %s", version, layouts[i].name);
            return 0;
        }
    }
    return import_fail(error, RESUME_ELENGTH, in.at, state->path, "",
                       "%s: a length or count of %llu does not fit here", in.field,
                       (unsigned long long)in.found);
}

static void close_file(void *opened)
{
    struct firecracker *state = opened;
    free(state->data);
    free(state->vcpus);
    free(state->lists);
    free(state);
}

static int open_file(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct firecracker *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    state->path = input->path;
    int ret = load(state, &input->file, detail, detail_size, error);
    if (ret != 0) {
        close_file(state);
        return ret;
    }
    *ret_state = state;
    *ret_vcpus = state->vcpu_count;
    return 0;
}

static int vcpu(void *opened, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    struct firecracker *state = opened;
    struct import_kvm_vcpu parts = {0};
    char where[32];
    size_t end = index + 1 < state->vcpu_count ? state->vcpus[index + 1] : state->length;
    struct bincode in = {.data = state->data, .length = end, .at = state->vcpus[index]};
    snprintf(where, sizeof(where), "vCPU %u", index);
    parts.where = where;
    free(state->lists);
    state->lists = malloc(end - in.at);
    if (state->lists == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, where, "",
                           "no memory");
    read_vcpu(&in, state->layout, &parts, state->lists);
    return import_kvm_decode(&parts, state->area, out, error);
}

static int machine(void *opened, struct resume_machine *out, struct resume_import_error *error)
{
    const struct firecracker *state = opened;
    uint64_t end = 0;
    for (uint32_t i = 0; i < state->range_count; i++) {
        const struct resume_range *range = &state->range[i];
        if (range->base_pa % 4096 != 0 || range->length % 4096 != 0 || range->length == 0 ||
            range->base_pa < end || range->length > UINT64_MAX - range->base_pa)
            return import_fail(error, RESUME_ECONSISTENT, RESUME_IMPORT_NO_OFFSET, state->path, "",
                               "memory region %u, of 0x%llx bytes at 0x%llx, is out of order", i,
                               (unsigned long long)range->length,
                               (unsigned long long)range->base_pa);
        end = range->base_pa + range->length;
    }
    memcpy(out->range, state->range, sizeof(out->range));
    out->range_count = state->range_count;
    out->accel = RESUME_ACCEL_KVM;
    memcpy(out->type, "firecracker", sizeof("firecracker"));
    return 0;
}

const struct importer import_firecracker = {
    .format = {.name = "firecracker", .title = "Firecracker microVM state", .readable = 1},
    .probe = probe,
    .open = open_file,
    .vcpu = vcpu,
    .machine = machine,
    .close = close_file,
};
