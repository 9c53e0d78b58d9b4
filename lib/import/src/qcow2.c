/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The header of a qcow2 image, and its table of snapshots. Clusters are qcow2_map.c's. */
#include "qcow2.h"

#include <stdio.h>
#include <string.h>

#include "record.h"

#define MAGIC "QFI\xfb"
#define HEADER_2 72u  /* bytes of the header of version 2 */
#define HEADER_3 104u /* of version 3, at least */

#define INCOMPATIBLE_DIRTY (UINT64_C(1) << 0)   /* counts of references may be wrong */
#define INCOMPATIBLE_CORRUPT (UINT64_C(1) << 1) /* not to be written to */
#define INCOMPATIBLE_DATA_FILE (UINT64_C(1) << 2)
#define INCOMPATIBLE_COMPRESSION (UINT64_C(1) << 3)
#define INCOMPATIBLE_EXTENDED (UINT64_C(1) << 4)
#define INCOMPATIBLE_FINE                                                                          \
    (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT | INCOMPATIBLE_COMPRESSION | INCOMPATIBLE_EXTENDED)

/* QEMU's own limits. */
#define SNAPSHOTS_MAX 65536u
#define EXTRA_MAX 1024u

#define ENTRY_SIZE 40u
#define EXTRA_KNOWN 16u /* the size of the state with 64 bits, the size of the disk */

int qcow2_is(const struct import_file *file)
{
    uint8_t magic[4];
    return import_read(file, 0, magic, sizeof(magic), NULL) == 0 &&
           memcmp(magic, MAGIC, sizeof(magic)) == 0;
}

static int fail(const struct qcow2 *qcow2, int code, uint64_t offset,
                struct resume_import_error *error, const char *what, uint64_t value)
{
    return import_fail(error, code, offset, qcow2->file->name, "look at it with qemu-img check",
                       "%s (%llu)", what, (unsigned long long)value);
}

static int check_features(struct qcow2 *qcow2, uint64_t features, struct resume_import_error *error)
{
    const char *name = qcow2->file->name;
    if ((features & INCOMPATIBLE_DATA_FILE) != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, 72, name,
                           "open the image that has the snapshots",
                           "it has an external data file, and so no snapshots of its own");
    if ((features & ~INCOMPATIBLE_FINE) != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, 72, name, "",
                           "it has features that are not known (bits %#llx)",
                           (unsigned long long)(features & ~INCOMPATIBLE_FINE));
    qcow2->extended = (features & INCOMPATIBLE_EXTENDED) != 0;
    return 0;
}

static int check_geometry(struct qcow2 *qcow2, uint32_t crypt, struct resume_import_error *error)
{
    uint32_t least = qcow2->extended ? 14 : 9;
    if (crypt != 0)
        return import_fail(error, RESUME_EUNSUPPORTED, 32, qcow2->file->name,
                           "convert it with qemu-img to one that is not encrypted",
                           "it is encrypted (%s)",
                           crypt == 1   ? "AES"
                           : crypt == 2 ? "LUKS"
                                        : "in a way that is not known");
    if (qcow2->cluster_bits < least || qcow2->cluster_bits > 21)
        return fail(qcow2, RESUME_ELENGTH, 20, error, "a cluster has an impossible size, 2 to the",
                    qcow2->cluster_bits);
    if (qcow2->snapshot_count > SNAPSHOTS_MAX)
        return fail(qcow2, RESUME_ELENGTH, 60, error, "it has more snapshots than 65536",
                    qcow2->snapshot_count);
    qcow2->l2_bits = qcow2->cluster_bits - (qcow2->extended ? 4 : 3);
    return 0;
}

int qcow2_open(struct qcow2 *qcow2, const struct import_file *file,
               struct resume_import_error *error)
{
    uint8_t header[HEADER_3];
    struct qcow2 found = {.file = file};
    int ret = import_read(file, 0, header, HEADER_2, error);
    if (ret != 0)
        return ret;
    if (memcmp(header, MAGIC, 4) != 0)
        return fail(&found, RESUME_EMAGIC, 0, error, "it is no qcow2 image", 0);
    found.version = import_be32(header + 4);
    if (found.version != 2 && found.version != 3)
        return fail(&found, RESUME_EVERSION, 4, error,
                    "versions 2 and 3 of qcow2 are read, this is another", found.version);
    found.cluster_bits = import_be32(header + 20);
    found.disk_size = import_be64(header + 24);
    found.snapshot_count = import_be32(header + 60);
    found.snapshots_at = import_be64(header + 64);
    if (found.version == 3) {
        ret = import_read(file, 0, header, HEADER_3, error);
        if (ret == 0)
            ret = check_features(&found, import_be64(header + 72), error);
    }
    if (ret == 0)
        ret = check_geometry(&found, import_be32(header + 32), error);
    if (ret == 0)
        *qcow2 = found;
    return ret;
}

/* An entry of the table; text is not yet made printable. */
struct entry {
    struct qcow2_snapshot snapshot; /* without its names */
    uint64_t seconds;
    uint32_t nanoseconds;
    uint64_t at; /* in the file */
    uint64_t id_at;
    uint32_t id_length;
    uint32_t name_length;
    uint64_t end;
};

/* A disk of this size needs so many entries of the L1 table; behind them is the state. */
static uint64_t l1_entries(const struct qcow2 *qcow2, uint64_t size)
{
    uint32_t shift = qcow2->cluster_bits + qcow2->l2_bits;
    return (size >> shift) + ((size & ((UINT64_C(1) << shift) - 1)) != 0);
}

static int read_entry(const struct qcow2 *qcow2, uint64_t at, struct entry *out,
                      struct resume_import_error *error)
{
    uint8_t fixed[ENTRY_SIZE];
    uint8_t extra[EXTRA_KNOWN];
    uint64_t disk_size = qcow2->disk_size;
    int ret = import_read(qcow2->file, at, fixed, sizeof(fixed), error);
    if (ret != 0)
        return ret;
    uint32_t extra_size = import_be32(fixed + 36);
    if (extra_size > EXTRA_MAX)
        return fail(qcow2, RESUME_ELENGTH, at + 36, error,
                    "a snapshot has more than 1024 bytes of extra data", extra_size);
    uint32_t known = extra_size < EXTRA_KNOWN ? extra_size : EXTRA_KNOWN;
    ret = import_read(qcow2->file, at + ENTRY_SIZE, extra, known, error);
    if (ret != 0)
        return ret;
    memset(out, 0, sizeof(*out));
    out->at = at;
    out->snapshot.l1_at = import_be64(fixed);
    out->snapshot.l1_size = import_be32(fixed + 8);
    out->id_length = (uint32_t)fixed[12] << 8 | fixed[13];
    out->name_length = (uint32_t)fixed[14] << 8 | fixed[15];
    out->seconds = import_be32(fixed + 16);
    out->nanoseconds = import_be32(fixed + 20);
    out->snapshot.state_size = known >= 8 ? import_be64(extra) : import_be32(fixed + 32);
    if (known >= 16)
        disk_size = import_be64(extra + 8);
    out->snapshot.state_at = l1_entries(qcow2, disk_size);
    out->id_at = at + ENTRY_SIZE + extra_size;
    out->end = (out->id_at + out->id_length + out->name_length + 7) & ~UINT64_C(7);
    return 0;
}

/* At most @size - 1 bytes, without what a terminal might obey. */
static int read_text(const struct qcow2 *qcow2, uint64_t at, uint32_t length, char *out,
                     size_t size, struct resume_import_error *error)
{
    size_t count = length < size - 1 ? length : size - 1;
    int ret = import_read(qcow2->file, at, out, count, error);
    if (ret != 0)
        return ret;
    out[count] = 0;
    for (size_t i = 0; i < count; i++) {
        if ((unsigned char)out[i] < 0x20 || (unsigned char)out[i] >= 0x7f)
            out[i] = '?';
    }
    return 0;
}

static int is_text(const struct qcow2 *qcow2, uint64_t at, uint32_t length, const char *text)
{
    uint8_t part[64];
    if (strlen(text) != length)
        return 0;
    for (uint32_t done = 0; done < length;) {
        uint32_t count = length - done < sizeof(part) ? length - done : (uint32_t)sizeof(part);
        if (import_read(qcow2->file, at + done, part, count, NULL) != 0 ||
            memcmp(part, text + done, count) != 0)
            return 0;
        done += count;
    }
    return 1;
}

/* 2: it has that name; 1: that ID, or none was asked for; 0: it is not the one. */
static int match(const struct qcow2 *qcow2, const struct entry *entry, const char *name)
{
    if (name == NULL)
        return 1;
    if (is_text(qcow2, entry->id_at + entry->id_length, entry->name_length, name))
        return 2;
    return is_text(qcow2, entry->id_at, entry->id_length, name);
}

static int is_newer(const struct entry *entry, const struct entry *than)
{
    if (entry->seconds != than->seconds)
        return entry->seconds > than->seconds;
    return entry->nanoseconds >= than->nanoseconds;
}

static void append_name(char *list, size_t size, const char *name)
{
    size_t used = strlen(list);
    size_t needed = strlen(name) + 2 + (used != 0 ? 2 : 0);
    /* Room for the dots is kept. */
    if (used + needed + 5 < size)
        snprintf(list + used, size - used, "%s\"%s\"", used != 0 ? ", " : "", name);
    else if (used < 3 || strcmp(list + used - 3, "...") != 0)
        snprintf(list + used, size - used, "%s...", used != 0 ? ", " : "");
}

static int not_found(const struct qcow2 *qcow2, const char *name,
                     const struct qcow2_snapshot *listed, struct resume_import_error *error)
{
    char hint[192];
    if (listed->with_state == 0)
        return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, qcow2->file->name,
                           "make one with savevm in QEMU's monitor; a disk alone has no CPU state",
                           "none of its %u snapshots has the state of a machine",
                           qcow2->snapshot_count);
    snprintf(hint, sizeof(hint), "snapshots that have one: %s", listed->others);
    return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, qcow2->file->name, hint,
                       "no snapshot with the state of a machine is named \"%.64s\"", name);
}

int qcow2_find(const struct qcow2 *qcow2, const char *name, struct qcow2_snapshot *out,
               struct resume_import_error *error)
{
    struct qcow2_snapshot listed = {.with_state = 0};
    struct entry best = {.end = 0};
    struct entry entry;
    char text[QCOW2_NAME_MAX];
    int best_match = 0;
    uint64_t at = qcow2->snapshots_at;
    /* Each entry takes some of the file. */
    for (uint32_t i = 0; i < qcow2->snapshot_count; i++, at = entry.end) {
        int ret = read_entry(qcow2, at, &entry, error);
        if (ret == 0)
            ret = read_text(qcow2, entry.id_at + entry.id_length, entry.name_length, text,
                            sizeof(text), error);
        if (ret != 0)
            return ret;
        if (entry.snapshot.state_size == 0)
            continue;
        listed.with_state++;
        append_name(listed.others, sizeof(listed.others), text);
        int matches = match(qcow2, &entry, name);
        if (matches != 0 &&
            (matches > best_match || (matches == best_match && is_newer(&entry, &best)))) {
            best = entry;
            best_match = matches;
            memcpy(listed.name, text, sizeof(text));
        }
    }
    if (best_match == 0)
        return not_found(qcow2, name, &listed, error);
    listed.l1_at = best.snapshot.l1_at;
    listed.l1_size = best.snapshot.l1_size;
    listed.state_at = best.snapshot.state_at;
    listed.state_size = best.snapshot.state_size;
    *out = listed;
    return 0;
}
