/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl: finds the subcommand and hands over to it. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "exit_codes.h"
#include "report.h"
#include "subcommands.h"

struct subcommand {
    const char *name;
    const char *usage_name; /* argv[0] for the subcommand */
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct subcommand subcommands[] = {
    {"snapshot", "resumectl snapshot", snapshot_main, "take a snapshot of a running VM"},
    {"resume", "resumectl resume", resume_main, "resume a snapshot through UEFI firmware"},
    {"inspect", "resumectl inspect", inspect_main,
     "show the CPU state in a snapshot, dump or blob"},
    {"convert", "resumectl convert", convert_main, "write the CPU state of an input as a blob"},
    {"diff", "resumectl diff", diff_main, "compare the CPU state of two inputs"},
    {"walk", "resumectl walk", walk_main, "translate an address through the guest's page tables"},
    {"maps", "resumectl maps", maps_main, "list what the guest's page tables map"},
#ifdef RESUMECTL_SEAL
    {"seal", "resumectl seal", seal_main, "write a snapshot as one image that firmware can load"},
    {"open", "resumectl open", open_main, "verify such an image"},
#endif
};
#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

static void print_help(FILE *out)
{
    fprintf(out, "Usage: resumectl SUBCOMMAND [ARGUMENT...]\n"
                 "Resume snapshots of QEMU virtual machines through UEFI firmware.\n\n"
                 "Subcommands:\n");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
    fprintf(out,
            "\n`resumectl SUBCOMMAND --help` explains each.\n\n"
            "  --help     this text\n"
            "  --version  the version\n\n%s"
            "resumectl diff has those of diff(1): 0 the same, 1 different, 2 trouble.\n",
            TOOL_HELP_EXIT_CODES);
}

static int usage_error(const char *where, const char *why)
{
    report_error(EXIT_CODE_USAGE, "usage", where, "see resumectl --help", "%s", why);
    return EXIT_CODE_USAGE;
}

/* Help and version count as said only if they could be written. */
static int finish_stdout(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report_error(EXIT_CODE_ENVIRONMENT, "write", "standard output",
                     "check where the output goes, and the space there", "%s", strerror(errno));
        return EXIT_CODE_ENVIRONMENT;
    }
    return EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
    argp_err_exit_status = EXIT_CODE_USAGE;
    /* A reader that goes away shows as EPIPE where it is written to, with a message. */
    signal(SIGPIPE, SIG_IGN);

    if (argc < 2)
        return usage_error("arguments", "no subcommand given");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return finish_stdout();
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts(TOOL_NAME_VERSION);
        return finish_stdout();
    }
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        const struct subcommand *subcommand = &subcommands[i];
        if (strcmp(name, subcommand->name) == 0) {
            char usage_name[32];
            snprintf(usage_name, sizeof(usage_name), "%s", subcommand->usage_name);
            argv[1] = usage_name;
            /* argp takes its messages' prefix from here, getopt from argv[0]. */
            return subcommand->run(argc - 1, argv + 1);
        }
    }
    return usage_error(name, name[0] == '-' ? "no such option" : "no such subcommand");
}
