/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What every importer implements, and what it may use. One format, one file (import_<name>.c), one
 * object of struct importer; import.c lists them. An importer knows nothing of the others.
 */
#ifndef RESUME_IMPORTER_H
#define RESUME_IMPORTER_H

#include <resume/import.h>

/* A file as bytes at offsets; opened by the core. Reads may be short only at the end of the file. */
struct import_file {
    int fd;
    uint64_t size;
    const char *name; /* for messages */
};

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

/* What an importer is opened with. Borrowed as long as the import is open. */
struct import_input {
    const char *path;
    int is_directory;
    struct import_file file; /* when it is no directory */
};

/* One format. All functions but probe get what open has made as @state. */
struct importer {
    struct resume_import_format format;
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
};

#endif
