/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Do the descriptors in the guest's memory still say what its segment registers hold?
 *
 * The hidden part of a segment register can only be loaded through a selector. A guest may have
 * changed a descriptor after loading it; then a resume would load something else than was there.
 */
#ifndef RESUME_SEGMENTS_H
#define RESUME_SEGMENTS_H

#include <resume/paging.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * resume_segments_check - compare TR, LDTR, CS, SS, DS, ES, FS and GS with their descriptors.
 * @vcpu: validated and in scope.  @index: its number, for the diagnosis.
 * @guest: the page tables that the vCPU uses (its CR3).
 * Compared is what has a meaning: in 64-bit mode neither base nor limit of a code or data segment;
 * never the accessed bit, the busy bit of a TSS, or a base of FS or GS (those are loaded as MSRs).
 * Null selectors and unusable segments are passed over.
 * Context: where the guest's memory can be read.
 * Errors: EINVAL; ECONSISTENT (diag: where = the register, field = "base", "limit" or "access",
 * offset = the descriptor's address, found = what the register holds, expected = what the
 * descriptor says); EUNSUPPORTED (the descriptor has no such segment: not present, or a gate);
 * EUNMAPPED, EREGISTER, EUNREACHABLE (its address does not lead to memory).
 * Implements Intel SDM vol. 3, "Segment Descriptors" and "Segment Descriptor Tables in IA-32e Mode".
 */
int resume_segments_check(const struct resume_vcpu *vcpu, uint32_t index,
                          const struct resume_paging *guest, struct resume_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
