/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Cloud Hypervisor's state.json by hand, after its structures: Snapshot and SnapshotData of
 * vm-migration, VcpuKvmState of hypervisor/src/kvm/x86_64, MemoryManagerSnapshotData of vmm.
 */
#include "import_build_cloud_hypervisor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_build_firecracker.h"

static void add(struct bytes *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct bytes *out, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    bytes_add_text(out, text);
}

/* The structure's bytes as numbers. */
static void add_bytes(struct bytes *out, const char *name, const unsigned char *data, size_t length)
{
    add(out, "\"%s\":[", name);
    for (size_t i = 0; i < length; i++)
        add(out, "%s%u", i == 0 ? "" : ",", data[i]);
    bytes_add_text(out, "],");
}

static void add_words(struct bytes *out, const unsigned char *data, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(out, "%s%lu", i == 0 ? "" : ",",
            data[4 * i] | (unsigned long)data[4 * i + 1] << 8 |
                (unsigned long)data[4 * i + 2] << 16 | (unsigned long)data[4 * i + 3] << 24);
}

static void add_vcpu_state(struct bytes *out, unsigned n,
                           const struct cloud_hypervisor_options *options)
{
    static const char *const names[] = {"function", "index", "flags", "eax", "ebx", "ecx", "edx"};
    struct kvm_guest guest;
    build_kvm_guest(&guest, n);
    add(out, "{\"%s\":{\"cpuid\":[", options->microsoft ? "Mshv" : "Kvm");
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 7; k++)
            add(out, "%s\"%s\":%u", k == 0 ? (i == 0 ? "{" : ",{") : ",", names[k],
                guest.cpuid[i][k]);
        bytes_add_text(out, "}");
    }
    bytes_add_text(out, "],\"msrs\":[");
    for (size_t i = 0; i < guest.msr_count; i++)
        add(out, "%s{\"index\":%u,\"data\":%llu}", i == 0 ? "" : ",", guest.msrs[i],
            (unsigned long long)guest_msr(n, guest.msrs[i]));
    bytes_add_text(out, "],");
    add_bytes(out, "vcpu_events", guest.bytes.events, sizeof(guest.bytes.events));
    add_bytes(out, "regs", guest.bytes.regs, sizeof(guest.bytes.regs));
    add_bytes(out, "sregs", guest.bytes.sregs, sizeof(guest.bytes.sregs));
    bytes_add_text(out, "\"fpu\":{\"fpr\":[[0]],\"fcw\":895},\"lapic_state\":{\"regs\":[");
    for (size_t i = 0; i < sizeof(guest.bytes.lapic); i++)
        add(out, "%s%d", i == 0 ? "" : ",", (int)(signed char)guest.bytes.lapic[i]);
    bytes_add_text(out, "]},\"xsave\":{\"region\":[");
    add_words(out, guest.bytes.xsave, 1024);
    bytes_add_text(out, "]");
    for (unsigned i = 0; i < options->extra; i++)
        bytes_add_text(out, i == 0 ? ",\"extra\":[0" : ",0");
    bytes_add_text(out, options->extra != 0 ? "]}," : "},");
    add_bytes(out, "xcrs", guest.bytes.xcrs, sizeof(guest.bytes.xcrs));
    add_bytes(out, "mp_state", guest.bytes.mp_state, sizeof(guest.bytes.mp_state));
    bytes_add_text(out, "\"tsc_khz\":2400000,\"nested_state\":null,\"hyperv_synic\":false}}");
}

/* The state of a part, as JSON in a string. */
static void add_data(struct bytes *out, const struct bytes *state, int byte_vectors)
{
    if (byte_vectors) {
        bytes_add_text(out, "\"snapshot_data\":[");
        for (size_t i = 0; i < state->length; i++)
            add(out, "%s%u", i == 0 ? "" : ",", state->data[i]);
        bytes_add_text(out, "]");
        return;
    }
    bytes_add_text(out, "\"snapshot_data\":{\"state\":\"");
    for (size_t i = 0; i < state->length; i++) {
        if (state->data[i] == '"')
            bytes_add_u8(out, '\\');
        bytes_add_u8(out, state->data[i]);
    }
    bytes_add_text(out, "\"}");
}

static void replace(struct bytes *state, const struct cloud_hypervisor_options *options)
{
    struct bytes changed = {0};
    bytes_add_u8(state, 0);
    const char *text = (const char *)state->data;
    const char *at = options->replace != NULL ? strstr(text, options->replace) : NULL;
    if (at == NULL) {
        state->length--;
        return;
    }
    bytes_add(&changed, text, (size_t)(at - text));
    bytes_add_text(&changed, options->with);
    bytes_add_text(&changed, at + strlen(options->replace));
    bytes_free(state);
    *state = changed;
}

static void add_memory_manager(struct bytes *out, const struct cloud_hypervisor_options *options)
{
    struct bytes state = {0};
    bytes_add_text(&state, "{\"memory_ranges\":{\"data\":[{\"gpa\":4294967296,\"length\":8192},"
                           "{\"gpa\":1048576,\"length\":4096},{\"gpa\":0,\"length\":4096}]},"
                           "\"guest_ram_mappings\":[],\"boot_ram\":134217728}");
    bytes_add_text(out, "\"memory-manager\":{\"snapshots\":{},");
    add_data(out, &state, options->byte_vectors);
    bytes_add_text(out, "}");
    bytes_free(&state);
}

void build_cloud_hypervisor(struct bytes *out, unsigned vcpus,
                            const struct cloud_hypervisor_options *options)
{
    if (options->in_vm)
        bytes_add_text(out, "{\"snapshots\":{\"vm\":");
    bytes_add_text(out, "{\"snapshots\":{\"cpu-manager\":{\"snapshots\":{");
    for (unsigned n = 0; n < vcpus; n++) {
        struct bytes state = {0};
        add_vcpu_state(&state, n, options);
        replace(&state, options);
        add(out, "%s\"%u\":{\"snapshots\":{},", n == 0 ? "" : ",", n);
        add_data(out, &state, options->byte_vectors);
        bytes_add_text(out, "}");
        bytes_free(&state);
    }
    bytes_add_text(out, "},\"snapshot_data\":null},");
    add_memory_manager(out, options);
    bytes_add_text(out, "},\"snapshot_data\":{\"state\":\"{}\"}}");
    if (options->in_vm)
        bytes_add_text(out, "},\"snapshot_data\":null}");
}
