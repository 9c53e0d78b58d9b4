/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* From a captured stream to the state blob and the plan. */
#ifndef TOOLS_SNAPSHOT_STATE_H
#define TOOLS_SNAPSHOT_STATE_H

#include <resume/plan.h>

#include "manifest.h"
#include "report.h"

/* What is made. Owned by the caller; zero = nothing. */
struct snapshot_state {
    uint8_t *blob;
    size_t blob_length;
    uint8_t plan[RESUME_PLAN_SIZE_MAX];
    size_t plan_length;
    struct resume_home home;
    uint32_t vcpu_count;
    uint32_t active_count; /* without those that the guest never started */
};

/*
 * snapshot_state_make - read the stream in @fd (a file, from its beginning), decode and check the
 * vCPUs, find a home that the page tables of every active one map.
 * @path: of the file, for messages.
 * @manifest: its machine facts are filled in.
 * @ret_transient: set, also on failure, to whether a vCPU was stopped where it cannot be resumed
 * but will not stay for long (a pending event, page tables that do not map a home): worth another
 * try.
 * @out: to be freed with snapshot_state_free on success.
 */
int snapshot_state_make(struct snapshot_state *out, int fd, const char *path,
                        const struct manifest *manifest, bool *ret_transient,
                        struct report_failure *failure);

void snapshot_state_free(struct snapshot_state *state);

#endif
