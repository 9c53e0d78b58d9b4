/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The options of QEMU for x86, versions 7.2 to 10, and what becomes of each.
 */
#ifndef TOOLS_QEMU_OPTIONS_H
#define TOOLS_QEMU_OPTIONS_H

#include <stdbool.h>

/* Those that the command line is asked about by name. */
enum qemu_option_id {
    QEMU_OPT_OTHER,
    QEMU_OPT_ACCEL,
    QEMU_OPT_BIOS,
    QEMU_OPT_BLOCKDEV,
    QEMU_OPT_CPU,
    QEMU_OPT_DEBUGCON,
    QEMU_OPT_DEVICE,
    QEMU_OPT_DRIVE,
    QEMU_OPT_ENABLE_KVM,
    QEMU_OPT_GDB,
    QEMU_OPT_GLOBAL,
    QEMU_OPT_MACHINE,
    QEMU_OPT_MEMORY,
    QEMU_OPT_MONITOR,
    QEMU_OPT_NODEFAULTS,
    QEMU_OPT_NOGRAPHIC,
    QEMU_OPT_NUMA,
    QEMU_OPT_OBJECT,
    QEMU_OPT_PFLASH,
    QEMU_OPT_SERIAL,
    QEMU_OPT_SMP,
    QEMU_OPT_SNAPSHOT
};

/* What a command line that is derived from the user's does with an option. */
enum qemu_option_fate {
    QEMU_FATE_KEEP,
    QEMU_FATE_DROP,
    QEMU_FATE_ADAPT /* depends on its value */
};

struct qemu_option {
    const char *name; /* without dashes */
    bool has_argument;
    enum qemu_option_id id;
    enum qemu_option_fate park;   /* on the parked target's command line */
    enum qemu_option_fate resume; /* on the resumed VM's */
    const char *refusal;          /* why it cannot be used at all, or NULL */
    const char *advice;           /* with refusal: what to do */
};

/*
 * qemu_option_find - the entry for an option, or NULL when it is not known.
 * @name: without its dashes.
 */
const struct qemu_option *qemu_option_find(const char *name);

#endif
