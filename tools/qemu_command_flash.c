/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Which flash images a QEMU command line gives the firmware, and private copies of them. */
#define _GNU_SOURCE
#include "qemu_command_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE_DEPTH_MAX 8
/* Flash on a PC is 16 MiB at most; much more than that is no flash image. */
#define FLASH_SIZE_MAX (64 << 20)
#define COPY_CHUNK 65536

static int fail_flash(const struct qemu_argument *argument, struct report_failure *failure,
                      const char *why)
{
    return report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, argument->text,
                       "give the firmware as raw image files, as in "
                       "-drive if=pflash,format=raw,readonly=on,file=OVMF_CODE.fd",
                       "%s: %s", argument->value, why);
}

static int add_flash(struct qemu_command *command, size_t index, const char *key, const char *path,
                     bool readonly, struct report_failure *failure)
{
    struct qemu_command_facts *facts = &command->facts;
    if (facts->flash_count == QEMU_COMMAND_FLASH_MAX)
        return fail_flash(&command->arguments[index], failure, "too many flash images");
    const char *kept = qemu_command_keep(command, path);
    if (kept == NULL)
        return report_fail_memory(failure, QEMU_COMMAND_WHAT);
    command->flash_source[facts->flash_count] = (struct qemu_flash_source){index, key};
    facts->flash[facts->flash_count++] = (struct qemu_flash){kept, readonly};
    return 0;
}

/* Is @name the block node or drive of a `-machine pflashN=`? */
static int is_machine_flash(struct qemu_command *command, const char *name, bool *ret,
                            struct report_failure *failure)
{
    static const char *const properties[] = {"pflash0", "pflash1"};
    *ret = false;
    for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
        const char *value;
        int result = qemu_command_machine_property(command, properties[i], &value, failure);
        if (result < 0)
            return result;
        if (value != NULL && name != NULL && strcmp(value, name) == 0)
            *ret = true;
    }
    return 0;
}

static int read_drive(struct qemu_command *command, size_t index, struct report_failure *failure)
{
    const struct qemu_argument *argument = &command->arguments[index];
    struct qemu_pairs pairs;
    int result = qemu_command_pairs(argument, NULL, &pairs, failure);
    if (result < 0)
        return result;
    const char *interface = qemu_pairs_get(&pairs, "if");
    bool flash = interface != NULL && strcmp(interface, "pflash") == 0;
    if (!flash)
        result = is_machine_flash(command, qemu_pairs_get(&pairs, "id"), &flash, failure);
    if (result == 0 && flash) {
        const char *format = qemu_pairs_get(&pairs, "format");
        const char *driver = qemu_pairs_get(&pairs, "driver");
        const char *key = "file";
        const char *path = qemu_pairs_get(&pairs, key);
        if (path == NULL) {
            key = "file.filename";
            path = qemu_pairs_get(&pairs, key);
        }
        bool readonly = qemu_pairs_on(&pairs, "readonly") || qemu_pairs_on(&pairs, "read-only");
        if (path == NULL)
            result = fail_flash(argument, failure, "it names no file");
        else if ((format != NULL && strcmp(format, "raw") != 0) ||
                 (driver != NULL && strcmp(driver, "raw") != 0))
            result = fail_flash(argument, failure, "the flash image is not raw");
        else
            result = add_flash(command, index, key, path, readonly, failure);
    }
    qemu_pairs_free(&pairs);
    return result;
}

/* Finds the -blockdev that defines the node @name. Returns its index, or argument_count. */
static int find_node(const struct qemu_command *command, const char *name, size_t *ret_index,
                     struct qemu_pairs *ret_pairs, struct report_failure *failure)
{
    for (size_t i = 0; i < command->argument_count; i++) {
        if (!qemu_argument_is(&command->arguments[i], QEMU_OPT_BLOCKDEV))
            continue;
        int result = qemu_command_pairs(&command->arguments[i], "driver", ret_pairs, failure);
        if (result < 0)
            return result;
        const char *node = qemu_pairs_get(ret_pairs, "node-name");
        if (node != NULL && strcmp(node, name) == 0) {
            *ret_index = i;
            return 0;
        }
        qemu_pairs_free(ret_pairs);
    }
    *ret_index = command->argument_count;
    return 0;
}

/*
 * One step from a block node towards its file. *@ret_path is set at the end, *@ret_next when the
 * file is a node of its own; both are owned by @pairs. Returns what is wrong, or NULL.
 */
static const char *follow_node(const struct qemu_pairs *pairs, const char **ret_path,
                               const char **ret_next)
{
    const char *driver = qemu_pairs_get(pairs, "driver");
    if (driver == NULL)
        return "the block device has no driver";
    if (strcmp(driver, "file") == 0) {
        *ret_path = qemu_pairs_get(pairs, "filename");
        return *ret_path != NULL ? NULL : "it names no file";
    }
    if (strcmp(driver, "raw") != 0)
        return "the flash image is not raw";
    if (qemu_pairs_get(pairs, "offset") != NULL || qemu_pairs_get(pairs, "size") != NULL)
        return "the flash image is a part of a file";
    *ret_next = qemu_pairs_get(pairs, "file");
    if (*ret_next != NULL)
        return NULL;
    const char *inner = qemu_pairs_get(pairs, "file.driver");
    *ret_path = qemu_pairs_get(pairs, "file.filename");
    if (inner == NULL || strcmp(inner, "file") != 0 || *ret_path == NULL)
        return "it does not lie in a plain file";
    return NULL;
}

static int read_node(struct qemu_command *command, const char *property, const char *name,
                     struct report_failure *failure)
{
    char *node = strdup(name);
    size_t first = command->argument_count;
    bool readonly = false;
    int result = 0;
    for (unsigned depth = 0; result == 0 && node != NULL; depth++) {
        struct qemu_pairs pairs;
        size_t index;
        result = find_node(command, node, &index, &pairs, failure);
        if (result < 0)
            break;
        if (index == command->argument_count || depth == NODE_DEPTH_MAX) {
            if (index != command->argument_count)
                qemu_pairs_free(&pairs);
            result = report_fail(failure, EXIT_CODE_REFUSED, QEMU_COMMAND_WHAT, "-machine",
                                 "give the very command line that started the source VM",
                                 "%s=%s: block node \"%s\" %s", property, name, node,
                                 depth == NODE_DEPTH_MAX ? "is nested too deeply"
                                                         : "is defined by no -blockdev");
            break;
        }
        if (depth == 0) {
            first = index;
            readonly = qemu_pairs_on(&pairs, "read-only");
        }
        const char *path = NULL;
        const char *next = NULL;
        const char *wrong = follow_node(&pairs, &path, &next);
        if (wrong != NULL)
            result = fail_flash(&command->arguments[index], failure, wrong);
        else if (path != NULL)
            result = add_flash(command, first, NULL, path, readonly, failure);
        free(node);
        node = NULL;
        if (result == 0 && next != NULL) {
            node = strdup(next);
            if (node == NULL)
                result = report_fail_memory(failure, QEMU_COMMAND_WHAT);
        }
        qemu_pairs_free(&pairs);
    }
    free(node);
    return result;
}

/* Is @name the id of a -drive? Those were read by read_drive. */
static int is_drive(const struct qemu_command *command, const char *name, bool *ret,
                    struct report_failure *failure)
{
    *ret = false;
    for (size_t i = 0; i < command->argument_count; i++) {
        struct qemu_pairs pairs;
        if (!qemu_argument_is(&command->arguments[i], QEMU_OPT_DRIVE))
            continue;
        int result = qemu_command_pairs(&command->arguments[i], NULL, &pairs, failure);
        if (result < 0)
            return result;
        const char *id = qemu_pairs_get(&pairs, "id");
        if (id != NULL && strcmp(id, name) == 0)
            *ret = true;
        qemu_pairs_free(&pairs);
    }
    return 0;
}

int qemu_command_find_flash(struct qemu_command *command, struct report_failure *failure)
{
    static const char *const properties[] = {"pflash0", "pflash1"};
    int result = 0;
    for (size_t i = 0; result == 0 && i < command->argument_count; i++) {
        const struct qemu_argument *argument = &command->arguments[i];
        if (qemu_argument_is(argument, QEMU_OPT_DRIVE))
            result = read_drive(command, i, failure);
        else if (qemu_argument_is(argument, QEMU_OPT_PFLASH))
            result = add_flash(command, i, NULL, argument->value, false, failure);
    }
    for (size_t i = 0; result == 0 && i < sizeof(properties) / sizeof(properties[0]); i++) {
        const char *value;
        bool drive;
        result = qemu_command_machine_property(command, properties[i], &value, failure);
        if (result < 0 || value == NULL)
            continue;
        result = is_drive(command, value, &drive, failure);
        if (result == 0 && !drive)
            result = read_node(command, properties[i], value, failure);
    }
    return result;
}

static int copy_data(int from, int to, const char *from_path, const char *to_path,
                     struct report_failure *failure)
{
    char *chunk = malloc(COPY_CHUNK);
    if (chunk == NULL)
        return report_fail_memory(failure, "copy flash image");
    int result = 0;
    uint64_t total = 0;
    while (result == 0) {
        ssize_t got = read(from, chunk, COPY_CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = report_fail_errno(failure, errno, "copy flash image", from_path);
        if (got <= 0)
            break;
        total += (uint64_t)got;
        if (total > FLASH_SIZE_MAX)
            result = report_fail(failure, EXIT_CODE_REFUSED, "copy flash image", from_path,
                                 "name the firmware's image, such as OVMF_VARS.fd",
                                 "it is longer than 64 MiB: no flash image");
        for (ssize_t done = 0; result == 0 && done < got;) {
            ssize_t put = write(to, chunk + done, (size_t)(got - done));
            if (put > 0)
                done += put;
            else if (put < 0 && errno != EINTR)
                result = report_fail_errno(failure, errno, "copy flash image", to_path);
        }
    }
    free(chunk);
    return result;
}

static int copy_file(const char *from_path, const char *to_path, struct report_failure *failure)
{
    int from = open(from_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return report_fail_errno(failure, errno, "copy flash image", from_path);
    struct stat status;
    if (fstat(from, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(from);
        return report_fail(failure, EXIT_CODE_REFUSED, "copy flash image", from_path,
                           "give the flash images as plain files", "it is not a regular file");
    }
    int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0) {
        int error = errno;
        close(from);
        return report_fail_errno(failure, error, "copy flash image", to_path);
    }
    int result = copy_data(from, to, from_path, to_path, failure);
    close(from);
    if (close(to) < 0 && result == 0)
        result = report_fail_errno(failure, errno, "copy flash image", to_path);
    return result;
}

int qemu_command_copy_flash(const struct qemu_command *command, const char *directory, char **paths,
                            struct report_failure *failure)
{
    const struct qemu_command_facts *facts = &command->facts;
    for (size_t i = 0; i < facts->flash_count; i++)
        paths[i] = NULL;
    for (size_t i = 0; i < facts->flash_count; i++) {
        if (facts->flash[i].readonly)
            continue;
        if (asprintf(&paths[i], "%s/flash%zu", directory, i) < 0) {
            paths[i] = NULL;
            return report_fail_memory(failure, "copy flash image");
        }
        int result = copy_file(facts->flash[i].path, paths[i], failure);
        if (result < 0)
            return result;
    }
    return 0;
}
