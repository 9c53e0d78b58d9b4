/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "verify.h"

#include <unistd.h>

#include "unseal.h"

int verify_compare_image(const struct verify_options *options, const struct unseal *image,
                         struct ledger *out, struct report_failure *failure)
{
    struct verify_options complete = *options;
    const struct resume_input *input = options->input;
    if (!image->opened)
        return report_fail(failure, EXIT_CODE_REFUSED, "verify", image->path,
                           "give the key with --key, or leave out --verify",
                           "it is sealed: there is nothing to compare with");
    progress_step_begin(options->progress, "rebuild the snapshot's stream");
    int result = unseal_stream_file(image, input->manifest, input->stream_fd, input->temporary,
                                    &complete.source_fd, NULL, options->progress, failure);
    if (result < 0)
        return result;
    complete.state = unseal_part(image, RESUME_SEALED_PART_STATE, &complete.state_length);
    complete.state_path = image->path;
    progress_step_begin(options->progress, "compare with the snapshot");
    result = verify_compare(&complete, out, failure);
    close(complete.source_fd);
    return result;
}
