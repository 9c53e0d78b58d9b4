/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A vCPU as Linux leaves it: values noted down from a real guest's `info registers`, so that tests
 * start from something that a CPU was in.
 */
#ifndef TEST_LINUX_VCPU_H
#define TEST_LINUX_VCPU_H

#include <resume/state.h>

#define LINUX_HOME_VA UINT64_C(0xffffffffbcdef000)
#define LINUX_HOME_PA UINT64_C(0x08fef000)

/* In user mode, inside a 64-bit process. Its XSAVE image is static and zero but for the controls. */
void linux_vcpu_user(struct resume_vcpu *vcpu);

/* In the kernel, with interrupts on, as in the idle loop. */
void linux_vcpu_kernel(struct resume_vcpu *vcpu);

#endif
