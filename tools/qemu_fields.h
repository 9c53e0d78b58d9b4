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

enum field_class {
    FIELD_RESTORED,   /* the trampoline loads it */
    FIELD_DERIVED,    /* the CPU computes it from what the trampoline loads */
    FIELD_CARRIED,    /* it comes with the device sections of the snapshot */
    FIELD_MUST_EQUAL, /* this version does not restore it: source and parked target must agree */
    FIELD_IRRELEVANT, /* it has no meaning for the guest; the reason says why */
    FIELD_UNKNOWN /* a field of these sections that the table does not know: treat as MUST_EQUAL */
};

/*
 * qemu_field_class - the class of a field.
 * @path: as in struct vmdesc_field ("cpu/env.regs[3]"). A path of another section is CARRIED.
 * @reason: optional; a static English clause that says why, never NULL afterwards.
 */
enum field_class qemu_field_class(const char *path, const char **reason);

/* A word for a class: "restored", "derived", "carried", "must equal", "irrelevant", "unknown". */
const char *qemu_field_class_name(enum field_class class);

#endif
