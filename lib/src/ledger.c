/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <resume/ledger.h>

#include <stddef.h>

/* Every field: its name, and where in a handoff the wanted value lies; 0 bytes wide = no value. */
#define FIELD(field, name, member)                                                                 \
    [RESUME_LEDGER_##field] = {name, offsetof(struct resume_handoff, member), sizeof(uint64_t)}
#define SELECTOR(field, name)                                                                      \
    [RESUME_LEDGER_##field] = {name, offsetof(struct resume_handoff, selector[RESUME_##field]),    \
                               sizeof(uint16_t)}

static const struct {
    char name[8];
    uint16_t offset;
    uint16_t width;
} fields[RESUME_LEDGER_COUNT] = {
    FIELD(CR0, "cr0", modes_cr0), /* WP, TS and EM come with the landing */
    FIELD(CR2, "cr2", cr2),
    FIELD(CR3, "cr3", cr3),
    FIELD(CR4, "cr4", paging_cr4), /* CET likewise */
    FIELD(CR8, "cr8", cr8),
    FIELD(EFER, "efer", efer),
    FIELD(XCR0, "xcr0", xcr0),
    FIELD(DR0, "dr0", dr[0]),
    FIELD(DR1, "dr1", dr[1]),
    FIELD(DR2, "dr2", dr[2]),
    FIELD(DR3, "dr3", dr[3]),
    FIELD(DR6, "dr6", dr6),
    FIELD(DR7, "dr7", dr7),
    SELECTOR(ES, "es"),
    SELECTOR(CS, "cs"),
    SELECTOR(SS, "ss"),
    SELECTOR(DS, "ds"),
    SELECTOR(FS, "fs"),
    SELECTOR(GS, "gs"),
    SELECTOR(LDTR, "ldtr"),
    SELECTOR(TR, "tr"),
    FIELD(FS_BASE, "fs_base", fs_base),
    FIELD(GS_BASE, "gs_base", gs_base),
    [RESUME_LEDGER_XSAVE] = {"xsave", 0, 0},
};

const char *resume_ledger_name(uint32_t field)
{
    return field < RESUME_LEDGER_COUNT ? fields[field].name : NULL;
}

uint64_t resume_ledger_wanted(const struct resume_handoff *handoff, uint32_t field)
{
    const uint8_t *bytes = (const uint8_t *)handoff;
    uint64_t value = 0;

    if (field < RESUME_LEDGER_COUNT) {
        for (uint32_t i = fields[field].width; i-- > 0;) {
            value = value << 8 | bytes[fields[field].offset + i];
        }
    }
    return value;
}
