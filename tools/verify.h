/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What a verification compares, and what it lets the landings leave behind. */
#ifndef RESUME_TOOLS_VERIFY_H
#define RESUME_TOOLS_VERIFY_H

#include "compare.h"
#include "resume_input.h"

struct unseal;

struct verify_options {
    const struct resume_input *input;
    const struct splice_parked *parked;
    int resumed_fd; /* the resumed VM's capture; borrowed */
    struct progress *progress;
    /* Of an image, set by verify_compare_image; zero: stream and state are the input's. */
    int source_fd;        /* the source's stream, > 0; borrowed */
    const uint8_t *state; /* the state blob; borrowed */
    size_t state_length;
    const char *state_path; /* what messages call it */
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

/*
 * verify_compare_image - the same with a snapshot image: the source's stream is rebuilt in a file without a
 * name, in the input's temporary directory, and holds the guest's memory there until the comparison is over.
 * Two steps of the progress, the second of which is the caller's to end.
 * @image: opened, with its structures. @options: input->stream_fd is its device part, of which the position
 * is changed.
 * Failures: those of unseal_stream and verify_compare.
 */
int verify_compare_image(const struct verify_options *options, const struct unseal *image,
                         struct ledger *out, struct report_failure *failure);

#endif
