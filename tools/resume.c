/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl resume: the sequence from a snapshot directory to a running guest. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compare.h"
#include "park.h"
#include "resume_input.h"
#include "resume_signals.h"
#include "resumed.h"
#include "subcommands.h"

#define TIMEOUT_DEFAULT_S 120
#define TIMEOUT_MAX_S 86400
#define INJECT_MAX 16u
#define PIPE_SIZE (1 << 20)

struct arguments {
    const char *directory;
    char **command; /* the source's command line */
    int command_length;
    bool verify;
    bool detach;
    int timeout_s;
    const char *efi;
    const char *json;
    const char *timing;
    const char *parked;
    const char *save_parked;
    const char *splice_to;
    const char *inject[INJECT_MAX];
    uint32_t inject_count;
};

/* Everything that a run owns. */
struct run {
    const struct arguments *arguments;
    struct progress progress;
    struct resume_input input;
    struct qemu_command *command;
    struct splice_parked parked;
    struct resumed resumed;
    struct ledger ledger;
    char kernel[PATH_MAX_LENGTH];
};

enum {
    KEY_EFI = 0x100,
    KEY_JSON,
    KEY_TIMING,
    KEY_INJECT,
    KEY_PARKED,
    KEY_SAVE_PARKED,
    KEY_SPLICE_TO,
    KEY_VERIFY,
    KEY_DETACH,
    KEY_TIMEOUT
};

static const struct argp_option options[] = {
    {"verify", KEY_VERIFY, NULL, 0,
     "Stop the resumed VM at its first instruction and compare every field of every device and "
     "every page of RAM with the snapshot. When something differs that nothing accounts for, the "
     "VM is ended",
     1},
    {"detach", KEY_DETACH, NULL, 0,
     "Exit when the guest runs, and leave QEMU running, with standard input from /dev/null and "
     "without output: its consoles and monitors may not be on stdio, as -nographic has them",
     1},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "Limit for each thing that is waited for: the target to be parked, the stream to be loaded, "
     "the landing (default 120)",
     1},
    {"efi", KEY_EFI, "FILE", 0, "resume.efi to use (default: the one that came with resumectl)", 1},
    {"json", KEY_JSON, "FILE", 0, "With --verify: write the ledger as JSON (\"-\": stdout)", 2},
    {"timing", KEY_TIMING, "FILE", 0, "Write what each step took as JSON (\"-\": stderr)", 2},
    {NULL, 0, NULL, 0, "For tests and measurements:", 3},
    {"inject", KEY_INJECT, "reg:NAME^MASK|ram:ADDRESS^MASK", 0,
     "Spoil the resume on purpose, to see --verify find it: flip bits of a register in the state "
     "blob that the firmware gets, or of one byte of RAM at a guest-physical address in the "
     "spliced stream. May be given several times",
     3},
    {"save-parked", KEY_SAVE_PARKED, "FILE", 0, "Keep the parked target's capture", 3},
    {"parked", KEY_PARKED, "FILE", 0, "Use a kept capture of this snapshot's parked target", 3},
    {"splice-to", KEY_SPLICE_TO, "FILE", 0,
     "Write the spliced stream (\"-\": stdout) instead of starting a VM", 3},
    {0},
};

static const char documentation[] =
    "Resume the snapshot in DIRECTORY through UEFI firmware.\v"
    "QEMU-COMMAND is the command line that started the source VM; behind `--`. Its boot options "
    "do not matter, its drives must be as they were when the snapshot was taken.\n\n"
    "The resumed VM runs in the foreground with the command line's own serial and monitors, and "
    "resumectl exits with its status; SIGINT and SIGTERM are passed on to it. Until then, an "
    "interrupted resume leaves nothing behind. The snapshot is only read.\n\n" TOOL_HELP_EXIT_CODES;

static int parse_timeout(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > TIMEOUT_MAX_S)
        argp_error(state, "--timeout: \"%s\" is not a number of seconds from 1 to %d", text,
                   TIMEOUT_MAX_S);
    return (int)value;
}

static void check_arguments(const struct arguments *arguments, struct argp_state *state)
{
    if (arguments->directory == NULL)
        argp_error(state, "no snapshot directory given");
    bool needs_command = arguments->splice_to == NULL || arguments->parked == NULL;
    if (needs_command && arguments->command_length == 0)
        argp_error(state, "no QEMU command line given behind --");
    if (arguments->json != NULL && !arguments->verify)
        argp_error(state, "--json needs --verify");
    if (arguments->splice_to != NULL && (arguments->verify || arguments->detach))
        argp_error(state, "--splice-to starts no VM that could be verified or detached from");
    if (arguments->parked != NULL && arguments->save_parked != NULL)
        argp_error(state, "--parked and --save-parked exclude each other");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_VERIFY:
        arguments->verify = true;
        return 0;
    case KEY_DETACH:
        arguments->detach = true;
        return 0;
    case KEY_TIMEOUT:
        arguments->timeout_s = parse_timeout(value, state);
        return 0;
    case KEY_EFI:
        arguments->efi = value;
        return 0;
    case KEY_JSON:
        arguments->json = value;
        return 0;
    case KEY_TIMING:
        arguments->timing = value;
        return 0;
    case KEY_PARKED:
        arguments->parked = value;
        return 0;
    case KEY_SAVE_PARKED:
        arguments->save_parked = value;
        return 0;
    case KEY_SPLICE_TO:
        arguments->splice_to = value;
        return 0;
    case KEY_INJECT:
        if (arguments->inject_count == INJECT_MAX)
            argp_error(state, "--inject may be given %u times at most", INJECT_MAX);
        arguments->inject[arguments->inject_count++] = value;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->directory == NULL) {
            arguments->directory = value;
            return 0;
        }
        /* From here on everything is QEMU's. */
        arguments->command = &state->argv[state->next - 1];
        arguments->command_length = state->argc - (state->next - 1);
        state->next = state->argc;
        return 0;
    case ARGP_KEY_END:
        check_arguments(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

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

static json_t *timing_json(const struct progress *progress)
{
    json_t *steps = json_array();
    for (uint32_t i = 0; i < progress->step_count; i++)
        json_array_append_new(steps, json_pack("{s:s, s:I}", "name", progress->step[i].name, "ns",
                                               (json_int_t)progress->step[i].duration_ns));
    return json_pack("{s:o, s:I}", "steps", steps, "total_ns",
                     (json_int_t)progress_total_ns(progress));
}

/* resume.efi lies beside the tool: in the build tree, or where both are installed. */
static int find_kernel(struct run *run, struct report_failure *failure)
{
    static const char *const places[] = {"%s/../efi/resume.efi", "%s/../lib/libresume/resume.efi",
                                         "%s/../lib/x86_64-linux-gnu/libresume/resume.efi",
                                         "%s/../lib64/libresume/resume.efi"};
    const char *given = run->arguments->efi;
    if (given != NULL) {
        if (access(given, R_OK) != 0)
            return report_fail_errno(failure, errno, "read resume.efi", given);
        snprintf(run->kernel, sizeof(run->kernel), "%s", given);
        return 0;
    }
    char self[PATH_MAX_LENGTH / 2];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash = NULL;
    if (length > 0) {
        self[length] = '\0';
        slash = strrchr(self, '/');
    }
    if (slash == NULL)
        return report_fail(failure, EXIT_CODE_ENVIRONMENT, "find resume.efi", "/proc/self/exe",
                           "name it with --efi", "cannot tell where resumectl lies");
    *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const char *rest = places[i] + 2;
        snprintf(run->kernel, sizeof(run->kernel), "%s%s", self, rest);
        if (access(run->kernel, R_OK) == 0)
            return 0;
    }
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, "find resume.efi", self,
                       "name it with --efi",
                       "neither in ../efi nor in lib/libresume beside this directory");
}

/* What the command line says must fit before anything is started. */
static int check_command(struct run *run, struct report_failure *failure)
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

/* A capture that was kept takes the place of a target. */
static int read_parked(struct run *run, struct report_failure *failure)
{
    const char *path = run->arguments->parked;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return report_fail_errno(failure, errno, "read the parked target", path);
    progress_step_begin(&run->progress, "read the parked target");
    int result = splice_parked_read(&run->parked, fd, &run->input.home, &run->progress, failure);
    close(fd);
    if (result == 0)
        progress_step_end(&run->progress, NULL);
    return result;
}

static int park(struct run *run, struct report_failure *failure)
{
    const struct arguments *arguments = run->arguments;
    if (arguments->parked != NULL)
        return read_parked(run, failure);
    const struct park_options park_options = {
        .command = run->command,
        .kernel = run->kernel,
        .state_file = run->input.state_path,
        .plan_file = run->input.plan_path,
        .directory = run->input.work_directory,
        .save_path = arguments->save_parked,
        .manifest = run->input.manifest,
        .home = &run->input.home,
        .timeout_ms = arguments->timeout_s * 1000,
        .progress = &run->progress,
    };
    return park_target(&park_options, &run->parked, failure);
}

static int splice_into(struct run *run, stream_sink_fn write, void *ctx,
                       struct report_failure *failure)
{
    struct splice_result spliced;
    const struct splice_options splice_options = {
        .source_fd = run->input.stream_fd,
        .source_size = run->input.stream_size,
        .source_hash = run->input.stream_hash,
        .home = &run->input.home,
        .parked = &run->parked,
        .poke = &run->input.poke,
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

static int splice_to_file(struct run *run, struct report_failure *failure)
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

/* Starts the resumed VM and gives it the spliced stream. */
static int load(struct run *run, struct report_failure *failure)
{
    const struct resumed_options resumed_options = {
        .command = run->command,
        .gdbstub = run->arguments->verify,
        .detach = run->arguments->detach,
        .timeout_ms = run->arguments->timeout_s * 1000,
    };
    progress_step_begin(&run->progress, "start the resumed VM");
    int result = resumed_start(&run->resumed, &resumed_options, failure);
    if (result < 0)
        return result;
    resume_signals_kill_on_exit(run->resumed.process.pid);
    progress_step_end(&run->progress, NULL);

    progress_step_begin(&run->progress, "load memory and devices");
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

static int compare(struct run *run, int fd, struct report_failure *failure)
{
    const struct compare_options compare_options = {
        .source_fd = run->input.stream_fd,
        .resumed_fd = fd,
        .manifest = run->input.manifest,
        .home = &run->input.home,
        .landing_offset = run->input.landing.va - run->input.home.va,
        .landing_length = run->input.landing.length,
        .landing = run->input.landing.bytes,
        .progress = &run->progress,
    };
    progress_step_begin(&run->progress, "compare with the snapshot");
    int result = compare_streams(&compare_options, &run->ledger, failure);
    if (result < 0)
        return result;
    progress_step_end(&run->progress, NULL);
    ledger_print(&run->ledger, stderr);
    if (run->arguments->json != NULL)
        result = write_json(run->arguments->json, stdout, ledger_json(&run->ledger), failure);
    if (result == 0 && !ledger_clean(&run->ledger))
        result = report_fail(failure, EXIT_CODE_DIFFERENT, "verify", run->arguments->directory,
                             "the resumed VM was ended; the snapshot is as it was",
                             "the resumed VM differs from the snapshot");
    return result;
}

static int verify(struct run *run, struct report_failure *failure)
{
    progress_step_begin(&run->progress, "restore the CPU, stop at the guest's first instruction");
    int result = resumed_run_to_guest(&run->resumed, &run->parked.handoff, failure);
    if (result < 0)
        return result;
    progress_step_end(&run->progress, "RIP 0x%" PRIx64, run->parked.handoff.rip);
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

static int restore(struct run *run, struct report_failure *failure)
{
    if (run->arguments->verify)
        return verify(run, failure);
    progress_step_begin(&run->progress, "restore the CPU, enter the guest");
    int result = resumed_run(&run->resumed, &run->parked.handoff, failure);
    if (result == 0)
        progress_step_end(&run->progress, "RIP 0x%" PRIx64, run->parked.handoff.rip);
    return result;
}

/* Up to the point where the guest runs on its own. */
static int prepare_and_run(struct run *run, struct report_failure *failure)
{
    const struct arguments *arguments = run->arguments;
    progress_step_begin(&run->progress, "check the snapshot");
    int result = resume_input_open(&run->input, arguments->directory, arguments->inject,
                                   arguments->inject_count, failure);
    if (result == 0 && arguments->command_length != 0)
        result = check_command(run, failure);
    if (result == 0 && arguments->parked == NULL)
        result = find_kernel(run, failure);
    if (result < 0)
        return result;
    progress_step_end(&run->progress, NULL);
    result = park(run, failure);
    if (result == 0)
        result = resume_input_check(&run->input, &run->parked, failure);
    if (result == 0 && arguments->splice_to != NULL)
        return splice_to_file(run, failure);
    if (result == 0)
        result = load(run, failure);
    return result == 0 ? restore(run, failure) : result;
}

/* The VM runs: what is left is to wait for it, or to leave. */
static int accompany(struct run *run, struct report_failure *failure)
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
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "DIRECTORY -- QEMU-COMMAND...",
        .doc = documentation,
    };
    struct arguments arguments = {.timeout_s = TIMEOUT_DEFAULT_S};
    struct report_failure failure = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        report_fail_memory(&failure, "resume");
        return report_print(&failure);
    }
    run->arguments = &arguments;
    progress_init(&run->progress, stderr);
    int result = prepare_and_run(run, &failure);
    if (result < 0)
        progress_step_fail(&run->progress);
    struct report_failure ignored = {0};
    if (arguments.timing != NULL &&
        write_json(arguments.timing, stderr, timing_json(&run->progress),
                   result < 0 ? &ignored : &failure) < 0 &&
        result == 0)
        result = -EXIT_CODE_ENVIRONMENT;

    int code;
    if (result < 0) {
        resumed_end(&run->resumed);
        code = report_print(&failure);
    } else if (arguments.splice_to != NULL) {
        code = EXIT_CODE_OK;
    } else {
        code = accompany(run, &failure);
    }
    ledger_free(&run->ledger);
    splice_parked_close(&run->parked);
    qemu_command_free(run->command);
    resume_input_close(&run->input);
    free(run);
    return code;
}
