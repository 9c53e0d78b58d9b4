/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What SIGINT, SIGTERM and SIGHUP do during a resume: until the guest runs they end the resume and
 * leave nothing behind; then they are passed on to it. State of the process, as signals are.
 */
#ifndef RESUME_TOOLS_RESUME_SIGNALS_H
#define RESUME_TOOLS_RESUME_SIGNALS_H

#include <sys/types.h>

/* resume_signals_clean_up - from now on, a signal removes the private directory @path, open as
 * @directory_fd, and ends the process. @path must stay valid until resume_signals_forget. */
void resume_signals_clean_up(int directory_fd, const char *path);

/* resume_signals_forget - the directory is gone. */
void resume_signals_forget(void);

/* resume_signals_kill_on_exit - a signal also ends process @pid. */
void resume_signals_kill_on_exit(pid_t pid);

/* resume_signals_forward - from now on, a signal goes to @pid and does nothing here. */
void resume_signals_forward(pid_t pid);

/* resume_signals_release - signals have nothing to do with a process any more. */
void resume_signals_release(void);

#endif
