/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The manifest as JSON text: writing it, and reading one that is not trusted. */
#define _GNU_SOURCE
#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#define MANIFEST_SIZE_MAX (4 << 20)

#define KIND_SNAPSHOT "libresume snapshot"
#define KIND_IMAGE "libresume image"

static const char *const kind_names[] = {
    [MANIFEST_RANGE_RAM] = "ram", [MANIFEST_RANGE_ROM] = "rom", [MANIFEST_RANGE_ROMD] = "romd"};
#define KIND_COUNT (sizeof(kind_names) / sizeof(kind_names[0]))

/* 64-bit addresses and sizes are written as "0x…": JSON readers disagree on large numbers. */
static json_t *hex(uint64_t value)
{
    return json_sprintf("0x%" PRIx64, value);
}

/* @list, or NULL when an entry could not be made and is missing: json_pack then fails as a whole. */
static json_t *complete(json_t *list, uint32_t count)
{
    if (json_array_size(list) == count)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *machine_to_json(const struct manifest *manifest)
{
    json_t *features = json_array();
    for (uint32_t i = 0; i < manifest->feature_count; i++) {
        const struct manifest_feature *feature = &manifest->feature[i];
        json_t *entry = json_pack("{s:o,s:s,s:o}", "leaf", hex(feature->leaf), "register",
                                  feature->reg, "value", hex(feature->value));
        if (feature->has_subleaf)
            json_object_set_new(entry, "subleaf", hex(feature->subleaf));
        json_array_append_new(features, entry);
    }
    json_t *ranges = json_array();
    for (uint32_t i = 0; i < manifest->range_count; i++) {
        const struct manifest_range *range = &manifest->range[i];
        json_array_append_new(
            ranges, json_pack("{s:o,s:o,s:s,s:s,s:o}", "base", hex(range->base_pa), "length",
                              hex(range->length), "kind", kind_names[range->kind % KIND_COUNT],
                              "block", range->block, "offset", hex(range->offset)));
    }
    ranges = complete(ranges, manifest->range_count);
    features = complete(features, manifest->feature_count);
    return json_pack("{s:s,s:s,s:o,s:I,s:s,s:o,s:o}", "type", manifest->machine_type, "accelerator",
                     manifest->accelerator, "memory_size", hex(manifest->memory_size), "cpu_count",
                     (json_int_t)manifest->cpu_count, "cpu_type", manifest->cpu_type,
                     "cpu_features", features, "memory_map", ranges);
}

static json_t *to_json(const struct manifest *manifest)
{
    json_t *files = json_array();
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->file[i];
        json_array_append_new(files, json_pack("{s:s,s:I,s:s}", "name", file->name, "size",
                                               (json_int_t)file->size, "xxh3_128", file->xxh3_128));
    }
    json_t *qemu = json_pack("{s:[i,i,i],s:s}", "version", manifest->qemu_version[0],
                             manifest->qemu_version[1], manifest->qemu_version[2], "package",
                             manifest->qemu_package);
    return json_pack("{s:s,s:I,s:s,s:o,s:o,s:o}", "kind", KIND_SNAPSHOT, "format",
                     (json_int_t)manifest->format, "tool", manifest->tool, "qemu", qemu, "machine",
                     machine_to_json(manifest), "files", files);
}

static int write_text(const char *path, const char *text, struct report_failure *failure)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return report_fail_errno(failure, errno, "write manifest", path);
    size_t length = strlen(text);
    int result = 0;
    for (size_t done = 0; result == 0 && done < length;) {
        ssize_t put = write(fd, text + done, length - done);
        if (put > 0)
            done += (size_t)put;
        else if (put < 0 && errno != EINTR)
            result = report_fail_errno(failure, errno, "write manifest", path);
    }
    if (result == 0 && fsync(fd) < 0)
        result = report_fail_errno(failure, errno, "write manifest", path);
    if (close(fd) < 0 && result == 0)
        result = report_fail_errno(failure, errno, "write manifest", path);
    return result;
}

int manifest_write(const struct manifest *manifest, const char *directory,
                   struct report_failure *failure)
{
    json_t *root = to_json(manifest);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    char *path = NULL;
    char *line = NULL;
    int result = 0;
    if (text == NULL || asprintf(&line, "%s\n", text) < 0) {
        line = NULL;
        result =
            report_fail(failure, EXIT_CODE_ENVIRONMENT, "write manifest", directory,
                        "use names in UTF-8 for the machine and its memory, or free some memory",
                        "it cannot be put into JSON: a name is not UTF-8, or memory ran out");
    }
    if (result == 0 && asprintf(&path, "%s/" MANIFEST_FILE, directory) < 0) {
        path = NULL;
        result = report_fail_memory(failure, "write manifest");
    }
    if (result == 0)
        result = write_text(path, line, failure);
    free(path);
    free(line);
    free(text);
    return result;
}

/* A reader over one JSON object. The first trouble is kept. */
struct reader {
    const char *path;   /* of the file */
    const char *advice; /* what to do when something is wrong */
    bool image;         /* facts for the host in a snapshot image: another kind, without files */
    struct report_failure *failure;
    int result;
};

static void reader_fail(struct reader *reader, const char *field, const char *why)
{
    if (reader->result == 0)
        reader->result = report_fail(reader->failure, EXIT_CODE_REFUSED, "read manifest",
                                     reader->path, reader->advice, "\"%s\" %s", field, why);
}

static void get_string(struct reader *reader, const json_t *object, const char *key, char *out,
                       size_t capacity)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (text == NULL)
        reader_fail(reader, key, "is missing or no string");
    else if (strlen(text) >= capacity || json_string_length(value) != strlen(text))
        reader_fail(reader, key, "is too long or holds a NUL");
    else
        snprintf(out, capacity, "%s", text);
}

static void get_hex(struct reader *reader, const json_t *object, const char *key, uint64_t maximum,
                    uint64_t *out)
{
    static const char digits[] = "0123456789abcdef";
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || strncmp(text, "0x", 2) != 0 || text[2] == '\0' || strlen(text) > 18 ||
        text[2 + strspn(text + 2, digits)] != '\0') {
        reader_fail(reader, key, "is missing or no number of the form \"0x1f\"");
        return;
    }
    uint64_t value = strtoull(text + 2, NULL, 16);
    if (value > maximum)
        reader_fail(reader, key, "is out of range");
    else
        *out = value;
}

static void get_integer(struct reader *reader, const json_t *object, const char *key,
                        uint64_t maximum, uint64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > maximum)
        reader_fail(reader, key, "is missing, no integer, or out of range");
    else
        *out = (uint64_t)json_integer_value(value);
}

static void get_u32(struct reader *reader, const json_t *object, const char *key, bool as_hex,
                    uint32_t *out)
{
    uint64_t value = 0;
    if (as_hex)
        get_hex(reader, object, key, UINT32_MAX, &value);
    else
        get_integer(reader, object, key, UINT32_MAX, &value);
    *out = (uint32_t)value;
}

static void read_features(struct reader *reader, const json_t *list, struct manifest *out)
{
    if (!json_is_array(list) || json_array_size(list) > MANIFEST_FEATURE_MAX) {
        reader_fail(reader, "cpu_features", "is missing, no list, or too long");
        return;
    }
    for (size_t i = 0; i < json_array_size(list) && reader->result == 0; i++) {
        const json_t *entry = json_array_get(list, i);
        struct manifest_feature *feature = &out->feature[out->feature_count++];
        get_u32(reader, entry, "leaf", true, &feature->leaf);
        feature->has_subleaf = json_object_get(entry, "subleaf") != NULL;
        if (feature->has_subleaf)
            get_u32(reader, entry, "subleaf", true, &feature->subleaf);
        get_string(reader, entry, "register", feature->reg, sizeof(feature->reg));
        get_u32(reader, entry, "value", true, &feature->value);
    }
}

static void read_range(struct reader *reader, const json_t *entry, struct manifest_range *range)
{
    char kind[16] = "";
    get_hex(reader, entry, "base", UINT64_MAX, &range->base_pa);
    get_hex(reader, entry, "length", UINT64_MAX, &range->length);
    get_hex(reader, entry, "offset", UINT64_MAX, &range->offset);
    get_string(reader, entry, "block", range->block, sizeof(range->block));
    get_string(reader, entry, "kind", kind, sizeof(kind));
    range->kind = UINT32_MAX;
    for (uint32_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind, kind_names[i]) == 0)
            range->kind = i;
    if (range->kind == UINT32_MAX)
        reader_fail(reader, "kind", "is none of ram, rom, romd");
    if (range->length == 0 || range->length - 1 > UINT64_MAX - range->base_pa ||
        range->length - 1 > UINT64_MAX - range->offset)
        reader_fail(reader, "memory_map", "has an empty range, or one that wraps around");
}

static void read_ranges(struct reader *reader, const json_t *list, struct manifest *out)
{
    if (!json_is_array(list) || json_array_size(list) > MANIFEST_RANGE_MAX) {
        reader_fail(reader, "memory_map", "is missing, no list, or too long");
        return;
    }
    for (size_t i = 0; i < json_array_size(list) && reader->result == 0; i++) {
        struct manifest_range *range = &out->range[out->range_count++];
        read_range(reader, json_array_get(list, i), range);
        if (i > 0 && (range->base_pa < range[-1].base_pa ||
                      range->base_pa - range[-1].base_pa < range[-1].length))
            reader_fail(reader, "memory_map", "is not in ascending order, or overlaps");
    }
}

static void read_files(struct reader *reader, const json_t *list, struct manifest *out)
{
    static const char digits[] = "0123456789abcdef";
    if (!json_is_array(list) || json_array_size(list) > MANIFEST_FILE_MAX) {
        reader_fail(reader, "files", "is missing, no list, or too long");
        return;
    }
    for (size_t i = 0; i < json_array_size(list) && reader->result == 0; i++) {
        const json_t *entry = json_array_get(list, i);
        struct manifest_file file = {0};
        get_string(reader, entry, "name", file.name, sizeof(file.name));
        get_integer(reader, entry, "size", INT64_MAX, &file.size);
        get_string(reader, entry, "xxh3_128", file.xxh3_128, sizeof(file.xxh3_128));
        /* names are joined to the directory's path and must not lead out of it */
        if (file.name[0] == '\0' || file.name[0] == '.' || strchr(file.name, '/') != NULL)
            reader_fail(reader, "name", "is no plain file name");
        if (strspn(file.xxh3_128, digits) != MANIFEST_HASH_LENGTH)
            reader_fail(reader, "xxh3_128", "is not 32 hexadecimal digits");
        if (manifest_find_file(out, file.name) != NULL)
            reader_fail(reader, "files", "has a name twice");
        out->file[out->file_count++] = file;
    }
}

static void read_qemu(struct reader *reader, const json_t *qemu, struct manifest *out)
{
    const json_t *version = json_object_get(qemu, "version");
    for (size_t i = 0; i < 3; i++) {
        const json_t *number = json_array_get(version, i);
        json_int_t value = json_integer_value(number);
        if (!json_is_integer(number) || value < 0 || value > 100000)
            reader_fail(reader, "version", "is not three numbers");
        else
            out->qemu_version[i] = (int)value;
    }
    get_string(reader, qemu, "package", out->qemu_package, sizeof(out->qemu_package));
}

static void read_root(struct reader *reader, const json_t *root, struct manifest *out)
{
    const char *kind = json_string_value(json_object_get(root, "kind"));
    if (kind == NULL || strcmp(kind, reader->image ? KIND_IMAGE : KIND_SNAPSHOT) != 0) {
        reader_fail(reader, "kind",
                    reader->image ? "is not \"" KIND_IMAGE "\": this is another kind of file"
                                  : "is not \"" KIND_SNAPSHOT "\": this is another kind of file");
        return;
    }
    get_u32(reader, root, "format", false, &out->format);
    if (reader->result == 0 && out->format != MANIFEST_FORMAT) {
        reader->result = report_fail(
            reader->failure, EXIT_CODE_REFUSED, "read manifest", reader->path,
            "use the resumectl that took the snapshot, or take it again",
            "its format is %" PRIu32 ", this resumectl reads %d", out->format, MANIFEST_FORMAT);
        return;
    }
    const json_t *machine = json_object_get(root, "machine");
    get_string(reader, root, "tool", out->tool, sizeof(out->tool));
    read_qemu(reader, json_object_get(root, "qemu"), out);
    get_string(reader, machine, "type", out->machine_type, sizeof(out->machine_type));
    get_string(reader, machine, "accelerator", out->accelerator, sizeof(out->accelerator));
    get_hex(reader, machine, "memory_size", UINT64_MAX, &out->memory_size);
    get_u32(reader, machine, "cpu_count", false, &out->cpu_count);
    get_string(reader, machine, "cpu_type", out->cpu_type, sizeof(out->cpu_type));
    read_features(reader, json_object_get(machine, "cpu_features"), out);
    read_ranges(reader, json_object_get(machine, "memory_map"), out);
    if (reader->image)
        return;
    read_files(reader, json_object_get(root, "files"), out);
    static const char *const required[] = {MANIFEST_STREAM, MANIFEST_STATE, MANIFEST_PLAN};
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (manifest_find_file(out, required[i]) == NULL)
            reader_fail(reader, required[i], "is not among its files");
}

/* Where the vCPUs wait, and which of them do not. */
static void read_image(struct reader *reader, const json_t *root, const struct manifest *manifest,
                       struct manifest_image *out)
{
    const json_t *home = json_object_get(root, "home");
    const json_t *dormant = json_object_get(root, "dormant");
    get_hex(reader, home, "base", UINT64_MAX, &out->home_pa);
    get_hex(reader, home, "length", UINT64_MAX, &out->home_length);
    if (manifest->cpu_count > MANIFEST_VCPU_MAX)
        reader_fail(reader, "cpu_count", "is out of range");
    if (!json_is_array(dormant)) {
        reader_fail(reader, "dormant", "is missing or no list");
        return;
    }
    for (size_t i = 0; i < json_array_size(dormant) && reader->result == 0; i++) {
        const json_t *index = json_array_get(dormant, i);
        const json_int_t value = json_integer_value(index);
        if (!json_is_integer(index) || value < 0 || (uint64_t)value >= manifest->cpu_count)
            reader_fail(reader, "dormant", "has something that is no number of a vCPU");
        else
            out->dormant[value] = true;
    }
}

/* @image: filled if the reader's facts are those of an image. */
static int read_text(struct reader *reader, const char *text, size_t length, struct manifest *out,
                     struct manifest_image *image)
{
    struct manifest_image facts = {0};
    json_error_t error;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return report_fail(reader->failure, EXIT_CODE_REFUSED, "read manifest", reader->path,
                           reader->advice, "line %d: %s", error.line, error.text);
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    if (manifest == NULL)
        reader->result = report_fail_memory(reader->failure, "read manifest");
    else
        read_root(reader, root, manifest);
    if (reader->result == 0 && reader->image)
        read_image(reader, root, manifest, &facts);
    json_decref(root);
    if (reader->result == 0)
        *out = *manifest;
    if (reader->result == 0 && reader->image)
        *image = facts;
    free(manifest);
    return reader->result;
}

int manifest_read_image(struct manifest *out, struct manifest_image *image, const char *text,
                        size_t length, const char *path, struct report_failure *failure)
{
    struct reader reader = {.path = path,
                            .advice = "the image is damaged: use another copy",
                            .image = true,
                            .failure = failure};
    return read_text(&reader, text, length, out, image);
}

/* Reads the whole file, at most MANIFEST_SIZE_MAX bytes. @ret is to be freed. */
static int load_text(const char *path, char **ret, size_t *ret_length,
                     struct report_failure *failure)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return report_fail_errno(failure, errno, "read manifest", path);
    struct stat status;
    int result = 0;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        result = report_fail(failure, EXIT_CODE_REFUSED, "read manifest", path,
                             "name a directory that resumectl snapshot made",
                             "it is not a regular file");
    else if (status.st_size > MANIFEST_SIZE_MAX)
        result = report_fail(failure, EXIT_CODE_REFUSED, "read manifest", path,
                             "the snapshot is damaged: take it again",
                             "it is longer than 4 MiB: this is no manifest");
    size_t capacity = result == 0 ? (size_t)status.st_size : 0;
    char *text = result == 0 ? malloc(capacity + 1) : NULL;
    if (result == 0 && text == NULL)
        result = report_fail_memory(failure, "read manifest");
    size_t length = 0;
    while (result == 0 && length < capacity) {
        ssize_t got = read(fd, text + length, capacity - length);
        if (got > 0)
            length += (size_t)got;
        else if (got == 0)
            break;
        else if (errno != EINTR)
            result = report_fail_errno(failure, errno, "read manifest", path);
    }
    close(fd);
    if (result < 0) {
        free(text);
        return result;
    }
    *ret = text;
    *ret_length = length;
    return 0;
}

/* Tells apart what is wrong with a directory that has no manifest. */
static int check_directory(const char *directory, const char *path, struct report_failure *failure)
{
    static const char suffix[] = ".partial";
    struct stat status;
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    if (stat(directory, &status) < 0)
        return report_fail(failure, EXIT_CODE_REFUSED, "read snapshot", directory,
                           "name a directory that resumectl snapshot made", "cannot be opened: %s",
                           strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return report_fail(failure, EXIT_CODE_REFUSED, "read snapshot", directory,
                           "name a directory that resumectl snapshot made",
                           "it is not a directory");
    if (length >= sizeof(suffix) - 1 &&
        strncmp(directory + length - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1) == 0)
        return report_fail(failure, EXIT_CODE_REFUSED, "read snapshot", directory,
                           "remove it and take the snapshot again",
                           "it was left by a snapshot that was interrupted");
    if (stat(path, &status) < 0 && errno == ENOENT)
        return report_fail(failure, EXIT_CODE_REFUSED, "read snapshot", directory,
                           "name a directory that resumectl snapshot made",
                           "it has no " MANIFEST_FILE ": this is no complete snapshot");
    return 0;
}

static int read_path(struct manifest *out, const char *directory, const char *path,
                     struct report_failure *failure)
{
    char *text = NULL;
    size_t length = 0;
    int result = check_directory(directory, path, failure);
    if (result == 0)
        result = load_text(path, &text, &length, failure);
    if (result != 0)
        return result;
    struct reader reader = {
        .path = path, .advice = "the snapshot is damaged: take it again", .failure = failure};
    result = read_text(&reader, text, length, out, NULL);
    free(text);
    return result;
}

int manifest_read(struct manifest *out, const char *directory, struct report_failure *failure)
{
    char *path;
    if (asprintf(&path, "%s/" MANIFEST_FILE, directory) < 0)
        return report_fail_memory(failure, "read manifest");
    int result = read_path(out, directory, path, failure);
    free(path);
    return result;
}
