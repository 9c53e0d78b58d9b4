/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the files that open a resume's input share. */
#ifndef TOOLS_RESUME_INPUT_PRIVATE_H
#define TOOLS_RESUME_INPUT_PRIVATE_H

#include <resume/guest.h>

#include "resume_input.h"

#define RESUME_INPUT_WHAT "check the snapshot"

/* Something small of the snapshot in memory. */
struct resume_input_file {
    uint8_t *data;
    size_t length;
};

/* resume_input_join - @out: PATH_MAX_LENGTH bytes. */
int resume_input_join(char *out, const char *directory, const char *name,
                      struct report_failure *failure);

/* resume_input_write - a new file @name in @directory_fd. */
int resume_input_write(int directory_fd, const char *name, const void *data, size_t length,
                       struct report_failure *failure);

/*
 * resume_input_take - open state and plan as the firmware will, which says whether this version can
 * restore them, and note what they say of vCPUs and home. Injects, if that is wished for.
 * @state_name, @plan_name: for messages.
 */
int resume_input_take(struct resume_input *input, const struct resume_input_options *options,
                      struct resume_input_file *state, const char *state_name,
                      const struct resume_input_file *plan, const char *plan_name,
                      struct report_failure *failure);

/* resume_input_inject - fulfil all wishes.  @vcpus: of @guest, in memory of @state_file. */
int resume_input_inject(struct resume_input *input, const struct resume_input_options *options,
                        const struct resume_guest *guest, struct resume_input_file *state_file,
                        struct resume_vcpu *vcpus, struct report_failure *failure);

/* The names in the private directory. */
#define RESUME_INPUT_STATE "spoiled-state.rsm"
#define RESUME_INPUT_PLAN "spoiled-plan.rsm"
#define RESUME_INPUT_IDENTITY "identity"

/*
 * resume_image_open - the part of resume_input_open for an image. The private directory is there.
 * resume_image_close - free input->opened; NULL is fine.
 */
int resume_image_open(struct resume_input *input, const struct resume_input_options *options,
                      struct report_failure *failure);
void resume_image_close(struct resume_input *input);

/* resume_image_compare - the part of resume_input_compare for an image. */
int resume_image_compare(const struct resume_input *input, const struct verify_options *options,
                         struct ledger *out, struct report_failure *failure);

#endif
