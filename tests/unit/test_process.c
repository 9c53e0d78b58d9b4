/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Real children: started, waited for, ended, and told of. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "process.h"

#define LONG_MS 20000
#define SHORT_MS 50

static void start(struct process *process, const struct process_options *options)
{
    struct report_failure failure = {0};
    if (process_start(process, options, &failure) != 0)
        fail_msg("%s: %s", failure.where, failure.why);
}

static void exit_codes_and_signals_are_told(void **context)
{
    (void)context;
    static const char *const exit7[] = {"sh", "-c", "exit 7", NULL};
    static const char *const kill9[] = {"sh", "-c", "kill -9 $$", NULL};
    struct process process = {0};
    struct report_failure failure = {0};
    char text[96];
    int code = -1;
    assert_string_equal(process_explain(&process, text, sizeof(text)), "was not started");
    start(&process, &(struct process_options){.name = "the child", .argv = exit7});
    assert_int_equal(process_wait(&process, LONG_MS, &code, &failure), 0);
    assert_int_equal(code, 7);
    assert_true(process_poll(&process));
    assert_string_equal(process_explain(&process, text, sizeof(text)), "ended with status 7");
    process_stop(&process, 0);
    start(&process, &(struct process_options){.name = "the child", .argv = kill9});
    assert_int_equal(process_wait(&process, LONG_MS, &code, &failure), 0);
    assert_int_equal(code, 128 + 9);
    assert_string_equal(process_explain(&process, text, sizeof(text)),
                        "was killed by signal 9 (Killed)");
    process_stop(&process, 0);
    process_stop(&process, 0);
}

static void a_program_that_is_not_there_is_told_at_once(void **context)
{
    (void)context;
    static const char *const nothing[] = {"/nonexistent/qemu", NULL};
    static const char *const none[] = {"/dev/null", NULL};
    static const char *const fine[] = {"true", NULL};
    static const int bad_fd[] = {987};
    struct process process = {0};
    struct report_failure failure = {0};
    assert_int_equal(process_start(&process,
                                   &(struct process_options){.name = "the VM", .argv = nothing},
                                   &failure),
                     -EXIT_CODE_ENVIRONMENT);
    assert_string_equal(failure.where, "/nonexistent/qemu");
    assert_string_equal(failure.why, "cannot execute it as the VM: No such file or directory");
    assert_int_equal(process_start(&process,
                                   &(struct process_options){.name = "the VM", .argv = none},
                                   &failure),
                     -EXIT_CODE_ENVIRONMENT);
    assert_string_equal(failure.why, "cannot execute it as the VM: Permission denied");
    const struct process_options unfit = {
        .name = "the VM", .argv = fine, .fds = bad_fd, .fd_count = 1};
    assert_int_equal(process_start(&process, &unfit, &failure), -EXIT_CODE_ENVIRONMENT);
    assert_non_null(strstr(failure.why, "cannot be handed over: Bad file descriptor"));
    const struct process_options no_log = {
        .name = "the VM", .argv = fine, .log_path = "/nonexistent/log"};
    assert_int_equal(process_start(&process, &no_log, &failure), -EXIT_CODE_ENVIRONMENT);
    assert_int_equal(process.pid, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child was left behind */
}

static void waiting_has_a_limit_and_stopping_ends(void **context)
{
    (void)context;
    /* cat without an end of its input */
    static const char *const cat[] = {"cat", NULL};
    struct process process = {0};
    struct report_failure failure = {0};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int saved = dup(STDIN_FILENO);
    assert_true(dup2(pair[1], STDIN_FILENO) == STDIN_FILENO);
    start(&process, &(struct process_options){.name = "the cat", .argv = cat});
    assert_true(dup2(saved, STDIN_FILENO) == STDIN_FILENO);
    close(saved);
    pid_t pid = process.pid;
    assert_false(process_poll(&process));
    assert_int_equal(process_wait(&process, SHORT_MS, NULL, &failure), -EXIT_CODE_TIMEOUT);
    assert_non_null(strstr(failure.why, "did not end within 50 ms"));
    process_stop(&process, LONG_MS);
    assert_int_equal(WTERMSIG(process.status), SIGTERM);
    assert_int_equal(kill(pid, 0), -1);
    close(pair[0]);
    close(pair[1]);
}

static void a_stubborn_child_is_killed(void **context)
{
    (void)context;
    /* says that it is deaf now, then waits for input that never comes */
    static const char *const deaf[] = {"sh", "-c", "trap '' TERM; echo x >&9; read y <&9", NULL};
    static const int fds[] = {9};
    struct process process = {0};
    char byte = 0;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(dup3(pair[1], 9, O_CLOEXEC), 9);
    close(pair[1]);
    start(&process,
          &(struct process_options){.name = "the child", .argv = deaf, .fds = fds, .fd_count = 1});
    close(9);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    process_stop(&process, SHORT_MS);
    assert_int_equal(WTERMSIG(process.status), SIGKILL);
    close(pair[0]);
}

static void descriptors_and_logs_go_where_they_should(void **context)
{
    (void)context;
    static const char *const script[] = {
        "sh", "-c",
        "echo out; echo err >&2; read x && echo input; "
        "test -e /proc/self/fd/11 && echo 11; test -e /proc/self/fd/12 && echo 12; "
        "test -e /proc/self/fd/13 && echo 13; exit 3",
        NULL};
    static const int fds[] = {11};
    char log[] = "/tmp/test-process-XXXXXX";
    char text[512];
    struct process process = {0};
    struct report_failure failure = {0};
    int fd = mkstemp(log);
    assert_true(fd >= 0);
    assert_int_equal(dup3(fd, 11, O_CLOEXEC), 11);
    assert_int_equal(dup3(fd, 12, O_CLOEXEC), 12);
    assert_int_equal(dup2(fd, 13), 13); /* not close-on-exec: only close_others keeps it away */
    for (int close_others = 0; close_others < 2; close_others++) {
        const struct process_options options = {.name = "the child",
                                                .argv = script,
                                                .fds = fds,
                                                .fd_count = 1,
                                                .log_path = log,
                                                .null_stdin = true,
                                                .close_others = close_others != 0,
                                                .own_group = true};
        start(&process, &options);
        assert_int_equal(process_wait(&process, LONG_MS, NULL, &failure), 0);
        FILE *file = fopen(log, "re");
        assert_non_null(file);
        size_t length = fread(text, 1, sizeof(text) - 1, file);
        text[length] = '\0';
        fclose(file);
        assert_string_equal(text, close_others != 0 ? "out\nerr\n11\n" : "out\nerr\n11\n13\n");
        if (close_others == 0)
            process_stop(&process, 0);
    }

    /* its end, with the log */
    char *shown = NULL;
    size_t shown_length = 0;
    FILE *out = open_memstream(&shown, &shown_length);
    report_use_stream(out);
    assert_int_equal(process_fail(&process, "start", &failure), -EXIT_CODE_ENVIRONMENT);
    report_use_stream(NULL);
    fclose(out);
    assert_non_null(strstr(shown, "    out\n    err\n    11\n"));
    free(shown);
    assert_string_equal(report_format(&failure, text, sizeof(text)),
                        "resumectl: start: the child: QEMU ended with status 3 (its log is shown "
                        "above)");
    process_stop(&process, 0);
    close(fd);
    for (int i = 11; i <= 13; i++)
        close(i);
    assert_int_equal(unlink(log), 0);
}

/* One whose log is shown by somebody else, and later. */
static void a_quiet_child_shows_nothing_until_asked(void **context)
{
    (void)context;
    static const char *const speak[] = {"sh", "-c", "echo a word; exit 3", NULL};
    char log[] = "/tmp/test-process-XXXXXX";
    char *shown = NULL;
    size_t length = 0;
    struct process process = {0};
    struct report_failure failure = {0};
    int fd = mkstemp(log);
    assert_true(fd >= 0);
    FILE *stream = open_memstream(&shown, &length);
    assert_non_null(stream);
    report_use_stream(stream);
    start(&process, &(struct process_options){
                        .name = "the child", .argv = speak, .log_path = log, .quiet = true});
    assert_int_equal(process_wait(&process, LONG_MS, NULL, &failure), 0);
    assert_int_equal(process_fail(&process, "start", &failure), -EXIT_CODE_ENVIRONMENT);
    assert_string_equal(failure.why, "QEMU ended with status 3");
    fflush(stream);
    assert_int_equal(length, 0);
    process_show_log(&process);
    report_use_stream(NULL);
    fclose(stream);
    assert_non_null(strstr(shown, "    a word\n"));
    free(shown);
    process_stop(&process, 0);
    close(fd);
    assert_int_equal(unlink(log), 0);
}

static void killing_does_not_wait(void **context)
{
    (void)context;
    static const char *const sleeper[] = {"sleep", "1000", NULL};
    struct process process = {0};
    struct report_failure failure = {0};
    int code = -1;
    process_kill(&process);
    start(&process, &(struct process_options){.name = "the child", .argv = sleeper});
    process_kill(&process);
    assert_int_equal(process_wait(&process, LONG_MS, &code, &failure), 0);
    assert_int_equal(code, 128 + 9);
    process_kill(&process);
    process_stop(&process, 0);
}

/* A parent that starts a child and dies: the child must go with it. */
static void the_child_dies_with_its_parent(void **context)
{
    (void)context;
    static const char *const cat[] = {"cat", NULL};
    int held[2];
    int input[2];
    char byte;
    assert_int_equal(pipe2(held, O_CLOEXEC), 0);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    pid_t parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        struct process process = {0};
        struct report_failure failure = {0};
        const int fds[] = {held[1]};
        const struct process_options options = {
            .name = "the cat", .argv = cat, .fds = fds, .fd_count = 1, .die_with_parent = true};
        dup2(input[0], STDIN_FILENO);
        if (process_start(&process, &options, &failure) != 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    close(held[1]);
    int status = 0;
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFSIGNALED(status));
    /* the end of the pipe comes when the last process that holds it is gone */
    alarm(LONG_MS / 1000);
    assert_int_equal(read(held[0], &byte, 1), 0);
    alarm(0);
    close(held[0]);
    close(input[0]);
    close(input[1]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_and_signals_are_told),
        cmocka_unit_test(a_program_that_is_not_there_is_told_at_once),
        cmocka_unit_test(waiting_has_a_limit_and_stopping_ends),
        cmocka_unit_test(a_stubborn_child_is_killed),
        cmocka_unit_test(descriptors_and_logs_go_where_they_should),
        cmocka_unit_test(a_quiet_child_shows_nothing_until_asked),
        cmocka_unit_test(killing_does_not_wait),
        cmocka_unit_test(the_child_dies_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
