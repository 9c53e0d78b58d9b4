/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The table of what a hostile host does and what comes of it: a row for each kind of thing, with how
 * often it was tried and refused, and what was said.
 */
#ifndef TESTS_HOSTILE_OUTCOME_H
#define TESTS_HOSTILE_OUTCOME_H

#include <stdbool.h>

#include "report.h"

enum outcome_wanted { OUTCOME_REFUSED, OUTCOME_ACCEPTED };

/* outcome_begin - a row: all that follows is of this kind, and has to end so. @what: borrowed. */
void outcome_begin(const char *what, enum outcome_wanted wanted);

/* outcome_add - one try has ended: @result is 0, or not, and then @failure says why. */
void outcome_add(int result, const struct report_failure *failure);

/* outcome_wrong - something else about the row is not as it should be. */
void outcome_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* outcome_print - the table as Markdown. Returns whether every try ended as it should. */
bool outcome_print(FILE *out);

#endif
