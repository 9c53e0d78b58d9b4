/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the files of qemu_command share. */
#ifndef TOOLS_QEMU_COMMAND_PRIVATE_H
#define TOOLS_QEMU_COMMAND_PRIVATE_H

#include "qemu_command.h"
#include "qemu_options.h"
#include "qemu_pairs.h"

#define QEMU_COMMAND_WHAT "QEMU command line"

/* One option as it was given. */
struct qemu_argument {
    const struct qemu_option *option; /* NULL: a bare argument, which QEMU takes for a disk image */
    const char *text;                 /* the argument as written: "-m", "--machine" */
    const char *value;                /* NULL when the option takes none */
};

/* Where a flash image comes from on the command line. */
struct qemu_flash_source {
    size_t argument; /* index of the -drive, -pflash or -blockdev that names it */
    const char *key; /* the key in a -drive that holds the path: "file", "file.filename" */
};

struct qemu_command {
    char **strings; /* copies of all arguments, NULL-terminated */
    size_t argument_count;
    struct qemu_argument *arguments;
    struct qemu_command_facts facts;
    struct qemu_flash_source flash_source[QEMU_COMMAND_FLASH_MAX];
    char *owned[64]; /* strings that facts point to */
    size_t owned_count;
    bool has_monitor; /* -monitor, -mon, -qmp or -qmp-pretty */
    bool has_serial;  /* a serial port of the user's own */
    bool has_nodefaults;
    bool has_nographic;
};

/* Keeps a copy of @text, or finds the one already kept; NULL without memory. */
const char *qemu_command_keep(struct qemu_command *command, const char *text);

/* Fills facts.flash and flash_source. */
int qemu_command_find_flash(struct qemu_command *command, struct report_failure *failure);

/* The pairs of an argument's value; a failure names the option. */
int qemu_command_pairs(const struct qemu_argument *argument, const char *implied,
                       struct qemu_pairs *out, struct report_failure *failure);

/* Is @argument this option? */
bool qemu_argument_is(const struct qemu_argument *argument, enum qemu_option_id id);

/* The value of machine property @key over all -machine options, or NULL; valid as long as
 * @command. */
int qemu_command_machine_property(struct qemu_command *command, const char *key,
                                  const char **ret_value, struct report_failure *failure);

#endif
