/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Reads what Rust's bincode writes with integers of fixed size in little-endian order: the bytes of a
 * structure's fields one after the other, with a 64-bit count before strings and lists.
 */
#ifndef RESUME_IMPORT_BINCODE_STRUCTS_H
#define RESUME_IMPORT_BINCODE_STRUCTS_H

#include <stddef.h>
#include <stdint.h>

/* Zero but data and length to begin with. After a failure nothing more is read. */
struct bincode {
    const uint8_t *data;
    size_t length;
    size_t at;
    const char *field; /* NULL as long as all is well, else what could not be read */
    uint64_t found;    /* the value that was met there */
};

/* Integers. 0 after a failure. */
uint8_t bincode_u8(struct bincode *in, const char *field);
uint32_t bincode_u32(struct bincode *in, const char *field);
uint64_t bincode_u64(struct bincode *in, const char *field);

/* The tag of an Option: 0 or 1, all else is a failure. */
int bincode_option(struct bincode *in, const char *field);

/* @length bytes as they are. NULL after a failure. */
const uint8_t *bincode_raw(struct bincode *in, size_t length, const char *field);

/* A count of things that take up at least @least bytes each (1 or more), so that it is possible. */
uint64_t bincode_count(struct bincode *in, size_t least, const char *field);

/* Bytes after their count, which must be @length. NULL after a failure. */
const uint8_t *bincode_bytes(struct bincode *in, size_t length, const char *field);

/* A string or list of bytes of any length: passed over. */
void bincode_skip_bytes(struct bincode *in, const char *field);

/* Passes over an interval tree of the crate vm-allocator: nodes with up to two children, nested. */
void bincode_skip_tree(struct bincode *in, const char *field);

#endif
