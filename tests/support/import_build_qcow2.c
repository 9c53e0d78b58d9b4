/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "import_build_qcow2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *pointer)
{
    if (pointer == NULL)
        abort();
    return pointer;
}

static size_t cluster_size(const struct qcow2_build *build)
{
    return (size_t)1 << build->cluster_bits;
}

/* At the end of the file, in whole clusters. Returns where. */
static size_t allocate(struct qcow2_build *build, size_t size)
{
    size_t at = build->length;
    size_t whole = (size + cluster_size(build) - 1) / cluster_size(build) * cluster_size(build);
    build->data = must(realloc(build->data, at + whole));
    memset(build->data + at, 0, whole);
    build->length = at + whole;
    return at;
}

void qcow2_build_put(struct qcow2_build *build, size_t at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        build->data[at + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

void qcow2_build_begin(struct qcow2_build *build)
{
    build->data = NULL;
    build->length = 0;
    build->snapshots = 0;
    allocate(build, 512);
    memcpy(build->data, "QFI\xfb", 4);
    qcow2_build_put(build, 4, build->version, 4);
    qcow2_build_put(build, 20, build->cluster_bits, 4);
    qcow2_build_put(build, 24, build->disk_size, 8);
    if (build->version >= 3) {
        qcow2_build_put(build, 72, build->extended ? 0x10 : 0, 8);
        qcow2_build_put(build, 96, 4, 4);
        qcow2_build_put(build, 100, 104, 4);
    }
}

static int is_zero(const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] != 0)
            return 0;
    }
    return 1;
}

/* One entry of an L2 table, for what @state has of a cluster. */
static void fill_entry(struct qcow2_build *build, size_t entry_at, size_t number, size_t host,
                       const uint8_t *cluster)
{
    size_t part = cluster_size(build) / 32;
    uint64_t bits = 0;
    if (!build->extended) {
        int zero = is_zero(cluster, cluster_size(build));
        /* What lies where a cluster is said to be zero is not to be read. */
        uint64_t marked = build->version >= 3 && number % 2 != 0 ? host | 1 : 0;
        memcpy(build->data + host, cluster, cluster_size(build));
        if (zero)
            memset(build->data + host, 0x5a, cluster_size(build));
        qcow2_build_put(build, entry_at, zero ? marked : host | UINT64_C(1) << 63, 8);
        return;
    }
    memset(build->data + host, 0x5a, cluster_size(build));
    for (unsigned i = 0; i < 32; i++) {
        if (!is_zero(cluster + i * part, part)) {
            memcpy(build->data + host + i * part, cluster + i * part, part);
            bits |= UINT64_C(1) << i;
        } else if (i % 2 != 0) {
            bits |= UINT64_C(1) << (32 + i);
        }
    }
    qcow2_build_put(build, entry_at, host | UINT64_C(1) << 63, 8);
    qcow2_build_put(build, entry_at + 8, bits, 8);
}

void qcow2_build_snapshot(struct qcow2_build *build, const char *id, const char *name,
                          uint32_t seconds, const void *state, size_t size)
{
    const size_t cluster = cluster_size(build);
    const size_t step = build->extended ? 16 : 8;
    const size_t per_table = cluster / step;
    const size_t clusters = (size + cluster - 1) / cluster;
    const size_t tables = (clusters + per_table - 1) / per_table;
    const uint64_t covered = (uint64_t)cluster * per_table;
    const size_t before = (size_t)((build->disk_size + covered - 1) / covered);
    size_t l1 = allocate(build, (before + tables) * 8 + 1);
    size_t l2 = tables != 0 ? allocate(build, tables * cluster) : 0;
    size_t data = clusters != 0 ? allocate(build, clusters * cluster) : 0;
    uint8_t *copy = must(calloc(1, cluster));
    for (size_t i = 0; i < tables; i++)
        qcow2_build_put(build, l1 + (before + i) * 8, l2 + i * cluster, 8);
    for (size_t i = 0; i < clusters; i++) {
        size_t left = size - i * cluster;
        memset(copy, 0, cluster);
        memcpy(copy, (const uint8_t *)state + i * cluster, left < cluster ? left : cluster);
        fill_entry(build, l2 + i * step, i, data + (clusters - 1 - i) * cluster, copy);
    }
    free(copy);
    unsigned number = build->snapshots++;
    snprintf(build->snapshot[number].id, sizeof(build->snapshot[number].id), "%s", id);
    snprintf(build->snapshot[number].name, sizeof(build->snapshot[number].name), "%s", name);
    build->snapshot[number].seconds = seconds;
    build->snapshot[number].state_size = size;
    build->snapshot[number].l1_at = l1;
    build->snapshot[number].l1_size = (uint32_t)(before + tables);
    build->l1_entry_at = l1 + before * 8;
    build->l2_at = l2;
}

void qcow2_build_end(struct qcow2_build *build)
{
    /* Version 2 needs no extra data, and QEMU once wrote none. */
    const unsigned extra = build->version >= 3 ? 16 : 0;
    size_t table = allocate(build, build->snapshots * (size_t)256 + 1);
    size_t at = table;
    for (unsigned i = 0; i < build->snapshots; i++) {
        size_t id = strlen(build->snapshot[i].id);
        size_t name = strlen(build->snapshot[i].name);
        build->entry_at = at;
        qcow2_build_put(build, at, build->snapshot[i].l1_at, 8);
        qcow2_build_put(build, at + 8, build->snapshot[i].l1_size, 4);
        qcow2_build_put(build, at + 12, id, 2);
        qcow2_build_put(build, at + 14, name, 2);
        qcow2_build_put(build, at + 16, build->snapshot[i].seconds, 4);
        qcow2_build_put(build, at + 32, extra != 0 ? 0 : build->snapshot[i].state_size, 4);
        qcow2_build_put(build, at + 36, extra, 4);
        if (extra != 0) {
            qcow2_build_put(build, at + 40, build->snapshot[i].state_size, 8);
            qcow2_build_put(build, at + 48, build->disk_size, 8);
        }
        memcpy(build->data + at + 40 + extra, build->snapshot[i].id, id);
        memcpy(build->data + at + 40 + extra + id, build->snapshot[i].name, name);
        at += (40 + extra + id + name + 7) / 8 * 8;
    }
    qcow2_build_put(build, 60, build->snapshots, 4);
    qcow2_build_put(build, 64, table, 8);
}
