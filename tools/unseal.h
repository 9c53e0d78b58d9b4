/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Taking a snapshot image (docs/IMAGE.md) apart again: what it says of the machine, the device part,
 * and, with the key, the stream that it was made from.
 */
#ifndef TOOLS_UNSEAL_H
#define TOOLS_UNSEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <resume/sealed.h>

#include "manifest.h"
#include "progress.h"
#include "report.h"

/* An opened image. Owned by the caller; members are read-only for him. */
struct unseal {
    const char *path; /* borrowed */
    int fd;
    struct resume_sealed_source source;
    struct resume_sealed_header
        header;  /* authentic if `opened`, else a claim of whoever has the file */
    char *facts; /* the facts for the host: JSON, ends with a NUL */
    size_t facts_length;
    bool opened; /* the structures are there: the image is not sealed, or the key was given */
    struct resume_sealed image; /* if `opened`: state, plan, memory map, runs */
    uint8_t *structures;        /* private */
};

/*
 * unseal_open - open the image at @path (borrowed until unseal_close): the header, the facts for the host,
 * whose hash must be the one in the header, and, unless the image is sealed and @key is NULL, the
 * structures.
 * @key: RESUME_SEALED_KEY bytes, or NULL. @identity: RESUME_SEALED_IDENTITY bytes that the image must
 * have, or NULL: any.
 * @out: must not move in memory until unseal_close. Zeroed on failure.
 * Failures: EXIT_CODE_REFUSED (the structure is named; also a key for an image that is not sealed),
 * EXIT_CODE_ENVIRONMENT.
 */
int unseal_open(struct unseal *out, const char *path, const uint8_t *key, const uint8_t *identity,
                struct report_failure *failure);

/* unseal_close - wipe what is secret, and free. A zeroed or closed one is fine. */
void unseal_close(struct unseal *unseal);

/*
 * unseal_part - with `opened`: the state blob or the plan (RESUME_SEALED_PART_STATE, PLAN).
 * Borrowed until unseal_close; secret. @ret_length: its bytes.
 */
const uint8_t *unseal_part(const struct unseal *unseal, unsigned part, size_t *ret_length);

/*
 * unseal_devices - copy the device part into an unlinked file, and check its hash. The copy is a QEMU
 * stream: header, RAM blocks, the pages that are the hypervisor's, device sections but the `cpu`
 * sections of active vCPUs, description.
 * @directory: where the file is made. @ret_fd: at position 0; the caller closes it.
 * @ret_size: optional, its bytes.
 * Failures: EXIT_CODE_REFUSED (the hash), EXIT_CODE_ENVIRONMENT.
 */
int unseal_devices(const struct unseal *unseal, const char *directory, int *ret_fd,
                   uint64_t *ret_size, struct report_failure *failure);

/*
 * unseal_stream - with `opened`: write the stream that the image was made from, with the same content:
 * every page of RAM, every device section, byte for byte, and the description. Only the order of the
 * pages is another. Memory does not grow with the RAM.
 * @manifest: the facts for the host, which say in which RAM block the memory map lies.
 * @devices_fd: from unseal_devices; its position is changed. @fd: a file, pipe or socket.
 * @ret_size: optional, bytes written. @progress: optional, its current step is updated.
 * Failures: EXIT_CODE_REFUSED (a chunk or part is named), EXIT_CODE_ENVIRONMENT.
 */
int unseal_stream(const struct unseal *unseal, const struct manifest *manifest, int devices_fd,
                  int fd, uint64_t *ret_size, struct progress *progress,
                  struct report_failure *failure);

/*
 * unseal_stream_file - the same into an unlinked file in @directory. @ret_fd: at position 0; the caller
 * closes it.
 */
int unseal_stream_file(const struct unseal *unseal, const struct manifest *manifest, int devices_fd,
                       const char *directory, int *ret_fd, uint64_t *ret_size,
                       struct progress *progress, struct report_failure *failure);

#endif
