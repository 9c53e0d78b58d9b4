/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The arguments that the subcommands which look at inputs have in common. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"

enum { OPTION_FORMAT = 'f', OPTION_JSON = 'j', OPTION_VCPU = 'c' };

static void print_formats(FILE *out)
{
    size_t count;
    const struct resume_import_format *const *formats = resume_import_formats(&count);
    for (size_t i = 0; i < count; i++) {
        if (formats[i]->readable)
            fprintf(out, "%-18s %s\n", formats[i]->name, formats[i]->title);
    }
}

const char *input_format_argument(const char *arg, struct argp_state *state)
{
    size_t count;
    const struct resume_import_format *const *formats = resume_import_formats(&count);
    if (strcmp(arg, "help") == 0) {
        struct report_failure failure = {0};
        print_formats(stdout);
        exit(input_finish_stdout(&failure) == 0 ? EXIT_CODE_OK : report_print(&failure));
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(formats[i]->name, arg) == 0)
            return arg;
    }
    argp_error(state, "no format is named %s; --format help lists them", arg);
    return NULL;
}

uint32_t input_vcpu_argument(const char *arg, const struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(arg, &end, 10);
    if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || errno != 0 || number >= UINT32_MAX)
        argp_error(state, "--vcpu takes a number");
    return (uint32_t)number;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input_arguments *arguments = state->input;
    switch (key) {
    case OPTION_FORMAT:
        arguments->format = input_format_argument(arg, state);
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case OPTION_VCPU:
        arguments->vcpu = input_vcpu_argument(arg, state);
        arguments->has_vcpu = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"format", OPTION_FORMAT, "NAME", 0,
     "The format, if it is not to be found out; \"help\" lists those that are read", 0},
    {"json", OPTION_JSON, NULL, 0, "Print JSON instead of text", 0},
    {"vcpu", OPTION_VCPU, "N", 0, "Of vCPU N only, counted from 0", 0},
    {0},
};

const struct argp input_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};
