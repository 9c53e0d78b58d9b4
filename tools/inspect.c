/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl inspect: shows what a snapshot directory, a stream or a state blob holds. */
#define _GNU_SOURCE
#include "inspect.h"

#include <argp.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "subcommands.h"

enum { OPTION_JSON = 'j', OPTION_REGISTERS = 'r', OPTION_SVG = 's', OPTION_VCPU = 'c' };

struct arguments {
    const char *path;
    const char *svg;
    bool json;
    bool registers;
    uint32_t vcpu; /* INSPECT_ALL unless one was asked for */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case OPTION_REGISTERS:
        arguments->registers = true;
        return 0;
    case OPTION_SVG:
        arguments->svg = arg;
        return 0;
    case OPTION_VCPU: {
        char *end;
        errno = 0;
        unsigned long number = strtoul(arg, &end, 10);
        if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || errno != 0 || number >= INSPECT_ALL)
            argp_error(state, "--vcpu takes a number");
        arguments->vcpu = (uint32_t)number;
        return 0;
    }
    case ARGP_KEY_ARG:
        if (arguments->path != NULL)
            argp_error(state, "one PATH at a time");
        arguments->path = arg;
        return 0;
    case ARGP_KEY_END:
        if (arguments->path == NULL)
            argp_error(state, "no PATH given");
        if (arguments->svg != NULL && arguments->registers)
            argp_error(state, "--svg draws the memory, which --registers leaves out");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int finish(struct report_failure *failure)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return report_fail_errno(failure, errno, "write", "standard output");
    return 0;
}

static int show(const struct arguments *arguments, struct view *view, const struct memory_map *map,
                struct report_failure *failure)
{
    int ret = 0;
    if (arguments->vcpu != INSPECT_ALL && arguments->vcpu >= view->vcpu_count)
        return report_fail(failure, EXIT_CODE_USAGE, "inspect", "--vcpu", "count from 0",
                           "no vCPU %u: there are %u", arguments->vcpu, view->vcpu_count);
    if (arguments->svg != NULL) {
        if (map->cell_count == 0)
            return report_fail(failure, EXIT_CODE_REFUSED, "inspect", view->path,
                               "give a snapshot directory, or the stream as a regular file",
                               "there is no memory map to draw");
        ret = memory_map_svg(map, view, arguments->svg, failure);
    }
    if (ret == 0 && arguments->json)
        ret = inspect_print_json(view, arguments->vcpu, map, stdout, failure);
    else if (ret == 0)
        inspect_print_text(view, arguments->vcpu, map, stdout, report_colour(stdout),
                           isatty(STDOUT_FILENO) && strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
    return ret == 0 ? finish(failure) : ret;
}

int inspect_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", OPTION_JSON, NULL, 0, "Print JSON instead of text", 0},
        {"registers", OPTION_REGISTERS, NULL, 0,
         "Leave out the memory; of a stream in a file only the ends are then read", 0},
        {"svg", OPTION_SVG, "FILE", 0, "Also draw the memory map into FILE", 0},
        {"vcpu", OPTION_VCPU, "N", 0, "Show the registers of vCPU N only", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "PATH",
        "Show what a snapshot directory, a QEMU migration stream or a state blob holds: every "
        "register with its flags, the paging mode, the home and the landings, the memory map. "
        "What PATH is shows in its content, not in its name.\v" TOOL_HELP_EXIT_CODES,
        NULL,
        NULL,
        NULL};
    static struct view view;
    static struct memory_map map;
    struct arguments arguments = {.vcpu = INSPECT_ALL};
    struct report_failure failure = {0};

    setlocale(LC_CTYPE, "");
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, "inspect", "arguments", "see resumectl inspect --help",
                     "%s", strerror(error));
        return EXIT_CODE_ENVIRONMENT;
    }
    if (view_open(&view, arguments.path, !arguments.registers, &failure) != 0)
        return report_print(&failure);
    int ret = 0;
    if (!arguments.registers)
        ret = memory_map_make(&map, &view, 64, 24, &failure);
    if (ret == 0)
        ret = show(&arguments, &view, arguments.registers ? NULL : &map, &failure);
    memory_map_free(&map);
    view_close(&view);
    return ret == 0 ? EXIT_CODE_OK : report_print(&failure);
}
