/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The file that becomes the image. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seal_private.h"

int seal_output_begin(struct seal_output *out, const char *path, struct report_failure *failure)
{
    struct stat status;
    memset(out, 0, sizeof(*out));
    out->fd = -1;
    if (lstat(path, &status) == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, SEAL_WHAT, path,
                           "choose another name, or remove it first", "it exists already");
    out->path = strdup(path);
    if (out->path == NULL || asprintf(&out->partial, "%s.partial", path) < 0) {
        out->partial = NULL;
        return report_fail_memory(failure, SEAL_WHAT);
    }
    int fd = open(out->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return report_fail_errno(failure, errno, SEAL_WHAT, out->partial);
    /* Whoever writes one holds a lock; what nobody holds was left by an interrupted run. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return report_fail(failure, EXIT_CODE_REFUSED, SEAL_WHAT, out->partial,
                           "wait for it, or choose another name",
                           "another resumectl is writing this image");
    }
    out->fd = fd;
    if (status.st_size != 0)
        report_warning(SEAL_WHAT, "%s was left by an interrupted run; it is written anew",
                       out->partial);
    if (ftruncate(fd, 0) < 0)
        return report_fail_errno(failure, errno, SEAL_WHAT, out->partial);
    return 0;
}

int seal_output_write(struct seal_output *out, uint64_t offset, const void *data, size_t length,
                      struct report_failure *failure)
{
    const uint8_t *bytes = data;
    while (length > 0) {
        ssize_t put = pwrite(out->fd, bytes, length, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return report_fail_errno(failure, put < 0 ? errno : EIO, SEAL_WHAT, out->partial);
        bytes += put;
        offset += (uint64_t)put;
        length -= (size_t)put;
    }
    return 0;
}

static int write_pending(struct seal_output *out, struct report_failure *failure)
{
    const size_t length = out->pending_length;
    out->pending_length = 0;
    return seal_output_write(out, out->pending_offset, out->pending, length, failure);
}

int seal_output_append(struct seal_output *out, const void *data, size_t length,
                       struct report_failure *failure)
{
    int result = 0;
    if (out->hashing)
        br_sha256_update(&out->hash, data, length);
    if (out->pending_offset + out->pending_length != out->position ||
        length > sizeof(out->pending) - out->pending_length) {
        result = write_pending(out, failure);
        out->pending_offset = out->position;
    }
    if (length > sizeof(out->pending)) {
        result =
            result != 0 ? result : seal_output_write(out, out->position, data, length, failure);
    } else {
        memcpy(out->pending + out->pending_length, data, length);
        out->pending_length += length;
    }
    out->position += length;
    return result;
}

/* So that the name is there after a loss of power. */
static int flush_folder(const char *path, struct report_failure *failure)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    if (folder == NULL)
        return report_fail_memory(failure, SEAL_WHAT);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 || fsync(fd) < 0 ? report_fail_errno(failure, errno, SEAL_WHAT, folder) : 0;
    if (fd >= 0)
        close(fd);
    free(folder);
    return result;
}

int seal_output_commit(struct seal_output *out, struct report_failure *failure)
{
    int result = write_pending(out, failure);
    if (result != 0)
        return result;
    if (fsync(out->fd) < 0)
        return report_fail_errno(failure, errno, SEAL_WHAT, out->partial);
    result = renameat2(AT_FDCWD, out->partial, AT_FDCWD, out->path, RENAME_NOREPLACE);
    if (result < 0 && (errno == EINVAL || errno == ENOSYS)) {
        /* The file system cannot do that. */
        struct stat status;
        errno = EEXIST;
        if (lstat(out->path, &status) < 0)
            result = rename(out->partial, out->path);
    }
    if (result < 0)
        return report_fail_errno(failure, errno, SEAL_WHAT, out->path);
    free(out->partial);
    out->partial = NULL;
    return flush_folder(out->path, failure);
}

void seal_output_end(struct seal_output *out)
{
    if (out->fd >= 0 && out->partial != NULL && unlink(out->partial) < 0)
        report_warning(SEAL_WHAT, "%s could not be removed: %s", out->partial, strerror(errno));
    if (out->fd >= 0)
        close(out->fd);
    free(out->path);
    free(out->partial);
    memset(out, 0, sizeof(*out));
    out->fd = -1;
}
