/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Shows the steps of a subcommand on stderr while they happen.
 *
 * On a terminal a step has one line: its name at once, after one second a bar with rate and
 * remaining time when the amount of work is known (an elapsed time otherwise), and how long it took
 * when it is over. Elsewhere each step is one plain line, printed when it ends. A step's duration
 * is kept, so that a subcommand can sum up.
 *
 * Every function accepts a NULL progress and then does nothing.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_STEP_MAX 48
#define PROGRESS_NAME_MAX 80

/* A finished step. */
struct progress_step {
    char name[PROGRESS_NAME_MAX];
    uint64_t duration_ns;
    bool failed;
};

/* Owned by the caller; read its steps freely, leave the rest alone. */
struct progress {
    FILE *out;
    bool terminal;
    bool colour;
    bool active;           /* between begin and end */
    bool drawn;            /* a bar is on the line */
    uint64_t (*now)(void); /* monotonic clock in nanoseconds; tests put their own here */
    uint64_t start_ns;     /* of the current step */
    uint64_t draw_ns;      /* when the bar was last drawn */
    char name[PROGRESS_NAME_MAX];
    uint32_t step_count; /* finished steps; those beyond PROGRESS_STEP_MAX are not recorded */
    struct progress_step step[PROGRESS_STEP_MAX];
};

/* progress_init - start a list of steps shown on @out (usually stderr; borrowed). */
void progress_init(struct progress *progress, FILE *out);

/* progress_step_begin - a step begins; one still under way is ended first. The name is an
 * imperative phrase: "park the target". Longer names are cut. */
void progress_step_begin(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * progress_step_update - how far the step is; call as often as you like, it draws 10 times a
 * second at most.
 * @done, @total: bytes. @total 0 = unknown. @done beyond @total is shown as @total.
 */
void progress_step_update(struct progress *progress, uint64_t done, uint64_t total);

/* progress_step_end - the step is done. @format: a result to show behind its name, or NULL. */
void progress_step_end(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* progress_step_fail - the step failed: ends its line so that an error can be printed. No-op when
 * no step is under way, so it fits every failure path. */
void progress_step_fail(struct progress *progress);

/* progress_total_ns - the sum of the recorded steps' durations. */
uint64_t progress_total_ns(const struct progress *progress);

/* progress_format_bytes - "317.4 MiB"; progress_format_time - "3.2 s", "1:07 min". The result is
 * @buffer, always terminated. */
char *progress_format_bytes(uint64_t bytes, char *buffer, size_t capacity);
char *progress_format_time(uint64_t ns, char *buffer, size_t capacity);

#endif
