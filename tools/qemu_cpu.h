/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A vCPU as QEMU's device sections have it, turned into the canonical record.
 *
 * Taken from the sections "cpu", "cpu_common" and "apic"; every field is looked up by its name.
 * Optional subsections that are absent mean QEMU's default.
 */
#ifndef RESUME_TOOLS_QEMU_CPU_H
#define RESUME_TOOLS_QEMU_CPU_H

#include <resume/state.h>

#include "vmdesc.h"

/*
 * Bytes of the XSAVE image: the standard layout of Intel's CPUs up to PKRU, which is also the one
 * that TCG gives its guests.
 */
#define QEMU_CPU_XSAVE_SIZE 2696u

/* The number of vCPUs ("cpu" sections). */
uint32_t qemu_cpu_count(const struct vmdesc *desc);

/*
 * What ran the guest: enum resume_accel. KVM if there is a "kvmclock" section or a CPU's TSC is in
 * the stream (TCG never writes it), else TCG.
 */
uint32_t qemu_cpu_accel(const struct vmdesc *desc);

/*
 * qemu_cpu_decode - decode one vCPU.
 * @index: 0 .. qemu_cpu_count() - 1, in stream order; the n-th "cpu_common" and "apic" section
 * belong to the n-th "cpu" section.
 * @out: filled completely. @area: QEMU_CPU_XSAVE_SIZE bytes owned by the caller; out->xsave.area
 * points to it, and out->xsave.length is what XCR0's components take.
 * The record's XCR0 is the stream's. XSTATE_BV is the stream's when it is not 0 (KVM); else the
 * bits of XCR0, with x87 and SSE always set. x87 registers come out in stack order.
 * MSRs: STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE, SYSENTER_CS/ESP/EIP, PAT, TSC_AUX (optional when
 * zero), and TSC (optional) if it is not zero.
 * Interrupt shadow: 3 (QEMU does not say which kind) or 0.
 * Without an "apic" section CR8 and APIC_BASE stay invalid.
 * Errors: EINVAL (index), EMISSING (a section or field that every such stream has), EREGISTER (a
 * value that does not fit its register), EUNSUPPORTED (x87 in an unknown form, XCR0 components whose
 * place is not known, a pending triple fault, an unknown run state).
 */
int qemu_cpu_decode(const struct vmdesc *desc, uint32_t index, struct resume_vcpu *out,
                    uint8_t area[QEMU_CPU_XSAVE_SIZE], struct stream_error *error);

#endif
