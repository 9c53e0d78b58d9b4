/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A listing is names with values behind them: "RAX=0000000000000001", "R8 =...", "CS =0033 base limit flags".
 * Names of MSRs are those that modified QEMUs print: "MSR c0000080 ...", "MSR_STAR=...", "LSTAR=...".
 */
#include "registers_text.h"

#include <string.h>

#include "record.h"

#define NAME_LENGTH 24u
#define VALUES_MAX 8u

#define EFER_LMA (UINT64_C(1) << 10)

/* Legacy region of the XSAVE image. */
#define FCW 0u
#define FSW 2u
#define FTW 4u
#define MXCSR 24u
#define ST 32u
#define XMM 160u
#define XSTATE_BV 512u
#define AVX 576u
#define OPMASK 1088u
#define ZMM_HIGH 1152u
#define HIGH_ZMM 1664u
#define HIGH_ZMM_END 2688u

struct listing {
    const char *at;
    const char *end;
    const char *begin;
    uint64_t offset;
    const char *where;
    struct resume_vcpu *out;
    uint8_t *area;
    struct resume_import_error *error;
    int ret;
    uint8_t digits[RESUME_SEG_COUNT]; /* of each base */
    uint32_t controls;                /* FCW, FSW, FTW, MXCSR, as bits 0 to 3 */
    uint32_t x87;                     /* a bit for each register that was there */
    uint32_t vector;                  /* likewise */
    uint32_t vector_quads;            /* of each; 2, 4 or 8 */
    uint32_t opmask;
    uint64_t fpr[8][2]; /* by number of the physical register */
};

/* A name, and the values behind it. */
struct entry {
    const char *at;
    char name[NAME_LENGTH];
    size_t count;
    uint64_t value[VALUES_MAX];
    uint8_t digits[VALUES_MAX];
};

static void fail(struct listing *listing, int code, const struct entry *entry, const char *what)
{
    if (listing->ret == 0)
        listing->ret = import_fail(listing->error, code,
                                   listing->offset + (uint64_t)(entry->at - listing->begin),
                                   listing->where, "", "%s: %s", entry->name, what);
}

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int is_name(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c == '#';
}

/* A hexadecimal number that ends at a space; returns where it ends, or NULL. */
static const char *read_number(const char *at, const char *end, uint64_t *value, uint8_t *digits)
{
    uint64_t sum = 0;
    unsigned count = 0;
    if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
        at += 2;
    while (at < end && digit_of(*at) >= 0 && count < 17) {
        sum = sum << 4 | (uint64_t)digit_of(*at++);
        count++;
    }
    if (count == 0 || count > 16 || (at < end && !is_space(*at) && *at != '\n'))
        return NULL;
    *value = sum;
    *digits = (uint8_t)count;
    return at;
}

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* A name and "=" at the reading position, with blanks between them. */
static int read_name(struct listing *listing, struct entry *entry)
{
    const char *at = listing->at;
    size_t length = 0;
    while (at < listing->end && is_name(*at)) {
        if (length < NAME_LENGTH - 1)
            entry->name[length] = *at;
        length++;
        at++;
    }
    if (length == 0 || length > NAME_LENGTH - 1)
        return 0;
    entry->name[length] = 0;
    entry->at = listing->at;
    at = skip_spaces(at, listing->end);
    if (at == listing->end || *at != '=')
        return 0;
    listing->at = at + 1;
    return 1;
}

static void read_values(struct listing *listing, struct entry *entry)
{
    entry->count = 0;
    while (entry->count < VALUES_MAX) {
        const char *at = skip_spaces(listing->at, listing->end);
        uint64_t value = 0;
        uint8_t digits = 0;
        at = at < listing->end ? read_number(at, listing->end, &value, &digits) : NULL;
        if (at == NULL)
            return;
        /* The next name may look like a number: it is followed by "=". */
        const char *next = skip_spaces(at, listing->end);
        if (next < listing->end && *next == '=')
            return;
        entry->value[entry->count] = value;
        entry->digits[entry->count++] = digits;
        listing->at = at;
    }
}

static void set_field(struct listing *listing, const struct entry *entry, const char *name)
{
    const struct resume_field *field = resume_field_find(name);
    if (entry->count == 0)
        return;
    if (resume_field_valid(listing->out, field) &&
        resume_field_get(listing->out, field) != entry->value[0])
        fail(listing, RESUME_EDUPLICATE, entry, "it is there twice");
    resume_field_set(listing->out, field, entry->value[0]);
}

struct known {
    char name[8];
    char field[8];
};

static int take_field(struct listing *listing, const struct entry *entry)
{
    static const struct known fields[] = {
        {"RAX", "rax"},   {"RBX", "rbx"}, {"RCX", "rcx"},    {"RDX", "rdx"}, {"RSI", "rsi"},
        {"RDI", "rdi"},   {"RBP", "rbp"}, {"RSP", "rsp"},    {"R8", "r8"},   {"R9", "r9"},
        {"R10", "r10"},   {"R11", "r11"}, {"R12", "r12"},    {"R13", "r13"}, {"R14", "r14"},
        {"R15", "r15"},   {"RIP", "rip"}, {"RFL", "rflags"}, {"EAX", "rax"}, {"EBX", "rbx"},
        {"ECX", "rcx"},   {"EDX", "rdx"}, {"ESI", "rsi"},    {"EDI", "rdi"}, {"EBP", "rbp"},
        {"ESP", "rsp"},   {"EIP", "rip"}, {"EFL", "rflags"}, {"CR0", "cr0"}, {"CR2", "cr2"},
        {"CR3", "cr3"},   {"CR4", "cr4"}, {"CR8", "cr8"},    {"DR0", "dr0"}, {"DR1", "dr1"},
        {"DR2", "dr2"},   {"DR3", "dr3"}, {"DR6", "dr6"},    {"DR7", "dr7"}, {"EFER", "efer"},
        {"XCR0", "xcr0"}, {"XSS", "xss"}, {"SMM", "smm"},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(entry->name, fields[i].name) == 0) {
            set_field(listing, entry, fields[i].field);
            return 1;
        }
    }
    return 0;
}

static void take_run(struct listing *listing, const struct entry *entry)
{
    struct resume_run *run = &listing->out->run;
    if (entry->count == 0)
        return;
    if (strcmp(entry->name, "HLT") == 0) {
        run->mp_state = entry->value[0] != 0 ? RESUME_MP_HALTED : RESUME_MP_RUNNING;
        run->valid |= RESUME_RUN_MP_STATE;
    } else {
        /* After which instruction, it does not say. */
        run->interrupt_shadow = entry->value[0] != 0 ? 3 : 0;
        run->valid |= RESUME_RUN_SHADOW;
    }
}

/* "CS =0033 base limit flags ..."; "GDT=     base limit". */
static int take_segment(struct listing *listing, const struct entry *entry)
{
    static const char names[RESUME_SEG_COUNT][4] = {"ES", "CS",  "SS", "DS",  "FS",
                                                    "GS", "LDT", "TR", "GDT", "IDT"};
    unsigned number = 0;
    while (number < RESUME_SEG_COUNT && strcmp(entry->name, names[number]) != 0)
        number++;
    if (number == RESUME_SEG_COUNT)
        return 0;
    size_t table = number >= RESUME_GDTR;
    struct resume_segment segment = {0};
    if (entry->count < 4 - 2 * table)
        return 1;
    const uint64_t *value = entry->value + (1 - table);
    if ((!table && entry->value[0] > UINT16_MAX) || value[1] > UINT32_MAX ||
        (!table && value[2] > UINT32_MAX)) {
        fail(listing, RESUME_EREGISTER, entry, "a value does not fit");
        return 1;
    }
    segment.base = value[0];
    segment.limit = (uint32_t)value[1];
    if (!table) {
        segment.selector = (uint16_t)entry->value[0];
        segment.access = import_access((uint32_t)value[2]);
    }
    if ((listing->out->segs.valid >> number & 1) != 0)
        fail(listing, RESUME_EDUPLICATE, entry, "it is there twice");
    listing->out->segs.seg[number] = segment;
    listing->out->segs.valid |= UINT64_C(1) << number;
    listing->digits[number] = entry->digits[1 - table];
    return 1;
}

/* The two digits, or one, at the end of a name. Returns -1 when there is something else. */
static int number_of(const char *name, size_t prefix)
{
    const char *at = name + prefix;
    int number = 0;
    if (*at == 0 || strlen(at) > 2)
        return -1;
    for (; *at != 0; at++) {
        if (*at < '0' || *at > '9')
            return -1;
        number = number * 10 + (*at - '0');
    }
    return number;
}

static void take_vector(struct listing *listing, const struct entry *entry, int number)
{
    /* The highest quadword comes first. */
    uint8_t *area = listing->area;
    size_t quads = entry->name[0] == 'X' ? 2 : entry->name[0] == 'Y' ? 4 : 8;
    if (entry->count < quads || number < 0 || number > (quads == 8 ? 31 : 15))
        return;
    size_t n = (size_t)number;
    for (size_t i = 0; i < quads; i++) {
        uint64_t value = entry->value[quads - 1 - i];
        if (n >= 16)
            import_put_le64(area + HIGH_ZMM + (n - 16) * 64 + i * 8, value);
        else if (i < 2)
            import_put_le64(area + XMM + n * 16 + i * 8, value);
        else if (i < 4)
            import_put_le64(area + AVX + n * 16 + (i - 2) * 8, value);
        else
            import_put_le64(area + ZMM_HIGH + n * 32 + (i - 4) * 8, value);
    }
    listing->vector |= UINT32_C(1) << n;
    if (listing->vector_quads < quads)
        listing->vector_quads = (uint32_t)quads;
}

static int take_extended(struct listing *listing, const struct entry *entry)
{
    static const struct {
        char name[8];
        uint8_t offset;
        uint8_t size;
    } controls[] = {{"FCW", FCW, 2}, {"FSW", FSW, 2}, {"FTW", FTW, 1}, {"MXCSR", MXCSR, 4}};
    const char *name = entry->name;
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        if (strcmp(name, controls[i].name) != 0 || entry->count == 0)
            continue;
        if (entry->value[0] >> (8 * controls[i].size) != 0)
            fail(listing, RESUME_EREGISTER, entry, "the value does not fit");
        for (size_t k = 0; k < controls[i].size; k++)
            listing->area[controls[i].offset + k] = (uint8_t)(entry->value[0] >> (8 * k));
        listing->controls |= UINT32_C(1) << i;
        return 1;
    }
    if (strncmp(name, "FPR", 3) == 0) {
        int number = number_of(name, 3);
        if (number >= 0 && number < 8 && entry->count >= 2 && entry->value[1] <= UINT16_MAX) {
            listing->fpr[number][0] = entry->value[0];
            listing->fpr[number][1] = entry->value[1];
            listing->x87 |= UINT32_C(1) << number;
        }
        return 1;
    }
    if (strncmp(name, "XMM", 3) == 0 || strncmp(name, "YMM", 3) == 0 ||
        strncmp(name, "ZMM", 3) == 0) {
        take_vector(listing, entry, number_of(name, 3));
        return 1;
    }
    if (strncmp(name, "Opmask", 6) == 0) {
        int number = number_of(name, 6);
        if (number >= 0 && number < 8 && entry->count >= 1) {
            import_put_le64(listing->area + OPMASK + (size_t)number * 8, entry->value[0]);
            listing->opmask |= UINT32_C(1) << number;
        }
        return 1;
    }
    return 0;
}

static void add_msr(struct listing *listing, const struct entry *entry, uint32_t index,
                    uint64_t value)
{
    const uint64_t *known = resume_vcpu_msr(listing->out, index);
    if (known != NULL && *known == value)
        return;
    int ret = import_msr(listing->out, index, value);
    if (ret == RESUME_EDUPLICATE)
        fail(listing, ret, entry, "this MSR is there with two values");
    else if (ret != 0)
        fail(listing, RESUME_EUNSUPPORTED, entry, "there are more MSRs than a record has room for");
}

static int take_msr(struct listing *listing, const struct entry *entry)
{
    static const struct {
        char name[16];
        uint32_t index;
    } msrs[] = {
        {"STAR", RESUME_MSR_STAR},
        {"LSTAR", RESUME_MSR_LSTAR},
        {"CSTAR", RESUME_MSR_CSTAR},
        {"FMASK", RESUME_MSR_FMASK},
        {"SFMASK", RESUME_MSR_FMASK},
        {"SYSCALL_MASK", RESUME_MSR_FMASK},
        {"SF_MASK", RESUME_MSR_FMASK},
        {"KERNEL_GS_BASE", RESUME_MSR_KERNEL_GS_BASE},
        {"KERNELGSBASE", RESUME_MSR_KERNEL_GS_BASE},
        {"SYSENTER_CS", RESUME_MSR_SYSENTER_CS},
        {"SYSENTER_ESP", RESUME_MSR_SYSENTER_ESP},
        {"SYSENTER_EIP", RESUME_MSR_SYSENTER_EIP},
        {"PAT", RESUME_MSR_PAT},
        {"CR_PAT", RESUME_MSR_PAT},
        {"TSC", RESUME_MSR_TSC},
        {"TSC_AUX", RESUME_MSR_TSC_AUX},
        {"EFER", RESUME_MSR_EFER},
        {"APIC_BASE", RESUME_MSR_APIC_BASE},
        {"APICBASE", RESUME_MSR_APIC_BASE},
        {"XSS", RESUME_MSR_XSS},
        {"FS_BASE", RESUME_MSR_FS_BASE},
        {"GS_BASE", RESUME_MSR_GS_BASE},
    };
    const char *name = entry->name;
    if (strncmp(name, "MSR_", 4) == 0)
        name += 4;
    else if (strcmp(name, "TSC") == 0)
        return 0;
    if (strncmp(name, "IA32_", 5) == 0)
        name += 5;
    for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]) && entry->count != 0; i++) {
        if (strcmp(name, msrs[i].name) == 0) {
            add_msr(listing, entry, msrs[i].index, entry->value[0]);
            return 1;
        }
    }
    return 0;
}

/* "MSR c0000080 0000000000000d01", also with ":" or "=" between the two, also "MSR[...]". */
static int read_numbered_msr(struct listing *listing)
{
    struct entry entry = {.at = listing->at, .name = "MSR"};
    const char *end = listing->end;
    const char *at = listing->at;
    uint64_t value[2];
    if (end - at < 5 || memcmp(at, "MSR", 3) != 0 || (at[3] != ' ' && at[3] != '['))
        return 0;
    at += 4;
    for (unsigned i = 0; i < 2; i++) {
        unsigned digits = 0;
        while (at < end && (is_space(*at) || *at == ':' || *at == '=' || *at == ']'))
            at++;
        if (end - at > 2 && at[0] == '0' && (at[1] | 0x20) == 'x')
            at += 2;
        value[i] = 0;
        for (; at < end && digit_of(*at) >= 0 && digits < 17; digits++)
            value[i] = value[i] << 4 | (uint64_t)digit_of(*at++);
        if (digits == 0 || digits > 16)
            return 0;
    }
    listing->at = at;
    if (value[0] <= UINT32_MAX)
        add_msr(listing, &entry, (uint32_t)value[0], value[1]);
    return 1;
}

static void read_entries(struct listing *listing)
{
    while (listing->at < listing->end && listing->ret == 0) {
        struct entry entry;
        const char *before = listing->at;
        if (!is_name(*listing->at)) {
            listing->at++;
            continue;
        }
        if (read_numbered_msr(listing))
            continue;
        if (!read_name(listing, &entry)) {
            /* A word without a value. */
            listing->at = before;
            while (listing->at < listing->end && is_name(*listing->at))
                listing->at++;
            continue;
        }
        read_values(listing, &entry);
        if (strcmp(entry.name, "HLT") == 0 || strcmp(entry.name, "II") == 0)
            take_run(listing, &entry);
        else if (!take_field(listing, &entry) && !take_segment(listing, &entry) &&
                 !take_extended(listing, &entry))
            take_msr(listing, &entry);
    }
}

/*
 * Outside 64-bit code, bases are printed with 8 digits; in long mode that may be half of them. With
 * 8 digits in other modes, they are whole.
 */
static void drop_halves(struct listing *listing)
{
    struct resume_segs *segs = &listing->out->segs;
    const struct resume_ctrl *ctrl = &listing->out->ctrl;
    int long_mode = (ctrl->valid & RESUME_CTRL_EFER) == 0 || (ctrl->efer & EFER_LMA) != 0;
    static const uint8_t wide[] = {RESUME_FS, RESUME_GS,   RESUME_LDTR,
                                   RESUME_TR, RESUME_GDTR, RESUME_IDTR};
    for (size_t i = 0; i < sizeof(wide) && long_mode; i++) {
        uint64_t bit = UINT64_C(1) << wide[i];
        if ((segs->valid & bit) != 0 && listing->digits[wide[i]] < 16) {
            memset(&segs->seg[wide[i]], 0, sizeof(segs->seg[0]));
            segs->valid &= ~bit;
        }
    }
}

static void check_narrow_fields(struct listing *listing)
{
    const struct entry entry = {.at = listing->begin, .name = "SMM"};
    if (listing->out->run.smm > 1)
        fail(listing, RESUME_EREGISTER, &entry, "the value does not fit");
}

/*
 * The image: x87 registers are listed by their physical numbers, and lie there in stack order. It is
 * made only when all of a part is listed. The order is that of TCG; under KVM, QEMU lists them from the
 * top of the stack, which makes no difference as long as TOP is 0, and the listing does not tell.
 */
static void build_xsave(struct listing *listing)
{
    struct resume_xsave *xsave = &listing->out->xsave;
    uint8_t *area = listing->area;
    uint64_t in_use = 3;
    /* Outside 64-bit code, half of the vector registers are not listed. */
    if (listing->controls != 0xf || listing->x87 != 0xff || (listing->vector & 0xffff) != 0xffff)
        return;
    unsigned top = import_le16(area + FSW) >> 11 & 7;
    for (unsigned i = 0; i < 8; i++) {
        import_put_le64(area + ST + i * 16, listing->fpr[(top + i) & 7][0]);
        import_put_le16(area + ST + i * 16 + 8, (uint16_t)listing->fpr[(top + i) & 7][1]);
    }
    xsave->area = area;
    xsave->length = RESUME_XSAVE_MIN;
    if (listing->vector_quads >= 4)
        in_use |= 4;
    if (listing->vector_quads == 8 && listing->vector == UINT32_MAX && listing->opmask == 0xff)
        in_use |= 0xe0;
    import_xsave_components(xsave, in_use, HIGH_ZMM_END, NULL, 0);
    import_put_le64(area + XSTATE_BV, in_use);
}

int registers_text_decode(const char *text, size_t length, uint64_t offset, const char *where,
                          uint8_t area[RESUME_XSAVE_MAX], struct resume_vcpu *out,
                          struct resume_import_error *error)
{
    struct listing listing = {.at = text,
                              .end = text + length,
                              .begin = text,
                              .offset = offset,
                              .where = where,
                              .out = out,
                              .area = area,
                              .error = error};
    memset(area, 0, RESUME_XSAVE_MAX);
    read_entries(&listing);
    if (listing.ret != 0)
        return listing.ret;
    if ((out->regs.valid & RESUME_REGS_RIP) == 0)
        return import_fail(error, RESUME_EMISSING, offset, where, "is the listing complete?",
                           "there is no RIP or EIP");
    check_narrow_fields(&listing);
    drop_halves(&listing);
    build_xsave(&listing);
    return listing.ret;
}
