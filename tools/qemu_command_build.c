/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The command lines of the parked target and of the resumed VM. */
#define _GNU_SOURCE
#include "qemu_command_private.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A list of arguments being written. Once memory runs out it stays failed. */
struct argv_writer {
    struct qemu_argv argv;
    size_t capacity;
    bool failed;
};

/* Appends a string whose ownership it takes; NULL means that memory ran out. */
static void put_owned(struct argv_writer *writer, char *text)
{
    if (text != NULL && !writer->failed && writer->argv.count + 1 >= writer->capacity) {
        size_t capacity = writer->capacity == 0 ? 64 : writer->capacity * 2;
        char **grown = realloc(writer->argv.argv, capacity * sizeof(*grown));
        if (grown == NULL) {
            writer->failed = true;
        } else {
            writer->argv.argv = grown;
            writer->capacity = capacity;
        }
    }
    if (text == NULL || writer->failed) {
        writer->failed = true;
        free(text);
        return;
    }
    writer->argv.argv[writer->argv.count++] = text;
    writer->argv.argv[writer->argv.count] = NULL;
}

static void put(struct argv_writer *writer, const char *text)
{
    put_owned(writer, strdup(text));
}

static void put_format(struct argv_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put_format(struct argv_writer *writer, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    put_owned(writer, text);
}

/* Appends @prefix and the escaped @path. */
static void put_path(struct argv_writer *writer, const char *prefix, const char *path)
{
    char *escaped = qemu_command_escape(path);
    if (escaped == NULL)
        writer->failed = true;
    else
        put_format(writer, "%s%s", prefix, escaped);
    free(escaped);
}

static void put_argument(struct argv_writer *writer, const struct qemu_argument *argument)
{
    put(writer, argument->text);
    if (argument->value != NULL)
        put(writer, argument->value);
}

char *qemu_command_escape(const char *value)
{
    char *escaped = malloc(2 * strlen(value) + 1);
    if (escaped == NULL)
        return NULL;
    char *to = escaped;
    for (; *value != '\0'; value++) {
        if (*value == ',')
            *to++ = ',';
        *to++ = *value;
    }
    *to = '\0';
    return escaped;
}

void qemu_argv_free(struct qemu_argv *argv)
{
    for (size_t i = 0; i < argv->count; i++)
        free(argv->argv[i]);
    free(argv->argv);
    *argv = (struct qemu_argv){NULL, 0};
}

static int finish(struct argv_writer *writer, int result, struct qemu_argv *ret,
                  struct report_failure *failure)
{
    if (result == 0 && writer->failed)
        result = report_fail_memory(failure, QEMU_COMMAND_WHAT);
    if (result < 0)
        qemu_argv_free(&writer->argv);
    else
        *ret = writer->argv;
    return result;
}

/* A connected socket as chardev @id. */
static void put_socket(struct argv_writer *writer, const char *id, int fd)
{
    put(writer, "-chardev");
    put_format(writer, "socket,id=%s,fd=%d", id, fd);
}

static void put_monitor(struct argv_writer *writer, int fd)
{
    put_socket(writer, "libresume-qmp", fd);
    put(writer, "-mon");
    put(writer, "chardev=libresume-qmp,mode=control");
}

static void put_debug_console(struct argv_writer *writer, int fd)
{
    put_socket(writer, "libresume-debug", fd);
    put(writer, "-device");
    put(writer, "isa-debugcon,iobase=0x402,chardev=libresume-debug");
}

/* -machine without what boots or what is not there; the flash only with the firmware in it. */
static int park_machine(struct argv_writer *writer, const struct qemu_argument *argument,
                        bool other_firmware, struct report_failure *failure)
{
    static const char *const dropped[] = {"kernel", "initrd",  "append",  "shim",
                                          "dtb",    "dumpdtb", "pflash0", "pflash1"};
    size_t dropped_count = sizeof(dropped) / sizeof(dropped[0]) - (other_firmware ? 0 : 2);
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, "type", &pairs, failure);
    if (result < 0)
        return result;
    size_t before = pairs.count;
    for (size_t i = 0; i < dropped_count; i++)
        qemu_pairs_remove(&pairs, dropped[i]);
    if (pairs.count == before) {
        put_argument(writer, argument);
    } else if (pairs.count > 0) {
        put(writer, argument->text);
        put_owned(writer, qemu_pairs_format(&pairs));
    }
    qemu_pairs_free(&pairs);
    return 0;
}

/* The path that takes the place of flash image @index. */
static const char *flash_path(const struct qemu_command *command,
                              const struct qemu_park_options *options, size_t index)
{
    const char *path = options->flash_paths != NULL ? options->flash_paths[index] : NULL;
    return path != NULL ? path : command->facts.flash[index].path;
}

/* The -drive, -pflash or -blockdev of a flash image, with another file. */
static int park_flash(struct argv_writer *writer, const struct qemu_argument *argument,
                      const struct qemu_flash *flash, const char *key, const char *path,
                      struct report_failure *failure)
{
    struct qemu_pairs pairs;
    if (qemu_argument_is(argument, QEMU_OPT_PFLASH)) {
        put(writer, argument->text);
        put(writer, path); /* -pflash takes a path as it is */
        return 0;
    }
    bool drive = qemu_argument_is(argument, QEMU_OPT_DRIVE);
    int result = qemu_command_pairs(argument, drive ? NULL : "driver", &pairs, failure);
    if (result < 0)
        return result;
    put(writer, argument->text);
    if (drive) {
        char *text = qemu_pairs_set(&pairs, key, path) == 0 ? qemu_pairs_format(&pairs) : NULL;
        put_owned(writer, text);
    } else {
        char *node = qemu_command_escape(qemu_pairs_get(&pairs, "node-name"));
        char *file = qemu_command_escape(path);
        if (node == NULL || file == NULL)
            writer->failed = true;
        else
            put_format(writer,
                       "driver=raw,node-name=%s,read-only=%s,file.driver=file,"
                       "file.filename=%s",
                       node, flash->readonly ? "on" : "off", file);
        free(node);
        free(file);
    }
    qemu_pairs_free(&pairs);
    return 0;
}

/* Is the object @id RAM of the machine (-machine memory-backend=, -numa node,memdev=)? */
static int is_machine_memory(const struct qemu_command *command, const char *id, bool *ret,
                             struct report_failure *failure)
{
    *ret = false;
    for (size_t i = 0; i < command->argument_count; i++) {
        const struct qemu_argument *argument = &command->arguments[i];
        bool machine = qemu_argument_is(argument, QEMU_OPT_MACHINE);
        struct qemu_pairs pairs;
        if (!machine && !qemu_argument_is(argument, QEMU_OPT_NUMA))
            continue;
        int result = qemu_command_pairs(argument, "type", &pairs, failure);
        if (result < 0)
            return result;
        const char *user = qemu_pairs_get(&pairs, machine ? "memory-backend" : "memdev");
        if (user != NULL && strcmp(user, id) == 0)
            *ret = true;
        qemu_pairs_free(&pairs);
    }
    return 0;
}

/*
 * The objects that are the machine's RAM stay, as private memory of the same name and size: a file
 * or shared memory behind them belongs to the source.
 */
static int park_object(struct argv_writer *writer, const struct qemu_command *command,
                       const struct qemu_argument *argument, struct report_failure *failure)
{
    static const char *const kinds[] = {"memory-backend-ram", "memory-backend-file",
                                        "memory-backend-memfd", "memory-backend-shm"};
    static const char name_key[] = "x-use-canonical-path-for-ramblock-id";
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, "qom-type", &pairs, failure);
    if (result < 0)
        return result;
    const char *type = qemu_pairs_get(&pairs, "qom-type");
    const char *id = qemu_pairs_get(&pairs, "id");
    const char *size = qemu_pairs_get(&pairs, "size");
    const char *long_name = qemu_pairs_get(&pairs, name_key);
    bool memory = false;
    for (size_t i = 0; type != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        memory |= strcmp(type, kinds[i]) == 0;
    bool used = false;
    if (memory && id != NULL && size != NULL)
        result = is_machine_memory(command, id, &used, failure);
    if (result == 0 && used) {
        put(writer, argument->text);
        put_format(writer, "memory-backend-ram,id=%s,size=%s%s%s%s%s", id, size,
                   long_name != NULL ? "," : "", long_name != NULL ? name_key : "",
                   long_name != NULL ? "=" : "", long_name != NULL ? long_name : "");
    }
    qemu_pairs_free(&pairs);
    return result;
}

static int park_argument(struct argv_writer *writer, const struct qemu_command *command,
                         const struct qemu_park_options *options, size_t index,
                         struct report_failure *failure)
{
    const struct qemu_argument *argument = &command->arguments[index];
    if (argument->option == NULL || argument->option->park == QEMU_FATE_DROP)
        return 0;
    if (options->bios != NULL && argument->option->id == QEMU_OPT_BIOS)
        return 0;
    if (argument->option->park == QEMU_FATE_KEEP) {
        put_argument(writer, argument);
        return 0;
    }
    if (argument->option->id == QEMU_OPT_MACHINE)
        return park_machine(writer, argument, options->bios != NULL, failure);
    if (argument->option->id == QEMU_OPT_OBJECT)
        return park_object(writer, command, argument, failure);
    for (size_t i = 0; options->bios == NULL && i < command->facts.flash_count; i++)
        if (command->flash_source[i].argument == index)
            return park_flash(writer, argument, &command->facts.flash[i],
                              command->flash_source[i].key, flash_path(command, options, i),
                              failure);
    return 0; /* a drive or block node that is no flash */
}

/* A fw_cfg file. @path: NULL = there is none. */
static void put_fw_cfg(struct argv_writer *writer, const char *prefix, const char *path)
{
    if (path == NULL)
        return;
    put(writer, "-fw_cfg");
    put_path(writer, prefix, path);
}

/* The image as a disk, and the word that makes the loader look for it there. */
static void put_image(struct argv_writer *writer, const struct qemu_park_options *options)
{
    if (options->image == NULL)
        return;
    put_fw_cfg(writer, "name=opt/org.libresume/key,file=", options->key_file);
    put_fw_cfg(writer, "name=opt/org.libresume/identity,file=", options->identity_file);
    put(writer, "-append");
    put(writer, "image=partition");
    put(writer, "-drive");
    /* A colon before the first slash would be a protocol. */
    put_path(writer,
             options->image[0] == '/'
                 ? "if=none,id=libresume-image,format=raw,read-only=on,file="
                 : "if=none,id=libresume-image,format=raw,read-only=on,file=./",
             options->image);
    put(writer, "-device");
    put(writer, "virtio-blk-pci,drive=libresume-image");
}

int qemu_command_park(const struct qemu_command *command, const struct qemu_park_options *options,
                      struct qemu_argv *ret, struct report_failure *failure)
{
    struct argv_writer writer = {0};
    int result = 0;
    put(&writer, command->facts.binary);
    for (size_t i = 0; result == 0 && i < command->argument_count; i++)
        result = park_argument(&writer, command, options, i, failure);
    put(&writer, "-nodefaults");
    put(&writer, "-display");
    put(&writer, "none");
    put(&writer, "-no-reboot");
    put(&writer, "-S");
    if (options->bios != NULL) {
        put(&writer, "-bios");
        put(&writer, options->bios);
    }
    put(&writer, "-kernel");
    put(&writer, options->kernel);
    put_fw_cfg(&writer, "name=opt/org.libresume/state,file=", options->state_file);
    put_fw_cfg(&writer, "name=opt/org.libresume/plan,file=", options->plan_file);
    put_image(&writer, options);
    put_monitor(&writer, options->qmp_fd);
    put_debug_console(&writer, options->debug_fd);
    if (options->console_log != NULL) {
        put(&writer, "-chardev");
        put_path(&writer, "file,id=libresume-console,path=", options->console_log);
        put(&writer, "-serial");
        put(&writer, "chardev:libresume-console");
    }
    return finish(&writer, result, ret, failure);
}

/*
 * A monitor option of our own switches off the one that QEMU adds by itself. Where the user has
 * none and did not forbid it, it is written out.
 */
static void put_default_monitor(struct argv_writer *writer, const struct qemu_command *command)
{
    if (command->has_monitor || command->has_nodefaults)
        return;
    if (command->has_nographic && !command->has_serial) {
        put(writer, "-serial");
        put(writer, "mon:stdio");
    } else {
        put(writer, "-monitor");
        put(writer, command->has_nographic ? "stdio" : "vc:80Cx24C");
    }
}

int qemu_command_resume(const struct qemu_command *command,
                        const struct qemu_resume_options *options, struct qemu_argv *ret,
                        struct report_failure *failure)
{
    struct argv_writer writer = {0};
    put(&writer, command->facts.binary);
    for (size_t i = 0; i < command->argument_count; i++) {
        const struct qemu_argument *argument = &command->arguments[i];
        bool keep = argument->option == NULL || argument->option->resume == QEMU_FATE_KEEP ||
                    (argument->option->id == QEMU_OPT_GDB && options->gdb_fd < 0);
        if (keep)
            put_argument(&writer, argument);
    }
    if (options->qmp_fd >= 0) {
        put_default_monitor(&writer, command);
        put_monitor(&writer, options->qmp_fd);
    }
    if (options->debug_fd >= 0 && !command->facts.has_debug_console)
        put_debug_console(&writer, options->debug_fd);
    if (options->gdb_fd >= 0) {
        put_socket(&writer, "libresume-gdb", options->gdb_fd);
        put(&writer, "-gdb");
        put(&writer, "chardev:libresume-gdb");
    }
    if (options->incoming_fd >= 0) {
        put(&writer, "-incoming");
        put_format(&writer, "fd:%d", options->incoming_fd);
    }
    if (options->start_paused)
        put(&writer, "-S");
    return finish(&writer, 0, ret, failure);
}

static bool needs_quotes(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_=+:,./@%";
    return text[0] == '\0' || text[strspn(text, plain)] != '\0';
}

char *qemu_argv_format(const struct qemu_argv *argv)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < argv->count; i++) {
        const char *word = argv->argv[i];
        if (i > 0)
            fputc(' ', out);
        if (!needs_quotes(word)) {
            fputs(word, out);
            continue;
        }
        fputc('\'', out);
        for (; *word != '\0'; word++) {
            if (*word == '\'')
                fputs("'\\''", out);
            else
                fputc(*word, out);
        }
        fputc('\'', out);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
