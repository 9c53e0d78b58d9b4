/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "importer.h"

int import_fail(struct resume_import_error *error, int code, uint64_t offset, const char *where,
                const char *hint, const char *format, ...)
{
    if (error == NULL)
        return code;
    va_list arguments;
    error->code = code;
    error->offset = offset;
    snprintf(error->where, sizeof(error->where), "%s", where != NULL ? where : "");
    snprintf(error->hint, sizeof(error->hint), "%s", hint != NULL ? hint : "");
    va_start(arguments, format);
    vsnprintf(error->why, sizeof(error->why), format, arguments);
    va_end(arguments);
    return code;
}

static int fail_errno(const struct import_file *file, uint64_t offset,
                      struct resume_import_error *error)
{
    int number = errno;
    return import_fail(error, RESUME_IMPORT_ERRNO(number), offset, file->name, "", "%s",
                       strerror(number));
}

int import_read(const struct import_file *file, uint64_t offset, void *buffer, size_t length,
                struct resume_import_error *error)
{
    uint8_t *to = buffer;
    if (offset > file->size || length > file->size - offset)
        return import_fail(error, RESUME_ETRUNC, offset, file->name,
                           "is the file complete? make it again",
                           "%zu bytes at %llu are beyond the end, which is at %llu", length,
                           (unsigned long long)offset, (unsigned long long)file->size);
    while (length > 0) {
        ssize_t got = pread(file->fd, to, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(file, offset, error);
        if (got == 0)
            return import_fail(error, RESUME_ETRUNC, offset, file->name, "",
                               "the file has become shorter");
        to += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return 0;
}

int import_load(const struct import_file *file, uint64_t limit, uint8_t **ret_data,
                size_t *ret_length, struct resume_import_error *error)
{
    if (file->size > limit || file->size >= SIZE_MAX)
        return import_fail(error, RESUME_ELENGTH, RESUME_IMPORT_NO_OFFSET, file->name, "",
                           "it has %llu bytes, expected at most %llu",
                           (unsigned long long)file->size, (unsigned long long)limit);
    size_t length = (size_t)file->size;
    /* One more, so that text can be ended there. */
    uint8_t *data = malloc(length + 1);
    if (data == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, file->name,
                           "", "no memory for %zu bytes", length);
    int ret = import_read(file, 0, data, length, error);
    if (ret != 0) {
        free(data);
        return ret;
    }
    data[length] = 0;
    *ret_data = data;
    *ret_length = length;
    return 0;
}

/* A FIFO must not stop the opening: O_NONBLOCK, which means nothing to a regular file. */
static int open_file(int directory, const char *path, struct import_file *out,
                     struct resume_import_error *error)
{
    struct import_file file = {.name = path};
    struct stat status;
    off_t end;
    file.fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file.fd < 0)
        return fail_errno(&file, RESUME_IMPORT_NO_OFFSET, error);
    int ret = 0;
    if (fstat(file.fd, &status) != 0)
        ret = fail_errno(&file, RESUME_IMPORT_NO_OFFSET, error);
    else if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        ret = import_fail(error, RESUME_EUNSUPPORTED, RESUME_IMPORT_NO_OFFSET, path,
                          "write it to a file first",
                          "it is neither a regular file nor a block device");
    else if ((end = lseek(file.fd, 0, SEEK_END)) < 0)
        ret = fail_errno(&file, RESUME_IMPORT_NO_OFFSET, error);
    else
        file.size = (uint64_t)end;
    if (ret != 0) {
        close(file.fd);
        return ret;
    }
    *out = file;
    return 0;
}

int import_open_beside(const char *path, const char *name, struct import_file *out,
                       struct resume_import_error *error)
{
    struct stat status;
    if (name == NULL)
        return open_file(AT_FDCWD, path, out, error);
    /* A name out of an input may not lead elsewhere. */
    if (name[0] == 0 || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return import_fail(error, RESUME_EINVAL, RESUME_IMPORT_NO_OFFSET, path, "",
                           "\"%.64s\" is not the name of a file beside it", name);
    char *directory = strdup(path);
    if (directory == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, path, "",
                           "no memory");
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        char *slash = strrchr(directory, '/');
        if (slash == directory)
            slash[1] = 0;
        else if (slash != NULL)
            *slash = 0;
        else
            memcpy(directory, ".", directory[0] != 0 ? 2 : 1);
    }
    int ret;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int number = errno;
        ret = import_fail(error, RESUME_IMPORT_ERRNO(number), RESUME_IMPORT_NO_OFFSET, directory,
                          "", "%s", strerror(number));
    } else {
        ret = open_file(fd, name, out, error);
        close(fd);
    }
    free(directory);
    return ret;
}

void import_file_close(struct import_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
