/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What becomes of each field of QEMU's "cpu" and "cpu_common" sections in a resume.
 *
 * The resumed machine's CPU sections are those of the parked target, and the trampoline loads the
 * snapshot's registers afterwards. So for every field there is an answer to "how does the snapshot's
 * value get there"; this is the one place where the answers are.
 */
#ifndef RESUME_TOOLS_QEMU_FIELDS_H
#define RESUME_TOOLS_QEMU_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "vmdesc.h"

enum field_class {
    FIELD_RESTORED,   /* the trampoline loads it */
    FIELD_DERIVED,    /* the CPU computes it from what the trampoline loads */
    FIELD_CARRIED,    /* it comes with the device sections of the snapshot */
    FIELD_MUST_EQUAL, /* this version does not restore it: source and parked target must agree */
    FIELD_IRRELEVANT, /* it has no meaning for the guest; the reason says why */
    FIELD_UNKNOWN /* a field of these sections that the table does not know: treat as MUST_EQUAL */
};

/* A row of the table of all fields; docs/STATE.md shows the same rows. */
struct qemu_field_row {
    const char *pattern; /* a path; a '*' at its end stands for anything */
    enum field_class class;
    const char *reason;
};

/* qemu_field_table - the table. The first row that fits a path counts.  @ret_count: rows. */
const struct qemu_field_row *qemu_field_table(size_t *ret_count);

/*
 * qemu_field_class - the class of a field.
 * @path: as in struct vmdesc_field ("cpu/env.regs[3]"). A path of another section is CARRIED.
 * @reason: optional; a static English clause that says why, never NULL afterwards.
 */
enum field_class qemu_field_class(const char *path, const char **reason);

/*
 * qemu_field_class_between - the class of a field for one pair of source and parked target.
 * As qemu_field_class, but a model-specific register that the record does not carry, since the
 * source has the value that a reset leaves, is MUST_EQUAL: the firmware may have changed it.
 * @accel: enum resume_accel of the source.  @source, @target: the field of either; NULL = absent,
 * not both.
 * A vCPU that is dormant (resume_vcpu_dormant) is not asked about: its sections are the source's.
 */
enum field_class qemu_field_class_between(uint32_t accel, const struct vmdesc_field *source,
                                          const struct vmdesc_field *target, const char **reason);

/* A word for a class: "restored", "derived", "carried", "must equal", "irrelevant", "unknown". */
const char *qemu_field_class_name(enum field_class class);

#endif
