/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* AMD's VM save area for encrypted guests (AMD APM vol. 2, "Layout of VMSA"), to a record. */
#ifndef RESUME_IMPORT_VMSA_STRUCTS_H
#define RESUME_IMPORT_VMSA_STRUCTS_H

#include "importer.h"

#define VMSA_PAGE 4096u
/* What a VMSA's extended state needs as an XSAVE image: x87, SSE, AVX, PKRU. */
#define VMSA_XSAVE 840u

/*
 * vmsa_plausible - could these be the bytes of a VMSA? There is no magic number in it.
 * @page: VMSA_PAGE bytes.
 */
int vmsa_plausible(const uint8_t *page);

/*
 * vmsa_vcpu - fill @out, zeroed before.
 * @page: VMSA_PAGE bytes.  @area: VMSA_XSAVE bytes, which @out refers to.  @offset: of the page in
 * the file, for messages.
 * Errors: EREGISTER (a privilege level above 3, an event of no known type), ECONSISTENT.
 */
int vmsa_vcpu(const uint8_t *page, uint8_t *area, struct resume_vcpu *out, uint64_t offset,
              const char *where, struct resume_import_error *error);

/* Segment attributes as SVM and Xen have them: descriptor bits 47:40, then 55:52. */
uint32_t vmsa_access(uint32_t attributes);

/*
 * vmsa_event - an event that was being delivered, in the form that SVM and VMX share: bits 7:0
 * vector, 10:8 type, 31 valid. Sets the exception, the interrupt and, of an NMI, that it is pending.
 * Returns 0, or nonzero for a type that has no place in the record: software interrupts.
 */
int vmsa_event(uint32_t event, struct resume_run *run);

#endif
