/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The XSAVE image of a vCPU, made from the fields of QEMU's "cpu" section. */
#ifndef RESUME_IMPORT_QEMU_XSAVE_H
#define RESUME_IMPORT_QEMU_XSAVE_H

#include "qemu_cpu.h"
#include "qemu_reader.h"

/*
 * qemu_xsave_build - fill the image and its list of components.
 * @cpu: reader of the "cpu" section.  @accel: enum resume_accel; decides the order of the x87
 * registers.  @xcr0, @cr4: as in the record.  @out: its area points to @area.
 * Failures as for qemu_cpu_decode, through *cpu->ret.
 */
void qemu_xsave_build(struct qemu_reader *cpu, uint32_t accel, uint64_t xcr0, uint64_t cr4,
                      struct resume_xsave *out, uint8_t area[QEMU_CPU_XSAVE_SIZE]);

#endif
