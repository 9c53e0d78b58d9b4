/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* From a snapshot that was checked to a VM that has loaded it: two VMs at a time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "resume_signals.h"
#include "resuming.h"

#define PIPE_SIZE (1 << 20)
/* Of QEMU's own ROMs the one that starts a kernel by its PVH note, and sets nothing else up. */
#define PVH_BIOS "qboot.rom"

/* A capture that was kept takes the place of a target. */
static int read_parked(struct resuming *run, struct report_failure *failure)
{
    const char *path = run->arguments->parked;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return report_fail_errno(failure, errno, "read the parked target", path);
    if (run->input.image) {
        run->capture_fd = fd; /* it is read when its memory is wanted */
        return 0;
    }
    progress_step_begin(&run->progress, "read the parked target");
    int result = splice_parked_read(&run->parked, fd, &run->input.home, &run->progress, failure);
    close(fd);
    if (result < 0)
        return result;
    progress_step_end(&run->progress, NULL);
    return resume_input_check(&run->input, &run->parked, failure);
}

static const char *given(const char *path)
{
    return path[0] != '\0' ? path : NULL;
}

/* Begins @step. From here on the target boots by itself. */
static int start_target(struct resuming *run, const char *step, struct report_failure *failure)
{
    const struct resume_arguments *arguments = run->arguments;
    if (arguments->parked != NULL)
        return read_parked(run, failure);
    const struct park_options park_options = {
        .command = run->command,
        .kernel = run->kernel,
        .bios = arguments->firmware == FIRMWARE_PVH ? PVH_BIOS : NULL,
        .state_file = given(run->input.state_path),
        .plan_file = given(run->input.plan_path),
        .image = run->input.image ? run->input.path : NULL,
        .key_file = run->input.key_path,
        .identity_file = given(run->input.identity_path),
        .directory = run->input.work_directory,
        .save_path = arguments->save_parked,
        .manifest = run->input.manifest,
        .home = &run->input.home,
        .timeout_ms = run->timeout_ms,
    };
    progress_step_begin(&run->progress, "%s", step);
    return park_start(&run->park, &park_options, failure);
}

/*
 * Fills run->parked, and makes sure that it fits the source.
 * @passed: the source's RAM has been passed: its sections are compared by splice_run at once.
 */
static int await_target(struct resuming *run, bool passed, struct report_failure *failure)
{
    int result = park_wait(run->park, &run->parked, failure);
    if (result == 0)
        result = passed ? resume_input_check_active(&run->input, &run->parked, failure)
                        : resume_input_check(&run->input, &run->parked, failure);
    if (result == 0)
        progress_step_end(&run->progress, NULL);
    return result;
}

/* A target that loads an image: until its capture can be read. Nothing to do when it can already. */
static int await_capture(struct resuming *run, struct report_failure *failure)
{
    if (run->capture_fd >= 0)
        return 0;
    progress_step_begin(&run->progress, "park the target, which loads the memory");
    int result = park_wait_capture(run->park, &run->capture_fd, failure);
    if (result < 0)
        return result;
    progress_step_end(&run->progress, NULL);
    if (park_loaded(run->park)[0] != '\0')
        report_note("the firmware has loaded %s", park_loaded(run->park));
    return 0;
}

/* Its memory goes through; what is kept of it is run->parked. */
static int pass_memory(struct resuming *run, stream_sink_fn write, void *write_ctx,
                       struct report_failure *failure)
{
    const struct splice_pass pass = {
        .memory = run->input.memory,
        .poke = &run->input.poke,
        .write = write,
        .write_ctx = write_ctx,
    };
    progress_step_begin(&run->progress, "pass the memory on");
    int result = splice_parked_pass(&run->parked, run->capture_fd, &run->input.home, &pass,
                                    &run->progress, failure);
    if (run->park != NULL)
        result = park_captured(run->park, result, failure);
    if (result == 0)
        result = resume_input_check_active(&run->input, &run->parked, failure);
    if (result < 0)
        return result;
    run->input.home.va = run->parked.control.home_va; /* it may not have been known */
    progress_step_end(&run->progress, NULL);
    return 0;
}

/* The RAM has passed; what follows needs the target. */
static int between_ram_and_devices(void *ctx, stream_sink_fn write, void *write_ctx,
                                   struct report_failure *failure)
{
    struct resuming *run = ctx;
    char text[32];
    progress_step_end(&run->progress, "%s",
                      progress_format_bytes(run->input.stream_size, text, sizeof(text)));
    int result;
    if (run->input.image) {
        result = await_capture(run, failure);
        if (result == 0)
            result = pass_memory(run, write, write_ctx, failure);
    } else {
        progress_step_begin(&run->progress, "park the target");
        result = await_target(run, true, failure);
    }
    if (result == 0)
        progress_step_begin(&run->progress, "load the devices");
    return result;
}

static int splice_into(struct resuming *run, stream_sink_fn write, void *ctx,
                       struct report_failure *failure)
{
    struct splice_result spliced;
    const bool filled = run->parked.home != NULL; /* it was waited for before, or was kept */
    /* Else it is in memory that comes from the target. */
    const bool in_source =
        !run->input.image || !image_memory_has(run->input.memory, run->input.poke.block,
                                               run->input.poke.offset / STREAM_PAGE_SIZE);
    const struct splice_options splice_options = {
        .source_fd = run->input.stream_fd,
        .source_size = run->input.stream_size,
        .source_hash = run->input.stream_hash,
        .home = &run->input.home,
        .image = run->input.image,
        .await_parked = filled ? NULL : between_ram_and_devices,
        .await_ctx = run,
        .parked = &run->parked,
        .poke = in_source ? &run->input.poke : NULL,
        .write = write,
        .write_ctx = ctx,
        .progress = &run->progress,
    };
    if (lseek(run->input.stream_fd, 0, SEEK_SET) != 0)
        return report_fail_errno(failure, errno, "splice", MANIFEST_STREAM);
    int result = splice_run(&splice_options, &spliced, failure);
    if (result < 0)
        return result;
    char text[32];
    progress_step_end(&run->progress, "%s, %" PRIu32 " device sections, %" PRIu32 " replaced",
                      progress_format_bytes(spliced.written, text, sizeof(text)), spliced.sections,
                      spliced.replaced);
    return 0;
}

static int write_file(void *ctx, const void *data, size_t length)
{
    const int *fd = ctx;
    const uint8_t *from = data;
    while (length > 0) {
        ssize_t done = write(*fd, from, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        from += done;
        length -= (size_t)done;
    }
    return 0;
}

static int splice_to_file(struct resuming *run, struct report_failure *failure)
{
    const char *path = run->arguments->splice_to;
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return report_fail_errno(failure, errno, "write", path);
    (void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE); /* if it is one: fewer waits for its reader */
    progress_step_begin(&run->progress, "splice");
    int result = splice_into(run, write_file, &fd, failure);
    if (!standard && close(fd) != 0 && result == 0)
        result = report_fail_errno(failure, errno, "write", path);
    return result;
}

int resuming_splice(struct resuming *run, struct report_failure *failure)
{
    const char *step = run->input.image ? "start the target" : "park the target";
    int result = start_target(run, step, failure);
    if (result == 0 && run->input.image)
        result = await_capture(run, failure);
    else if (result == 0 && run->park != NULL)
        result = await_target(run, false, failure);
    return result == 0 ? splice_to_file(run, failure) : result;
}

static int start_resumed(struct resuming *run, struct report_failure *failure)
{
    const struct resumed_options resumed_options = {
        .command = run->command,
        .gdbstub = run->arguments->verify,
        .detach = run->arguments->detach,
        .give_up_fd = run->park != NULL ? park_failed_fd(run->park) : -1,
        /* One that is to be detached does not end with this process by itself. */
        .started = resume_signals_kill_on_exit,
        .timeout_ms = run->timeout_ms,
    };
    if (run->park == NULL)
        progress_step_begin(&run->progress, "start the resumed VM");
    int result = resumed_start(&run->resumed, &resumed_options, failure);
    if (result < 0)
        return result;
    result = resumed_check(&run->resumed, run->input.manifest, failure);
    if (result == 0)
        progress_step_end(&run->progress, NULL);
    return result;
}

static int load(struct resuming *run, struct report_failure *failure)
{
    int result = start_resumed(run, failure);
    if (result < 0)
        return result;
    progress_step_begin(&run->progress,
                        run->input.image ? "load the devices' memory" : "load the memory");
    result = splice_into(run, resumed_write, &run->resumed, failure);
    if (result < 0 && run->resumed.write_error != 0)
        return resumed_write_failed(&run->resumed, failure);
    if (result < 0)
        return result;
    progress_step_begin(&run->progress, "finish loading");
    result = resumed_loaded(&run->resumed, failure);
    if (result == 0)
        progress_step_end(&run->progress, NULL);
    return result;
}

int resuming_load(struct resuming *run, struct report_failure *failure)
{
    int result = start_target(run, "start both VMs", failure);
    if (result < 0)
        return result;
    result = load(run, failure);
    /* What the target says of a machine that is another one is better than what became of it. */
    if (result < 0 && run->park != NULL && !park_waited(run->park)) {
        struct report_failure theirs = {0};
        progress_step_fail(&run->progress);
        int verdict =
            run->input.image ? await_capture(run, &theirs) : await_target(run, false, &theirs);
        if (verdict < 0) {
            *failure = theirs;
            result = verdict;
        }
    }
    return result;
}
