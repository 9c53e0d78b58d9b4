/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What a resume starts from: a snapshot directory or a snapshot image, opened and checked, and the
 * private directory that a resume works in.
 */
#ifndef RESUME_TOOLS_RESUME_INPUT_H
#define RESUME_TOOLS_RESUME_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include <resume/image.h>

#include "manifest.h"
#include "report.h"
#include "splice.h"

#define PATH_MAX_LENGTH 1024

/* What to open. Strings are the caller's, as long as what was opened. */
struct resume_input_options {
    const char *path;     /* a snapshot directory or a snapshot image */
    const char *key_path; /* of an image; NULL = none */
    const char *identity; /* 64 digits: the only image that is wanted; NULL = any */
    /* Wishes of the form "reg:NAME^MASK", "reg:NAME@VCPU^MASK" (without a number the first active
     * vCPU's) or "ram:ADDRESS^MASK". An image's registers cannot be spoiled. */
    const char *const *inject;
    uint32_t inject_count;
    bool verify; /* resume_input_image will be asked for a verification */
};

struct ledger;
struct resume_image;
struct verify_options;

/* Owned by the caller; read-only for him. */
struct resume_input {
    bool image; /* a snapshot image, else a snapshot directory */
    const char *path;
    struct manifest *manifest;
    int stream_fd; /* the source's stream; of an image the device part, in a file without a name */
    uint64_t stream_size;
    const char *stream_hash; /* NULL: has been checked */
    struct splice_home home;
    /* With a sealed image whose key is not given these two are not known, and home.va is not. */
    uint8_t fill;                      /* the home's fill byte */
    struct resume_image_layout layout; /* of the home */
    uint32_t vcpu_count;
    uint32_t active_count;
    bool active[RESUME_HOME_VCPUS];       /* false: dormant, stays as it is in the stream */
    struct splice_poke poke;              /* mask 0 = none */
    char temporary[PATH_MAX_LENGTH / 2];  /* TMPDIR, or /tmp */
    char work_directory[PATH_MAX_LENGTH]; /* private, removed by resume_input_close */
    int work_fd;
    /* What the firmware gets: the snapshot's files, or spoiled copies of them; "" with an image. */
    char state_path[PATH_MAX_LENGTH];
    char plan_path[PATH_MAX_LENGTH];
    /* With an image: */
    const char *key_path;                /* as given */
    char identity_path[PATH_MAX_LENGTH]; /* "" = any */
    uint64_t image_size;
    const struct image_memory *memory; /* what the firmware loads */
    const char *standing;              /* what is known of it, for people */
    struct resume_image *opened;       /* private */
};

/*
 * resume_input_open - open and check a snapshot.
 * Of a directory: manifest, state blob, plan and their checksums, and that the state can be restored,
 * are checked here; the stream's checksum is checked while it is spliced, before anything depends on
 * it. Of an image: header, facts for the host and device part, and with the key (or if it is not sealed)
 * the structures, state blob and plan among them; what its firmware gets is checked there once more.
 * @out: zeroed, must not move; to be closed with resume_input_close, also after a failure.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_USAGE (an injection, a key or identity for a directory),
 * EXIT_CODE_ENVIRONMENT.
 */
int resume_input_open(struct resume_input *out, const struct resume_input_options *options,
                      struct report_failure *failure);

/*
 * resume_input_compare - verify_compare, whatever the input is: the VM that @options->resumed_fd is the
 * capture of is compared with the snapshot.
 */
int resume_input_compare(const struct resume_input *input, const struct verify_options *options,
                         struct ledger *out, struct report_failure *failure);

/* resume_input_check_active - has the parked target the same active vCPUs as the snapshot? */
int resume_input_check_active(const struct resume_input *input, const struct splice_parked *parked,
                              struct report_failure *failure);

/*
 * resume_input_check - does the parked target fit the snapshot? Whether the same vCPUs are active,
 * and the check that splice_run makes, before any VM is started for it. For that only the end of the
 * stream is read; when it cannot be found this way, the check is left to splice_run.
 */
int resume_input_check(const struct resume_input *input, const struct splice_parked *parked,
                       struct report_failure *failure);

/* resume_input_close - close, free, and remove the private directory. */
void resume_input_close(struct resume_input *input);

/* resume_input_remove_files - remove what is in the private directory. Only system calls that a
 * signal handler may make. */
void resume_input_remove_files(int directory_fd);

#endif
