/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What a verification compares, and what it lets the landings leave behind. */
#ifndef RESUME_TOOLS_VERIFY_H
#define RESUME_TOOLS_VERIFY_H

#include "compare.h"
#include "resume_input.h"

struct verify_options {
    const struct resume_input *input;
    const struct splice_parked *parked;
    int resumed_fd; /* the resumed VM's capture; borrowed */
    struct progress *progress;
};

/*
 * verify_compare - compare the capture with the snapshot.
 * The landings are composed here once more, from the state blob: what the firmware has composed
 * must be the same, and of it only the part that remains may be found in the capture.
 * @out: zeroed; to be freed with ledger_free. Differences are no failure.
 * Failures: those of compare_streams, EXIT_CODE_DIFFERENT (the firmware's landing is another).
 */
int verify_compare(const struct verify_options *options, struct ledger *out,
                   struct report_failure *failure);

#endif
