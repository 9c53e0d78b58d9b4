/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "readback.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <resume/ledger.h>

#include "msr_name.h"

#define WHAT "read back"
#define WHERE "the resumed VM"
#define ADVICE                                                                                     \
    "the guest was not entered; the snapshot is as it was: resume it with the QEMU, the CPU "      \
    "model "                                                                                       \
    "and the accelerator of the source"
#define PREFIX_LENGTH 11u /* "libresume: ", which lines come without */

/* Little-endian load of 1 to 8 bytes. */
static uint64_t load(const uint8_t *data, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | data[bytes];
    return value;
}

/* An entry of a vCPU's list of MSRs, as it waits in the home. */
static bool msr_entry(const struct readback *readback, uint32_t vcpu, uint32_t field,
                      struct resume_msr *out)
{
    const struct splice_parked *parked = readback->parked;
    if (vcpu >= readback->vcpu_count || !readback->vcpu[vcpu].active ||
        field < RESUME_LEDGER_COUNT || field >= readback->vcpu[vcpu].wanted_count)
        return false;
    uint64_t at = RESUME_HOME_BLOCKS + (uint64_t)vcpu * parked->control.block_length +
                  RESUME_BLOCK_MSRS + (field - RESUME_LEDGER_COUNT) * sizeof(*out);
    if (at > parked->home_length || parked->home_length - at < sizeof(*out))
        return false;
    const uint8_t *entry = parked->home + at;
    out->index = (uint32_t)load(entry + offsetof(struct resume_msr, index), 4);
    out->flags = (uint32_t)load(entry + offsetof(struct resume_msr, flags), 4);
    out->value = load(entry + offsetof(struct resume_msr, value), 8);
    return true;
}

int readback_open(struct readback *out, const struct splice_parked *parked, bool heard,
                  struct report_failure *failure)
{
    memset(out, 0, sizeof(*out));
    uint32_t count = parked->control.vcpu_count;
    out->vcpu = calloc(count != 0 ? count : 1, sizeof(*out->vcpu));
    if (out->vcpu == NULL)
        return report_fail_memory(failure, WHAT);
    out->parked = parked;
    out->heard = heard;
    out->vcpu_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t msrs = parked->handoff[i].msr_count;
        out->vcpu[i].active = splice_parked_active(parked, i);
        out->vcpu[i].wanted_count =
            RESUME_LEDGER_COUNT + (msrs < RESUME_HANDOFF_MSRS ? msrs : RESUME_HANDOFF_MSRS);
    }
    return 0;
}

void readback_close(struct readback *readback)
{
    free(readback->vcpu);
    memset(readback, 0, sizeof(*readback));
}

/* ---- Reading ---------------------------------------------------------------------------------- */

/* The number behind "@name=", decimal, or hexadecimal with 0x. */
static bool number_of(const char *line, const char *name, uint64_t *ret)
{
    const char *at = strstr(line, name);
    if (at == NULL)
        return false;
    at += strlen(name);
    bool hex = at[0] == '0' && at[1] == 'x';
    at += hex ? 2 : 0;
    /* not what strtoull would pass over */
    if (strspn(at, hex ? "0123456789abcdefABCDEF" : "0123456789") == 0)
        return false;
    *ret = strtoull(at, NULL, hex ? 16 : 10);
    return true;
}

static void take_ledger(struct readback *readback, const char *line)
{
    uint64_t index;
    if (!number_of(line, " cpu=", &index) || index >= readback->vcpu_count)
        return; /* then the line of a vCPU is missing */
    struct readback_vcpu *vcpu = &readback->vcpu[index];
    size_t length = strlen(line);
    const size_t begin = RESUME_LEDGER_PREFIX - PREFIX_LENGTH;
    if (vcpu->came || !vcpu->active || length != begin + vcpu->wanted_count) {
        vcpu->bad = true;
        return;
    }
    static const char known[] = {RESUME_LEDGER_UNCHECKED, RESUME_LEDGER_EXACT,
                                 RESUME_LEDGER_REFUSED, RESUME_LEDGER_APPROXIMATE,
                                 RESUME_LEDGER_DIFFERENT};
    for (uint32_t i = 0; i < vcpu->wanted_count; i++) {
        vcpu->field[i] = line[begin + i];
        if (memchr(known, vcpu->field[i], sizeof(known)) == NULL)
            vcpu->bad = true;
    }
    vcpu->came = true;
}

void readback_take(void *ctx, const char *line)
{
    struct readback *readback = ctx;
    struct readback_difference *differs = &readback->differs;
    uint64_t vcpu;
    uint64_t field;
    if (strncmp(line, "ledger ", 7) == 0) {
        take_ledger(readback, line);
    } else if (strncmp(line, "differs ", 8) == 0 && !differs->came &&
               number_of(line, " cpu=", &vcpu) && number_of(line, " field=", &field) &&
               vcpu <= UINT32_MAX && field <= UINT32_MAX) {
        differs->told = number_of(line, " wanted=", &differs->wanted) &&
                        number_of(line, " got=", &differs->got);
        differs->vcpu = (uint32_t)vcpu;
        differs->field = (uint32_t)field;
        differs->came = true;
    }
}

/* ---- Judging ---------------------------------------------------------------------------------- */

char *readback_name(const struct readback *readback, uint32_t vcpu, uint32_t field, char *buffer)
{
    struct resume_msr entry;
    char name[MSR_NAME_MAX];
    const char *known = resume_ledger_name(field);
    if (known != NULL) {
        snprintf(buffer, READBACK_NAME_MAX, "%s", known);
    } else if (msr_entry(readback, vcpu, field, &entry)) {
        const char *text = msr_name(entry.index, name);
        snprintf(buffer, READBACK_NAME_MAX, "msr 0x%" PRIx32 "%s%s", entry.index,
                 text[0] != '\0' ? " " : "", text);
    } else {
        snprintf(buffer, READBACK_NAME_MAX, "field %" PRIu32, field);
    }
    return buffer;
}

bool readback_wanted(const struct readback *readback, uint32_t vcpu, uint32_t field,
                     uint64_t *ret_value)
{
    struct resume_msr entry;
    if (vcpu >= readback->vcpu_count || !readback->vcpu[vcpu].active ||
        field == RESUME_LEDGER_XSAVE)
        return false;
    if (field < RESUME_LEDGER_COUNT) {
        *ret_value = resume_ledger_wanted(&readback->parked->handoff[vcpu], field);
        return true;
    }
    if (!msr_entry(readback, vcpu, field, &entry))
        return false;
    *ret_value = entry.value;
    return true;
}

int readback_differs(const struct readback *readback, const struct readback_difference *differs,
                     struct report_failure *failure)
{
    char name[READBACK_NAME_MAX];
    if (!differs->told)
        return report_fail(
            failure, EXIT_CODE_DIFFERENT, WHAT, WHERE, ADVICE,
            "vCPU %" PRIu32 ": %s does not read back as restored; the firmware does not tell a "
            "sealed guest's registers",
            differs->vcpu, readback_name(readback, differs->vcpu, differs->field, name));
    /* Of the extended state, the trampoline tells how far it is as wanted. */
    if (differs->field == RESUME_LEDGER_XSAVE)
        return report_fail(failure, EXIT_CODE_DIFFERENT, WHAT, WHERE, ADVICE,
                           "vCPU %" PRIu32 ": the extended state does not read back as restored "
                           "at byte 0x%" PRIx64 " of the XSAVE image",
                           differs->vcpu, differs->got != 0 ? differs->got - 1 : 0);
    return report_fail(failure, EXIT_CODE_DIFFERENT, WHAT, WHERE, ADVICE,
                       "vCPU %" PRIu32 ": %s does not read back as restored: wanted 0x%" PRIx64
                       ", got 0x%" PRIx64,
                       differs->vcpu, readback_name(readback, differs->vcpu, differs->field, name),
                       differs->wanted, differs->got);
}

int readback_check(const struct readback *readback, struct report_failure *failure)
{
    char name[READBACK_NAME_MAX];
    if (readback->differs.came)
        return readback_differs(readback, &readback->differs, failure);
    for (uint32_t i = 0; readback->heard && i < readback->vcpu_count; i++) {
        const struct readback_vcpu *vcpu = &readback->vcpu[i];
        const char *found = memchr(vcpu->field, RESUME_LEDGER_DIFFERENT, vcpu->wanted_count);
        if (vcpu->active && found != NULL)
            return report_fail(failure, EXIT_CODE_DIFFERENT, WHAT, WHERE,
                               "the snapshot is as it was; report a defect",
                               "vCPU %" PRIu32 ": %s does not read back as restored", i,
                               readback_name(readback, i, (uint32_t)(found - vcpu->field), name));
        if (vcpu->active && (!vcpu->came || vcpu->bad))
            return report_fail(failure, EXIT_CODE_ENVIRONMENT, WHAT, WHERE,
                               "let nothing else in the command line write to port 0x402",
                               vcpu->came || vcpu->bad ? "the trampoline's ledger of vCPU %" PRIu32
                                                         " cannot be read"
                                                       : "the trampoline's ledger of vCPU %" PRIu32
                                                         " did not come on the debug console",
                               i);
    }
    return 0;
}

struct readback_counts readback_count(const struct readback *readback, uint32_t index)
{
    struct readback_counts counts = {0, 0, 0, 0, 0};
    const struct readback_vcpu *vcpu = &readback->vcpu[index];
    for (uint32_t i = 0; vcpu->came && i < vcpu->wanted_count; i++) {
        switch (vcpu->field[i]) {
        case RESUME_LEDGER_EXACT:
            counts.exact++;
            break;
        case RESUME_LEDGER_APPROXIMATE:
            counts.approximate++;
            break;
        case RESUME_LEDGER_REFUSED:
            counts.refused++;
            break;
        case RESUME_LEDGER_DIFFERENT:
            counts.different++;
            break;
        default:
            counts.unchecked++;
            break;
        }
    }
    return counts;
}
