/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl resume: the sequence from a snapshot to a running guest. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resume_signals.h"
#include "resuming.h"
#include "subcommands.h"
#include "verify.h"

/* The file is a shell's "-" or is created anew. */
static FILE *open_output(const char *path, FILE *standard)
{
    return strcmp(path, "-") == 0 ? standard : fopen(path, "we");
}

static int close_output(FILE *file, FILE *standard, const char *path, bool written,
                        struct report_failure *failure)
{
    int error = !written || ferror(file) != 0 || fflush(file) != 0 ? (errno != 0 ? errno : EIO) : 0;
    if (file != standard && fclose(file) != 0 && error == 0)
        error = errno;
    return error != 0 ? report_fail_errno(failure, error, "write", path) : 0;
}

static int write_json(const char *path, FILE *standard, json_t *value,
                      struct report_failure *failure)
{
    if (value == NULL)
        return report_fail_memory(failure, "write JSON");
    FILE *file = open_output(path, standard);
    int result;
    if (file == NULL) {
        result = report_fail_errno(failure, errno, "write", path);
    } else {
        bool written = json_dumpf(value, file, JSON_INDENT(2)) == 0 && fputc('\n', file) != EOF;
        result = close_output(file, standard, path, written, failure);
    }
    json_decref(value);
    return result;
}

static json_t *timing_json(const struct resuming *run)
{
    const struct progress *progress = &run->progress;
    const struct park_times none = {0};
    const struct park_times *times = run->park != NULL ? park_times(run->park) : &none;
    json_t *steps = json_array();
    for (uint32_t i = 0; i < progress->step_count; i++)
        json_array_append_new(steps, json_pack("{s:s, s:I}", "name", progress->step[i].name, "ns",
                                               (json_int_t)progress->step[i].duration_ns));
    return json_pack("{s:o, s:I, s:I, s:I}", "steps", steps, "total_ns",
                     (json_int_t)progress_total_ns(progress), "parked_ns",
                     (json_int_t)times->parked_ns, "captured_ns", (json_int_t)times->captured_ns);
}

/* Both loaders lie beside the tool: in the build tree, or where all are installed. */
static int find_kernel(struct resuming *run, struct report_failure *failure)
{
    static const struct {
        const char *name;
        const char *build;
        const char *option;
    } loaders[] = {
        [FIRMWARE_EFI] = {"resume.efi", "../efi", "name it with --efi"},
        [FIRMWARE_PVH] = {"pvh-firmware.elf", "../examples/pvh-firmware", "name it with --loader"},
    };
    static const char *const installed[] = {"../lib/libresume", "../lib/x86_64-linux-gnu/libresume",
                                            "../lib64/libresume"};
    const char *name = loaders[run->arguments->firmware].name;
    const char *advice = loaders[run->arguments->firmware].option;
    const char *given = run->arguments->loader;
    char what[64];
    if (given != NULL) {
        snprintf(what, sizeof(what), "read %s", name);
        if (access(given, R_OK) != 0)
            return report_fail_errno(failure, errno, what, given);
        snprintf(run->kernel, sizeof(run->kernel), "%s", given);
        return 0;
    }
    char self[PATH_MAX_LENGTH / 2];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash = NULL;
    snprintf(what, sizeof(what), "find %s", name);
    if (length > 0) {
        self[length] = '\0';
        slash = strrchr(self, '/');
    }
    if (slash == NULL)
        return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, "/proc/self/exe", advice,
                           "cannot tell where resumectl lies");
    *slash = '\0';
    const char *build = loaders[run->arguments->firmware].build;
    for (size_t i = 0; i <= sizeof(installed) / sizeof(installed[0]); i++) {
        snprintf(run->kernel, sizeof(run->kernel), "%s/%s/%s", self,
                 i == 0 ? build : installed[i - 1], name);
        if (access(run->kernel, R_OK) == 0)
            return 0;
    }
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, self, advice,
                       "neither in %s nor in lib/libresume beside this directory", build);
}

/* What the command line says must fit before anything is started. */
static int check_command(struct resuming *run, struct report_failure *failure)
{
    const struct manifest *manifest = run->input.manifest;
    int result = qemu_command_parse(&run->command, run->arguments->command_length,
                                    (const char *const *)run->arguments->command, failure);
    if (result < 0)
        return result;
    const struct qemu_command_facts *facts = qemu_command_facts(run->command);
    static const char advice[] = "give the very command line that started the source VM";
    if (facts->memory_size != manifest->memory_size)
        return report_fail(failure, EXIT_CODE_REFUSED, "check the command line", "-m", advice,
                           "%" PRIu64 " bytes of RAM, the snapshot was taken with %" PRIu64,
                           facts->memory_size, manifest->memory_size);
    if (facts->cpu_count != manifest->cpu_count)
        return report_fail(failure, EXIT_CODE_REFUSED, "check the command line", "-smp", advice,
                           "%" PRIu32 " vCPUs, the snapshot was taken with %" PRIu32,
                           facts->cpu_count, manifest->cpu_count);
    if (facts->temporary_drives)
        return report_fail(
            failure, EXIT_CODE_REFUSED, "check the command line", "its drives",
            "run the source on overlays of your own (qemu-img create -b), and keep "
            "them with the snapshot",
            "-snapshot or snapshot=on: what the source wrote went with its temporary files: "
            "the guest would find other drives than it left");
    if (run->arguments->detach && facts->stdio[0] != '\0')
        return report_fail(failure, EXIT_CODE_REFUSED, "check the command line", facts->stdio,
                           "give it a socket or a file, or leave out --detach",
                           "it uses standard input and output, which a detached VM does not keep");
    return 0;
}

static int compare(struct resuming *run, int fd, struct report_failure *failure)
{
    const struct verify_options verify_options = {
        .input = &run->input,
        .parked = &run->parked,
        .resumed_fd = fd,
        .progress = &run->progress,
    };
    if (!run->input.image)
        progress_step_begin(&run->progress, "compare with the snapshot");
    int result = resume_input_compare(&run->input, &verify_options, &run->ledger, failure);
    if (result < 0)
        return result;
    run->compared = true;
    progress_step_end(&run->progress, NULL);
    readback_print(&run->readback, stderr, run->arguments->verbose);
    ledger_print(&run->ledger, stderr);
    if (!ledger_clean(&run->ledger))
        result = report_fail(failure, EXIT_CODE_DIFFERENT, "verify", run->arguments->path,
                             "the resumed VM was ended; the snapshot is as it was",
                             "the resumed VM differs from the snapshot");
    return result;
}

/* The step that took the vCPUs to the guest is over. */
static void entered(struct resuming *run)
{
    char text[512];
    uint32_t active = run->parked.control.active_count;
    if (active == 1 && run->parked.control.vcpu_count == 1)
        progress_step_end(&run->progress, "RIP 0x%" PRIx64, run->parked.handoff[0].rip);
    else
        progress_step_end(&run->progress, "%" PRIu32 " vCPU%s", active, active == 1 ? "" : "s");
    report_note("read back: %s", readback_summary(&run->readback, text, sizeof(text)));
}

static int verify(struct resuming *run, struct report_failure *failure)
{
    progress_step_begin(&run->progress, "restore the CPUs, stop at the guest");
    int result = resumed_run_to_guest(&run->resumed, &run->parked, &run->readback, failure);
    if (result < 0)
        return result;
    entered(run);
    const char *directory = run->input.temporary;
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return report_fail_errno(failure, errno, "create a temporary file", directory);
    progress_step_begin(&run->progress, "capture the resumed VM");
    result = resumed_capture(&run->resumed, fd, &run->progress, failure);
    if (result == 0) {
        progress_step_end(&run->progress, NULL);
        result = compare(run, fd, failure);
    }
    close(fd);
    if (result == 0)
        result = resumed_continue(&run->resumed, failure);
    return result;
}

static int restore(struct resuming *run, struct report_failure *failure)
{
    if (run->arguments->verify)
        return verify(run, failure);
    progress_step_begin(&run->progress, "restore the CPUs, enter the guest");
    int result = resumed_run(&run->resumed, &run->parked, &run->readback, failure);
    if (result < 0)
        return result;
    entered(run);
    if (run->arguments->verbose)
        readback_print(&run->readback, stderr, true);
    return 0;
}

/* What is known of the resume, also of one that was stopped; nothing when it did not come so far. */
static int write_result(const struct resuming *run, struct report_failure *failure)
{
    if (run->arguments->json == NULL || run->readback.vcpu == NULL)
        return 0;
    json_t *value = run->compared ? ledger_json(&run->ledger) : json_object();
    if (value != NULL &&
        json_object_set_new(value, "read_back", readback_json(&run->readback)) != 0) {
        json_decref(value);
        value = NULL;
    }
    return write_json(run->arguments->json, stdout, value, failure);
}

/* Opens the snapshot, and says what is known of it. */
static int open_input(struct resuming *run, struct report_failure *failure)
{
    const struct resume_arguments *arguments = run->arguments;
    const struct resume_input_options options = {
        .path = arguments->path,
        .key_path = arguments->key,
        .identity = arguments->identity,
        .inject = arguments->inject,
        .inject_count = arguments->inject_count,
        .verify = arguments->verify,
    };
    progress_step_begin(&run->progress, "check the snapshot");
    int result = resume_input_open(&run->input, &options, failure);
    if (result == 0 && run->input.image && arguments->firmware == FIRMWARE_PVH)
        result = report_fail(failure, EXIT_CODE_REFUSED, "--firmware=pvh", arguments->path,
                             "leave it out: resume.efi does, under UEFI firmware",
                             "pvh-firmware.elf loads no images");
    if (result == 0 && arguments->command_length != 0)
        result = check_command(run, failure);
    if (result == 0 && arguments->parked == NULL)
        result = find_kernel(run, failure);
    if (result < 0)
        return result;
    progress_step_end(&run->progress, NULL);
    if (run->input.standing != NULL)
        report_warning(arguments->path, "%s", run->input.standing);
    return 0;
}

/* Up to the point where the guest runs on its own. */
static int prepare_and_run(struct resuming *run, struct report_failure *failure)
{
    const struct resume_arguments *arguments = run->arguments;
    int result = open_input(run, failure);
    if (result < 0)
        return result;
    run->timeout_ms =
        resume_arguments_timeout(arguments, run->input.vcpu_count, run->input.image_size);
    if (arguments->splice_to != NULL)
        return resuming_splice(run, failure);
    result = resuming_load(run, failure);
    return result == 0 ? restore(run, failure) : result;
}

/* The VM runs: what is left is to wait for it, or to leave. */
static int accompany(struct resuming *run, struct report_failure *failure)
{
    struct process *process = &run->resumed.process;
    if (run->arguments->detach) {
        resume_signals_release();
        report_note("the guest runs, QEMU has process id %d", (int)process->pid);
        resumed_let_go(&run->resumed);
        process_release(process);
        return EXIT_CODE_OK;
    }
    resume_signals_forward(process->pid);
    resumed_let_go(&run->resumed);
    int code = EXIT_CODE_ENVIRONMENT;
    int result = process_wait(process, -1, &code, failure);
    resume_signals_release();
    return result < 0 ? report_print(failure) : code;
}

int resume_main(int argc, char **argv)
{
    struct resume_arguments arguments = {.timeout_s = 0};
    struct report_failure failure = {0};
    struct report_failure ignored = {0};
    resume_arguments_parse(&arguments, argc, argv);
    struct resuming *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        report_fail_memory(&failure, "resume");
        return report_print(&failure);
    }
    run->arguments = &arguments;
    run->capture_fd = -1;
    progress_init(&run->progress, stderr);
    int result = prepare_and_run(run, &failure);
    if (result < 0)
        progress_step_fail(&run->progress);
    if (write_result(run, result < 0 ? &ignored : &failure) < 0 && result == 0)
        result = -EXIT_CODE_ENVIRONMENT;
    if (arguments.timing != NULL &&
        write_json(arguments.timing, stderr, timing_json(run), result < 0 ? &ignored : &failure) <
            0 &&
        result == 0)
        result = -EXIT_CODE_ENVIRONMENT;

    int code = EXIT_CODE_OK;
    if (result < 0) {
        resumed_end(&run->resumed);
        if (run->park != NULL)
            park_show(run->park);
        code = report_print(&failure);
    }
    if (run->park == NULL && run->capture_fd >= 0)
        close(run->capture_fd); /* a kept one; else it is the park's */
    park_close(run->park);
    if (result == 0 && arguments.splice_to == NULL)
        code = accompany(run, &failure);
    ledger_free(&run->ledger);
    readback_close(&run->readback);
    splice_parked_close(&run->parked);
    qemu_command_free(run->command);
    resume_input_close(&run->input);
    free(run);
    return code;
}
