/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* In which mode a vCPU is, as far as its input says. */
#ifndef RESUME_TOOLS_GUEST_MODE_H
#define RESUME_TOOLS_GUEST_MODE_H

#include <stdbool.h>
#include <stdint.h>

#include <resume/paging.h>
#include <resume/state.h>

#include "input.h"

enum guest_paging {
    GUEST_PAGING_UNKNOWN, /* what decides it is not carried */
    GUEST_PAGING_NONE,
    GUEST_PAGING_32_BIT,
    GUEST_PAGING_PAE,
    GUEST_PAGING_4_LEVEL,
    GUEST_PAGING_5_LEVEL
};

struct guest_mode {
    const char *mode; /* "64-bit mode", ..., "unknown mode"; static */
    enum guest_paging paging;
    uint32_t levels; /* 4 or 5 in long mode with paging, else 0 */
    unsigned cpl;
    bool cpl_known;
    /*
     * EFER is not carried: long mode was told from CS.L, or from an address beyond 4 GiB, and NX is
     * taken to mean what it says.
     */
    bool efer_assumed;
};

void guest_mode_of(const struct resume_vcpu *vcpu, struct guest_mode *out);

/* "4-level paging", "no paging", ... Static. */
const char *guest_paging_name(enum guest_paging paging);

/*
 * guest_mode_paging - how to read the page tables of a vCPU in long mode.
 * @phys: copied.  Returns false when there is no 4- or 5-level paging, or CR3 is not carried.
 * The width of physical addresses is not known: none of their bits count as reserved.
 */
bool guest_mode_paging(const struct resume_vcpu *vcpu, const struct resume_phys *phys,
                       struct resume_paging *out);

/*
 * guest_mode_tables - open the page tables of a vCPU of @input, for a subcommand.
 * @vcpu: as read from it.  @index: its number, for messages.
 * Failures: EXIT_CODE_REFUSED (not in long mode; no memory in the input), EXIT_CODE_ENVIRONMENT.
 */
int guest_mode_tables(struct input *input, const struct resume_vcpu *vcpu, uint32_t index,
                      struct resume_paging *out, struct report_failure *failure);

/*
 * guest_mode_choose - open the page tables of the vCPU that a subcommand was asked for: --vcpu, else the
 * first that the guest has started.
 * @ret_index: its number.  Failures: those of input_vcpu and guest_mode_tables.
 */
int guest_mode_choose(const struct input_arguments *arguments, struct input *input,
                      uint32_t *ret_index, struct guest_mode *mode, struct resume_paging *out,
                      struct report_failure *failure);

#endif
