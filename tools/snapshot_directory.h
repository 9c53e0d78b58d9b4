/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A snapshot directory under construction: DIR.partial, which becomes DIR once all of it is on the
 * disk. Whoever builds it holds a lock on it, so that what an interrupted run left behind can be told
 * from what another run is writing.
 */
#ifndef TOOLS_SNAPSHOT_DIRECTORY_H
#define TOOLS_SNAPSHOT_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "report.h"

/* Owned by the caller; zero = none. */
struct snapshot_directory {
    char *final_path;
    char *partial_path;
    char *parent_path;
    int fd; /* the directory, locked; valid once partial_path is set */
};

/*
 * snapshot_directory_begin - make DIR.partial.
 * @path: DIR; it must not exist. What an interrupted run left at DIR.partial is removed, saying so;
 * anything else there is refused.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT.
 */
int snapshot_directory_begin(struct snapshot_directory *directory, const char *path,
                             struct report_failure *failure);

/* snapshot_directory_space - bytes that can still be written there; UINT64_MAX when not known. */
uint64_t snapshot_directory_space(const struct snapshot_directory *directory);

/* snapshot_directory_write - make the file @name with @length bytes of @data, flushed. */
int snapshot_directory_write(const struct snapshot_directory *directory, const char *name,
                             const void *data, size_t length, struct report_failure *failure);

/* snapshot_directory_commit - flush, and give it its name; fails if there is something by then. */
int snapshot_directory_commit(struct snapshot_directory *directory, struct report_failure *failure);

/* snapshot_directory_end - free; a directory that was not committed is removed. */
void snapshot_directory_end(struct snapshot_directory *directory);

#endif
