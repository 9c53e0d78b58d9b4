/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Reading the user's QEMU command line, and the facts in it. */
#define _GNU_SOURCE
#include "qemu_command_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MEMORY (UINT64_C(128) << 20)
#define DEBUG_CONSOLE_PORT 0x402u
#define DEBUG_CONSOLE_DEFAULT_PORT 0xe9u

const char *qemu_command_keep(struct qemu_command *command, const char *text)
{
    char *copy = NULL;
    for (size_t i = 0; i < command->owned_count; i++)
        if (strcmp(command->owned[i], text) == 0)
            return command->owned[i];
    if (command->owned_count < sizeof(command->owned) / sizeof(command->owned[0]))
        copy = strdup(text);
    if (copy != NULL)
        command->owned[command->owned_count++] = copy;
    return copy;
}

bool qemu_argument_is(const struct qemu_argument *argument, enum qemu_option_id id)
{
    return argument->option != NULL && argument->option->id == id;
}

int qemu_command_pairs(const struct qemu_argument *argument, const char *implied,
                       struct qemu_pairs *out, struct report_failure *failure)
{
    if (qemu_pairs_parse(argument->value, implied, out) == 0)
        return 0;
    return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, argument->text,
                       "correct it: QEMU would refuse it too", "its value cannot be read: %s",
                       argument->value);
}

int qemu_command_machine_property(struct qemu_command *command, const char *key,
                                  const char **ret_value, struct report_failure *failure)
{
    const char *found = NULL;
    for (size_t i = 0; i < command->argument_count; i++) {
        struct qemu_pairs pairs;
        if (!qemu_argument_is(&command->arguments[i], QEMU_OPT_MACHINE))
            continue;
        int result = qemu_command_pairs(&command->arguments[i], "type", &pairs, failure);
        if (result < 0)
            return result;
        const char *value = qemu_pairs_get(&pairs, key);
        if (value != NULL) {
            found = qemu_command_keep(command, value);
            if (found == NULL) {
                qemu_pairs_free(&pairs);
                return report_fail_memory(failure, QEMU_COMMAND_WHAT);
            }
        }
        qemu_pairs_free(&pairs);
    }
    *ret_value = found;
    return 0;
}

/* Splits the arguments into options. */
static int split_options(struct qemu_command *command, int argc, struct report_failure *failure)
{
    for (int i = 1; i < argc; i++) {
        struct qemu_argument *argument = &command->arguments[command->argument_count++];
        argument->text = command->strings[i];
        if (argument->text[0] != '-')
            continue;
        const char *name = argument->text + (argument->text[1] == '-' ? 2 : 1);
        argument->option = qemu_option_find(name);
        if (argument->option == NULL)
            return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, argument->text,
                               "leave it out if the VM can do without",
                               "this option is not known, so it is not clear what to do with it");
        if (argument->option->refusal != NULL)
            return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, argument->text,
                               argument->option->advice, "%s", argument->option->refusal);
        if (!argument->option->has_argument)
            continue;
        if (++i == argc)
            return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, argument->text,
                               "give the very command line that started the source VM",
                               "the option requires an argument");
        argument->value = command->strings[i];
    }
    return 0;
}

/* A size with an optional suffix, in bytes; without one in units of @unit. */
static bool parse_size(const char *text, uint64_t unit, uint64_t *ret)
{
    static const char suffixes[] = "BKMGTP";
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long long number = strtoull(text, &end, 0);
    if (errno != 0)
        return false;
    if (*end != '\0') {
        const char *suffix = strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (suffix == NULL || end[1] != '\0')
            return false;
        unit = UINT64_C(1) << (10 * (unsigned)(suffix - suffixes));
    }
    if (number > UINT64_MAX / unit)
        return false;
    *ret = number * unit;
    return true;
}

static int read_memory(struct qemu_command *command, const struct qemu_argument *argument,
                       struct report_failure *failure)
{
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, "size", &pairs, failure);
    if (result < 0)
        return result;
    const char *size = qemu_pairs_get(&pairs, "size");
    if (size != NULL && !parse_size(size, UINT64_C(1) << 20, &command->facts.memory_size))
        result = report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, argument->text,
                             "give it as QEMU takes it: 512M, 4G, or a number of MiB",
                             "\"%s\" is no memory size", size);
    qemu_pairs_free(&pairs);
    return result;
}

static int read_smp(struct qemu_command *command, const struct qemu_argument *argument,
                    struct report_failure *failure)
{
    static const char *const levels[] = {"drawers",  "books",   "sockets", "dies",
                                         "clusters", "modules", "cores",   "threads"};
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, "cpus", &pairs, failure);
    if (result < 0)
        return result;
    const char *bad = NULL;
    uint64_t product = 1;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        const char *text = qemu_pairs_get(&pairs, levels[i]);
        uint64_t number = 1;
        if (text != NULL && (!parse_size(text, 1, &number) || number > UINT32_MAX))
            bad = text;
        product = number == 0 || product > UINT32_MAX ? product : product * number;
    }
    const char *cpus = qemu_pairs_get(&pairs, "cpus");
    const char *maximum = qemu_pairs_get(&pairs, "maxcpus");
    uint64_t count = product;
    if (cpus != NULL && !parse_size(cpus, 1, &count))
        bad = cpus;
    else if (cpus == NULL && maximum != NULL && !parse_size(maximum, 1, &count))
        bad = maximum;
    if (bad == NULL && (count == 0 || count > UINT32_MAX))
        bad = argument->value;
    if (bad != NULL)
        result = report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, argument->text,
                             "give -smp as QEMU takes it: 1, or cpus=1",
                             "\"%s\" is no number of CPUs", bad);
    else
        command->facts.cpu_count = (uint32_t)count;
    qemu_pairs_free(&pairs);
    return result;
}

/* Cuts @text at the first of @stops and keeps it. */
static int keep_word(struct qemu_command *command, const char *text, const char *stops,
                     const char **ret, struct report_failure *failure)
{
    char *word = strndup(text, strcspn(text, stops));
    if (word == NULL)
        return report_fail_memory(failure, QEMU_COMMAND_WHAT);
    const char *kept = qemu_command_keep(command, word);
    free(word);
    if (kept == NULL)
        return report_fail_memory(failure, QEMU_COMMAND_WHAT);
    *ret = kept;
    return 0;
}

/* The first accelerator counts: QEMU falls back to later ones. */
static int read_accelerator(struct qemu_command *command, const struct qemu_argument *argument,
                            struct report_failure *failure)
{
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, "accel", &pairs, failure);
    if (result < 0)
        return result;
    const char *name = qemu_pairs_get(&pairs, "accel");
    if (name != NULL && command->facts.accelerator[0] == '\0')
        result = keep_word(command, name, ":", &command->facts.accelerator, failure);
    qemu_pairs_free(&pairs);
    return result;
}

static bool is_debug_port(const char *text)
{
    return text != NULL && strtoul(text, NULL, 0) == DEBUG_CONSOLE_PORT;
}

/* The port that `-global isa-debugcon.iobase=` gives debug consoles without their own. */
static int default_debug_port(const struct qemu_command *command, bool *ret_is_ours,
                              struct report_failure *failure)
{
    bool ours = DEBUG_CONSOLE_DEFAULT_PORT == DEBUG_CONSOLE_PORT;
    for (size_t i = 0; i < command->argument_count; i++) {
        struct qemu_pairs pairs;
        if (!qemu_argument_is(&command->arguments[i], QEMU_OPT_GLOBAL))
            continue;
        int result = qemu_command_pairs(&command->arguments[i], NULL, &pairs, failure);
        if (result < 0)
            return result;
        const char *value = qemu_pairs_get(&pairs, "isa-debugcon.iobase");
        const char *driver = qemu_pairs_get(&pairs, "driver");
        const char *property = qemu_pairs_get(&pairs, "property");
        if (value == NULL && driver != NULL && property != NULL &&
            strcmp(driver, "isa-debugcon") == 0 && strcmp(property, "iobase") == 0)
            value = qemu_pairs_get(&pairs, "value");
        if (value != NULL)
            ours = is_debug_port(value);
        qemu_pairs_free(&pairs);
    }
    *ret_is_ours = ours;
    return 0;
}

static int read_device(struct qemu_command *command, const struct qemu_argument *argument,
                       bool default_is_ours, struct report_failure *failure)
{
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, "driver", &pairs, failure);
    if (result < 0)
        return result;
    const char *driver = qemu_pairs_get(&pairs, "driver");
    if (driver != NULL && strcmp(driver, "isa-debugcon") == 0) {
        const char *port = qemu_pairs_get(&pairs, "iobase");
        if (port != NULL ? is_debug_port(port) : default_is_ours)
            command->facts.has_debug_console = true;
    }
    if (driver != NULL && strcmp(driver, "isa-serial") == 0)
        command->has_serial = true;
    qemu_pairs_free(&pairs);
    return 0;
}

static int read_drive(struct qemu_command *command, const struct qemu_argument *argument,
                      struct report_failure *failure)
{
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, "file", &pairs, failure);
    if (result < 0)
        return result;
    const char *temporary = qemu_pairs_get(&pairs, "snapshot");
    if (temporary != NULL && strcmp(temporary, "on") == 0)
        command->facts.temporary_drives = true;
    qemu_pairs_free(&pairs);
    return 0;
}

/* "stdio", "mon:stdio", "stdio,id=x", "mon:stdio,signal=off", "curses". */
static bool is_stdio(const char *value)
{
    static const char *const names[] = {"stdio", "curses"};
    if (strncmp(value, "mon:", 4) == 0)
        value += 4;
    size_t length = strcspn(value, ",");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == length && strncmp(value, names[i], length) == 0)
            return true;
    }
    return false;
}

/* Which option, if any, makes use of standard input and output? */
static void find_stdio(struct qemu_command *command)
{
    static const char *const options[] = {"serial",     "monitor",  "qmp",
                                          "qmp-pretty", "parallel", "debugcon",
                                          "gdb",        "chardev",  "display"};
    struct qemu_command_facts *facts = &command->facts;
    for (size_t i = 0; i < command->argument_count; i++) {
        const struct qemu_argument *argument = &command->arguments[i];
        if (argument->option == NULL || argument->value == NULL ||
            (!is_stdio(argument->value) && strstr(argument->value, "backend=stdio") == NULL))
            continue;
        for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++) {
            if (strcmp(argument->option->name, options[k]) == 0)
                facts->stdio = argument->text;
        }
    }
    /* It puts the first serial port and the monitor there, unless they are elsewhere. */
    if (command->has_nographic && !command->has_nodefaults &&
        !(command->has_serial && command->has_monitor))
        facts->stdio = "-nographic";
}

static int read_option(struct qemu_command *command, const struct qemu_argument *argument,
                       bool debugcon_is_ours, struct report_failure *failure)
{
    struct qemu_command_facts *facts = &command->facts;
    switch (argument->option != NULL ? argument->option->id : QEMU_OPT_OTHER) {
    case QEMU_OPT_ACCEL:
        return read_accelerator(command, argument, failure);
    case QEMU_OPT_ENABLE_KVM:
        facts->accelerator = "kvm";
        return 0;
    case QEMU_OPT_CPU:
        return keep_word(command, argument->value, ",", &facts->cpu_model, failure);
    case QEMU_OPT_MEMORY:
        return read_memory(command, argument, failure);
    case QEMU_OPT_SMP:
        return read_smp(command, argument, failure);
    case QEMU_OPT_DEVICE:
        return read_device(command, argument, debugcon_is_ours, failure);
    case QEMU_OPT_DEBUGCON:
        facts->has_debug_console |= debugcon_is_ours;
        return 0;
    case QEMU_OPT_GDB:
        facts->has_gdb = true;
        return 0;
    case QEMU_OPT_BIOS:
        facts->has_bios = true;
        return 0;
    case QEMU_OPT_DRIVE:
        return read_drive(command, argument, failure);
    case QEMU_OPT_SNAPSHOT:
        facts->temporary_drives = true;
        return 0;
    case QEMU_OPT_MONITOR:
        command->has_monitor = true;
        return 0;
    case QEMU_OPT_SERIAL:
        command->has_serial = true;
        return 0;
    case QEMU_OPT_NODEFAULTS:
        command->has_nodefaults = true;
        return 0;
    case QEMU_OPT_NOGRAPHIC:
        command->has_nographic = true;
        return 0;
    case QEMU_OPT_OTHER:
    case QEMU_OPT_BLOCKDEV:
    case QEMU_OPT_GLOBAL:
    case QEMU_OPT_MACHINE:
    case QEMU_OPT_NUMA:
    case QEMU_OPT_OBJECT:
    case QEMU_OPT_PFLASH:
        return 0;
    }
    return 0;
}

static int read_machine(struct qemu_command *command, struct report_failure *failure)
{
    static const char *const other_machines[] = {"microvm", "isapc", "none", "x-remote"};
    static const char *const encrypted[] = {"memory-encryption", "confidential-guest-support"};
    struct qemu_command_facts *facts = &command->facts;
    const char *value;
    int result;
    for (size_t i = 0; i < sizeof(encrypted) / sizeof(encrypted[0]); i++) {
        result = qemu_command_machine_property(command, encrypted[i], &value, failure);
        if (result < 0)
            return result;
        if (value != NULL)
            return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, "-machine",
                               "snapshot a guest without memory encryption",
                               "%s=%s: guests with encrypted memory cannot be resumed by this "
                               "version",
                               encrypted[i], value);
    }
    result = qemu_command_machine_property(command, "type", &value, failure);
    if (result < 0)
        return result;
    if (value != NULL)
        facts->machine = value;
    for (size_t i = 0; i < sizeof(other_machines) / sizeof(other_machines[0]); i++)
        if (strcmp(facts->machine, other_machines[i]) == 0)
            return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, "-machine",
                               "run the source with -machine pc or q35",
                               "machine type \"%s\": only pc and q35 machines are supported",
                               facts->machine);
    result = qemu_command_machine_property(command, "accel", &value, failure);
    if (result == 0 && value != NULL && facts->accelerator[0] == '\0')
        result = keep_word(command, value, ":", &facts->accelerator, failure);
    if (result == 0)
        result = qemu_command_machine_property(command, "memory.size", &value, failure);
    if (result == 0 && value != NULL && !parse_size(value, 1, &facts->memory_size))
        result = report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, "-machine",
                             "give memory.size as QEMU takes it: 512M, 4G, or a number of bytes",
                             "\"%s\" is no memory size", value);
    return result;
}

static int read_facts(struct qemu_command *command, struct report_failure *failure)
{
    bool debugcon_is_ours = false;
    int result = default_debug_port(command, &debugcon_is_ours, failure);
    for (size_t i = 0; result == 0 && i < command->argument_count; i++)
        result = read_option(command, &command->arguments[i], debugcon_is_ours, failure);
    if (result == 0)
        result = read_machine(command, failure);
    find_stdio(command);
    if (result == 0)
        result = qemu_command_find_flash(command, failure);
    return result;
}

int qemu_command_parse(struct qemu_command **ret, int argc, const char *const *argv,
                       struct report_failure *failure)
{
    if (argc < 1)
        return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, "arguments",
                           "give the command line that started the VM after --", "it is empty");
    struct qemu_command *command = calloc(1, sizeof(*command));
    if (command == NULL)
        return report_fail_memory(failure, QEMU_COMMAND_WHAT);
    command->strings = calloc((size_t)argc + 1, sizeof(*command->strings));
    command->arguments = calloc((size_t)argc, sizeof(*command->arguments));
    bool copied = command->strings != NULL && command->arguments != NULL;
    for (int i = 0; copied && i < argc; i++) {
        command->strings[i] = strdup(argv[i]);
        copied = command->strings[i] != NULL;
    }
    int result = copied ? 0 : report_fail_memory(failure, QEMU_COMMAND_WHAT);
    if (result == 0) {
        command->facts = (struct qemu_command_facts){
            .binary = command->strings[0],
            .machine = "",
            .cpu_model = "",
            .stdio = "",
            .accelerator = "",
            .memory_size = DEFAULT_MEMORY,
            .cpu_count = 1,
        };
        result = split_options(command, argc, failure);
    }
    if (result == 0)
        result = read_facts(command, failure);
    if (result < 0) {
        qemu_command_free(command);
        return result;
    }
    *ret = command;
    return 0;
}

void qemu_command_free(struct qemu_command *command)
{
    if (command == NULL)
        return;
    for (size_t i = 0; command->strings != NULL && command->strings[i] != NULL; i++)
        free(command->strings[i]);
    for (size_t i = 0; i < command->owned_count; i++)
        free(command->owned[i]);
    free(command->strings);
    free(command->arguments);
    free(command);
}

const struct qemu_command_facts *qemu_command_facts(const struct qemu_command *command)
{
    return &command->facts;
}
