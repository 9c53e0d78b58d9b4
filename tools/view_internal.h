/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Between view.c and view_stream.c. */
#ifndef RESUME_TOOLS_VIEW_INTERNAL_H
#define RESUME_TOOLS_VIEW_INTERNAL_H

#include "view.h"

/* Turns the error of a stream module into a failure of the inspection of @where. */
int view_fail_stream(const struct stream_error *error, const char *where,
                     struct report_failure *failure);

/* view_fail_open - describe that @path could not be opened: an input that is not there was refused,
 * anything else is the environment's fault. @error: a positive errno value. */
int view_fail_open(int error, const char *path, struct report_failure *failure);

/*
 * Reads a stream: blocks, devices; the RAM if @with_memory. Guesses the memory map unless it is known already.
 */
int view_load_stream(struct view *view, const char *path, bool with_memory,
                     struct report_failure *failure);

#endif
