/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The state of a virtual machine inside a qcow2 image: of its internal snapshots, those that
 * QEMU's savevm made. Layout: QEMU's docs/interop/qcow2.
 */
#ifndef RESUME_IMPORT_QCOW2_H
#define RESUME_IMPORT_QCOW2_H

#include "importer.h"

/* What of the header counts here. */
struct qcow2 {
    const struct import_file *file;
    uint32_t version;
    uint32_t cluster_bits; /* 9 to 21 */
    uint32_t l2_bits;      /* entries in an L2 table, as a power of 2 */
    int extended;          /* L2 entries of 16 bytes, with subclusters */
    uint64_t disk_size;
    uint32_t snapshot_count;
    uint64_t snapshots_at;
};

#define QCOW2_NAME_MAX 256u

/* A snapshot that has the state of a machine. Names are cut, and have no bytes but printable ones. */
struct qcow2_snapshot {
    uint64_t l1_at;
    uint32_t l1_size;  /* entries */
    uint64_t state_at; /* number of the first L1 entry behind the disk */
    uint64_t state_size;
    char name[QCOW2_NAME_MAX];
    uint32_t with_state; /* number of those that have a state, this one among them */
    char others[128];    /* the names of the first of these: "\"a\", \"b\""; with ... if cut */
};

/* qcow2_is - does @file begin as one does, of any version? Does not fail. */
int qcow2_is(const struct import_file *file);

/*
 * qcow2_open - read the header. @file: borrowed.
 * Errors: EMAGIC, EVERSION, ETRUNC, ELENGTH, EUNSUPPORTED (encrypted, external data file, a feature
 * that is not known).
 */
int qcow2_open(struct qcow2 *qcow2, const struct import_file *file,
               struct resume_import_error *error);

/*
 * qcow2_find - choose a snapshot.
 * @name: its name, or if none has that name its ID; of several, the newest. NULL: the newest of all.
 * Errors: EMISSING (none has the state of a machine, or not the named one), what is wrong with the
 * table.
 */
int qcow2_find(const struct qcow2 *qcow2, const char *name, struct qcow2_snapshot *out,
               struct resume_import_error *error);

/*
 * qcow2_map - where the state of a machine lies, in extents that ascend and do not overlap.
 * What is in none is zero. Neither their number nor the time that it takes is beyond what the
 * file's size allows.
 * @ret_extents: to be freed.
 * Errors: ETRUNC, ELENGTH, ERESERVED, ECONSISTENT (clusters used twice), EUNSUPPORTED (compressed
 * clusters), RESUME_IMPORT_ERRNO.
 */
int qcow2_map(const struct qcow2 *qcow2, const struct qcow2_snapshot *snapshot,
              struct import_extent **ret_extents, size_t *ret_count,
              struct resume_import_error *error);

#endif
