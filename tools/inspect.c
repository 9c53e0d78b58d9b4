/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl inspect: shows what an input holds. */
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

enum { OPTION_REGISTERS = 'r', OPTION_SVG = 's' };

struct arguments {
    struct input_arguments input;
    const char *svg;
    bool registers;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->input;
        return 0;
    case OPTION_REGISTERS:
        arguments->registers = true;
        return 0;
    case OPTION_SVG:
        arguments->svg = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->input.path != NULL)
            argp_error(state, "one INPUT at a time");
        arguments->input.path = arg;
        return 0;
    case ARGP_KEY_END:
        if (arguments->input.path == NULL)
            argp_error(state, "no INPUT given");
        if (arguments->svg != NULL && arguments->registers)
            argp_error(state, "--svg draws the memory, which --registers leaves out");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Only a terminal's locale is asked for: that loads several files. */
static bool shows_utf8(void)
{
    return isatty(STDOUT_FILENO) && setlocale(LC_CTYPE, "") != NULL &&
           strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static int show(const struct arguments *arguments, struct view *view, const struct memory_map *map,
                struct report_failure *failure)
{
    const uint32_t vcpu = arguments->input.has_vcpu ? arguments->input.vcpu : INSPECT_ALL;
    int ret = 0;
    if (vcpu != INSPECT_ALL && vcpu >= view->vcpu_count)
        return report_fail(failure, EXIT_CODE_USAGE, "inspect", "--vcpu", "count from 0",
                           "no vCPU %u: there are %u", vcpu, view->vcpu_count);
    if (arguments->svg != NULL) {
        if (map->cell_count == 0)
            return report_fail(failure, EXIT_CODE_REFUSED, "inspect", view->path,
                               "give a snapshot directory, or the stream as a regular file",
                               "there is no memory map to draw");
        ret = memory_map_svg(map, view, arguments->svg, failure);
    }
    if (ret == 0 && arguments->input.json)
        ret = inspect_print_json(view, vcpu, map, stdout, failure);
    else if (ret == 0)
        inspect_print_text(view, vcpu, map, stdout, report_colour(stdout), shows_utf8());
    return ret == 0 ? input_finish_stdout(failure) : ret;
}

int inspect_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"registers", OPTION_REGISTERS, NULL, 0,
         "Leave out the memory; of a stream only the ends are then read", 0},
        {"svg", OPTION_SVG, "FILE", 0, "Also draw the memory map into FILE", 0},
        {0},
    };
    static const struct argp_child children[] = {{&input_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "INPUT",
        "Show the CPU state in a snapshot directory, a QEMU migration stream, a dump, or whatever "
        "--format help lists: every register with its flags, the paging mode, what is missing for "
        "a "
        "resume, the memory map; of a snapshot the home and the landings. What INPUT is shows in "
        "its content, not in its name. " TOOL_HELP_SNAPSHOT "\v" TOOL_HELP_EXIT_CODES,
        children,
        NULL,
        NULL};
    static struct view view;
    static struct memory_map map;
    struct arguments arguments = {0};
    struct report_failure failure = {0};

    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, "inspect", "arguments", "see resumectl inspect --help",
                     "%s", strerror(error));
        return EXIT_CODE_ENVIRONMENT;
    }
    if (view_open(&view, arguments.input.path, arguments.input.format, !arguments.registers,
                  &failure) != 0)
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
