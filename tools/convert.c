/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl convert: writes the CPU state of an input as a state blob. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "subcommands.h"

#define WHAT "convert"

enum { OPTION_FORMAT = 'f', OPTION_FORCE = 'F' };

struct arguments {
    const char *in;
    const char *out;
    const char *format;
    bool force;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case OPTION_FORMAT:
        arguments->format = input_format_argument(arg, state);
        return 0;
    case OPTION_FORCE:
        arguments->force = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->out != NULL)
            argp_error(state, "one INPUT and one OUTPUT at a time");
        *(arguments->in == NULL ? &arguments->in : &arguments->out) = arg;
        return 0;
    case ARGP_KEY_END:
        if (arguments->out == NULL)
            argp_error(state, "give an INPUT and an OUTPUT");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int serialise(struct input *input, const struct input_vcpus *vcpus, uint8_t **ret,
                     size_t *ret_length, struct report_failure *failure)
{
    struct resume_machine machine;
    size_t length;
    int result = input_machine(input, &machine, failure);
    if (result != 0)
        return result;
    snprintf(machine.producer, sizeof(machine.producer), "%s", TOOL_NAME_VERSION);
    int err = resume_state_size(&machine, vcpus->vcpu, vcpus->count, &length);
    if (err != 0)
        return report_fail_diag(failure, err, NULL, WHAT, input->path, NULL);
    uint8_t *data = malloc(length);
    if (data == NULL)
        return report_fail_memory(failure, WHAT);
    err = resume_state_write(&machine, vcpus->vcpu, vcpus->count, data, length, &length);
    if (err != 0) {
        free(data);
        return report_fail_diag(failure, err, NULL, WHAT, input->path, NULL);
    }
    *ret = data;
    *ret_length = length;
    return 0;
}

static int write_all(int fd, const uint8_t *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, data + done, length - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        done += (size_t)put;
    }
    return fsync(fd);
}

/* As if it had been made by open(), under the process's umask. */
static int set_mode(int fd)
{
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(fd, 0666 & ~mask);
}

/* All of the file appears under its name at once, or nothing does. */
static int put_file(const char *path, bool force, const uint8_t *data, size_t length,
                    struct report_failure *failure)
{
    char *temporary = NULL;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return report_fail_memory(failure, WHAT);
    int fd = mkstemp(temporary);
    if (fd < 0) {
        int ret = report_fail_errno(failure, errno, WHAT, path);
        free(temporary);
        return ret;
    }
    int ret = 0;
    if (set_mode(fd) != 0 || write_all(fd, data, length) != 0)
        ret = report_fail_errno(failure, errno, WHAT, path);
    if (close(fd) != 0 && ret == 0)
        ret = report_fail_errno(failure, errno, WHAT, path);
    if (ret == 0 && force && rename(temporary, path) != 0)
        ret = report_fail_errno(failure, errno, WHAT, path);
    else if (ret == 0 && !force && link(temporary, path) != 0)
        ret = errno == EEXIST
                  ? report_fail(failure, EXIT_CODE_REFUSED, WHAT, path,
                                "give another name, or --force", "there is such a file already")
                  : report_fail_errno(failure, errno, WHAT, path);
    if (!force || ret != 0)
        unlink(temporary);
    free(temporary);
    return ret;
}

static void note_missing(const struct input_vcpus *vcpus)
{
    char missing[INPUT_MISSING_MAX];
    for (uint32_t i = 0; i < vcpus->count; i++) {
        if (input_missing(&vcpus->vcpu[i], missing) != 0)
            report_note("vCPU %" PRIu32 " lacks what a resume needs: %s", i, missing);
    }
}

static int run(const struct arguments *arguments, struct report_failure *failure)
{
    struct input input = {0};
    struct input_vcpus vcpus = {0};
    uint8_t *data = NULL;
    size_t length = 0;
    int ret = input_open(&input, WHAT, arguments->in, arguments->format, failure);
    if (ret != 0)
        return ret;
    ret = input_vcpus_read(&input, &vcpus, failure);
    if (ret == 0)
        ret = serialise(&input, &vcpus, &data, &length, failure);
    if (ret == 0)
        ret = put_file(arguments->out, arguments->force, data, length, failure);
    if (ret == 0)
        note_missing(&vcpus);
    free(data);
    input_vcpus_free(&vcpus);
    input_close(&input);
    return ret;
}

int convert_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"format", OPTION_FORMAT, "NAME", 0,
         "The format of INPUT, if it is not to be found out; \"help\" lists those that are read",
         0},
        {"force", OPTION_FORCE, NULL, 0, "Replace OUTPUT if it is there already", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "INPUT OUTPUT",
        "Write the CPU state of INPUT, in any format that is read, as a state blob. Fields that "
        "INPUT does not carry are not in the blob; those that a resume needs are "
        "named. " TOOL_HELP_SNAPSHOT "\v"
        "Exit codes:\n"
        "  0  done, also when fields are missing\n"
        "  1  the input was refused, or OUTPUT is there already\n"
        "  2  the command line is wrong\n"
        "  3  the environment failed: I/O, memory\n",
        NULL,
        NULL,
        NULL};
    struct arguments arguments = {0};
    struct report_failure failure = {0};
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, WHAT, "arguments", "see resumectl convert --help", "%s",
                     strerror(error));
        return EXIT_CODE_ENVIRONMENT;
    }
    return run(&arguments, &failure) == 0 ? EXIT_CODE_OK : report_print(&failure);
}
