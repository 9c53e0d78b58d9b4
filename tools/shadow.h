/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The interrupt shadow of a vCPU: which instruction made it, from the guest's memory. */
#ifndef RESUME_TOOLS_SHADOW_H
#define RESUME_TOOLS_SHADOW_H

#include <resume/paging.h>
#include <resume/state.h>

#include "ram.h"

/*
 * vcpu_paging - the page tables of a vCPU in long mode.
 * @ram: placed; borrowed as long as @out is used.
 * The width of physical addresses is not in a stream, so that none of their bits count as reserved.
 */
void vcpu_paging(struct ram *ram, const struct resume_vcpu *vcpu, struct resume_paging *out);

/*
 * shadow_complete - find out what made the interrupt shadow that @vcpu has, if it has one.
 * QEMU says only that there is one. Sets run.shadow_length and run.interrupt_shadow when the
 * instruction before RIP is one that can be run again; else leaves @vcpu as it is.
 * @guest: its page tables.
 */
void shadow_complete(struct resume_vcpu *vcpu, const struct resume_paging *guest);

#endif
