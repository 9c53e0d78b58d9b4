/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "state_records.h"

/*
 * The table serves as the wire layout too, so the structs may not drift: their sizes are those of
 * docs/FORMAT.md, which leaves no room for padding, and tests compare blobs with literal bytes.
 */
_Static_assert(sizeof(struct resume_regs) == RESUME_FORMAT_GPR_SIZE, "GPR record");
_Static_assert(sizeof(struct resume_segs) == RESUME_FORMAT_SEG_SIZE, "SEG record");
_Static_assert(sizeof(struct resume_ctrl) == RESUME_FORMAT_CTRL_SIZE, "CTRL record");
_Static_assert(sizeof(struct resume_debug) == RESUME_FORMAT_DEBUG_SIZE, "DEBUG record");
_Static_assert(sizeof(struct resume_run) == RESUME_FORMAT_RUN_SIZE, "RUN record");

#define FIELD(record, part, member, name, bit)                                                     \
    {                                                                                              \
#record, name, RESUME_FORMAT_TAG_##record, sizeof(((struct resume_vcpu *)0)->part.member), \
            offsetof(struct resume_vcpu, part.member), offsetof(struct resume_vcpu, part.valid),   \
            (bit)                                                                                  \
    }
#define GPR(name, number) FIELD(GPR, regs, gpr[number], name, number)
#define TABLE(name, number)                                                                        \
    FIELD(SEG, segs, seg[number].base, name ".base", number),                                      \
        FIELD(SEG, segs, seg[number].limit, name ".limit", number)
#define SEG(name, number)                                                                          \
    TABLE(name, number), FIELD(SEG, segs, seg[number].access, name ".access", number),             \
        FIELD(SEG, segs, seg[number].selector, name ".selector", number)
#define CTRL(member, bit) FIELD(CTRL, ctrl, member, #member, bit)
#define RUN(member, bit) FIELD(RUN, run, member, #member, bit)

static const struct resume_field fields[] = {
    GPR("rax", RESUME_RAX),
    GPR("rcx", RESUME_RCX),
    GPR("rdx", RESUME_RDX),
    GPR("rbx", RESUME_RBX),
    GPR("rsp", RESUME_RSP),
    GPR("rbp", RESUME_RBP),
    GPR("rsi", RESUME_RSI),
    GPR("rdi", RESUME_RDI),
    GPR("r8", RESUME_R8),
    GPR("r9", RESUME_R9),
    GPR("r10", RESUME_R10),
    GPR("r11", RESUME_R11),
    GPR("r12", RESUME_R12),
    GPR("r13", RESUME_R13),
    GPR("r14", RESUME_R14),
    GPR("r15", RESUME_R15),
    FIELD(GPR, regs, rip, "rip", 16),
    FIELD(GPR, regs, rflags, "rflags", 17),

    SEG("es", RESUME_ES),
    SEG("cs", RESUME_CS),
    SEG("ss", RESUME_SS),
    SEG("ds", RESUME_DS),
    SEG("fs", RESUME_FS),
    SEG("gs", RESUME_GS),
    SEG("ldtr", RESUME_LDTR),
    SEG("tr", RESUME_TR),
    TABLE("gdtr", RESUME_GDTR),
    TABLE("idtr", RESUME_IDTR),

    CTRL(cr0, 0),
    CTRL(cr2, 1),
    CTRL(cr3, 2),
    CTRL(cr4, 3),
    CTRL(cr8, 4),
    CTRL(efer, 5),
    CTRL(xcr0, 6),
    CTRL(xss, 7),
    CTRL(apic_base, 8),

    FIELD(DEBUG, debug, dr[0], "dr0", 0),
    FIELD(DEBUG, debug, dr[1], "dr1", 1),
    FIELD(DEBUG, debug, dr[2], "dr2", 2),
    FIELD(DEBUG, debug, dr[3], "dr3", 3),
    FIELD(DEBUG, debug, dr6, "dr6", 4),
    FIELD(DEBUG, debug, dr7, "dr7", 5),

    RUN(mp_state, 0),
    RUN(sipi_vector, 1),
    RUN(smm, 2),
    RUN(interrupt_shadow, 3),
    RUN(nmi_masked, 4),
    RUN(nmi_pending, 5),
    RUN(exception_vector, 6),
    RUN(interrupt_vector, 7),
    RUN(apic_id, 8),
    RUN(shadow_length, 9),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

/* Bits that minor version 0 of RUN had. */
#define RUN_FIRST_VALID UINT64_C(0xff)

#define RECORD_GROWN(record, part, mask, first_size, first_mask)                                   \
    {                                                                                              \
        RESUME_FORMAT_TAG_##record, RESUME_FORMAT_##record##_SIZE, (first_size),                   \
            offsetof(struct resume_vcpu, part), (mask), (first_mask)                               \
    }
#define RECORD(record, part, mask)                                                                 \
    RECORD_GROWN(record, part, mask, RESUME_FORMAT_##record##_SIZE, mask)
const struct resume_field_record resume_field_records[RESUME_FIELD_RECORD_COUNT] = {
    RECORD(GPR, regs, RESUME_REGS_ALL),
    RECORD(SEG, segs, RESUME_SEGS_ALL),
    RECORD(CTRL, ctrl, RESUME_CTRL_ALL),
    RECORD(DEBUG, debug, RESUME_DEBUG_ALL),
    RECORD_GROWN(RUN, run, RESUME_RUN_ALL, RESUME_FORMAT_RUN_SIZE_0, RUN_FIRST_VALID),
};

#define RULE(record, required)                                                                     \
    {                                                                                              \
        RESUME_FORMAT_TAG_##record, RESUME_FORMAT_RECORD_VERSION_1, (required), #record " record"  \
    }
static const struct resume_container_rule rules[] = {
    RULE(MACHINE, 1), RULE(MEMMAP, 1), RULE(GPR, 1), RULE(SEG, 1),   RULE(CTRL, 1),
    RULE(DEBUG, 1),   RULE(RUN, 1),    RULE(MSR, 1), RULE(XSAVE, 0),
};
#define RULE_COUNT (sizeof(rules) / sizeof(rules[0]))

const struct resume_container_kind resume_state_kind = {
    .magic = {'R', 'S', 'M', 'S', 'T', 'A', 'T', 'E'},
    .major = RESUME_FORMAT_STATE_MAJOR,
    .minor = RESUME_FORMAT_STATE_MINOR,
    .compatible = RESUME_FORMAT_STATE_COMPATIBLE,
    .rule_count = RULE_COUNT,
    .rules = rules,
};

const struct resume_field *resume_field_table(size_t *ret_count)
{
    *ret_count = FIELD_COUNT;
    return fields;
}

static bool same_name(const char *left, const char *right)
{
    size_t i = 0;

    while (left[i] == right[i] && left[i] != '\0') {
        i++;
    }
    return left[i] == right[i];
}

const struct resume_field *resume_field_find(const char *name)
{
    for (size_t i = 0; name != NULL && i < FIELD_COUNT; i++) {
        if (same_name(fields[i].name, name)) {
            return &fields[i];
        }
    }
    return NULL;
}

uint64_t resume_field_load_valid(const struct resume_vcpu *vcpu, uint32_t offset)
{
    uint64_t valid;

    memcpy(&valid, (const uint8_t *)vcpu + offset, sizeof(valid));
    return valid;
}

int resume_field_valid(const struct resume_vcpu *vcpu, const struct resume_field *field)
{
    return (int)((resume_field_load_valid(vcpu, field->valid_offset) >> field->valid_bit) & 1);
}

uint64_t resume_field_get(const struct resume_vcpu *vcpu, const struct resume_field *field)
{
    const uint8_t *from = (const uint8_t *)vcpu + field->offset;
    uint16_t half;
    uint32_t word;
    uint64_t value;

    switch (field->size) {
    case sizeof(half):
        memcpy(&half, from, sizeof(half));
        return half;
    case sizeof(word):
        memcpy(&word, from, sizeof(word));
        return word;
    default:
        memcpy(&value, from, sizeof(value));
        return value;
    }
}

void resume_field_set(struct resume_vcpu *vcpu, const struct resume_field *field, uint64_t value)
{
    uint8_t *to = (uint8_t *)vcpu + field->offset;
    uint64_t valid = resume_field_load_valid(vcpu, field->valid_offset);
    uint16_t half = (uint16_t)value;
    uint32_t word = (uint32_t)value;

    switch (field->size) {
    case sizeof(half):
        memcpy(to, &half, sizeof(half));
        break;
    case sizeof(word):
        memcpy(to, &word, sizeof(word));
        break;
    default:
        memcpy(to, &value, sizeof(value));
        break;
    }
    valid |= UINT64_C(1) << field->valid_bit;
    memcpy((uint8_t *)vcpu + field->valid_offset, &valid, sizeof(valid));
}

const char *resume_field_name(size_t offset)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].offset == offset) {
            return fields[i].name;
        }
    }
    return "field";
}

const char *resume_state_record_name(uint16_t tag)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (rules[i].tag == tag) {
            return rules[i].name;
        }
    }
    return "record";
}

int resume_run_check(const struct resume_vcpu *vcpu, uint32_t index, size_t offset,
                     struct resume_diag *diag)
{
    static const struct {
        uint32_t offset;
        uint32_t max;
        bool or_none; /* RESUME_NO_EVENT is a value too */
    } limits[] = {
        {offsetof(struct resume_vcpu, run.mp_state), RESUME_MP_UNINITIALIZED, false},
        {offsetof(struct resume_vcpu, run.sipi_vector), 255, false},
        {offsetof(struct resume_vcpu, run.smm), 1, false},
        {offsetof(struct resume_vcpu, run.interrupt_shadow), 3, false},
        {offsetof(struct resume_vcpu, run.nmi_masked), 1, false},
        {offsetof(struct resume_vcpu, run.nmi_pending), 1, false},
        {offsetof(struct resume_vcpu, run.exception_vector), 31, true},
        {offsetof(struct resume_vcpu, run.interrupt_vector), 255, true},
        {offsetof(struct resume_vcpu, run.apic_id), UINT32_MAX, false},
        {offsetof(struct resume_vcpu, run.shadow_length), 15, false},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        uint32_t value;

        memcpy(&value, (const uint8_t *)vcpu + limits[i].offset, sizeof(value));
        /* The limits are in the order of the validity bits. */
        if ((vcpu->run.valid >> i & 1) != 0 && value > limits[i].max &&
            !(limits[i].or_none && value == RESUME_NO_EVENT)) {
            return resume_fail(
                diag, RESUME_EREGISTER, resume_state_record_name(RESUME_FORMAT_TAG_RUN),
                resume_field_name(limits[i].offset), offset, value, limits[i].max, index);
        }
    }
    return RESUME_OK;
}

int resume_ranges_check(const struct resume_range *ranges, uint32_t count, size_t offset,
                        struct resume_diag *diag)
{
    const char *where = resume_state_record_name(RESUME_FORMAT_TAG_MEMMAP);
    uint64_t lowest = 0;

    for (uint32_t i = 0; i < count; i++) {
        size_t at = offset + (size_t)i * RESUME_FORMAT_RANGE_SIZE;
        uint64_t base_pa = ranges[i].base_pa;
        uint64_t length = ranges[i].length;

        if (base_pa < lowest || (base_pa & 0xfff) != 0) {
            return resume_fail(diag, RESUME_ECONSISTENT, where, "base", at, base_pa, lowest,
                               RESUME_NO_VCPU);
        }
        if (length == 0 || (length & 0xfff) != 0 || !resume_checked_add(base_pa, length, &lowest)) {
            return resume_fail(diag, RESUME_ECONSISTENT, where, "length",
                               at + RESUME_FORMAT_RANGE_LENGTH, length, 0, RESUME_NO_VCPU);
        }
    }
    return RESUME_OK;
}

int resume_name_check(const char name[RESUME_NAME_MAX])
{
    bool ended = false;

    for (int i = 0; i < RESUME_NAME_MAX; i++) {
        if (name[i] == '\0') {
            ended = true;
        } else if (ended || name[i] < ' ' || name[i] > '~') {
            return i;
        }
    }
    return ended ? -1 : RESUME_NAME_MAX - 1;
}
