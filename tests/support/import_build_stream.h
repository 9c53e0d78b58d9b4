/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The device sections of a machine with one vCPU, for streams that importers read. */
#ifndef RESUME_TESTS_IMPORT_BUILD_STREAM_H
#define RESUME_TESTS_IMPORT_BUILD_STREAM_H

#include "stream_build.h"

#define STREAM_VCPU_RIP UINT64_C(0xffffffff81234567)
#define STREAM_VCPU_TSC UINT64_C(0x123456789a)
#define STREAM_VCPU_ST0 0x5a5a /* low word of the first x87 register in the stream; TOP is 5 */

/* Add them. @kvm: as KVM's guests have them, with a "kvmclock" section. Then comes build_finish. */
void import_build_stream_vcpu(struct builder *b, int kvm);

/* A whole stream: that vCPU under TCG, and four pages of RAM, the third as build_page makes it of 0x21. */
void import_build_stream(struct builder *b);

#endif
