/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The extended state as another CPU wants it. In the standard form of the XSAVE area a component
 * lies where CPUID says, and CPUs differ in that; so an image is laid out anew for the CPU that is
 * to load it (Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set").
 */
#ifndef RESUME_XSAVE_H
#define RESUME_XSAVE_H

#include <resume/handoff.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * resume_xsave_transcode - write the standard-form image of @from in the layout of another CPU.
 * @from: the image of a record; not NULL, with its area.
 * @to_comp: components 2 and up of the CPU that loads it, as struct resume_cpu has them; may be NULL
 * only if @to_comp_count, at most RESUME_XCOMP_MAX, is 0.
 * @xcr0: XCR0 as it will be; what it does not enable (other than x87 and SSE) is left out.
 * @area: @capacity bytes, any alignment, not overlapping @from; all of it is written.
 * @ret_length: bytes that XSAVE and XRSTOR use with this XCR0, at least RESUME_XSAVE_MIN.
 * Everything is in the bytes, whatever XSTATE_BV says: a component that is not in use is written in
 * its initial configuration, so that FXRSTOR, and a comparison, can do without XSTATE_BV. MXCSR
 * is kept even then: XRSTOR loads it regardless. Reserved bytes and MXCSR_MASK are zero.
 * Errors: EINVAL (NULL; an image or component that is not within its bounds), ENOSPC (@capacity),
 * ECPU (a component in use that the CPU lacks, or that it places within the header), EUNSUPPORTED
 * (sizes differ: diag->field names the component, found is the record's size, expected the CPU's).
 */
int resume_xsave_transcode(const struct resume_xsave *from, const struct resume_xcomp *to_comp,
                           uint32_t to_comp_count, uint64_t xcr0, uint8_t *area, uint32_t capacity,
                           uint32_t *ret_length, struct resume_diag *diag);

/*
 * resume_xsave_spans - the ranges of an image that XRSTOR and a following XSAVE leave as they are.
 * @comp, @comp_count: as for resume_xsave_transcode.  @out: @capacity entries.
 * In it are FCW, FSW, FTW, MXCSR, the x87 and XMM registers and what @xcr0 enables. Not in it are
 * FOP, FIP and FDP (some CPUs keep them only while an exception is pending, TCG never), MXCSR_MASK,
 * and what is reserved: the last 6 bytes of each x87 register's 16, and the ends of some
 * components, which XSAVE need not write.
 * Returns the number of ranges, which ascend; at most RESUME_SPANS, of which no more than
 * @capacity are written.
 */
uint32_t resume_xsave_spans(const struct resume_xcomp *comp, uint32_t comp_count, uint64_t xcr0,
                            struct resume_span *out, uint32_t capacity);

/* resume_xsave_component_name - "AVX", "PKRU"; "component" for one without a name. Never NULL. */
const char *resume_xsave_component_name(uint32_t id);

#ifdef __cplusplus
}
#endif
#endif
