/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The subcommands. Each gets its own arguments: argv[0] is "resumectl NAME", fit for argp and usage
 * messages. Each prints its own errors and returns an enum exit_code. argp's usage errors exit with
 * EXIT_CODE_USAGE (main sets argp_err_exit_status).
 */
#ifndef TOOLS_SUBCOMMANDS_H
#define TOOLS_SUBCOMMANDS_H

int snapshot_main(int argc, char **argv);
int resume_main(int argc, char **argv);
int inspect_main(int argc, char **argv);
int convert_main(int argc, char **argv);
int diff_main(int argc, char **argv); /* returns diff(1)'s exit codes */
int walk_main(int argc, char **argv);
int maps_main(int argc, char **argv);
int seal_main(int argc, char **argv); /* with RESUMECTL_SEAL */
int open_main(int argc, char **argv); /* likewise */

/* The version of the tool, "resumectl 0.1.0". */
#define TOOL_NAME_VERSION "resumectl " RESUMECTL_VERSION

/* How the input of a subcommand that reads all formats names one of several machines in a file. */
#define TOOL_HELP_SNAPSHOT "FILE#NAME is the snapshot NAME in the qcow2 image FILE."

/* The section on exit codes for every subcommand's --help. */
#define TOOL_HELP_EXIT_CODES                                                                       \
    "Exit codes:\n"                                                                                \
    "  0  done; with --verify: nothing unexpected differs\n"                                       \
    "  1  an input was refused\n"                                                                  \
    "  2  the command line is wrong\n"                                                             \
    "  3  the environment failed: I/O, memory, QEMU\n"                                             \
    "  4  a verification found differences, or a register does not read back\n"                    \
    "  5  something did not happen in time\n"

#endif
