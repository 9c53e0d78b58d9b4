/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What the tool says when something is wrong, and how failures travel to the place that says it.
 *
 * Functions of the tool that can fail return 0 or a negated enum exit_code, and describe the
 * failure in the struct report_failure that their caller gave; nothing is printed on the way. The
 * subcommand prints it once, in the one form
 *     resumectl: WHAT: WHERE: WHY (what to do)
 * Everything goes to stderr. Colour is used only when stderr is a terminal, TERM is not "dumb" and
 * NO_COLOR is unset or empty.
 */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include <resume/error.h>

#include "exit_codes.h"

/* A failure on its way up. Owned by the caller; zero it before use. Strings may be cut, never
 * unterminated. */
struct report_failure {
    int exit_code; /* enum exit_code; 0 = no failure */
    char what[96]; /* what was being done: "snapshot", "read manifest" */
    char where[320];
    char why[1024];
    char advice[320]; /* what to do */
};

/*
 * report_fail - describe a failure.
 * @failure: filled, overwriting what was there; never NULL.
 * @exit_code: enum exit_code, not OK.
 * @what, @where: never NULL; an empty @where stands for this process.
 * @advice: what to do, without parentheses; NULL or "" for what helps in general against failures
 * that end in @exit_code. No failure is without advice.
 * @format: printf format of the reason; one line, no full stop.
 * Returns -exit_code, so that a function can end in `return report_fail(…)`.
 */
int report_fail(struct report_failure *failure, int exit_code, const char *what, const char *where,
                const char *advice, const char *format, ...) __attribute__((format(printf, 6, 7)));

/*
 * report_fail_errno - describe a failed system call.
 * @error: a positive errno value. It brings its own advice.
 * Returns -EXIT_CODE_ENVIRONMENT.
 */
int report_fail_errno(struct report_failure *failure, int error, const char *what,
                      const char *where);

/* report_fail_memory - memory ran out while doing @what. Returns -EXIT_CODE_ENVIRONMENT. */
int report_fail_memory(struct report_failure *failure, const char *what);

/*
 * report_fail_diag - describe an error of libresume.
 * @error: negative enum resume_err.  @diag: what the library filled, or NULL.
 * @advice: NULL for what helps in general against @error.
 * Names record, field, offset, found and expected values, and the vCPU when there is one; of CR4
 * and EFER also the bits that this version does not resume.
 * Returns -EXIT_CODE_REFUSED.
 */
int report_fail_diag(struct report_failure *failure, int error, const struct resume_diag *diag,
                     const char *what, const char *where, const char *advice);

/*
 * report_print - print a failure on stderr.
 * Returns its exit code, EXIT_CODE_ENVIRONMENT if it is empty: fit for `return` from a subcommand.
 */
int report_print(const struct report_failure *failure);

/* report_format - write the message of @failure, without colour and newline, into @buffer (cut to
 * @capacity, always terminated). Returns @buffer. */
char *report_format(const struct report_failure *failure, char *buffer, size_t capacity);

/* report_error - report_fail and report_print at once. */
void report_error(int exit_code, const char *what, const char *where, const char *advice,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* report_warning - print `resumectl: warning: WHAT: WHY`. */
void report_warning(const char *what, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* report_note - print one plain line `resumectl: …`. */
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* report_log_tail - show the last @lines lines of the file at @path (at most 64 KiB of it are
 * read), indented, under a heading with @title and the path, unless it is one of
 * /proc/self/fd. Control characters are replaced.
 * Silent if the file is missing or empty. */
void report_log_tail(const char *title, const char *path, unsigned lines);

/* report_colour - may @stream be written to in colour? */
bool report_colour(FILE *stream);

/* report_use_stream - send all reports elsewhere than to stderr; NULL restores it. For tests. */
void report_use_stream(FILE *stream);

#endif
