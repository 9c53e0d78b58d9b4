/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Where the state of a machine lies: entries of the snapshot's L1 table name L2 tables, whose entries
 * name clusters. Each table and each cluster is used once by one snapshot, so that all of them together
 * are not larger than the file: that bounds the time and the memory that a hostile image takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"
#include "record.h"

#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define ENTRY_COMPRESSED (UINT64_C(1) << 62)
#define ENTRY_ZERO UINT64_C(1)

#define STATE_MAX (UINT64_C(1) << 44)     /* as much RAM as a stream is read with */
#define L1_MAX ((UINT64_C(32) << 20) / 8) /* entries; QEMU's limit */
#define CHUNK 4096u                       /* bytes of a table read at once */
#define SUBCLUSTERS 32u

struct map {
    const struct qcow2 *qcow2;
    struct resume_import_error *error;
    struct import_extent *extents; /* owned */
    size_t count;
    size_t room;
    uint64_t size;        /* of the state */
    uint64_t at;          /* in the state, of what comes next */
    uint64_t data_used;   /* bytes in extents */
    uint64_t tables_used; /* bytes of L2 tables */
};

static int fail(const struct map *map, int code, uint64_t offset, const char *what, uint64_t value)
{
    return import_fail(map->error, code, offset, map->qcow2->file->name,
                       "look at it with qemu-img check", "%s (%#llx)", what,
                       (unsigned long long)value);
}

static int grow(struct map *map)
{
    size_t room = map->room != 0 ? map->room * 2 : 64;
    struct import_extent *extents = realloc(map->extents, room * sizeof(*extents));
    if (extents == NULL)
        return import_fail(map->error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           map->qcow2->file->name, "", "no memory for %zu extents", room);
    map->extents = extents;
    map->room = room;
    return 0;
}

/* The next @length bytes of the state, as far as it goes, are at @offset of the file. */
static int add_data(struct map *map, uint64_t offset, uint64_t length)
{
    const uint64_t file_size = map->qcow2->file->size;
    if (length > map->size - map->at)
        length = map->size - map->at;
    if (offset > file_size || length > file_size - offset)
        return import_fail(map->error, RESUME_ETRUNC, offset, map->qcow2->file->name,
                           "is the file complete?",
                           "a cluster of the machine's state is beyond the end, which is at %llu",
                           (unsigned long long)file_size);
    if (length > file_size - map->data_used)
        return fail(map, RESUME_ECONSISTENT, offset,
                    "the machine's state uses a cluster more than once", offset);
    struct import_extent *last = map->count != 0 ? &map->extents[map->count - 1] : NULL;
    if (last != NULL && last->at + last->length == map->at &&
        last->offset + last->length == offset) {
        last->length += length;
    } else if (length != 0) {
        int ret = map->count == map->room ? grow(map) : 0;
        if (ret != 0)
            return ret;
        map->extents[map->count++] =
            (struct import_extent){.at = map->at, .length = length, .offset = offset};
    }
    map->data_used += length;
    map->at += length;
    return 0;
}

static void add_zeroes(struct map *map, uint64_t length)
{
    map->at += length < map->size - map->at ? length : map->size - map->at;
}

static int add_subclusters(struct map *map, uint64_t host, uint64_t bits, uint64_t entry_at)
{
    const uint64_t length = (UINT64_C(1) << map->qcow2->cluster_bits) / SUBCLUSTERS;
    if ((bits & bits >> 32 & UINT32_MAX) != 0 || (host == 0 && (bits & UINT32_MAX) != 0))
        return fail(map, RESUME_ECONSISTENT, entry_at,
                    "subclusters contradict each other or have no place", bits);
    for (unsigned i = 0; i < SUBCLUSTERS; i++) {
        int ret = 0;
        if ((bits >> i & 1) != 0)
            ret = add_data(map, host + i * length, length);
        else
            add_zeroes(map, length);
        if (ret != 0)
            return ret;
    }
    return 0;
}

/* @entry: of 16 bytes if extended, else of 8. */
static int add_cluster(struct map *map, const uint8_t *entry, uint64_t entry_at)
{
    const struct qcow2 *qcow2 = map->qcow2;
    const uint64_t cluster = UINT64_C(1) << qcow2->cluster_bits;
    uint64_t value = import_be64(entry);
    uint64_t host = value & OFFSET_MASK;
    if ((value & ENTRY_COMPRESSED) != 0)
        return import_fail(map->error, RESUME_EUNSUPPORTED, entry_at, qcow2->file->name,
                           "load the snapshot in QEMU and save it again",
                           "a cluster of the machine's state is compressed, which QEMU never does");
    if (host % cluster != 0)
        return fail(map, RESUME_ECONSISTENT, entry_at, "a cluster is not aligned", host);
    if (qcow2->extended)
        return add_subclusters(map, host, import_be64(entry + 8), entry_at);
    if ((value & ENTRY_ZERO) != 0 && qcow2->version < 3)
        return fail(map, RESUME_ERESERVED, entry_at, "version 2 knows no clusters of zeroes",
                    value);
    if ((value & ENTRY_ZERO) != 0 || host == 0) {
        add_zeroes(map, cluster);
        return 0;
    }
    return add_data(map, host, cluster);
}

static int read_l2(struct map *map, uint64_t table)
{
    const struct qcow2 *qcow2 = map->qcow2;
    const uint64_t cluster = UINT64_C(1) << qcow2->cluster_bits;
    const unsigned step = qcow2->extended ? 16 : 8;
    uint8_t chunk[CHUNK];
    if (table % cluster != 0)
        return fail(map, RESUME_ECONSISTENT, table, "an L2 table is not aligned", table);
    if (cluster > qcow2->file->size - map->tables_used)
        return fail(map, RESUME_ECONSISTENT, table, "the snapshot uses an L2 table more than once",
                    table);
    map->tables_used += cluster;
    for (uint64_t done = 0; done < cluster && map->at < map->size;) {
        size_t length = cluster - done < CHUNK ? (size_t)(cluster - done) : CHUNK;
        int ret = import_read(qcow2->file, table + done, chunk, length, map->error);
        for (size_t i = 0; ret == 0 && i < length && map->at < map->size; i += step)
            ret = add_cluster(map, chunk + i, table + done + i);
        if (ret != 0)
            return ret;
        done += length;
    }
    return 0;
}

static int read_l1(struct map *map, uint64_t at, uint64_t entries)
{
    const uint32_t shift = map->qcow2->cluster_bits + map->qcow2->l2_bits;
    uint8_t chunk[CHUNK];
    for (uint64_t done = 0; done < entries;) {
        uint64_t left = entries - done;
        size_t count = left < CHUNK / 8 ? (size_t)left : CHUNK / 8;
        int ret = import_read(map->qcow2->file, at + done * 8, chunk, count * 8, map->error);
        for (size_t i = 0; ret == 0 && i < count; i++) {
            uint64_t table = import_be64(chunk + i * 8) & OFFSET_MASK;
            if (table != 0)
                ret = read_l2(map, table);
            else
                add_zeroes(map, UINT64_C(1) << shift);
        }
        if (ret != 0)
            return ret;
        done += count;
    }
    return 0;
}

/* That the state lies in the L1 table, and that in the file. */
static int check(const struct map *map, const struct qcow2_snapshot *snapshot,
                 uint64_t *ret_entries)
{
    const uint32_t shift = map->qcow2->cluster_bits + map->qcow2->l2_bits;
    const uint64_t file_size = map->qcow2->file->size;
    const uint64_t l1_bytes = (uint64_t)snapshot->l1_size * 8;
    if (map->size > STATE_MAX)
        return fail(map, RESUME_ELENGTH, RESUME_IMPORT_NO_OFFSET,
                    "the machine's state has more than 2^44 bytes", map->size);
    uint64_t entries = (map->size + (UINT64_C(1) << shift) - 1) >> shift;
    if (snapshot->l1_size > L1_MAX || snapshot->l1_at > file_size ||
        l1_bytes > file_size - snapshot->l1_at)
        return fail(map, RESUME_ELENGTH, snapshot->l1_at,
                    "the snapshot's L1 table is not in the file, or is too long",
                    snapshot->l1_size);
    if (snapshot->state_at > snapshot->l1_size || entries > snapshot->l1_size - snapshot->state_at)
        return fail(map, RESUME_ELENGTH, snapshot->l1_at,
                    "the machine's state is longer than the snapshot's L1 table tells", map->size);
    *ret_entries = entries;
    return 0;
}

int qcow2_map(const struct qcow2 *qcow2, const struct qcow2_snapshot *snapshot,
              struct import_extent **ret_extents, size_t *ret_count,
              struct resume_import_error *error)
{
    struct map map = {.qcow2 = qcow2, .error = error, .size = snapshot->state_size};
    uint64_t entries = 0;
    int ret = check(&map, snapshot, &entries);
    if (ret == 0)
        ret = read_l1(&map, snapshot->l1_at + snapshot->state_at * 8, entries);
    /* Something to borrow even if all of it is zero. */
    if (ret == 0 && map.extents == NULL)
        ret = grow(&map);
    if (ret != 0) {
        free(map.extents);
        return ret;
    }
    *ret_extents = map.extents;
    *ret_count = map.count;
    return 0;
}
