/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Child processes: started without a shell, waited for with a limit, ended only if they are ours.
 * Descriptors that this tool opens are close-on-exec throughout; a child gets those that are named.
 */
#ifndef TOOLS_PROCESS_H
#define TOOLS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "report.h"

struct process_options {
    const char *name;        /* how to call it in messages: "the parked target"; copied */
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const int *fds;          /* descriptors the child keeps, under the same numbers; each >= 3 */
    size_t fd_count;
    const char *log_path; /* stdout and stderr go to this file, created anew (copied); NULL: both
                             are inherited */
    bool null_stdin;      /* stdin is /dev/null; else inherited */
    bool close_others;    /* also close descriptors that were open, not close-on-exec, before */
    bool die_with_parent; /* the child is killed when this process ends, however it ends */
    bool own_group;       /* new session: Ctrl-C in the terminal does not reach it */
    bool quiet;           /* process_fail does not show the log: process_show_log is called */
};

/* A child. Owned by the caller; zero = none. */
struct process {
    pid_t pid; /* 0 = none, or given up with process_release */
    int pidfd; /* readable when the child has ended: can be polled beside other descriptors */
    bool ended;
    int status; /* as waitpid gives it; valid once ended */
    bool quiet; /* see process_options */
    char name[64];
    char log_path[256]; /* empty = none */
};

/*
 * process_start - start a child.
 * A program that cannot be executed is reported here, not as an early death.
 * die_with_parent follows the thread that called this: call it from the main thread.
 * Failures: EXIT_CODE_ENVIRONMENT.
 */
int process_start(struct process *process, const struct process_options *options,
                  struct report_failure *failure);

/* process_poll - has it ended? Reaps it. Never waits. */
bool process_poll(struct process *process);

/*
 * process_wait - wait until it has ended.
 * @timeout_ms: limit, -1 for none.  @ret_code: its exit status, 128 + n after signal n.
 * Failures: EXIT_CODE_TIMEOUT (it goes on running), EXIT_CODE_ENVIRONMENT.
 */
int process_wait(struct process *process, int timeout_ms, int *ret_code,
                 struct report_failure *failure);

/*
 * process_kill - send SIGKILL, and do not wait. Fine while another thread waits for it, and on one
 * that has ended; nothing on a zeroed one.
 */
void process_kill(const struct process *process);

/* process_stop - end it if it runs: SIGTERM, and SIGKILL after @grace_ms. Reaps it, closes the
 * pidfd. Safe on a zeroed or finished object. */
void process_stop(struct process *process, int grace_ms);

/* process_release - let it go on without us; the object is zeroed. Not for die_with_parent. */
void process_release(struct process *process);

/* process_explain - "ended with status 1", "was killed by signal 11 (Segmentation fault)",
 * "is running". Returns @buffer, always terminated. */
char *process_explain(const struct process *process, char *buffer, size_t capacity);

/*
 * process_fail - describe the early end of a child as a failure; shows the tail of its log on
 * stderr, unless it was started quiet. Returns -EXIT_CODE_ENVIRONMENT.
 */
int process_fail(const struct process *process, const char *what, struct report_failure *failure);

/* process_show_log - show the tail of its log on stderr; nothing when it has none, or an empty one. */
void process_show_log(const struct process *process);

#endif
