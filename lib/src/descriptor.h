/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Segment descriptors, made from what a segment register holds. */
#ifndef RESUME_DESCRIPTOR_H
#define RESUME_DESCRIPTOR_H

#include <resume/state.h>

#define RESUME_DESCRIPTOR_SIZE 8u         /* of a code or data segment */
#define RESUME_DESCRIPTOR_SYSTEM_SIZE 16u /* of an LDT or a TSS in long mode */

/*
 * resume_descriptor_encode - the descriptor that, when loaded, gives @seg its hidden part.
 * @is_system: 1 for LDTR and TR, 0 for the others.  @out: all 16 bytes are written.
 * @ret_size: RESUME_DESCRIPTOR_SIZE or RESUME_DESCRIPTOR_SYSTEM_SIZE.
 * A TSS is written as available, as LTR wants it; LTR makes it busy. Code and data are written as
 * accessed, so that loading them writes nothing. Of the base of code or data, the low 32 bits are
 * written: what FS and GS have above comes from their MSRs.
 * Errors: EUNSUPPORTED (there is no such descriptor: not present, unusable, another kind of
 * segment, or a limit that is neither below 1 MiB without G nor ends in 0xfff with G).
 * Implements Intel SDM vol. 3, "Segment Descriptors", "Segment Descriptor Tables in IA-32e Mode".
 */
int resume_descriptor_encode(const struct resume_segment *seg, int is_system, uint8_t out[16],
                             uint32_t *ret_size);

#endif
