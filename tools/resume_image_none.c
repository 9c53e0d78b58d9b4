/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* In place of resume_image.c in a resumectl that was built without what reads images. */
#include "resume_input_private.h"

int resume_image_open(struct resume_input *input, const struct resume_input_options *options,
                      struct report_failure *failure)
{
    (void)options;
    return report_fail(failure, EXIT_CODE_REFUSED, RESUME_INPUT_WHAT, input->path,
                       "build resumectl with RESUME_BUILD_SEAL, or resume a snapshot directory",
                       "this resumectl was built without what reads snapshot images");
}

void resume_image_close(struct resume_input *input)
{
    (void)input;
}

int resume_image_compare(const struct resume_input *input, const struct verify_options *options,
                         struct ledger *out, struct report_failure *failure)
{
    (void)options;
    (void)out;
    return report_fail(failure, EXIT_CODE_REFUSED, RESUME_INPUT_WHAT, input->path, NULL,
                       "this resumectl was built without what reads snapshot images");
}
