/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* A home for all vCPUs of a snapshot. */
#ifndef RESUME_TOOLS_SNAPSHOT_HOME_H
#define RESUME_TOOLS_SNAPSHOT_HOME_H

#include <resume/guest.h>

#include "ram.h"
#include "report.h"

/*
 * snapshot_home_find - find a home that the page tables of every active vCPU map, and see whether
 * every one can land from it.
 * @guest: opened.  @vcpus: [guest->state.vcpu_count].
 * @path: of the stream, for messages.
 * @ret_transient: set to true when page tables that a vCPU uses only now and then are in the way.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT.
 */
int snapshot_home_find(struct resume_home *out, const struct resume_guest *guest,
                       const struct resume_vcpu *vcpus, struct ram *ram, const char *path,
                       bool *ret_transient, struct report_failure *failure);

#endif
