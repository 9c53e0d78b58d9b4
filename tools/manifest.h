/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * manifest.json: what a snapshot directory holds, and which machine it was taken from. It is the
 * last file to be written; a directory without it is no snapshot.
 */
#ifndef TOOLS_MANIFEST_H
#define TOOLS_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "progress.h"
#include "report.h"

#define MANIFEST_FILE "manifest.json"
#define MANIFEST_STREAM "stream"
#define MANIFEST_STATE "state.rsm"
#define MANIFEST_PLAN "plan.rsm"

#define MANIFEST_FORMAT 1 /* version of the format */

#define MANIFEST_STRING_MAX 128
#define MANIFEST_RANGE_MAX 256
#define MANIFEST_FEATURE_MAX 128
#define MANIFEST_FILE_MAX 16
#define MANIFEST_VCPU_MAX 256
#define MANIFEST_HASH_LENGTH 32 /* hexadecimal digits of XXH3-128 */

/* How guest-physical addresses reach a RAM block. */
enum manifest_range_kind {
    MANIFEST_RANGE_RAM = 0, /* read and written directly */
    MANIFEST_RANGE_ROM = 1, /* read directly: shadowed or true ROM */
    MANIFEST_RANGE_ROMD = 2 /* read directly while in array mode: flash */
};

/* A range of guest-physical addresses and where it lies in a RAM block of the stream. */
struct manifest_range {
    uint64_t base_pa;
    uint64_t length;                 /* bytes, > 0 */
    uint64_t offset;                 /* in the block */
    uint32_t kind;                   /* enum manifest_range_kind */
    char block[MANIFEST_STRING_MAX]; /* name in the stream: "pc.ram" */
};

/* One CPUID feature word that the guest sees. */
struct manifest_feature {
    uint32_t leaf; /* EAX */
    bool has_subleaf;
    uint32_t subleaf; /* ECX */
    char reg[8];      /* "EAX" … "EDX" */
    uint32_t value;
};

/* A file of the directory. */
struct manifest_file {
    char name[MANIFEST_STRING_MAX];
    uint64_t size;
    char xxh3_128[MANIFEST_HASH_LENGTH + 1];
};

/* The manifest; about 60 KiB: keep it off small stacks. Zero = empty. */
struct manifest {
    uint32_t format;
    char tool[MANIFEST_STRING_MAX]; /* "resumectl 0.1.0" */
    int qemu_version[3];
    char qemu_package[MANIFEST_STRING_MAX]; /* the distributor's version, may be empty */
    char machine_type[MANIFEST_STRING_MAX]; /* full name with version: "pc-q35-7.2" */
    char accelerator[MANIFEST_STRING_MAX];  /* "tcg", "kvm" */
    uint64_t memory_size;                   /* bytes of RAM */
    uint32_t cpu_count;
    char cpu_type[MANIFEST_STRING_MAX]; /* QOM type: "qemu64-x86_64-cpu" */
    uint32_t feature_count;
    struct manifest_feature feature[MANIFEST_FEATURE_MAX];
    uint32_t range_count;
    struct manifest_range range[MANIFEST_RANGE_MAX]; /* ascending, not overlapping */
    uint32_t file_count;
    struct manifest_file file[MANIFEST_FILE_MAX];
};

/*
 * manifest_hash_file - size and checksum of a file.
 * @xxh3_128: MANIFEST_HASH_LENGTH + 1 bytes.  @progress: optional; @base and @total place this file
 * within the step's total.
 */
int manifest_hash_file(const char *path, uint64_t *ret_size, char *xxh3_128,
                       struct progress *progress, uint64_t base, uint64_t total,
                       struct report_failure *failure);

/* manifest_add_file - enter the file @name of directory @directory with its size and checksum. */
int manifest_add_file(struct manifest *manifest, const char *directory, const char *name,
                      struct progress *progress, struct report_failure *failure);

/* manifest_find_file - its entry, or NULL. */
const struct manifest_file *manifest_find_file(const struct manifest *manifest, const char *name);

/* manifest_write - write @directory/manifest.json, flushed to the disk. Fails if it exists. */
int manifest_write(const struct manifest *manifest, const char *directory,
                   struct report_failure *failure);

/*
 * manifest_read - read and check @directory/manifest.json; it is not trusted.
 * Failures: EXIT_CODE_REFUSED with the field that is wrong, EXIT_CODE_ENVIRONMENT. A directory that
 * is missing, is a *.partial, or has no manifest is told apart.
 */
int manifest_read(struct manifest *out, const char *directory, struct report_failure *failure);

/* What the facts for the host in a snapshot image (docs/IMAGE.md) have besides a manifest. */
struct manifest_image {
    uint64_t home_pa; /* where the vCPUs wait: guest-physical, whole pages */
    uint64_t home_length;
    bool dormant[MANIFEST_VCPU_MAX]; /* vCPUs that the guest has never started */
};

/*
 * manifest_read_image - the same from the facts for the host in a snapshot image: @length bytes of JSON
 * at @text, which are not trusted either. There are no files in @out.
 * @path: of the image, for messages. @out, @image: untouched on failure.
 * Failures: EXIT_CODE_REFUSED with the field that is wrong, EXIT_CODE_ENVIRONMENT.
 */
int manifest_read_image(struct manifest *out, struct manifest_image *image, const char *text,
                        size_t length, const char *path, struct report_failure *failure);

/*
 * manifest_verify - do the files have the sizes and checksums of the manifest?
 * Every listed file is read. The failure names the file and both checksums (or sizes).
 * @progress: optional; the current step is updated.
 */
int manifest_verify(const struct manifest *manifest, const char *directory,
                    struct progress *progress, struct report_failure *failure);

/* manifest_verify_others - the same, but for the file @name. */
int manifest_verify_others(const struct manifest *manifest, const char *directory, const char *name,
                           struct progress *progress, struct report_failure *failure);

/*
 * manifest_compare_machine - can a machine like @target take over what ran on @source?
 * Machine type, RAM size, vCPU count, memory map of RAM and the CPU's feature words must agree
 * (a target that lacks a feature is named with leaf, register and bits). QEMU versions may differ.
 * Failure: EXIT_CODE_REFUSED.
 */
int manifest_compare_machine(const struct manifest *source, const struct manifest *target,
                             struct report_failure *failure);

#endif
