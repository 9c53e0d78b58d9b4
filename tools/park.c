/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "park.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture.h"
#include "deadline.h"
#include "doorbell.h"
#include "facts.h"
#include "process.h"
#include "qmp.h"

#define NAME "the parked target"
#define LOG_FILE "target.log"
#define CONSOLE_FILE "target-console.log"
#define DEBUG_FILE "target-debug.log"
#define LOG_LINES 20u
#define PATH_LENGTH 512

/* Under TCG a VM may be slow to answer while its firmware starts; QEMU itself is not. */
#define QMP_OPEN_MS 30000
/* The capture comes without a pause longer than this. */
#define CAPTURE_IDLE_S 60

struct park {
    struct park_options options;
    struct process process;
    struct doorbell bell;
    int qmp_fd; /* until it is spoken to; -1 = none */
    struct qmp *qmp;
    char *flash[QEMU_COMMAND_FLASH_MAX];
    char log[PATH_LENGTH];
    char console[PATH_LENGTH];
    char debug[PATH_LENGTH];
    uint64_t started; /* deadline_now() */
    pthread_t thread;
    bool running; /* there is a thread */
    bool waited;
    int failed_fd;                /* an eventfd */
    char said[DOORBELL_LINE_MAX]; /* what the firmware says of loading an image */
    /* What the thread hands over. */
    int result;
    struct splice_parked parked;
    int capture_fd; /* with an image, in place of `parked`; -1 = none */
    struct park_times times;
    struct report_failure failure;
};

static int make_pair(int fds[2], struct report_failure *failure)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)
        return 0;
    return report_fail_errno(failure, errno, "start", NAME);
}

static int start_process(struct park *park, int qmp_fd, int debug_fd,
                         struct report_failure *failure)
{
    const struct park_options *options = &park->options;
    const struct qemu_park_options added = {
        .kernel = options->kernel,
        .bios = options->bios,
        .state_file = options->state_file,
        .plan_file = options->plan_file,
        .image = options->image,
        .key_file = options->key_file,
        .identity_file = options->identity_file,
        .flash_paths = (const char *const *)park->flash,
        .console_log = park->console,
        .qmp_fd = qmp_fd,
        .debug_fd = debug_fd,
    };
    struct qemu_argv argv = {NULL, 0};
    int result = qemu_command_park(options->command, &added, &argv, failure);
    if (result < 0)
        return result;
    const int fds[] = {qmp_fd, debug_fd};
    const struct process_options process = {
        .name = NAME,
        .argv = (const char *const *)argv.argv,
        .fds = fds,
        .fd_count = 2,
        .log_path = park->log,
        .null_stdin = true,
        .close_others = true,
        .die_with_parent = true,
        .own_group = true,
        .quiet = true,
    };
    result = process_start(&park->process, &process, failure);
    qemu_argv_free(&argv);
    return result;
}

/* A doorbell_line_fn. */
static void take_line(void *ctx, const char *line)
{
    static const char prefix[] = "loaded: ";
    struct park *park = ctx;
    if (strncmp(line, prefix, sizeof(prefix) - 1) == 0)
        snprintf(park->said, sizeof(park->said), "%s", line + sizeof(prefix) - 1);
}

static int start(struct park *park, struct report_failure *failure)
{
    int qmp[2];
    int debug[2];
    int result = 0;
    if (park->options.bios == NULL)
        result = qemu_command_copy_flash(park->options.command, park->options.directory,
                                         park->flash, failure);
    if (result == 0)
        result = make_pair(qmp, failure);
    if (result < 0)
        return result;
    park->qmp_fd = qmp[0];
    result = make_pair(debug, failure);
    if (result < 0) {
        close(qmp[1]);
        return result;
    }
    park->started = deadline_now();
    result = start_process(park, qmp[1], debug[1], failure);
    close(qmp[1]);
    close(debug[1]);
    if (result < 0) {
        close(debug[0]);
        return result;
    }
    result = doorbell_open(&park->bell, debug[0], park->debug, failure);
    park->bell.line_fn = take_line;
    park->bell.line_ctx = park;
    return result;
}

/* Opens the monitor, and lets it run. What goes wrong with the monitor is mostly QEMU's end. */
static int let_run(struct park *park, struct report_failure *failure)
{
    int result = qmp_open_fd(&park->qmp, park->qmp_fd, NAME, QMP_OPEN_MS, failure);
    park->qmp_fd = -1;
    if (result == 0) {
        /* Not before: until then nobody takes what the firmware says, and QEMU waits for that. */
        qmp_keep_empty(park->qmp, park->bell.fd, doorbell_take, &park->bell);
        result = qmp_execute(park->qmp, "cont", NULL, NULL, failure);
    }
    /* While the firmware boots: afterwards somebody waits for the capture. */
    if (result == 0)
        result = capture_prepare(park->qmp, failure);
    int code;
    struct report_failure ignored = {0};
    if (result < 0 && process_wait(&park->process, 1000, &code, &ignored) == 0)
        return process_fail(&park->process, "start", failure);
    return result;
}

/*
 * A copy of the manifest that has the main memory only: devices that the parked target has no need
 * of bring memory of their own.
 */
static struct manifest *main_memory(const struct manifest *manifest, const char *block)
{
    struct manifest *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *manifest;
    copy->range_count = 0;
    for (uint32_t i = 0; i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        if (strcmp(range->block, block) == 0)
            copy->range[copy->range_count++] = *range;
    }
    return copy;
}

/* Is it a machine that the source's devices fit? */
static int compare_machine(struct park *park, struct report_failure *failure)
{
    const char *block = park->options.home->block;
    struct manifest *all = calloc(1, sizeof(*all));
    struct manifest *target = NULL;
    struct manifest *source = main_memory(park->options.manifest, block);
    int result = all == NULL || source == NULL ? report_fail_memory(failure, "compare machines")
                                               : facts_read(park->qmp, all, failure);
    if (result == 0) {
        target = main_memory(all, block);
        if (target == NULL)
            result = report_fail_memory(failure, "compare machines");
    }
    if (result == 0)
        result = manifest_compare_machine(source, target, failure);
    free(all);
    free(source);
    free(target);
    return result;
}

/* The capture goes through a file if it is to be kept. @ret_fd: at its begin. */
static int capture_to_file(struct park *park, int *ret_fd, struct report_failure *failure)
{
    const char *path = park->options.save_path;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return report_fail_errno(failure, errno, "keep the capture", path);
    int result = capture_start(park->qmp, fd, failure);
    if (result == 0)
        result = capture_wait(park->qmp, CAPTURE_IDLE_S * 1000, NULL, failure);
    if (result == 0 && lseek(fd, 0, SEEK_SET) != 0)
        result = report_fail_errno(failure, errno, "keep the capture", path);
    if (result < 0)
        close(fd);
    else
        *ret_fd = fd;
    return result;
}

/* Else it is read while QEMU writes it. */
static int capture_to_socket(struct park *park, int *ret_fd, struct report_failure *failure)
{
    int pair[2];
    int result = make_pair(pair, failure);
    if (result < 0)
        return result;
    const struct timeval limit = {.tv_sec = CAPTURE_IDLE_S};
    if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
        result = report_fail_errno(failure, errno, "capture", NAME);
    if (result == 0)
        result = capture_start(park->qmp, pair[1], failure);
    close(pair[1]);
    if (result < 0)
        close(pair[0]);
    else
        *ret_fd = pair[0];
    return result;
}

/* Reads it, or keeps it for who will. */
static int capture(struct park *park, struct report_failure *failure)
{
    int fd = -1;
    int result = park->options.save_path != NULL ? capture_to_file(park, &fd, failure)
                                                 : capture_to_socket(park, &fd, failure);
    if (result < 0)
        return result;
    if (park->options.image != NULL) {
        park->capture_fd = fd;
        return 0;
    }
    result = splice_parked_read(&park->parked, fd, park->options.home, NULL, failure);
    close(fd);
    return result;
}

/* What went wrong may have a simple cause. */
static int explain(struct park *park, int result, struct report_failure *failure)
{
    if (result < 0 && process_poll(&park->process))
        return process_fail(&park->process, "capture the parked vCPUs", failure);
    if (result == 0)
        park->times.captured_ns = deadline_now() - park->started;
    return result;
}

/* What to do when the firmware refuses an image: another command line is not always the answer. */
static void advise(const struct park *park, struct report_failure *failure)
{
    static const struct {
        const char *begin;
        const char *advice;
    } advices[] = {
        {"refused: key", "give the key: --key FILE"},
        {"refused: image", "use another copy of the image; resumectl open tells what is wrong with "
                           "this one"},
    };
    for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
        if (strncmp(park->bell.last, advices[i].begin, strlen(advices[i].begin)) == 0)
            snprintf(failure->advice, sizeof(failure->advice), "%s", advices[i].advice);
    }
}

static int follow(struct park *park, struct report_failure *failure)
{
    int result = let_run(park, failure);
    if (result == 0)
        result = doorbell_wait(&park->bell, &park->process, "parked", "park the target",
                               park->started, park->options.timeout_ms, NULL, 0, failure);
    if (result == -EXIT_CODE_REFUSED)
        advise(park, failure);
    /* On another machine resume.efi refuses first; the monitor tells better what differs. */
    struct report_failure better = {0};
    if (result == -EXIT_CODE_REFUSED && compare_machine(park, &better) == -EXIT_CODE_REFUSED)
        *failure = better;
    if (result == 0) {
        park->times.parked_ns = deadline_now() - park->started;
        result = capture_stop(park->qmp, NULL, failure);
    }
    if (result == 0)
        result = compare_machine(park, failure);
    if (result < 0)
        return result;
    return explain(park, capture(park, failure), failure);
}

static void *run_thread(void *ctx)
{
    struct park *park = ctx;
    park->result = follow(park, &park->failure);
    if (park->result < 0)
        (void)eventfd_write(park->failed_fd, 1);
    /* It has no drives whose writing it would have to finish. Its end is waited for later. */
    if (park->capture_fd < 0)
        process_kill(&park->process);
    return NULL;
}

/* Signals are the main thread's business. */
static int start_thread(struct park *park, struct report_failure *failure)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&park->thread, NULL, run_thread, park);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error != 0)
        return report_fail_errno(failure, error, "start", NAME);
    park->running = true;
    return 0;
}

static int set_paths(struct park *park, struct report_failure *failure)
{
    const char *directory = park->options.directory;
    const struct {
        char *path;
        const char *name;
    } files[] = {{park->log, LOG_FILE}, {park->console, CONSOLE_FILE}, {park->debug, DEBUG_FILE}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (snprintf(files[i].path, PATH_LENGTH, "%s/%s", directory, files[i].name) >= PATH_LENGTH)
            return report_fail(failure, EXIT_CODE_REFUSED, "start", directory,
                               "set TMPDIR to a shorter path", "the path is too long");
    }
    return 0;
}

int park_start(struct park **ret, const struct park_options *options,
               struct report_failure *failure)
{
    struct park *park = calloc(1, sizeof(*park));
    if (park == NULL)
        return report_fail_memory(failure, "start");
    park->options = *options;
    park->bell.fd = -1;
    park->bell.log_fd = -1;
    park->qmp_fd = -1;
    park->capture_fd = -1;
    park->failed_fd = eventfd(0, EFD_CLOEXEC);
    int result = park->failed_fd < 0 ? report_fail_errno(failure, errno, "start", NAME) : 0;
    if (result == 0)
        result = set_paths(park, failure);
    if (result == 0)
        result = start(park, failure);
    if (result == 0)
        result = start_thread(park, failure);
    if (result < 0)
        park_close(park);
    else
        *ret = park;
    return result;
}

int park_failed_fd(const struct park *park)
{
    return park->failed_fd;
}

static void end_thread(struct park *park)
{
    if (park->running)
        pthread_join(park->thread, NULL);
    park->running = false;
}

static int wait_thread(struct park *park, struct report_failure *failure)
{
    end_thread(park);
    park->waited = true;
    if (park->result < 0)
        *failure = park->failure;
    return park->result;
}

int park_wait(struct park *park, struct splice_parked *out, struct report_failure *failure)
{
    int result = wait_thread(park, failure);
    if (result < 0)
        return result;
    *out = park->parked;
    memset(&park->parked, 0, sizeof(park->parked));
    return 0;
}

int park_wait_capture(struct park *park, int *ret_fd, struct report_failure *failure)
{
    int result = wait_thread(park, failure);
    if (result == 0)
        *ret_fd = park->capture_fd;
    return result;
}

int park_captured(struct park *park, int result, struct report_failure *failure)
{
    const bool ended = process_poll(&park->process);
    result = explain(park, result, failure);
    /* Whether park_show has something to tell. */
    if (ended)
        park->result = result;
    process_kill(&park->process);
    return result;
}

const char *park_loaded(const struct park *park)
{
    return park->said;
}

bool park_waited(const struct park *park)
{
    return park->waited;
}

const struct park_times *park_times(const struct park *park)
{
    return &park->times;
}

void park_show(const struct park *park)
{
    if (!park->waited || park->result == 0)
        return;
    process_show_log(&park->process);
    report_log_tail("the parked target's console", park->console, LOG_LINES);
    report_log_tail("its debug console", park->debug, LOG_LINES);
}

void park_close(struct park *park)
{
    if (park == NULL)
        return;
    /* Whatever the thread waits for comes to its end with the VM. */
    process_kill(&park->process);
    end_thread(park);
    splice_parked_close(&park->parked);
    qmp_close(park->qmp);
    doorbell_close(&park->bell);
    process_stop(&park->process, 0);
    if (park->qmp_fd >= 0)
        close(park->qmp_fd);
    if (park->capture_fd >= 0)
        close(park->capture_fd);
    if (park->failed_fd >= 0)
        close(park->failed_fd);
    for (size_t i = 0; i < QEMU_COMMAND_FLASH_MAX; i++) {
        if (park->flash[i] != NULL)
            unlink(park->flash[i]);
        free(park->flash[i]);
    }
    unlink(park->log);
    unlink(park->console);
    unlink(park->debug);
    free(park);
}

void park_remove_files(int directory_fd)
{
    static const char *const names[] = {LOG_FILE, CONSOLE_FILE, DEBUG_FILE};
    char flash[] = "flash0";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlinkat(directory_fd, names[i], 0);
    for (char i = 0; i < (char)QEMU_COMMAND_FLASH_MAX; i++) {
        flash[5] = (char)('0' + i);
        unlinkat(directory_fd, flash, 0);
    }
}
