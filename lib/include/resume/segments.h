/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Do the descriptors in the guest's memory still say what CS and SS hold?
 *
 * The other segment registers are loaded from tables that are made from their hidden parts. CS and SS
 * come through the guest's own tables where the landing returns into the guest (the forms RETF and
 * IRET). A guest may have changed a descriptor after loading it; then something else would be
 * loaded than was there.
 */
#ifndef RESUME_SEGMENTS_H
#define RESUME_SEGMENTS_H

#include <resume/paging.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * resume_segments_check - compare CS and SS with their descriptors.
 * @vcpu: validated and in scope.  @index: its number, for the diagnosis.
 * @guest: the page tables that the vCPU uses (its CR3).
 * Compared is what has a meaning: in 64-bit mode neither base nor limit; never the accessed bit.
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
