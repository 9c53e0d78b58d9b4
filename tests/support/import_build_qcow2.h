/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Builds qcow2 images with internal snapshots by hand, from QEMU's description of the format. Only what
 * snapshots are read by is there: no counts of references, no active tables.
 */
#ifndef RESUME_TESTS_IMPORT_BUILD_QCOW2_H
#define RESUME_TESTS_IMPORT_BUILD_QCOW2_H

#include <stddef.h>
#include <stdint.h>

#define QCOW2_BUILD_SNAPSHOTS 8

struct qcow2_build {
    unsigned version; /* 2 or 3 */
    unsigned cluster_bits;
    int extended; /* L2 entries with subclusters */
    uint64_t disk_size;
    /* From here on: the builder's. */
    uint8_t *data;
    size_t length;
    unsigned snapshots;
    struct {
        char id[16];
        char name[64];
        uint32_t seconds;
        uint64_t state_size;
        size_t l1_at;
        uint32_t l1_size;
    } snapshot[QCOW2_BUILD_SNAPSHOTS];
    /* For who changes something: where the last snapshot's are. */
    size_t l1_entry_at; /* the first of the state */
    size_t l2_at;       /* the first table of the state */
    size_t entry_at;    /* in the table of snapshots */
};

/* qcow2_build_begin - the header; the first four members are set. */
void qcow2_build_begin(struct qcow2_build *build);

/*
 * qcow2_build_snapshot - add one. @state: may be NULL if @size is 0.
 * Clusters lie in the file in descending order. Those that are zero are left out, or are marked as zero,
 * turn by turn.
 */
void qcow2_build_snapshot(struct qcow2_build *build, const char *id, const char *name,
                          uint32_t seconds, const void *state, size_t size);

/* qcow2_build_end - the table of snapshots. @data: of @length bytes, to be freed. */
void qcow2_build_end(struct qcow2_build *build);

/* qcow2_build_put - change a big-endian number. */
void qcow2_build_put(struct qcow2_build *build, size_t at, uint64_t value, unsigned bytes);

#endif
