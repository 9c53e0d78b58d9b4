/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Memory map, runs, chunk index, changes. They come out of structures that were authenticated, but whoever
 * sealed them may have been wrong, and without a key anybody can: nothing may depend on them unchecked.
 */
#include "internal.h"
#include "read.h"

static int fail(struct resume_diag *diag, int err, const char *where, const char *field,
                uint64_t index, uint64_t found, uint64_t expected)
{
    return resume_fail(diag, err, where, field, index, found, expected, RESUME_NO_VCPU);
}

static const uint8_t *entry_of(const struct resume_sealed *image, unsigned part, uint64_t index,
                               uint64_t size)
{
    return image->structures + image->header->part[part] + index * size;
}

struct resume_sealed_run resume_sealed_map(const struct resume_sealed *image, uint64_t index)
{
    const uint8_t *entry = entry_of(image, RESUME_SEALED_PART_MAP, index, RESUME_SEALED_MAP_SIZE);
    return (struct resume_sealed_run){.page = resume_load_le64(entry + RESUME_SEALED_MAP_PAGE),
                                      .count = resume_load_le64(entry + RESUME_SEALED_MAP_COUNT)};
}

struct resume_sealed_run resume_sealed_run(const struct resume_sealed *image, uint64_t index)
{
    const uint8_t *entry = entry_of(image, RESUME_SEALED_PART_RUNS, index, RESUME_SEALED_RUN_SIZE);
    return (struct resume_sealed_run){.page = resume_load_le64(entry + RESUME_SEALED_RUN_PAGE),
                                      .count = resume_load_le64(entry + RESUME_SEALED_RUN_COUNT),
                                      .content =
                                          resume_load_le64(entry + RESUME_SEALED_RUN_CONTENT)};
}

uint64_t resume_sealed_find(const struct resume_sealed *image, uint64_t content)
{
    uint64_t low = 0;
    uint64_t high = image->run_count;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (resume_sealed_run(image, middle).content <= content)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Number of entries of a part. */
static int count_of(const struct resume_sealed *image, unsigned part, uint64_t size,
                    const char *where, uint64_t *ret, struct resume_diag *diag)
{
    uint64_t length = image->header->part_length[part];
    if (length % size != 0)
        return fail(diag, RESUME_ELENGTH, where, "length", image->header->part[part], length, size);
    if (length == 0)
        return fail(diag, RESUME_EMISSING, where, "entries", image->header->part[part], 0, 1);
    *ret = length / size;
    return RESUME_OK;
}

/* A run's place: some pages, behind the one before with a gap. @end: one past that one. */
static int check_place(const struct resume_sealed_run *run, bool first, uint64_t end,
                       const char *where, uint64_t index, struct resume_diag *diag)
{
    if (run->count == 0 || run->count > RESUME_SEALED_PAGES_MAX ||
        run->page > RESUME_SEALED_PAGES_MAX - run->count)
        return fail(diag, RESUME_ELENGTH, where, "pages", index, run->count,
                    RESUME_SEALED_PAGES_MAX);
    if (!first && run->page <= end)
        return fail(diag, RESUME_EORDER, where, "first page", index, run->page, end + 1);
    return RESUME_OK;
}

static int check_map(const struct resume_sealed *image, struct resume_diag *diag)
{
    static const char where[] = "memory map";
    uint64_t end = 0;
    for (uint64_t i = 0; i < image->map_count; i++) {
        const struct resume_sealed_run range = resume_sealed_map(image, i);
        int result = check_place(&range, i == 0, end, where, i, diag);
        if (result != RESUME_OK)
            return result;
        end = range.page + range.count;
    }
    return RESUME_OK;
}

static int check_runs(const struct resume_sealed *image, struct resume_diag *diag)
{
    static const char where[] = "runs";
    uint64_t content = 0;
    uint64_t end = 0;
    uint64_t in = 0; /* the range of the map that has the run */
    for (uint64_t i = 0; i < image->run_count; i++) {
        const struct resume_sealed_run run = resume_sealed_run(image, i);
        int result = check_place(&run, i == 0, end, where, i, diag);
        if (result != RESUME_OK)
            return result;
        if (run.content != content)
            return fail(diag, RESUME_EORDER, where, "content", i, run.content, content);
        end = run.page + run.count;
        content += run.count;
        if (content > image->header->content)
            break;
        struct resume_sealed_run range = resume_sealed_map(image, in);
        while (run.page >= range.page + range.count && in + 1 < image->map_count)
            range = resume_sealed_map(image, ++in);
        if (run.page < range.page || end > range.page + range.count)
            return fail(diag, RESUME_ECONSISTENT, where, "page outside the memory map", i, run.page,
                        range.page);
    }
    if (content != image->header->content)
        return fail(diag, RESUME_ECONSISTENT, where, "pages", image->run_count, content,
                    image->header->content);
    return RESUME_OK;
}

static int check_index(const struct resume_sealed *image, uint64_t count, struct resume_diag *diag)
{
    static const char where[] = "chunk index";
    const struct resume_sealed_header *header = image->header;
    uint64_t offset = header->data;
    if (count != header->chunks)
        return fail(diag, RESUME_ECONSISTENT, where, "entries",
                    header->part[RESUME_SEALED_PART_INDEX], count, header->chunks);
    for (uint64_t i = 0; i < count; i++) {
        const struct resume_sealed_chunk chunk = resume_sealed_chunk(image, i);
        const uint8_t *entry =
            entry_of(image, RESUME_SEALED_PART_INDEX, i, RESUME_SEALED_INDEX_SIZE);
        uint32_t plain = chunk.pages * RESUME_SEALED_PAGE;
        uint32_t reserved = resume_load_le32(entry + RESUME_SEALED_INDEX_RESERVED);
        if (reserved != 0)
            return fail(diag, RESUME_ERESERVED, where, "reserved", i, reserved, 0);
        if (chunk.offset != offset)
            return fail(diag, RESUME_EORDER, where, "offset", i, chunk.offset, offset);
        if (chunk.stored == 0 || chunk.stored > plain)
            return fail(diag, RESUME_ELENGTH, where, "stored length", i, chunk.stored, plain);
        if (chunk.compressed && header->compression == RESUME_SEALED_NONE)
            return fail(diag, RESUME_ECONSISTENT, where, "stored length", i, chunk.stored, plain);
        offset += chunk.stored;
    }
    if (offset - header->data != header->data_length)
        return fail(diag, RESUME_ECONSISTENT, where, "stored bytes", count, offset - header->data,
                    header->data_length);
    return RESUME_OK;
}

uint64_t resume_sealed_change(const struct resume_sealed *image, uint64_t at,
                              struct resume_sealed_change *out)
{
    const uint8_t *entry = image->structures + image->header->part[RESUME_SEALED_PART_CHANGES] + at;
    *out = (struct resume_sealed_change){
        .offset = resume_load_le64(entry + RESUME_SEALED_CHANGE_OFFSET),
        .removed = resume_load_le32(entry + RESUME_SEALED_CHANGE_REMOVED),
        .added = resume_load_le32(entry + RESUME_SEALED_CHANGE_ADDED),
        .bytes = entry + RESUME_SEALED_CHANGE_SIZE};
    const uint64_t length = RESUME_SEALED_CHANGE_SIZE + (uint64_t)out->added;
    return at + (length + RESUME_SEALED_ALIGN - 1) / RESUME_SEALED_ALIGN * RESUME_SEALED_ALIGN;
}

/* Firmware has no use for the changes: only that each is where it can be looked at. */
static int check_changes(const struct resume_sealed *image, struct resume_diag *diag)
{
    static const char where[] = "changes";
    const struct resume_sealed_header *header = image->header;
    const uint64_t length = header->part_length[RESUME_SEALED_PART_CHANGES];
    uint64_t end = 0; /* in the device part */
    uint64_t at = 0;
    while (at < length) {
        struct resume_sealed_change change;
        if (length - at < RESUME_SEALED_CHANGE_SIZE)
            return fail(diag, RESUME_ELENGTH, where, "entry", at, length - at,
                        RESUME_SEALED_CHANGE_SIZE);
        const uint64_t next = resume_sealed_change(image, at, &change);
        if (next > length)
            return fail(diag, RESUME_ELENGTH, where, "added", at, change.added,
                        length - at - RESUME_SEALED_CHANGE_SIZE);
        if (change.offset < end)
            return fail(diag, RESUME_EORDER, where, "offset", at, change.offset, end);
        if (change.offset > header->devices_length ||
            change.removed > header->devices_length - change.offset)
            return fail(diag, RESUME_ECONSISTENT, where, "removed", at, change.removed,
                        header->devices_length);
        if (change.removed == 0 && change.added == 0)
            return fail(diag, RESUME_ELENGTH, where, "added", at, 0, 1);
        const uint64_t used = at + RESUME_SEALED_CHANGE_SIZE + change.added;
        for (uint64_t i = used; i < next; i++)
            if (change.bytes[change.added + (i - used)] != 0)
                return fail(diag, RESUME_ERESERVED, where, "padding", i,
                            change.bytes[change.added + (i - used)], 0);
        end = change.offset + change.removed;
        at = next;
    }
    return RESUME_OK;
}

int tables_check(struct resume_sealed *image, struct resume_diag *diag)
{
    uint64_t index_count = 0;
    int result = count_of(image, RESUME_SEALED_PART_MAP, RESUME_SEALED_MAP_SIZE, "memory map",
                          &image->map_count, diag);
    if (result == RESUME_OK)
        result = count_of(image, RESUME_SEALED_PART_RUNS, RESUME_SEALED_RUN_SIZE, "runs",
                          &image->run_count, diag);
    if (result == RESUME_OK)
        result = count_of(image, RESUME_SEALED_PART_INDEX, RESUME_SEALED_INDEX_SIZE, "chunk index",
                          &index_count, diag);
    if (result == RESUME_OK)
        result = check_map(image, diag);
    if (result == RESUME_OK)
        result = check_runs(image, diag);
    if (result == RESUME_OK)
        result = check_index(image, index_count, diag);
    if (result == RESUME_OK)
        result = check_changes(image, diag);
    return result;
}

int resume_sealed_check_machine(const struct resume_sealed *image, uint32_t vcpus,
                                const struct resume_range *ram, size_t count,
                                struct resume_diag *diag)
{
    static const char where[] = "this machine";
    size_t at = 0;
    if (vcpus != image->header->vcpus)
        return fail(diag, RESUME_ECONSISTENT, where, "vCPUs", RESUME_SEALED_HEADER_VCPUS, vcpus,
                    image->header->vcpus);
    for (uint64_t i = 0; i < image->map_count; i++) {
        const struct resume_sealed_run range = resume_sealed_map(image, i);
        uint64_t begin = range.page * RESUME_SEALED_PAGE;
        const uint64_t end = (range.page + range.count) * RESUME_SEALED_PAGE;
        /* Ranges of the machine may touch: go on in the next one. */
        while (begin < end) {
            while (at < count && ram[at].length <= begin - ram[at].base_pa &&
                   ram[at].base_pa <= begin)
                at++;
            if (at == count || ram[at].base_pa > begin)
                return fail(diag, RESUME_EUNREACHABLE, where, "RAM", begin, 0, end - begin);
            const uint64_t rest = ram[at].length - (begin - ram[at].base_pa);
            begin = rest < end - begin ? begin + rest : end;
        }
    }
    return RESUME_OK;
}
