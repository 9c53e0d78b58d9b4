/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The exit codes of resumectl, the same for every subcommand but diff, which has those of diff(1). */
#ifndef TOOLS_EXIT_CODES_H
#define TOOLS_EXIT_CODES_H

enum exit_code {
    EXIT_CODE_OK = 0,          /* done; with --verify: nothing unexpected differs */
    EXIT_CODE_REFUSED = 1,     /* an input (snapshot, VM, command line of a VM) was refused */
    EXIT_CODE_USAGE = 2,       /* resumectl's own command line is wrong */
    EXIT_CODE_ENVIRONMENT = 3, /* I/O failed, memory ran out, QEMU failed to start or died */
    EXIT_CODE_DIFFERENT = 4,   /* something is not as in the snapshot: a verification or the
                                  trampoline, which reads back what it restores, found it */
    EXIT_CODE_TIMEOUT = 5      /* something that was waited for did not happen in time */
};

#endif
