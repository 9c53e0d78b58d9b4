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

int import_file_view(const struct import_file *file, const struct import_extent *extents,
                     size_t count, uint64_t size, const char *name, struct import_file *out)
{
    uint64_t end = 0;
    if (file->extents != NULL || extents == NULL)
        return RESUME_EINVAL;
    for (size_t i = 0; i < count; i++) {
        const struct import_extent *extent = &extents[i];
        if (extent->at < end || extent->at > size || extent->length > size - extent->at ||
            extent->offset > file->size || extent->length > file->size - extent->offset)
            return RESUME_EINVAL;
        end = extent->at + extent->length;
    }
    *out = (struct import_file){
        .fd = file->fd, .size = size, .name = name, .extents = extents, .extent_count = count};
    return 0;
}

/* Reads from the file itself. @at: for messages, where the reader believes it is. */
static int read_bytes(const struct import_file *file, uint64_t offset, uint64_t at, uint8_t *to,
                      size_t length, struct resume_import_error *error)
{
    while (length > 0) {
        ssize_t got = pread(file->fd, to, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(file, at, error);
        if (got == 0)
            return import_fail(error, RESUME_ETRUNC, at, file->name, "",
                               "the file has become shorter");
        to += got;
        at += (uint64_t)got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return 0;
}

/* The first extent that ends beyond @at, or the number of extents. */
static size_t find_extent(const struct import_file *file, uint64_t at)
{
    size_t low = 0;
    size_t high = file->extent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct import_extent *extent = &file->extents[middle];
        if (at >= extent->at + extent->length)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int read_extents(const struct import_file *file, uint64_t at, uint8_t *to, size_t length,
                        struct resume_import_error *error)
{
    for (size_t i = find_extent(file, at); length > 0; i++) {
        uint64_t start = i < file->extent_count ? file->extents[i].at : UINT64_MAX;
        if (start > at) {
            size_t gap = start - at < length ? (size_t)(start - at) : length;
            memset(to, 0, gap);
            to += gap;
            at += gap;
            length -= gap;
        }
        if (length == 0)
            break;
        const struct import_extent *extent = &file->extents[i];
        uint64_t skipped = at - extent->at;
        uint64_t left = extent->length - skipped;
        size_t part = left < length ? (size_t)left : length;
        int ret = read_bytes(file, extent->offset + skipped, at, to, part, error);
        if (ret != 0)
            return ret;
        to += part;
        at += part;
        length -= part;
    }
    return 0;
}

int import_read(const struct import_file *file, uint64_t offset, void *buffer, size_t length,
                struct resume_import_error *error)
{
    if (offset > file->size || length > file->size - offset)
        return import_fail(error, RESUME_ETRUNC, offset, file->name,
                           "is the file complete? make it again",
                           "%zu bytes at %llu are beyond the end, which is at %llu", length,
                           (unsigned long long)offset, (unsigned long long)file->size);
    if (file->extents == NULL)
        return read_bytes(file, offset, offset, buffer, length, error);
    return read_extents(file, offset, buffer, length, error);
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
