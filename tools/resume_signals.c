/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "resume_signals.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "park.h"
#include "resume_input.h"

/* Written with the signals blocked, read by the handler. */
static int directory = -1;
static const char *directory_path;
static pid_t child;
static int forwarding;

static void handle(int number)
{
    if (forwarding) {
        kill(child, number);
        return;
    }
    if (child > 0)
        kill(child, SIGKILL);
    if (directory >= 0) {
        park_remove_files(directory);
        resume_input_remove_files(directory);
        rmdir(directory_path);
    }
    /* As if there were no handler: whoever waits for this process sees what ended it. */
    signal(number, SIG_DFL);
    raise(number);
}

static void install(const sigset_t *set)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    action.sa_mask = *set;
    for (int number = 1; number < 32; number++) {
        if (sigismember(set, number) == 1)
            sigaction(number, &action, NULL);
    }
}

/* Runs with the three signals blocked: @change is what the handler sees at once or not at all. */
static void update(int new_directory, const char *new_path, pid_t new_child, int new_forwarding)
{
    sigset_t set;
    sigset_t old;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &old);
    directory = new_directory;
    directory_path = new_path;
    child = new_child;
    forwarding = new_forwarding;
    install(&set);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

void resume_signals_clean_up(int directory_fd, const char *path)
{
    update(directory_fd, path, child, forwarding);
}

void resume_signals_forget(void)
{
    update(-1, NULL, child, forwarding);
}

void resume_signals_kill_on_exit(pid_t pid)
{
    update(directory, directory_path, pid, 0);
}

void resume_signals_forward(pid_t pid)
{
    update(directory, directory_path, pid, 1);
}

void resume_signals_release(void)
{
    update(directory, directory_path, 0, 0);
}
