/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "bincode_structs.h"

#include "record.h"

/* An AVL tree of more levels would have more nodes than any file has bytes. */
#define TREE_DEPTH 64

static void fail(struct bincode *in, const char *field, uint64_t found)
{
    if (in->field == NULL) {
        in->field = field;
        in->found = found;
    }
}

const uint8_t *bincode_raw(struct bincode *in, size_t length, const char *field)
{
    if (in->field != NULL)
        return NULL;
    if (length > in->length - in->at) {
        fail(in, field, length);
        return NULL;
    }
    const uint8_t *from = in->data + in->at;
    in->at += length;
    return from;
}

uint8_t bincode_u8(struct bincode *in, const char *field)
{
    const uint8_t *from = bincode_raw(in, 1, field);
    return from == NULL ? 0 : from[0];
}

uint32_t bincode_u32(struct bincode *in, const char *field)
{
    const uint8_t *from = bincode_raw(in, 4, field);
    return from == NULL ? 0 : import_le32(from);
}

uint64_t bincode_u64(struct bincode *in, const char *field)
{
    const uint8_t *from = bincode_raw(in, 8, field);
    return from == NULL ? 0 : import_le64(from);
}

int bincode_option(struct bincode *in, const char *field)
{
    uint8_t tag = bincode_u8(in, field);
    if (tag > 1)
        fail(in, field, tag);
    return tag == 1;
}

uint64_t bincode_count(struct bincode *in, size_t least, const char *field)
{
    uint64_t count = bincode_u64(in, field);
    if (in->field == NULL && count > (in->length - in->at) / least) {
        in->at -= 8;
        fail(in, field, count);
    }
    return in->field == NULL ? count : 0;
}

const uint8_t *bincode_bytes(struct bincode *in, size_t length, const char *field)
{
    uint64_t count = bincode_u64(in, field);
    if (in->field == NULL && count != length) {
        in->at -= 8;
        fail(in, field, count);
    }
    return bincode_raw(in, length, field);
}

void bincode_skip_bytes(struct bincode *in, const char *field)
{
    uint64_t count = bincode_count(in, 1, field);
    bincode_raw(in, (size_t)count, field);
}

void bincode_skip_tree(struct bincode *in, const char *field)
{
    /* What of each open node has been read: 1 up to its left child, 2 up to its right one. */
    uint8_t stage[TREE_DEPTH];
    unsigned depth = 0;
    if (!bincode_option(in, field))
        return;
    do {
        if (depth == TREE_DEPTH) {
            fail(in, field, depth);
            return;
        }
        /* A node: an interval, its state; then its children, then its height. */
        bincode_raw(in, 8 + 8 + 4, field);
        stage[depth++] = 0;
        int child = 0;
        while (depth > 0 && !child) {
            if (stage[depth - 1] == 2) {
                bincode_raw(in, 8, field);
                depth--;
            } else {
                stage[depth - 1]++;
                child = bincode_option(in, field);
            }
        }
    } while (depth > 0 && in->field == NULL);
}
