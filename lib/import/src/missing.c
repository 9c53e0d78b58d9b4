/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <stddef.h>

#include <resume/import.h>

#define CR4_OSXSAVE (UINT64_C(1) << 18)

/* Fields without which a resume would go on with guesses; resume_vcpu_validate asks for them too. */
static const struct {
    size_t valid_offset;
    uint64_t required;
} needs[] = {
    {offsetof(struct resume_vcpu, regs.valid), RESUME_REGS_ALL},
    {offsetof(struct resume_vcpu, segs.valid), RESUME_SEGS_ALL},
    {offsetof(struct resume_vcpu, ctrl.valid), RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 |
                                                   RESUME_CTRL_CR4 | RESUME_CTRL_CR8 |
                                                   RESUME_CTRL_EFER},
    {offsetof(struct resume_vcpu, debug.valid), RESUME_DEBUG_ALL},
};

static const struct {
    uint32_t index;
    const char *name;
} msrs[] = {
    {RESUME_MSR_SYSENTER_CS, "sysenter_cs"},
    {RESUME_MSR_SYSENTER_ESP, "sysenter_esp"},
    {RESUME_MSR_SYSENTER_EIP, "sysenter_eip"},
    {RESUME_MSR_PAT, "pat"},
    {RESUME_MSR_STAR, "star"},
    {RESUME_MSR_LSTAR, "lstar"},
    {RESUME_MSR_CSTAR, "cstar"},
    {RESUME_MSR_FMASK, "fmask"},
    {RESUME_MSR_KERNEL_GS_BASE, "kernel_gs_base"},
};

struct names {
    const char **out;
    size_t capacity;
    size_t count;
};

static void put(struct names *names, const char *name)
{
    if (names->count < names->capacity)
        names->out[names->count] = name;
    names->count++;
}

static int required(const struct resume_field *field)
{
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        if (needs[i].valid_offset == field->valid_offset)
            return (needs[i].required >> field->valid_bit & 1) != 0;
    }
    return 0;
}

size_t resume_import_missing(const struct resume_vcpu *vcpu, const char **out, size_t capacity)
{
    struct names names = {.out = out, .capacity = capacity};
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    if (resume_vcpu_dormant(vcpu))
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (required(&table[i]) && !resume_field_valid(vcpu, &table[i]))
            put(&names, table[i].name);
    }
    if ((vcpu->ctrl.cr4 & CR4_OSXSAVE) != 0 && (vcpu->ctrl.valid & RESUME_CTRL_XCR0) == 0)
        put(&names, "xcr0");
    for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        if (resume_vcpu_msr(vcpu, msrs[i].index) == NULL)
            put(&names, msrs[i].name);
    }
    if (vcpu->xsave.length == 0)
        put(&names, "xsave");
    return names.count;
}
