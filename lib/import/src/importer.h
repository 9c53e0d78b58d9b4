/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What every importer implements, and what it may use. One format, one file (import_<name>.c), one
 * object of struct importer; import.c lists them. An importer knows nothing of the others.
 */
#ifndef RESUME_IMPORTER_H
#define RESUME_IMPORTER_H

#include <resume/import.h>

/* @length bytes that a view shows at @at lie at @offset of the file. */
struct import_extent {
    uint64_t at;
    uint64_t length;
    uint64_t offset;
};

/*
 * A file as bytes at offsets; opened by the core. Reads may be short only at the end of the file.
 * It may be a view: what a container holds, as a file of its own. Then nothing but import_read
 * knows where its bytes are, and what is in no extent is zero.
 */
struct import_file {
    int fd;
    uint64_t size;                       /* of the view, if it is one */
    const char *name;                    /* for messages */
    const struct import_extent *extents; /* NULL: no view, all is where it says */
    size_t extent_count;
};

/*
 * import_file_view - show parts of a file as another file.
 * @file: no view itself; @out has its descriptor and must not be closed.
 * @extents: in ascending order of @at, without overlaps, below @size, and in the file; borrowed.
 * @size: of the view; bytes in no extent are zero.  @name: for messages; borrowed.
 * Errors: EINVAL (extents that are not so).
 */
int import_file_view(const struct import_file *file, const struct import_extent *extents,
                     size_t count, uint64_t size, const char *name, struct import_file *out);

/*
 * import_read - read exactly @length bytes at @offset.
 * Errors: ETRUNC (beyond the end: with offset, length and size in the message), RESUME_IMPORT_ERRNO.
 */
int import_read(const struct import_file *file, uint64_t offset, void *buffer, size_t length,
                struct resume_import_error *error);

/* import_fail - fill @error, return @code. @format: printf's. @offset: or RESUME_IMPORT_NO_OFFSET. */
int import_fail(struct resume_import_error *error, int code, uint64_t offset, const char *where,
                const char *hint, const char *format, ...) __attribute__((format(printf, 6, 7)));

/*
 * import_load - the whole of a file that must be small. @limit: bytes, more is ELENGTH.
 * @ret_data: to be freed.
 */
int import_load(const struct import_file *file, uint64_t limit, uint8_t **ret_data,
                size_t *ret_length, struct resume_import_error *error);

/* import_open_beside - open a file of a directory, or beside a file. To be closed by the caller. */
int import_open_beside(const char *path, const char *name, struct import_file *out,
                       struct resume_import_error *error);
void import_file_close(struct import_file *file);

struct qemu_stream;

/* What an importer is opened with. Borrowed as long as the import is open. */
struct import_input {
    const char *path;
    int is_directory;
    struct import_file file; /* when it is no directory */
    const char *part;        /* what was asked for with "PATH#PART"; NULL for all others */
};

/* One format. All functions but probe get what open has made as @state. */
struct importer {
    struct resume_import_format format;
    const char *hint; /* for a format that is only recognised: how to get at its contents */
    int has_parts;    /* takes "PATH#PART", in import_input's part */
    /*
     * How sure is it that this is the format: 0 not at all, 1 to 99 a guess, 100 it says so itself.
     * Reads little (some KiB); must not fail. Importers of text are asked like all others.
     */
    int (*probe)(const struct import_input *input);
    /* NULL for a format that is only recognised. */
    int (*open)(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                char *detail, size_t detail_size, struct resume_import_error *error);
    int (*vcpu)(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error);
    int (*machine)(void *state, struct resume_machine *out, struct resume_import_error *error);
    /* NULL when there is no memory in it. */
    int (*memory)(void *state, struct resume_phys *out, struct resume_import_error *error);
    void (*close)(void *state);
    /* The QEMU stream in it, NULL if it cannot be read; NULL for formats without one (import_stream.h). */
    const struct qemu_stream *(*stream)(void *state);
};

#endif
