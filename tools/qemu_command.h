/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Reads the QEMU command line that started the source VM, and derives from it the command lines of
 * the parked target and of the resumed VM.
 *
 * Options are recognised by a table of those that QEMU 7.2 to 10 know for x86 (with `-opt` and
 * `--opt` alike); one that is not in it is refused, since whether it takes an argument cannot be
 * guessed. In an option's value, `,,` stands for a comma.
 */
#ifndef TOOLS_QEMU_COMMAND_H
#define TOOLS_QEMU_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report.h"

#define QEMU_COMMAND_FLASH_MAX 8

/* A list of arguments, NULL-terminated, owned: fit for struct process_options. */
struct qemu_argv {
    char **argv;
    size_t count;
};

/* A flash image that the firmware uses (-drive if=pflash, -pflash, or -machine pflash0=NODE). */
struct qemu_flash {
    const char *path; /* as the command line names it; owned by the command */
    bool readonly;    /* never written: it need not be copied */
};

/* What the command line says of the machine, for early checks. Strings are owned by the command
 * and empty when the command line is silent. */
struct qemu_command_facts {
    const char *binary;
    const char *machine;     /* type as given: "q35", "pc-i440fx-7.2"; "" = QEMU's default */
    const char *cpu_model;   /* "qemu64", without its features; "" = QEMU's default */
    const char *accelerator; /* the first one asked for: "kvm"; "" = QEMU's default */
    uint64_t memory_size;    /* bytes; QEMU's default of 128 MiB when not given */
    uint32_t cpu_count;      /* at boot; 1 when not given */
    bool has_debug_console;  /* an isa-debugcon at port 0x402 of the user's own */
    bool has_gdb;            /* -gdb or -s: dropped from the resumed VM's if it gets our gdbstub */
    bool has_bios;           /* -bios */
    bool temporary_drives;   /* -snapshot, or a -drive with snapshot=on: written data is lost at the
                                VM's end */
    const char *stdio;       /* the option that gives a console, monitor or display the standard
                                input and output: "-serial"; "" = none */
    size_t flash_count;
    struct qemu_flash flash[QEMU_COMMAND_FLASH_MAX];
};

struct qemu_command;

/*
 * qemu_command_parse - read a command line.
 * @argv: @argc strings, the binary first; copied.
 * @ret: to be freed with qemu_command_free.
 * Failures (EXIT_CODE_REFUSED): an unknown option, a missing argument, an option that cannot work
 * here (-readconfig, -preconfig, -version and the like, memory encryption), each with what to do.
 */
int qemu_command_parse(struct qemu_command **ret, int argc, const char *const *argv,
                       struct report_failure *failure);

/* qemu_command_free - NULL is fine. */
void qemu_command_free(struct qemu_command *command);

/* qemu_command_facts - valid as long as @command. */
const struct qemu_command_facts *qemu_command_facts(const struct qemu_command *command);

/* What is added to the parked target's command line. Descriptors are sockets already connected. */
struct qemu_park_options {
    const char *kernel;     /* resume.efi, or what else is started in its place */
    const char *bios;       /* -bios in place of the command line's firmware; NULL = keep that */
    const char *state_file; /* for fw_cfg opt/org.libresume/state; NULL with an image */
    const char *plan_file;  /* for fw_cfg opt/org.libresume/plan; likewise */
    /* A snapshot image, which `kernel` loads itself; NULL = none. It is read only. */
    const char *image;
    const char *key_file;      /* its key, for fw_cfg opt/org.libresume/key; NULL = not from here */
    const char *identity_file; /* for fw_cfg opt/org.libresume/identity; NULL = any */
    /* One path per facts->flash[]: what to use in its place; NULL = the original, which is only
     * sensible if it is read-only. May be NULL when there is no flash. */
    const char *const *flash_paths;
    const char *console_log; /* file that the firmware's serial console goes to, or NULL */
    int qmp_fd;
    int debug_fd; /* debug console */
};

/*
 * qemu_command_park - the parked target's command line: the same binary, machine, CPU, memory,
 * accelerator and (unless there is another) firmware; no devices, drives, network, display, boot
 * options, consoles or monitors but those of @options, and a disk that is the image. It starts stopped.
 * @ret: to be freed with qemu_argv_free.
 */
int qemu_command_park(const struct qemu_command *command, const struct qemu_park_options *options,
                      struct qemu_argv *ret, struct report_failure *failure);

/* What is added to the resumed VM's command line. A descriptor of -1 leaves its part out. */
struct qemu_resume_options {
    int incoming_fd;   /* -incoming fd:N: the spliced stream */
    int qmp_fd;        /* a private monitor beside the user's own */
    int debug_fd;      /* debug console, unless facts->has_debug_console */
    int gdb_fd;        /* a gdbstub on a connected socket */
    bool start_paused; /* -S: stays stopped once the stream is in */
};

/*
 * qemu_command_resume - the resumed VM's command line: the user's as it is, without what would
 * start it in another way (-S, -incoming, -loadvm, -daemonize, -preconfig), and with the parts of
 * @options. Its boot options stay: the guest reboots as it always did.
 */
int qemu_command_resume(const struct qemu_command *command,
                        const struct qemu_resume_options *options, struct qemu_argv *ret,
                        struct report_failure *failure);

/* qemu_argv_free - frees and zeroes; fine on a zeroed one. */
void qemu_argv_free(struct qemu_argv *argv);

/*
 * qemu_command_copy_flash - private copies of the flash images that could be written, as
 * @directory/flashN.
 * @paths: @facts->flash_count entries are written; NULL for those that need no copy. Each is to be
 * freed, also after a failure (all entries are always written).
 */
int qemu_command_copy_flash(const struct qemu_command *command, const char *directory, char **paths,
                            struct report_failure *failure);

/* qemu_command_escape - @value with its commas doubled, to be freed; NULL when memory runs out. */
char *qemu_command_escape(const char *value);

/* qemu_argv_format - the command line as one string that a shell would read back, to be freed. */
char *qemu_argv_format(const struct qemu_argv *argv);

#endif
