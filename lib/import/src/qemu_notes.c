/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Layout of notes: ELF specification, "Note Section"; of what is in QEMU's: its source,
 * target/i386/arch_dump.c.
 */
#include "qemu_notes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define NOTE_HEADER 12u
#define VERSION 1u

/* The description: version and size, registers, segments, CR0 to CR4, KERNEL_GS_BASE. */
#define REGS_OFFSET 8u
#define SEGMENTS_OFFSET 152u
#define SEGMENT_SIZE 24u
#define CR_OFFSET 392u
#define GS_OFFSET 432u
#define WHOLE_SIZE 440u

static int fail(const struct qemu_notes *notes, int code, size_t at,
                struct resume_import_error *error, const char *what, uint64_t value)
{
    uint64_t offset =
        notes->offset < UINT64_MAX - at ? notes->offset + at : RESUME_IMPORT_NO_OFFSET;
    return import_fail(error, code, offset, notes->where, "make the dump again", "%s (%llu)", what,
                       (unsigned long long)value);
}

static size_t aligned(uint32_t length)
{
    return ((size_t)length + 3) & ~(size_t)3;
}

/* One note: where its description is, and whose it is. */
struct note {
    size_t next;
    size_t description;
    uint32_t size;
    int of_qemu;
};

static int read_note(const struct qemu_notes *notes, size_t at, struct note *out,
                     struct resume_import_error *error)
{
    size_t rest = notes->length - at;
    if (rest < NOTE_HEADER)
        return fail(notes, RESUME_ETRUNC, at, error, "a note is cut", rest);
    uint32_t name_size = import_le32(notes->data + at);
    uint32_t size = import_le32(notes->data + at + 4);
    rest -= NOTE_HEADER;
    if (name_size > rest || aligned(name_size) > rest)
        return fail(notes, RESUME_ELENGTH, at, error, "a note's name is beyond the end", name_size);
    rest -= aligned(name_size);
    if (size > rest)
        return fail(notes, RESUME_ELENGTH, at, error, "a note is beyond the end", size);
    out->description = at + NOTE_HEADER + aligned(name_size);
    out->size = size;
    out->of_qemu = name_size == 5 && memcmp(notes->data + at + NOTE_HEADER, "QEMU", 5) == 0 &&
                   import_le32(notes->data + at + 8) == 0;
    /* The last one's padding may be left out. */
    out->next = out->description + (aligned(size) < rest ? aligned(size) : rest);
    return 0;
}

/* Counts, and once there is room, notes down. */
static int pass(struct qemu_notes *notes, uint32_t *ret_count, struct resume_import_error *error)
{
    uint32_t count = 0;
    size_t at = 0;
    while (at < notes->length) {
        struct note note = {0};
        int ret = read_note(notes, at, &note, error);
        if (ret != 0)
            return ret;
        if (note.of_qemu) {
            if (notes->at != NULL) {
                notes->at[count] = (uint32_t)note.description;
                notes->size[count] = note.size;
            }
            count++;
        }
        at = note.next;
    }
    *ret_count = count;
    return 0;
}

int qemu_notes_open(struct qemu_notes *notes, struct resume_import_error *error)
{
    uint32_t count = 0;
    int ret = pass(notes, &count, error);
    if (ret == 0 && count == 0)
        ret = import_fail(error, RESUME_EMISSING, notes->offset, notes->where,
                          "give a dump that QEMU's dump-guest-memory has made",
                          "there is no note of QEMU's, and so no CPU state of a virtual machine");
    else if (ret == 0 && count > RESUME_VCPU_MAX)
        ret = fail(notes, RESUME_ELENGTH, 0, error, "too many vCPUs", count);
    if (ret != 0)
        return ret;
    notes->at = calloc(count, sizeof(*notes->at));
    notes->size = calloc(count, sizeof(*notes->size));
    if (notes->at == NULL || notes->size == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           notes->where, "", "no memory");
    return pass(notes, &notes->count, error);
}

void qemu_notes_close(struct qemu_notes *notes)
{
    free(notes->data);
    free(notes->at);
    free(notes->size);
    memset(notes, 0, sizeof(*notes));
}

static void decode_segment(const uint8_t *data, int table, struct resume_segment *out)
{
    out->limit = import_le32(data + 4);
    out->base = import_le64(data + 16);
    if (table)
        return;
    out->selector = import_le16(data);
    out->access = import_access(import_le32(data + 8));
}

int qemu_notes_vcpu(const struct qemu_notes *notes, uint32_t index, struct resume_vcpu *out,
                    struct resume_import_error *error)
{
    static const uint8_t gprs[RESUME_GPR_COUNT] = {
        RESUME_RAX, RESUME_RBX, RESUME_RCX, RESUME_RDX, RESUME_RSI, RESUME_RDI,
        RESUME_RSP, RESUME_RBP, RESUME_R8,  RESUME_R9,  RESUME_R10, RESUME_R11,
        RESUME_R12, RESUME_R13, RESUME_R14, RESUME_R15,
    };
    static const uint8_t segments[RESUME_SEG_COUNT] = {
        RESUME_CS, RESUME_DS,   RESUME_ES, RESUME_FS,   RESUME_GS,
        RESUME_SS, RESUME_LDTR, RESUME_TR, RESUME_GDTR, RESUME_IDTR,
    };
    const size_t at = notes->at[index];
    const uint8_t *data = notes->data + at;
    uint32_t available = notes->size[index];
    if (available < REGS_OFFSET)
        return fail(notes, RESUME_ELENGTH, at, error, "QEMU's note is too short", available);
    if (import_le32(data) != VERSION)
        return fail(notes, RESUME_EVERSION, at, error, "QEMU's note has another version than 1",
                    import_le32(data));
    uint32_t size = import_le32(data + 4);
    if (size > available || size < GS_OFFSET)
        return fail(notes, RESUME_ELENGTH, at + 4, error, "QEMU's note has an impossible size",
                    size);
    for (size_t i = 0; i < RESUME_GPR_COUNT; i++)
        out->regs.gpr[gprs[i]] = import_le64(data + REGS_OFFSET + 8 * i);
    out->regs.rip = import_le64(data + REGS_OFFSET + 128);
    out->regs.rflags = import_le64(data + REGS_OFFSET + 136);
    out->regs.valid = RESUME_REGS_ALL;
    for (size_t i = 0; i < RESUME_SEG_COUNT; i++)
        decode_segment(data + SEGMENTS_OFFSET + i * SEGMENT_SIZE, segments[i] >= RESUME_GDTR,
                       &out->segs.seg[segments[i]]);
    out->segs.valid = RESUME_SEGS_ALL;
    out->ctrl.cr0 = import_le64(data + CR_OFFSET);
    out->ctrl.cr2 = import_le64(data + CR_OFFSET + 16);
    out->ctrl.cr3 = import_le64(data + CR_OFFSET + 24);
    out->ctrl.cr4 = import_le64(data + CR_OFFSET + 32);
    out->ctrl.valid = RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 | RESUME_CTRL_CR4;
    if (size >= WHOLE_SIZE)
        return import_msr(out, RESUME_MSR_KERNEL_GS_BASE, import_le64(data + GS_OFFSET));
    return 0;
}
