/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Reads the CPU state of a stopped virtual machine out of what monitors and tools leave: streams,
 * dumps, snapshots, register listings. For programs on a host; needs a C library.
 *
 * One interface for all formats; docs/FORMATS.md says for each which versions are read, which fields
 * it carries, and which it lacks. A field counts only if its validity bit is set: what a format does
 * not have is not made up. Input is hostile: every length is checked against the input's size before
 * anything is allocated or read by it.
 */
#ifndef RESUME_IMPORT_H
#define RESUME_IMPORT_H

#include <stddef.h>
#include <stdint.h>

#include <resume/paging.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong, for people. Filled whenever a function here fails. */
struct resume_import_error {
    int code; /* enum resume_err, negative; or -errno of the operating system's, below -1000 */
    uint64_t offset; /* in the file, or RESUME_IMPORT_NO_OFFSET */
    char where[128]; /* file of several, section, field; may be empty */
    char why[256];   /* what was found, what was expected */
    char hint[192];  /* what to do; may be empty */
};
#define RESUME_IMPORT_NO_OFFSET UINT64_MAX
#define RESUME_IMPORT_ERRNO(number) (-1000 - (number))

/* A format that is read, or only recognised. */
struct resume_import_format {
    const char *name;  /* "qemu-stream", as given to resumectl --format */
    const char *title; /* "QEMU migration stream" */
    int readable;      /* 0 = recognised, so that it can be refused by its name */
};

/* resume_import_formats - all formats, in the order in which they are tried. @ret_count: not NULL. */
const struct resume_import_format *const *resume_import_formats(size_t *ret_count);

/* An opened input. */
struct resume_import;

/*
 * resume_import_open - open an input.
 * @path: a file; for some formats a directory; for some that hold several machines "FILE#NAME" for
 * the one to be read, unless there is a file of that very name.
 * @format: a name, or NULL to find out.
 * @out: to be closed with resume_import_close.
 * Errors: EMAGIC (no known format, or not the named one), EUNSUPPORTED (a format that is only
 * recognised; a version that is not read), whatever is wrong with the contents, RESUME_IMPORT_ERRNO.
 */
int resume_import_open(const char *path, const char *format, struct resume_import **out,
                       struct resume_import_error *error);

/* resume_import_close - free everything. NULL is fine. */
void resume_import_close(struct resume_import *import);

/* resume_import_format - what it is. */
const struct resume_import_format *resume_import_format(const struct resume_import *import);

/* resume_import_detail - version and variant, "7.2, TCG, pc-q35-7.2"; may be empty. Borrowed. */
const char *resume_import_detail(const struct resume_import *import);

/* resume_import_vcpus - number of vCPUs, at least 1, at most RESUME_VCPU_MAX. */
uint32_t resume_import_vcpus(const struct resume_import *import);

/*
 * resume_import_vcpu - decode one vCPU.
 * @index: below resume_import_vcpus.  @out: its xsave.area is owned by @import, and is overwritten
 * by the next call.
 * Errors: what is wrong with its data.
 */
int resume_import_vcpu(struct resume_import *import, uint32_t index, struct resume_vcpu *out,
                       struct resume_import_error *error);

/* resume_import_machine - machine facts: accelerator, type, RAM ranges, as far as they are known. */
int resume_import_machine(struct resume_import *import, struct resume_machine *out,
                          struct resume_import_error *error);

/*
 * resume_import_memory - the guest's memory, for walks of its page tables.
 * Returns 0 and fills @out, or EUNREACHABLE when the input holds no memory. Pages that @out gives are
 * valid until the next page is asked for 16 times.
 */
int resume_import_memory(struct resume_import *import, struct resume_phys *out,
                         struct resume_import_error *error);

/*
 * resume_import_missing - fields that a resume needs and this vCPU's record does not have.
 * @vcpu: as resume_import_vcpu gave it.  @out: room for @capacity names ("efer", "cr8", "xsave"),
 * which are static strings. Returns how many there are, also beyond @capacity.
 */
size_t resume_import_missing(const struct resume_vcpu *vcpu, const char **out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
