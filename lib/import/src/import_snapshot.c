/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A snapshot directory of resumectl: the CPU state out of its state blob, the memory out of its
 * stream, which is placed by the memory map in its manifest (docs/FORMAT.md, resumectl(1)).
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <resume/format.h>

#include "json_structs.h"
#include "qemu_stream.h"
#include "state_blob.h"

#define MANIFEST "manifest.json"
#define STATE "state.rsm"
#define STREAM "stream"

#define MANIFEST_SIZE_MAX (UINT64_C(1) << 20)
#define MANIFEST_VALUES_MAX (1u << 15)
#define RANGES_MAX 256u

struct snapshot {
    const char *path; /* borrowed */
    struct state_blob blob;
    struct import_file stream_file; /* open when `stream` is there */
    struct qemu_stream *stream;     /* NULL until memory is asked for */
};

static int probe(const struct import_input *input)
{
    struct import_file file;
    char magic[8] = "";
    if (!input->is_directory)
        return 0;
    if (import_open_beside(input->path, STATE, &file, NULL) == 0) {
        int ret = import_read(&file, 0, magic, sizeof(magic), NULL);
        import_file_close(&file);
        if (ret == 0 && memcmp(magic, RESUME_FORMAT_STATE_MAGIC, sizeof(magic)) == 0)
            return 100;
    }
    /* One that is damaged, so that what is wrong with it is said. */
    if (import_open_beside(input->path, MANIFEST, &file, NULL) != 0)
        return 0;
    import_file_close(&file);
    return 50;
}

static int open_snapshot(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                         char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct import_file file;
    int ret = import_open_beside(input->path, STATE, &file, error);
    if (ret != 0)
        return ret;
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        ret = import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, input->path,
                          "", "no memory");
    else
        ret = state_blob_open(&snapshot->blob, &file, detail, detail_size, error);
    import_file_close(&file);
    if (ret != 0) {
        free(snapshot);
        return ret;
    }
    snapshot->path = input->path;
    *ret_state = snapshot;
    *ret_vcpus = snapshot->blob.state.vcpu_count;
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    const struct snapshot *snapshot = state;
    return state_blob_vcpu(&snapshot->blob, index, out, error);
}

static int machine(void *state, struct resume_machine *out, struct resume_import_error *error)
{
    const struct snapshot *snapshot = state;
    return state_blob_machine(&snapshot->blob, out, error);
}

static int load_manifest(const struct snapshot *snapshot, json_t **out,
                         struct resume_import_error *error)
{
    struct import_file file;
    uint8_t *text;
    size_t length;
    int ret = import_open_beside(snapshot->path, MANIFEST, &file, error);
    if (ret != 0)
        return ret;
    ret = import_load(&file, MANIFEST_SIZE_MAX, &text, &length, error);
    import_file_close(&file);
    if (ret != 0)
        return ret;
    ret = import_json((const char *)text, length, MANIFEST_VALUES_MAX, 0, MANIFEST, out, error);
    free(text);
    return ret;
}

/* Numbers of the map are strings: "0x100000000". */
static int get_hex(const json_t *object, const char *name, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(object, name));
    char *end;
    if (text == NULL || text[0] != '0' || text[1] != 'x' || text[2] == 0 ||
        strspn(text + 2, "0123456789abcdefABCDEF") != strlen(text + 2))
        return -1;
    errno = 0;
    *out = strtoull(text, &end, 16);
    return errno == 0 ? 0 : -1;
}

static int take_range(const json_t *entry, struct qemu_stream_range *out)
{
    out->block = json_string_value(json_object_get(entry, "block"));
    return out->block == NULL || get_hex(entry, "base", &out->base_pa) != 0 ||
                   get_hex(entry, "length", &out->length) != 0 ||
                   get_hex(entry, "offset", &out->block_offset) != 0
               ? -1
               : 0;
}

static int place(const struct snapshot *snapshot, const json_t *manifest,
                 struct resume_import_error *error)
{
    struct qemu_stream_range ranges[RANGES_MAX];
    const json_t *map = json_object_get(json_object_get(manifest, "machine"), "memory_map");
    size_t count = 0;
    if (!json_is_array(map) || json_array_size(map) > RANGES_MAX)
        return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, MANIFEST,
                           "take the snapshot again", "there is no memory map in it");
    for (size_t i = 0; i < json_array_size(map); i++) {
        const json_t *entry = json_array_get(map, i);
        const char *kind = json_string_value(json_object_get(entry, "kind"));
        if (kind == NULL || take_range(entry, &ranges[count]) != 0)
            return import_fail(error, RESUME_EMISSING, RESUME_IMPORT_NO_OFFSET, MANIFEST,
                               "take the snapshot again",
                               "range %zu of the memory map is not complete", i);
        /* Memory that does not migrate is in no block of the stream. */
        count += strcmp(kind, "ram") == 0 &&
                 qemu_stream_map(snapshot->stream, &ranges[count], 1, NULL) == 0;
    }
    return qemu_stream_map(snapshot->stream, ranges, count, error);
}

static int open_stream(struct snapshot *snapshot, struct resume_import_error *error)
{
    json_t *manifest;
    int ret = import_open_beside(snapshot->path, STREAM, &snapshot->stream_file, error);
    if (ret != 0)
        return ret;
    ret = qemu_stream_open(&snapshot->stream_file, &snapshot->stream, NULL, 0, error);
    if (ret == 0)
        ret = load_manifest(snapshot, &manifest, error);
    if (ret == 0) {
        ret = place(snapshot, manifest, error);
        json_decref(manifest);
    }
    if (ret != 0) {
        qemu_stream_close(snapshot->stream);
        snapshot->stream = NULL;
        import_file_close(&snapshot->stream_file);
    }
    return ret;
}

static int memory(void *state, struct resume_phys *out, struct resume_import_error *error)
{
    struct snapshot *snapshot = state;
    int ret = snapshot->stream != NULL ? 0 : open_stream(snapshot, error);
    return ret != 0 ? ret : qemu_stream_memory(snapshot->stream, out, error);
}

static const struct qemu_stream *stream_of(void *state)
{
    struct snapshot *snapshot = state;
    if (snapshot->stream == NULL)
        open_stream(snapshot, NULL);
    return snapshot->stream;
}

static void close_snapshot(void *state)
{
    struct snapshot *snapshot = state;
    if (snapshot->stream != NULL) {
        qemu_stream_close(snapshot->stream);
        import_file_close(&snapshot->stream_file);
    }
    state_blob_close(&snapshot->blob);
    free(snapshot);
}

const struct importer import_snapshot = {
    .format = {.name = "snapshot", .title = "resumectl snapshot directory", .readable = 1},
    .probe = probe,
    .open = open_snapshot,
    .vcpu = vcpu,
    .machine = machine,
    .memory = memory,
    .close = close_snapshot,
    .stream = stream_of,
};
