/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The names of model-specific registers, for people. */
#ifndef RESUME_TOOLS_MSR_NAME_H
#define RESUME_TOOLS_MSR_NAME_H

#include <stddef.h>
#include <stdint.h>

#define MSR_NAME_MAX 40

/*
 * msr_name - "SYSENTER_CS", "MTRR_PHYSBASE3"; "" for one without a known name.
 * As Intel's and AMD's manuals have it, without the prefix IA32_; KVM's and Hyper-V's with theirs.
 * @buffer: where a numbered name is put together, MSR_NAME_MAX bytes. Returns it or a static string.
 */
const char *msr_name(uint32_t index, char *buffer);

#endif
