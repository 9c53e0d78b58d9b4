/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Cloud Hypervisor's snapshot directories of version 39 and later, on KVM (its vm-migration/src/lib.rs,
 * hypervisor/src/kvm/x86_64 and arch/x86, vmm/src/memory_manager.rs): state.json, in which the state
 * of each part is JSON again, as a string; and the guest's memory, ranges one behind the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "importer.h"
#include "json_structs.h"
#include "kvm_structs.h"
#include "memory.h"
#include "record.h"

#define STATE_FILE "state.json"
#define MEMORY_FILE "memory-ranges"
#define STATE_MAX (UINT64_C(64) << 20)
/* In state.json itself there are few values: all else is in strings. */
#define STATE_VALUES (UINT32_C(1) << 18)
/* A vCPU has the numbers of its LAPIC and XSAVE images, some thousands. */
#define VCPU_VALUES (UINT32_C(1) << 16)
#define LAPIC_SIZE 1024u
#define XSAVE_WORDS 1024u
#define LEVELS_MAX 2

struct cloud_hypervisor {
    const char *path;
    json_t *root;
    const json_t *vcpu_list; /* the object of all vCPUs, in root */
    uint32_t vcpu_count;
    struct import_file memory; /* fd below 0: there is none */
    struct import_span *spans;
    size_t span_count;
    struct import_pages cache;
    uint8_t *parts; /* of the vCPU that was decoded last */
    uint8_t area[RESUME_XSAVE_MAX];
};

/* The structures that are arrays of their bytes. */
static const struct {
    enum import_kvm_part part;
    size_t size;
    const char *name;
} byte_parts[] = {
    {IMPORT_KVM_REGS, 144, "regs"},         {IMPORT_KVM_SREGS, 312, "sregs"},
    {IMPORT_KVM_EVENTS, 64, "vcpu_events"}, {IMPORT_KVM_XCRS, 392, "xcrs"},
    {IMPORT_KVM_MP_STATE, 4, "mp_state"},
};

static int open_state(const struct import_input *input, struct import_file *out,
                      struct resume_import_error *error)
{
    if (input->is_directory)
        return import_open_beside(input->path, STATE_FILE, out, error);
    *out = input->file;
    return 0;
}

static void close_state(const struct import_input *input, struct import_file *file)
{
    if (input->is_directory)
        import_file_close(file);
}

static int probe(const struct import_input *input)
{
    struct import_file file;
    char head[33] = {0};
    if (open_state(input, &file, NULL) != 0)
        return 0;
    size_t length = file.size < sizeof(head) - 1 ? (size_t)file.size : sizeof(head) - 1;
    int ret = import_read(&file, 0, head, length, NULL);
    close_state(input, &file);
    /* The first name in it; before version 30 an id stood before it. */
    if (ret != 0 || head[0] != '{')
        return 0;
    return strstr(head, "\"snapshots\"") != NULL || strstr(head, "{\"id\":\"vm\"") != NULL ? 95 : 0;
}

/* The state of a part of the tree: JSON in a string. */
static int parse_state(const struct cloud_hypervisor *state, const json_t *part, const char *where,
                       json_t **out, struct resume_import_error *error)
{
    const json_t *data = json_object_get(part, "snapshot_data");
    const json_t *text = json_object_get(data, "state");
    if (json_is_array(data))
        return import_fail(
            error, RESUME_EVERSION, RESUME_IMPORT_NO_OFFSET, state->path,
            "restore it with its Cloud Hypervisor, and take it again with 39 or later",
            "%s: it is from a Cloud Hypervisor before version 39", where);
    if (!json_is_string(text))
        return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, state->path, "",
                           "%s has no string snapshot_data.state", where);
    return import_json(json_string_value(text), json_string_length(text), VCPU_VALUES,
                       RESUME_IMPORT_NO_OFFSET, where, out, error);
}

/* "vm" may stand around the parts. */
static const json_t *find_part(const json_t *root, const char *name)
{
    const json_t *snapshots = json_object_get(root, "snapshots");
    for (unsigned i = 0; i < LEVELS_MAX; i++) {
        const json_t *part = json_object_get(snapshots, name);
        if (part != NULL)
            return part;
        snapshots = json_object_get(json_object_get(snapshots, "vm"), "snapshots");
    }
    return NULL;
}

static int find_vcpus(struct cloud_hypervisor *state, struct resume_import_error *error)
{
    const json_t *manager = find_part(state->root, "cpu-manager");
    state->vcpu_list = json_object_get(manager, "snapshots");
    size_t count = json_object_size(state->vcpu_list);
    if (manager == NULL || count == 0 || count > RESUME_VCPU_MAX)
        return import_fail(error, manager == NULL || count == 0 ? RESUME_EMISSING : RESUME_ELENGTH,
                           RESUME_IMPORT_NO_OFFSET, state->path, "",
                           "there are %zu vCPUs in its cpu-manager, expected 1 to %u", count,
                           RESUME_VCPU_MAX);
    for (size_t i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%zu", i);
        if (json_object_get(state->vcpu_list, name) == NULL)
            return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, state->path, "",
                               "there are %zu vCPUs, but none of them is \"%s\"", count, name);
    }
    state->vcpu_count = (uint32_t)count;
    return 0;
}

static int read_ranges(struct cloud_hypervisor *state, const json_t *list,
                       struct resume_import_error *error)
{
    uint64_t offset = 0;
    size_t count = json_array_size(list);
    state->spans = calloc(count + 1, sizeof(*state->spans));
    if (state->spans == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, state->path,
                           "", "no memory");
    for (size_t i = 0; i < count; i++) {
        const json_t *range = json_array_get(list, i);
        struct import_span span = {.offset = offset};
        if (import_json_u64(json_object_get(range, "gpa"), &span.pa) != 0 ||
            import_json_u64(json_object_get(range, "length"), &span.length) != 0 ||
            span.length > INT64_MAX - offset)
            return import_fail(error, RESUME_ELENGTH, RESUME_IMPORT_NO_OFFSET, state->path, "",
                               "memory range %zu has no gpa and length that are possible", i);
        offset += span.length;
        if (span.length != 0)
            state->spans[state->span_count++] = span;
    }
    if (import_spans_sort(state->spans, state->span_count) != 0)
        return import_fail(error, RESUME_ECONSISTENT, RESUME_IMPORT_NO_OFFSET, state->path, "",
                           "memory ranges overlap");
    return 0;
}

static int find_memory(struct cloud_hypervisor *state, struct resume_import_error *error)
{
    const json_t *manager = find_part(state->root, "memory-manager");
    json_t *parsed;
    if (manager == NULL)
        return 0;
    int ret = parse_state(state, manager, "memory-manager", &parsed, error);
    if (ret != 0)
        return ret;
    ret = read_ranges(state, json_object_get(json_object_get(parsed, "memory_ranges"), "data"),
                      error);
    json_decref(parsed);
    return ret;
}

static int load(struct cloud_hypervisor *state, const struct import_input *input,
                struct resume_import_error *error)
{
    struct import_file file;
    uint8_t *text;
    size_t length;
    int ret = open_state(input, &file, error);
    if (ret != 0)
        return ret;
    ret = import_load(&file, STATE_MAX, &text, &length, error);
    close_state(input, &file);
    if (ret != 0)
        return ret;
    ret = import_json((const char *)text, length, STATE_VALUES, 0, STATE_FILE, &state->root, error);
    free(text);
    if (ret == 0)
        ret = find_vcpus(state, error);
    if (ret == 0)
        ret = find_memory(state, error);
    if (ret == 0 && input->is_directory &&
        import_open_beside(input->path, MEMORY_FILE, &state->memory, NULL) != 0)
        state->memory.fd = -1;
    return ret;
}

static void close_directory(void *opened)
{
    struct cloud_hypervisor *state = opened;
    import_file_close(&state->memory);
    import_pages_close(&state->cache);
    json_decref(state->root);
    free(state->spans);
    free(state->parts);
    free(state);
}

static int open_directory(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                          char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct cloud_hypervisor *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                           "", "no memory");
    state->path = input->path;
    state->memory.fd = -1;
    int ret = load(state, input, error);
    if (ret != 0) {
        close_directory(state);
        return ret;
    }
    snprintf(detail, detail_size, "39 or later, KVM");
    *ret_state = state;
    *ret_vcpus = state->vcpu_count;
    return 0;
}

/* An array of objects of integers, as entries of a KVM structure; NULL ends @names. */
static int read_entries(const json_t *list, const char *const *names, const uint8_t *sizes,
                        size_t entry, uint8_t *to)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        uint8_t *at = to + i * entry;
        memset(at, 0, entry);
        for (size_t k = 0; names[k] != NULL; k++) {
            uint64_t value;
            if (import_json_u64(json_object_get(json_array_get(list, i), names[k]), &value) != 0)
                return -1;
            if (sizes[k] == 8)
                import_put_le64(at, value);
            else if (value <= UINT32_MAX)
                import_put_le32(at, (uint32_t)value);
            else
                return -1;
            at += 4 * (k == 0 && sizes[1] == 8) + sizes[k];
        }
    }
    return 0;
}

struct collected {
    struct import_kvm_vcpu in;
    uint8_t *to; /* the next free byte */
};

static void take(struct collected *collected, enum import_kvm_part part, size_t length)
{
    collected->in.part[part].data = length == 0 ? NULL : collected->to;
    collected->in.part[part].length = length;
    collected->in.part[part].offset = RESUME_IMPORT_NO_OFFSET;
    collected->to += length;
}

/* Returns NULL, or what is wrong. */
static const char *collect(const json_t *kvm, struct collected *collected)
{
    static const char *const cpuid_names[] = {"function", "index", "flags", "eax",
                                              "ebx",      "ecx",   "edx",   NULL};
    static const uint8_t cpuid_sizes[] = {4, 4, 4, 4, 4, 4, 4};
    static const char *const msr_names[] = {"index", "data", NULL};
    static const uint8_t msr_sizes[] = {4, 8};
    const json_t *cpuid = json_object_get(kvm, "cpuid");
    const json_t *msrs = json_object_get(kvm, "msrs");
    const json_t *xsave = json_object_get(kvm, "xsave");
    const json_t *extra = json_object_get(xsave, "extra");
    for (size_t i = 0; i < sizeof(byte_parts) / sizeof(byte_parts[0]); i++) {
        const json_t *bytes = json_object_get(kvm, byte_parts[i].name);
        if (import_json_numbers(bytes, 1, byte_parts[i].size, collected->to) != 0)
            return byte_parts[i].name;
        take(collected, byte_parts[i].part, byte_parts[i].size);
    }
    if (import_json_numbers(json_object_get(json_object_get(kvm, "lapic_state"), "regs"), 1,
                            LAPIC_SIZE, collected->to) != 0)
        return "lapic_state";
    take(collected, IMPORT_KVM_LAPIC, LAPIC_SIZE);
    if (import_json_numbers(json_object_get(xsave, "region"), 4, XSAVE_WORDS, collected->to) != 0 ||
        (extra != NULL && import_json_numbers(extra, 4, json_array_size(extra),
                                              collected->to + 4 * XSAVE_WORDS) != 0))
        return "xsave";
    take(collected, IMPORT_KVM_XSAVE, 4 * (XSAVE_WORDS + json_array_size(extra)));
    if (!json_is_array(cpuid) ||
        read_entries(cpuid, cpuid_names, cpuid_sizes, 40, collected->to) != 0)
        return "cpuid";
    take(collected, IMPORT_KVM_CPUID, 40 * json_array_size(cpuid));
    if (!json_is_array(msrs) || read_entries(msrs, msr_names, msr_sizes, 16, collected->to) != 0)
        return "msrs";
    take(collected, IMPORT_KVM_MSRS, 16 * json_array_size(msrs));
    return NULL;
}

/* Room for all structures of a vCPU; the lists are in memory already, so that their sum is bounded. */
static size_t room(const json_t *kvm)
{
    size_t size = LAPIC_SIZE + 4 * XSAVE_WORDS;
    for (size_t i = 0; i < sizeof(byte_parts) / sizeof(byte_parts[0]); i++)
        size += byte_parts[i].size;
    size += 4 * json_array_size(json_object_get(json_object_get(kvm, "xsave"), "extra"));
    size += 40 * json_array_size(json_object_get(kvm, "cpuid"));
    size += 16 * json_array_size(json_object_get(kvm, "msrs"));
    return size;
}

static int decode(struct cloud_hypervisor *state, const json_t *cpu, const char *where,
                  struct resume_vcpu *out, struct resume_import_error *error)
{
    const json_t *kvm = json_object_get(cpu, "Kvm");
    struct collected collected = {.in = {.where = where}};
    if (kvm == NULL)
        return import_fail(error, RESUME_EUNSUPPORTED, RESUME_IMPORT_NO_OFFSET, where,
                           "only snapshots of guests on KVM are read", "it is no state of KVM's%s",
                           json_object_get(cpu, "Mshv") != NULL ? ", but of Microsoft's hypervisor"
                                                                : "");
    free(state->parts);
    state->parts = collected.to = malloc(room(kvm));
    if (state->parts == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, where, "",
                           "no memory");
    const char *wrong = collect(kvm, &collected);
    if (wrong != NULL)
        return import_fail(error, RESUME_ELENGTH, RESUME_IMPORT_NO_OFFSET, where, "",
                           "%s is missing, or not of the length or the values that it must have",
                           wrong);
    return import_kvm_decode(&collected.in, state->area, out, error);
}

static int vcpu(void *opened, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    struct cloud_hypervisor *state = opened;
    char name[16];
    char where[32];
    json_t *cpu;
    snprintf(name, sizeof(name), "%u", index);
    snprintf(where, sizeof(where), "vCPU %u", index);
    int ret = parse_state(state, json_object_get(state->vcpu_list, name), where, &cpu, error);
    if (ret != 0)
        return ret;
    ret = decode(state, cpu, where, out, error);
    json_decref(cpu);
    return ret;
}

static int machine(void *opened, struct resume_machine *out, struct resume_import_error *error)
{
    const struct cloud_hypervisor *state = opened;
    (void)error;
    out->accel = RESUME_ACCEL_KVM;
    memcpy(out->type, "cloud-hypervisor", sizeof("cloud-hypervisor"));
    import_spans_ranges(state->spans, state->span_count, out);
    return 0;
}

static int read_guest_page(void *ctx, uint64_t pa, uint8_t *page)
{
    const struct cloud_hypervisor *state = ctx;
    return import_spans_read(&state->memory, state->spans, state->span_count, pa, page);
}

static int memory(void *opened, struct resume_phys *out, struct resume_import_error *error)
{
    struct cloud_hypervisor *state = opened;
    if (state->memory.fd < 0 || state->span_count == 0)
        return import_fail(error, RESUME_EUNREACHABLE, RESUME_IMPORT_NO_OFFSET, state->path,
                           "give the directory, with " MEMORY_FILE " in it",
                           "the guest's memory is not there");
    return import_pages_open(&state->cache, read_guest_page, state, out, error);
}

const struct importer import_cloud_hypervisor = {
    .format = {.name = "cloud-hypervisor", .title = "Cloud Hypervisor snapshot", .readable = 1},
    .probe = probe,
    .open = open_directory,
    .vcpu = vcpu,
    .machine = machine,
    .memory = memory,
    .close = close_directory,
};
