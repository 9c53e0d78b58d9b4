/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The container that state blobs and plans share: a header with a checksum, then records. This
 * module knows the frames and the rules on which records occur, not what is in them. The wire
 * format is docs/FORMAT.md, "Container".
 *
 * Records lie in strictly ascending order: those of the machine first, then those of vCPU 0, 1 and
 * so on, each group by ascending tag. Hence no record occurs twice, and checking needs no memory.
 */
#ifndef RESUME_CONTAINER_H
#define RESUME_CONTAINER_H

#include <resume/format.h>

#include "internal.h"

/* A record that this library knows. Rules ascend by tag. */
struct resume_container_rule {
    uint16_t tag; /* its value says whether it is of the machine or of every vCPU */
    uint16_t version;
    uint8_t required;
    char name[19]; /* for diagnoses, "GPR record"; in the struct, so that it needs no relocation */
};
#define RESUME_CONTAINER_RULE_MAX 32

/* A kind of file. */
struct resume_container_kind {
    uint8_t magic[8];
    uint16_t major;
    uint16_t minor;
    uint16_t compatible; /* what a writer puts there */
    uint16_t rule_count; /* <= RESUME_CONTAINER_RULE_MAX */
    const struct resume_container_rule *rules;
};

/* An opened file: a view into the caller's bytes. */
struct resume_container {
    const uint8_t *data;
    size_t length;
    uint32_t vcpu_count;
    uint32_t crc32c;
    uint16_t major;
    uint16_t minor;
    uint16_t header_size;
};

struct resume_record {
    const uint8_t *payload; /* NULL: there are no more records */
    size_t offset;          /* of the payload, from the start of the file */
    uint32_t length;        /* of the payload, without padding */
    uint32_t vcpu;
    uint32_t flags;
    uint16_t tag;
    uint16_t version;
};

/*
 * resume_container_open - check everything but the payloads.
 * Parameters and errors: as resume_state_open.
 */
int resume_container_open(const struct resume_container_kind *kind, const void *data, size_t length,
                          struct resume_container *out, struct resume_diag *diag);

/*
 * resume_container_next - the record at *@offset (0: the first); moves *@offset behind it.
 * Checks that the frame lies inside the file, again, so that a view whose bytes were changed after
 * opening leads to an error and not out of bounds.
 * Errors: ELENGTH, ERESERVED.
 */
int resume_container_next(const struct resume_container *container, size_t *offset,
                          struct resume_record *out, struct resume_diag *diag);

/* Does @kind know this record, in this version? NULL if not. */
const struct resume_container_rule *resume_container_rule(const struct resume_container_kind *kind,
                                                          uint16_t tag, uint16_t version);

/*
 * Writing. With @data NULL nothing is stored and `used` only counts: running the same code twice
 * gives first the size and then the file, and the two cannot disagree. The caller guarantees the
 * room, and that the total stays below RESUME_FORMAT_SIZE_MAX.
 */
struct resume_container_writer {
    uint8_t *data;
    size_t used;
};

/* Leaves room for the header. */
void resume_container_begin(struct resume_container_writer *writer);

/*
 * resume_container_record - append a record of @length zero bytes; to be called in ascending order.
 * Returns its payload, to be filled by the caller; NULL when only counting.
 */
uint8_t *resume_container_record(struct resume_container_writer *writer, uint16_t tag,
                                 uint16_t version, uint32_t flags, uint32_t vcpu, uint32_t length);

/* Fills the header, the checksum last. */
void resume_container_end(struct resume_container_writer *writer,
                          const struct resume_container_kind *kind, uint32_t vcpu_count);

#endif
