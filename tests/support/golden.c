/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "golden.h"

#include <string.h>

#include "good_state.h"

#define VM UINT32_C(0xffffffff)

static size_t place(const struct blob *blob, const struct golden_put *put)
{
    return put->at + (put->tag != 0 ? blob_record(blob, put->tag, put->vcpu) : 0);
}

/* Write a number. */
static void set(struct blob *blob, const void *arg)
{
    const struct golden_put *put = arg;

    blob_put(blob, place(blob, put), put->size, put->value);
}

static void set_total(struct blob *blob, const void *arg)
{
    set(blob, arg);
    blob->keep_total = true;
}

static void set_crc(struct blob *blob, const void *arg)
{
    set(blob, arg);
    blob->keep_crc = true;
}

/* Take out the whole record. */
static void drop(struct blob *blob, const void *arg)
{
    size_t at = place(blob, arg);

    blob_remove(blob, at, blob_after(blob, at) - at);
}

static void drop_all(struct blob *blob, const void *arg)
{
    (void)arg;
    blob_remove(blob, 64, blob->length - 64);
}

/* Write the record a second time, behind itself. */
static void repeat(struct blob *blob, const void *arg)
{
    size_t at = place(blob, arg);
    size_t length = blob_after(blob, at) - at;

    blob_insert(blob, at + length, length);
    memcpy(blob->data + at + length, blob->data + at, length);
}

/* Exchange the record with the one behind it. */
static void swap(struct blob *blob, const void *arg)
{
    size_t first = place(blob, arg);
    size_t second = blob_after(blob, first);
    size_t length = blob_after(blob, second) - second;

    blob_insert(blob, first, length);
    memcpy(blob->data + first, blob->data + second + length, length);
    blob_remove(blob, second + length, length);
}

/* Lengthen (or, with a negative value, shorten) the record's payload and say so in its length. */
static void resize(struct blob *blob, const void *arg)
{
    const struct golden_put *put = arg;
    size_t at = place(blob, put);
    int64_t by = (int64_t)put->value;

    if (by < 0) {
        blob_remove(blob, blob_after(blob, at) - (size_t)-by, (size_t)-by);
    } else {
        blob_insert(blob, blob_after(blob, at), (size_t)by);
    }
    blob_put(blob, at + 12, 4, blob_get(blob, at + 12, 4) + put->value);
}

/* An XSAVE record of a prefix and @value components' worth of bytes, and no image. */
static void empty_xsave(struct blob *blob, const void *arg)
{
    const struct golden_put *put = arg;
    size_t at = blob_record(blob, 0x0106, 0);
    size_t length = 16 + 16 * (size_t)put->value;

    blob_remove(blob, at + 16 + length, blob->length - at - 16 - length);
    blob_put(blob, at + 12, 4, length);
    blob_put(blob, at + 16, 8, put->at);
    blob_put(blob, at + 24, 4, put->value);
    blob_put(blob, at + 28, 4, 0);
}

/* Append a record of 4 bytes: tag in the low half of the value, flags in the high half. */
static void append(struct blob *blob, const void *arg)
{
    const struct golden_put *put = arg;
    size_t at = blob->length;

    blob_insert(blob, at, 24);
    blob_put(blob, at, 2, put->value & 0xffff);
    blob_put(blob, at + 2, 2, 1);
    blob_put(blob, at + 4, 4, put->value >> 32);
    blob_put(blob, at + 8, 4, put->vcpu);
    blob_put(blob, at + 12, 4, 4);
    blob_put(blob, at + 16, 4, 0x12345678);
}

static void append_dirty_padding(struct blob *blob, const void *arg)
{
    append(blob, arg);
    blob_put(blob, blob->length - 1, 1, 0xff);
}

static void append_stray_bytes(struct blob *blob, const void *arg)
{
    (void)arg;
    blob_insert(blob, blob->length, 8);
}

/* After sealing nothing is left to cut, so what is cut says how long it was. */
static void cut(struct blob *blob, const void *arg)
{
    const struct golden_put *put = arg;
    size_t keep = put->value;

    blob_put(blob, 16, 8, blob->length);
    blob->keep_total = true;
    blob->length = keep <= blob->length ? keep : blob->length - 1;
}

static void add_trailing(struct blob *blob, const void *arg)
{
    (void)arg;
    blob_put(blob, 16, 8, blob->length);
    blob->keep_total = true;
    blob_insert(blob, blob->length, 8);
}

static void set_compatible(struct blob *blob, const void *arg)
{
    const struct golden_put *put = arg;

    blob_put(blob, 10, 2, put->value & 0xffff);
    blob_put(blob, 12, 2, put->value >> 32);
}

/*
 * A blob as minor version 2 might be: longer header, a longer record, more validity bits, and an
 * unknown record that may be skipped.
 */
static void later_minor(struct blob *blob, const void *arg)
{
    size_t at = blob_record(blob, 0x0102, 0);

    append(blob, arg);
    blob_insert(blob, blob_after(blob, at), 8);
    blob_put(blob, at + 12, 4, 88);
    blob_put(blob, at + 16, 8, blob_get(blob, at + 16, 8) | 0x200);
    blob_put(blob, at + 96, 8, 0xfeedfacecafebeef);
    blob_insert(blob, 64, 8);
    blob_put(blob, 64, 8, 0x0123456789abcdef);
    blob_put(blob, 14, 2, 72);
    blob_put(blob, 10, 2, 2);
}

/* A blob of minor version 0, whose RUN record ended before the APIC ID. */
static void first_minor(struct blob *blob, const void *arg)
{
    size_t at = blob_record(blob, 0x0104, 0);

    (void)arg;
    blob_remove(blob, at + 56, 8);
    blob_put(blob, at + 12, 4, 40);
    blob_put(blob, at + 16, 8, 0xff);
    blob_put(blob, 10, 2, 0);
}

/* The same with a number changed. */
static void first_minor_set(struct blob *blob, const void *arg)
{
    first_minor(blob, arg);
    set(blob, arg);
}

#define GOOD(name, base, mutation, ...)                                                            \
    {                                                                                              \
        "valid", name, base, mutation, __VA_ARGS__, RESUME_OK, NULL                                \
    }
#define BAD(name, base, mutation, err, field, ...)                                                 \
    {                                                                                              \
        "invalid", name, base, mutation, __VA_ARGS__, err, field                                   \
    }
/* clang-format off */
#define HEADER(at, size, value) {0, at, VM, size, value}
#define PUT(tag, at, size, value) {tag, at, (tag) < 0x100 ? VM : 0, size, value}
#define OF(tag) PUT(tag, 0, 0, 0)
#define NONE {0, 0, 0, 0, 0}

const struct golden_case golden_cases[] = {
    GOOD("minimal", "minimal", NULL, NONE),
    GOOD("user_mode", "full", NULL, NONE),
    GOOD("two_vcpus", "two", NULL, NONE),
    GOOD("unknown_optional", "full", append, {0, 0, 0, 0, 0x7fff}),
    GOOD("later_minor", "full", later_minor, {0, 0, 0, 0, 0x7fff}),
    GOOD("first_minor", "full", first_minor, NONE),
    GOOD("xsave_not_known", "full", empty_xsave, {0, 0, 0, 0, 0}),

    BAD("empty", "minimal", cut, RESUME_ETRUNC, "length", HEADER(0, 0, 0)),
    BAD("cut_in_magic", "minimal", cut, RESUME_ETRUNC, "length", HEADER(0, 0, 7)),
    BAD("cut_in_header", "minimal", cut, RESUME_ETRUNC, "length", HEADER(0, 0, 63)),
    BAD("cut_after_header", "minimal", cut, RESUME_ETRUNC, "total", HEADER(0, 0, 64)),
    BAD("cut_before_end", "minimal", cut, RESUME_ETRUNC, "total", HEADER(0, 0, UINT64_MAX)),
    BAD("trailing_bytes", "minimal", add_trailing, RESUME_ELENGTH, "total", NONE),
    BAD("magic", "minimal", set, RESUME_EMAGIC, "magic", HEADER(7, 1, 'F')),
    BAD("major_0", "minimal", set, RESUME_EVERSION, "major", HEADER(8, 2, 0)),
    BAD("major_2", "minimal", set, RESUME_EVERSION, "major", HEADER(8, 2, 2)),
    BAD("compatible_2", "minimal", set_compatible, RESUME_EVERSION, "compatible",
        HEADER(0, 0, UINT64_C(2) << 32 | 2)),
    BAD("compatible_above_minor", "minimal", set_compatible, RESUME_EVERSION, "compatible",
        HEADER(0, 0, UINT64_C(1) << 32)),
    BAD("header_length_0", "minimal", set, RESUME_ELENGTH, "length", HEADER(14, 2, 0)),
    BAD("header_length_56", "minimal", set, RESUME_ELENGTH, "length", HEADER(14, 2, 56)),
    BAD("header_length_72", "minimal", set, RESUME_ELENGTH, "length", HEADER(14, 2, 72)),
    BAD("header_length_max", "minimal", set, RESUME_ELENGTH, "length", HEADER(14, 2, 0xffff)),
    BAD("total_0", "minimal", set_total, RESUME_ELENGTH, "total", HEADER(16, 8, 0)),
    BAD("total_65", "minimal", set_total, RESUME_ELENGTH, "total", HEADER(16, 8, 65)),
    BAD("total_max", "minimal", set_total, RESUME_ELENGTH, "total", HEADER(16, 8, UINT64_MAX)),
    BAD("total_64", "minimal", set_total, RESUME_ELENGTH, "total", HEADER(16, 8, 64)),
    BAD("total_1_mib", "minimal", set_total, RESUME_ETRUNC, "total", HEADER(16, 8, 0x100000)),
    BAD("vcpus_0", "minimal", set, RESUME_ELENGTH, "vcpus", HEADER(24, 4, 0)),
    BAD("vcpus_4097", "minimal", set, RESUME_ELENGTH, "vcpus", HEADER(24, 4, 4097)),
    BAD("vcpus_more_than_records", "minimal", set, RESUME_EMISSING, "tag", HEADER(24, 4, 2)),
    BAD("vcpus_fewer_than_records", "two", set, RESUME_EORDER, "vcpu", HEADER(24, 4, 1)),
    BAD("header_flags", "minimal", set, RESUME_ERESERVED, "flags", HEADER(28, 4, 1)),
    BAD("header_reserved", "minimal", set, RESUME_ERESERVED, "reserved", HEADER(63, 1, 1)),
    BAD("crc", "minimal", set_crc, RESUME_ECRC, "crc", HEADER(32, 4, 0x12345678)),

    BAD("no_records", "minimal", drop_all, RESUME_EMISSING, "tag", NONE),
    BAD("record_header_cut", "minimal", append_stray_bytes, RESUME_ELENGTH, "header", NONE),
    BAD("record_length_beyond_end", "minimal", set, RESUME_ELENGTH, "length",
        PUT(0x0105, 12, 4, 17)),
    BAD("record_length_max", "minimal", set, RESUME_ELENGTH, "length",
        PUT(0x0100, 12, 4, 0xffffffff)),
    BAD("record_padding", "minimal", append_dirty_padding, RESUME_ERESERVED, "padding",
        {0, 0, 0, 0, 0x7fff}),
    BAD("record_flags", "minimal", set, RESUME_ERESERVED, "flags", PUT(0x0100, 4, 4, 3)),
    BAD("record_vcpu_too_high", "minimal", set, RESUME_EORDER, "vcpu", PUT(0x0100, 8, 4, 1)),
    BAD("record_of_vcpu_given_to_vm", "minimal", set, RESUME_EORDER, "vcpu",
        PUT(0x0100, 8, 4, VM)),
    BAD("record_of_vm_given_to_vcpu", "minimal", set, RESUME_EORDER, "vcpu", PUT(0x0002, 8, 4, 0)),
    BAD("record_after_later_vcpu", "two", set, RESUME_EORDER, "vcpu",
        {0x0106, 8, 1, 4, 0}),
    BAD("record_order", "minimal", swap, RESUME_EORDER, "tag", OF(0x0102)),
    BAD("record_twice", "minimal", repeat, RESUME_EDUPLICATE, "tag", OF(0x0103)),
    BAD("tag_0", "minimal", set, RESUME_ERESERVED, "tag", PUT(0x0001, 0, 2, 0)),
    BAD("unknown_mandatory", "minimal", append, RESUME_EMANDATORY, "tag",
        {0, 0, 0, 0, UINT64_C(1) << 32 | 0x7fff}),
    BAD("record_version_mandatory", "minimal", set, RESUME_EMANDATORY, "tag",
        PUT(0x0100, 2, 2, 2)),
    BAD("record_version_optional", "minimal", set, RESUME_EMISSING, "tag",
        PUT(0x0100, 2, 4, 2)),
    BAD("no_machine", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0001)),
    BAD("no_memmap", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0002)),
    BAD("no_gpr", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0100)),
    BAD("no_seg", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0101)),
    BAD("no_ctrl", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0102)),
    BAD("no_debug", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0103)),
    BAD("no_run", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0104)),
    BAD("no_msr", "minimal", drop, RESUME_EMISSING, "tag", OF(0x0105)),

    BAD("no_run_of_first_vcpu", "two", drop, RESUME_EMISSING, "tag", {0x0104, 0, 0, 0, 0}),

    BAD("machine_short", "minimal", resize, RESUME_ELENGTH, "length",
        PUT(0x0001, 0, 0, (uint64_t)-8)),
    BAD("machine_long", "minimal", resize, RESUME_ELENGTH, "length", PUT(0x0001, 0, 0, 8)),
    BAD("machine_valid", "minimal", set, RESUME_ERESERVED, "valid", PUT(0x0001, 16, 8, 0x10)),
    BAD("source_not_valid", "minimal", set, RESUME_ERESERVED, "source", PUT(0x0001, 24, 4, 1)),
    BAD("accel_not_valid", "minimal", set, RESUME_ERESERVED, "accel", PUT(0x0001, 28, 4, 1)),
    BAD("type_not_valid", "minimal", set, RESUME_ERESERVED, "type", PUT(0x0001, 32, 1, 'q')),
    BAD("producer_not_valid", "minimal", set, RESUME_ERESERVED, "producer",
        PUT(0x0001, 96, 1, 'q')),
    BAD("type_control_character", "full", set, RESUME_ERESERVED, "type", PUT(0x0001, 33, 1, 27)),
    BAD("type_first_character", "full", set, RESUME_ERESERVED, "type", PUT(0x0001, 32, 1, 127)),
    BAD("type_bytes_after_end", "full", set, RESUME_ERESERVED, "type", PUT(0x0001, 94, 1, 'q')),
    BAD("producer_not_terminated", "full", set, RESUME_ERESERVED, "producer",
        PUT(0x0001, 159, 1, 'q')),
    BAD("memmap_prefix_cut", "minimal", resize, RESUME_ELENGTH, "length",
        PUT(0x0002, 0, 0, (uint64_t)-16)),
    BAD("memmap_count_65", "full", set, RESUME_ELENGTH, "count", PUT(0x0002, 24, 4, 65)),
    BAD("memmap_count_short", "full", set, RESUME_ELENGTH, "length", PUT(0x0002, 24, 4, 1)),
    BAD("memmap_count_long", "full", set, RESUME_ELENGTH, "length", PUT(0x0002, 24, 4, 3)),
    BAD("memmap_reserved", "full", set, RESUME_ERESERVED, "reserved", PUT(0x0002, 28, 4, 1)),
    BAD("memmap_not_valid", "full", set, RESUME_ERESERVED, "count", PUT(0x0002, 16, 8, 0)),
    BAD("memmap_base_unaligned", "full", set, RESUME_ECONSISTENT, "base", PUT(0x0002, 32, 8, 1)),
    BAD("memmap_overlap", "full", set, RESUME_ECONSISTENT, "base",
        PUT(0x0002, 48, 8, 0x7ffff000)),
    BAD("memmap_length_0", "full", set, RESUME_ECONSISTENT, "length", PUT(0x0002, 40, 8, 0)),
    BAD("memmap_length_unaligned", "full", set, RESUME_ECONSISTENT, "length",
        PUT(0x0002, 40, 8, 0x1001)),
    BAD("memmap_wraps", "full", set, RESUME_ECONSISTENT, "length",
        PUT(0x0002, 56, 8, UINT64_C(0xffffffff00000000))),

    BAD("gpr_short", "minimal", resize, RESUME_ELENGTH, "length",
        PUT(0x0100, 0, 0, (uint64_t)-8)),
    BAD("gpr_long", "minimal", resize, RESUME_ELENGTH, "length", PUT(0x0100, 0, 0, 8)),
    BAD("gpr_valid", "minimal", set, RESUME_ERESERVED, "valid", PUT(0x0100, 16, 8, 0x40000)),
    BAD("rip_not_valid", "minimal", set, RESUME_ERESERVED, "rip", PUT(0x0100, 152, 8, 1)),
    BAD("seg_reserved", "full", set, RESUME_ERESERVED, "reserved", PUT(0x0101, 42, 1, 1)),
    BAD("gdtr_selector", "full", set, RESUME_ERESERVED, "reserved", PUT(0x0101, 232, 2, 8)),
    BAD("idtr_selector", "full", set, RESUME_ERESERVED, "reserved", PUT(0x0101, 256, 2, 8)),
    BAD("mp_state_4", "full", set, RESUME_EREGISTER, "mp_state", PUT(0x0104, 24, 4, 4)),
    BAD("sipi_vector_256", "full", set, RESUME_EREGISTER, "sipi_vector",
        PUT(0x0104, 28, 4, 256)),
    BAD("smm_2", "full", set, RESUME_EREGISTER, "smm", PUT(0x0104, 32, 4, 2)),
    BAD("interrupt_shadow_4", "full", set, RESUME_EREGISTER, "interrupt_shadow",
        PUT(0x0104, 36, 4, 4)),
    BAD("nmi_masked_2", "full", set, RESUME_EREGISTER, "nmi_masked", PUT(0x0104, 40, 4, 2)),
    BAD("nmi_pending_2", "full", set, RESUME_EREGISTER, "nmi_pending", PUT(0x0104, 44, 4, 2)),
    BAD("exception_vector_32", "full", set, RESUME_EREGISTER, "exception_vector",
        PUT(0x0104, 48, 4, 32)),
    BAD("interrupt_vector_256", "full", set, RESUME_EREGISTER, "interrupt_vector",
        PUT(0x0104, 52, 4, 256)),
    BAD("shadow_length_16", "full", set, RESUME_EREGISTER, "shadow_length",
        PUT(0x0104, 60, 4, 16)),
    BAD("run_short", "full", resize, RESUME_ELENGTH, "length", PUT(0x0104, 0, 0, (uint64_t)-8)),
    BAD("run_long", "full", resize, RESUME_ELENGTH, "length", PUT(0x0104, 0, 0, 8)),
    BAD("run_valid", "full", set, RESUME_ERESERVED, "valid", PUT(0x0104, 16, 8, 0x7ff)),
    BAD("apic_id_not_valid", "minimal", set, RESUME_ERESERVED, "apic_id",
        PUT(0x0104, 56, 4, 1)),
    BAD("first_minor_run_long", "full", set, RESUME_ELENGTH, "length", HEADER(10, 2, 0)),
    BAD("first_minor_run_valid", "full", first_minor_set, RESUME_ERESERVED, "valid",
        PUT(0x0104, 16, 8, 0x1ff)),
    BAD("msr_prefix_cut", "minimal", resize, RESUME_ELENGTH, "length",
        PUT(0x0105, 0, 0, (uint64_t)-16)),
    BAD("msr_count_257", "full", set, RESUME_ELENGTH, "count", PUT(0x0105, 24, 4, 257)),
    BAD("msr_twice", "full", set, RESUME_EDUPLICATE, "index", PUT(0x0105, 48, 4, 0x10)),
    BAD("msr_order", "full", set, RESUME_EORDER, "index", PUT(0x0105, 48, 4, 0x0f)),
    BAD("msr_flags", "full", set, RESUME_ERESERVED, "flags", PUT(0x0105, 36, 4, 3)),
    BAD("xsave_prefix_cut", "full", resize, RESUME_ELENGTH, "length",
        PUT(0x0106, 0, 0, (uint64_t)-864)),
    BAD("xsave_not_valid", "full", set, RESUME_ERESERVED, "image length", PUT(0x0106, 16, 8, 0)),
    BAD("xsave_valid_without_image", "full", empty_xsave, RESUME_ELENGTH, "image length",
        {0, 1, 0, 0, 0}),
    BAD("xsave_components_without_image", "full", empty_xsave, RESUME_ERESERVED, "image length",
        {0, 0, 0, 0, 1}),
    BAD("xsave_components_17", "full", set, RESUME_ELENGTH, "components",
        PUT(0x0106, 24, 4, 17)),
    BAD("xsave_components_0", "full", set, RESUME_ELENGTH, "length", PUT(0x0106, 24, 4, 0)),
    BAD("xsave_image_0", "full", set, RESUME_ELENGTH, "length", PUT(0x0106, 28, 4, 0)),
    BAD("xsave_image_575", "full", set, RESUME_ELENGTH, "image length", PUT(0x0106, 28, 4, 575)),
    BAD("xsave_image_16385", "full", set, RESUME_ELENGTH, "image length",
        PUT(0x0106, 28, 4, 16385)),
    BAD("xsave_image_max", "full", set, RESUME_ELENGTH, "image length",
        PUT(0x0106, 28, 4, 0xffffffff)),
    BAD("xsave_component_reserved", "full", set, RESUME_ERESERVED, "reserved",
        PUT(0x0106, 44, 4, 1)),
};
/* clang-format on */
const size_t golden_case_count = sizeof(golden_cases) / sizeof(golden_cases[0]);

void golden_build(const struct golden_case *golden, struct blob *blob)
{
    static struct good_state good;
    struct resume_vcpu vcpus[2];
    bool minimal = strcmp(golden->base, "minimal") == 0;

    good_state_fill(&good);
    if (minimal) {
        memset(&good, 0, sizeof(good));
    }
    vcpus[0] = good.vcpu;
    vcpus[1] = good.vcpu;
    /* The second vCPU is still to be told apart, and waits to be started. */
    vcpus[1].regs.gpr[RESUME_RAX] = 1;
    vcpus[1].run.mp_state = RESUME_MP_WAIT_SIPI;
    vcpus[1].run.apic_id = 0x106;
    blob_build(blob, &good.machine, vcpus, strcmp(golden->base, "two") == 0 ? 2 : 1,
               golden->mutation, &golden->put);
}

int golden_read(const void *data, size_t length, struct resume_diag *diag)
{
    static const struct resume_state no_state;
    static const struct resume_machine no_machine;
    static const struct resume_vcpu no_vcpu;
    struct resume_state state = no_state;
    struct resume_machine machine = no_machine;
    struct resume_vcpu vcpu = no_vcpu;
    int err = resume_state_open(data, length, &state, diag);

    /* What fails leaves its output alone. */
    if (err != RESUME_OK) {
        return memcmp(&state, &no_state, sizeof(state)) == 0 ? err : GOLDEN_TOUCHED;
    }
    err = resume_state_machine(&state, &machine, diag);
    if (err != RESUME_OK) {
        return memcmp(&machine, &no_machine, sizeof(machine)) == 0 ? err : GOLDEN_TOUCHED;
    }
    for (uint32_t i = 0; err == RESUME_OK && i < state.vcpu_count; i++) {
        vcpu = no_vcpu;
        err = resume_state_vcpu(&state, i, &vcpu, diag);
    }
    if (err != RESUME_OK && memcmp(&vcpu, &no_vcpu, sizeof(vcpu)) != 0) {
        return GOLDEN_TOUCHED;
    }
    return err;
}
