/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "snapshot_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "manifest.h"

#define WHAT "snapshot"

static const char *const file_names[] = {MANIFEST_FILE, MANIFEST_PLAN, MANIFEST_STATE,
                                         MANIFEST_STREAM};

/* Removes the files that a snapshot has, and no others. */
static void remove_files(int fd)
{
    for (size_t i = 0; i < sizeof(file_names) / sizeof(file_names[0]); i++)
        (void)unlinkat(fd, file_names[i], 0);
}

static int open_locked(const char *path, int *ret_fd, struct report_failure *failure)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return report_fail_errno(failure, errno, WHAT, path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno;
        close(fd);
        if (error == EWOULDBLOCK)
            return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path,
                               "wait for it, or choose another directory",
                               "another resumectl is writing this snapshot");
        return report_fail_errno(failure, error, WHAT, path);
    }
    *ret_fd = fd;
    return 0;
}

/* Takes away what an interrupted run left. */
static int remove_stale(const char *path, struct report_failure *failure)
{
    int fd = -1;
    int result = open_locked(path, &fd, failure);
    if (result < 0)
        return result;
    remove_files(fd);
    result = rmdir(path);
    int error = errno;
    close(fd);
    if (result < 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path,
                           "look at it, and remove it yourself",
                           "left by an interrupted run, it cannot be removed: %s", strerror(error));
    report_warning(WHAT, "%s was left by an interrupted run; it was removed", path);
    return 0;
}

static int make_partial(struct snapshot_directory *directory, struct report_failure *failure)
{
    struct stat status;
    if (lstat(directory->final_path, &status) == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, directory->final_path,
                           "choose another name, or remove it first", "it exists already");
    if (mkdir(directory->partial_path, 0700) < 0) {
        if (errno != EEXIST)
            return report_fail_errno(failure, errno, WHAT, directory->partial_path);
        int result = remove_stale(directory->partial_path, failure);
        if (result < 0)
            return result;
        if (mkdir(directory->partial_path, 0700) < 0)
            return report_fail_errno(failure, errno, WHAT, directory->partial_path);
    }
    int result = open_locked(directory->partial_path, &directory->fd, failure);
    if (result == -EXIT_CODE_ENVIRONMENT)
        (void)rmdir(directory->partial_path);
    return result;
}

static void free_paths(struct snapshot_directory *directory)
{
    free(directory->final_path);
    free(directory->partial_path);
    free(directory->parent_path);
    *directory = (struct snapshot_directory){.fd = -1};
}

int snapshot_directory_begin(struct snapshot_directory *directory, const char *path,
                             struct report_failure *failure)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0 || (length == 1 && path[0] == '/'))
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path,
                           "name a directory that is not there yet",
                           "this is no name for a new directory");
    struct snapshot_directory made = {.fd = -1};
    made.final_path = strndup(path, length);
    const char *slash = memrchr(path, '/', length);
    if (slash == NULL)
        made.parent_path = strdup(".");
    else
        made.parent_path = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    int result = 0;
    if (made.final_path == NULL || made.parent_path == NULL ||
        asprintf(&made.partial_path, "%s.partial", made.final_path) < 0) {
        made.partial_path = NULL;
        result = report_fail_memory(failure, WHAT);
    }
    if (result == 0)
        result = make_partial(&made, failure);
    if (result < 0) {
        free_paths(&made);
        return result;
    }
    *directory = made;
    return 0;
}

uint64_t snapshot_directory_space(const struct snapshot_directory *directory)
{
    struct statvfs status;
    if (fstatvfs(directory->fd, &status) < 0 || status.f_frsize == 0)
        return UINT64_MAX;
    if (status.f_bavail > UINT64_MAX / status.f_frsize)
        return UINT64_MAX;
    return (uint64_t)status.f_bavail * status.f_frsize;
}

int snapshot_directory_write(const struct snapshot_directory *directory, const char *name,
                             const void *data, size_t length, struct report_failure *failure)
{
    int fd = openat(directory->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return report_fail_errno(failure, errno, WHAT, name);
    int result = 0;
    const char *bytes = data;
    for (size_t done = 0; result == 0 && done < length;) {
        ssize_t put = write(fd, bytes + done, length - done);
        if (put > 0)
            done += (size_t)put;
        else if (put < 0 && errno != EINTR)
            result = report_fail_errno(failure, errno, WHAT, name);
    }
    if (result == 0 && fsync(fd) < 0)
        result = report_fail_errno(failure, errno, WHAT, name);
    if (close(fd) < 0 && result == 0)
        result = report_fail_errno(failure, errno, WHAT, name);
    return result;
}

static int flush_directory(const char *path, struct report_failure *failure)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return report_fail_errno(failure, errno, WHAT, path);
    int result = fsync(fd) < 0 ? report_fail_errno(failure, errno, WHAT, path) : 0;
    close(fd);
    return result;
}

int snapshot_directory_commit(struct snapshot_directory *directory, struct report_failure *failure)
{
    if (fsync(directory->fd) < 0)
        return report_fail_errno(failure, errno, WHAT, directory->partial_path);
    /* A plain rename would replace an empty directory that someone made meanwhile. */
    int result = renameat2(AT_FDCWD, directory->partial_path, AT_FDCWD, directory->final_path,
                           RENAME_NOREPLACE);
    if (result < 0 && (errno == EINVAL || errno == ENOSYS)) {
        /* The file system cannot do that. */
        struct stat status;
        errno = EEXIST;
        if (lstat(directory->final_path, &status) < 0)
            result = rename(directory->partial_path, directory->final_path);
    }
    if (result < 0)
        return report_fail_errno(failure, errno, WHAT, directory->final_path);
    free(directory->partial_path);
    directory->partial_path = NULL;
    return flush_directory(directory->parent_path, failure);
}

void snapshot_directory_end(struct snapshot_directory *directory)
{
    if (directory->final_path == NULL)
        return;
    if (directory->partial_path != NULL) {
        remove_files(directory->fd);
        if (rmdir(directory->partial_path) < 0)
            report_warning(WHAT, "%s could not be removed: %s", directory->partial_path,
                           strerror(errno));
    }
    if (directory->fd >= 0)
        close(directory->fd);
    free_paths(directory);
}
