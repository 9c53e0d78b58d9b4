/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The command line of `resumectl snapshot`. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <stdio.h>

#include "snapshot.h"
#include "subcommands.h"

enum { KEY_QMP = 0x100, KEY_QUIT, KEY_CONTINUE };

static const struct argp_option options[] = {
    {"qmp", KEY_QMP, "SOCKET", 0, "unix socket of the VM's QMP monitor (required)", 0},
    {"output", 'o', "DIR", 0, "snapshot directory to make; must not exist (required)", 0},
    {"quit", KEY_QUIT, NULL, 0, "end the VM once the snapshot is complete", 0},
    {"continue", KEY_CONTINUE, NULL, 0, "let the VM run afterwards, also if it was paused", 0},
    {0},
};

static const char documentation[] =
    "Take a snapshot of a VM: memory and devices as QEMU's migration stream, the CPU state as a "
    "state blob, the plan for its resume, and a manifest with checksums.\n"
    "\v"
    "Without --quit and --continue the VM is left as it was found: a running one is stopped while "
    "it is captured and runs on, a paused one stays stopped (QEMU then calls it postmigrate, and "
    "cont starts it). DIR is built as DIR.partial and "
    "renamed when it is complete and on the disk; when something fails the VM is put back as it "
    "was found and DIR.partial removed.\n\n" TOOL_HELP_EXIT_CODES;

static error_t usage_error(const char *why)
{
    report_error(EXIT_CODE_USAGE, "usage", "snapshot", "see resumectl snapshot --help", "%s", why);
    return EINVAL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct snapshot_options *out = state->input;
    switch (key) {
    case KEY_QMP:
        out->qmp_path = argument;
        return 0;
    case 'o':
        out->directory = argument;
        return 0;
    case KEY_QUIT:
    case KEY_CONTINUE:
        if (out->after != SNAPSHOT_AFTER_AS_FOUND)
            return usage_error("give --quit or --continue, once");
        out->after = key == KEY_QUIT ? SNAPSHOT_AFTER_QUIT : SNAPSHOT_AFTER_CONTINUE;
        return 0;
    case ARGP_KEY_ARG:
        return usage_error("this subcommand takes options only");
    case ARGP_KEY_END:
        if (out->qmp_path == NULL)
            return usage_error("--qmp SOCKET is missing");
        if (out->directory == NULL)
            return usage_error("-o DIR is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int snapshot_main(int argc, char **argv)
{
    static const struct argp parser = {options, parse_option, "", documentation, NULL, NULL, NULL};
    struct snapshot_options chosen = {.after = SNAPSHOT_AFTER_AS_FOUND};
    struct report_failure failure = {0};
    struct progress progress;
    if (argp_parse(&parser, argc, argv, 0, NULL, &chosen) != 0)
        return EXIT_CODE_USAGE;
    progress_init(&progress, stderr);
    chosen.progress = &progress;
    if (snapshot_take(&chosen, &failure) < 0)
        return report_print(&failure);
    char time_text[32];
    report_note("snapshot complete: %s (%s)", chosen.directory,
                progress_format_time(progress_total_ns(&progress), time_text, sizeof(time_text)));
    return EXIT_CODE_OK;
}
