/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The model-specific registers that QEMU keeps as fields of its "cpu" section: which field is which
 * register, and which of them go into the record.
 */
#ifndef RESUME_IMPORT_QEMU_MSR_H
#define RESUME_IMPORT_QEMU_MSR_H

#include <resume/state.h>

#include "qemu_reader.h"

/*
 * Whether a register goes into the record. Without a flag: unless it has the value that QEMU's
 * reset gives it, which the firmware leaves alone. Whatever is left out must be equal in source and
 * target (qemu_msr_left_out).
 */
#define QEMU_MSR_ALWAYS 1u   /* always: every kernel, or the firmware, sets it */
#define QEMU_MSR_PRESENT 2u  /* whenever the stream has the field */
#define QEMU_MSR_PARAVIRT 4u /* not in a stream of TCG: of the hypervisor's own interface, or TSC */
#define QEMU_MSR_BANK 8u     /* one per machine check bank, of which MCG_CAP says the number */

/*
 * Registers that lie in one array, or a single one (count 1). The n-th is register
 * index + n * step, and its field is that of @path with the element first + n * step_element in
 * place of "%u".
 */
struct qemu_msr {
    uint32_t index;
    uint32_t count;
    uint32_t step;
    uint32_t first;
    uint32_t step_element;
    uint32_t flags; /* QEMU_MSR_* */
    uint64_t reset;
    const char *path;
};

/* qemu_msr_table - all of them.  @ret_count: entries. */
const struct qemu_msr *qemu_msr_table(size_t *ret_count);

/*
 * qemu_msr_find - the register that a field is.
 * @path: as in struct vmdesc_field.  @ret_index: its number.  Returns NULL when it is none.
 */
const struct qemu_msr *qemu_msr_find(const char *path, uint32_t *ret_index);

/*
 * qemu_msr_read - fill the list of @out, ascending.
 * @cpu: reader of the "cpu" section; failures as for qemu_cpu_decode, through *cpu->ret.
 * @accel: enum resume_accel.
 * @out: regs, segs and ctrl filled already. Flags are those of resume_msr_flags.
 * Under KVM, MTRR masks lose the bits beyond the physical addresses that QEMU adds to them.
 * For a guest at CPL 3 PL3_SSP is the current shadow stack pointer, since that is what the return to
 * CPL 3 loads.
 * Failure beside those of the reader: ENOSPC (more than RESUME_MSR_MAX).
 */
void qemu_msr_read(struct qemu_reader *cpu, uint32_t accel, struct resume_vcpu *out);

/*
 * qemu_msr_left_out - is the field a register that qemu_msr_read leaves out for this value?
 * @accel: of the source. @source: its field, or NULL when the stream lacks it. @target: likewise; not
 * both NULL. False for a field that is no register.
 */
bool qemu_msr_left_out(uint32_t accel, const struct vmdesc_field *source,
                       const struct vmdesc_field *target);

#endif
