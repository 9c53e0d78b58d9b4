/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A vCPU as QEMU's device sections have it, turned into the canonical record.
 *
 * Taken from the sections "cpu", "cpu_common" and "apic"; every field is looked up by its name.
 * Optional subsections that are absent mean QEMU's default.
 */
#ifndef RESUME_IMPORT_QEMU_CPU_H
#define RESUME_IMPORT_QEMU_CPU_H

#include <resume/state.h>

#include "vmdesc.h"

/*
 * Bytes of the XSAVE image: the standard layout of Intel's CPUs up to AMX's tiles, which is also the
 * one that TCG gives its guests.
 */
#define QEMU_CPU_XSAVE_SIZE 11008u

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
 * The record's XCR0 is the stream's. XSTATE_BV is what of the stream's is enabled when that is not 0
 * (KVM); else the bits of XCR0, with x87 and SSE always set. x87 registers come out in stack order.
 * MSRs: see qemu_msr.h. The TSC is in the list when KVM ran the guest.
 * Interrupt shadow: 3 (QEMU does not say which kind) or 0; its length is left to who has the memory
 * (qemu_events_shadow_length). An interrupt that was being delivered is not in the record when the
 * local APIC can take it back (qemu_events_uninject).
 * Without an "apic" section CR8, APIC_BASE and the APIC id stay invalid.
 * Errors: EINVAL (index), EMISSING (a section or field that every such stream has), EREGISTER (a
 * value that does not fit its register), ECONSISTENT (vCPUs and local APICs do not pair), ENOSPC (too
 * many MSRs), EUNSUPPORTED: x87 in an unknown form, XCR0 components whose place is not known, an
 * unknown run state; a software interrupt, or one of the PIC, that is being delivered; and, but of
 * a dormant vCPU, a pending triple fault, SMI, INIT, SIPI or machine check.
 */
int qemu_cpu_decode(const struct vmdesc *desc, uint32_t index, struct resume_vcpu *out,
                    uint8_t area[QEMU_CPU_XSAVE_SIZE], struct stream_error *error);

#endif
