/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Walking the device sections with their description. */
#include "vmdesc.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "vmdesc_internal.h"
#include "vmdesc_json.h"

#define PATH_MAX_LENGTH 1024u
#define CHUNK_SIZE ((size_t)64 << 10)

/* Paths live in chunks that never move. */
struct chunk {
    struct chunk *next;
    size_t used;
    char text[CHUNK_SIZE];
};

/* One description being walked: a device's, a structure's, a subsection's. */
struct frame {
    const char *name;     /* of the description, for subsection names; NULL when it has none */
    uint32_t fields;      /* the list, or 0 */
    uint32_t subsections; /* the list, or 0 */
    uint32_t field;       /* the next one */
    uint32_t subsection;  /* the next one */
    size_t path;          /* length of the path of this frame, without separator */
    size_t base;          /* the same without the element's index */
    char separator;       /* between path and field name */
    bool sized;
    size_t start;  /* where this element begins in the tail */
    uint64_t size; /* its length, if sized */
    uint32_t element;
    uint32_t elements;
    bool indexed; /* the path shows the element */
};

struct walk {
    struct vmdesc *desc;
    const struct json_text *json;
    struct stream_error *error;
    size_t pos;
    size_t limit; /* the sections end before this */
    size_t field_capacity;
    size_t section_capacity;
    uint32_t steps;
    const char *const *wanted; /* sections whose fields are kept; NULL: all */
    bool kept;                 /* those of this section */
    uint32_t depth;
    struct frame frame[JSON_TEXT_DEPTH_MAX];
    char path[PATH_MAX_LENGTH];
    size_t length; /* of the path */
};

const char vmdesc_hint_description[] =
    "take the snapshot again, without -machine suppress-vmdesc=on";

static int fail(const struct walk *walk, int code, const char *what)
{
    return stream_fail(walk->error, code, walk->desc->tail_offset + walk->pos,
                       vmdesc_hint_description, "device sections, in \"%.100s\": %s", walk->path,
                       what);
}

static int no_memory(const struct walk *walk)
{
    return stream_fail(walk->error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL,
                       "out of memory");
}

/* A copy of the current path that lives as long as the vmdesc. */
static const char *keep_path(struct walk *walk)
{
    size_t length = walk->length;
    struct chunk *chunk = walk->desc->strings;
    if (chunk == NULL || chunk->used + length + 1 > CHUNK_SIZE) {
        chunk = malloc(sizeof(*chunk));
        if (chunk == NULL)
            return NULL;
        chunk->next = walk->desc->strings;
        chunk->used = 0;
        walk->desc->strings = chunk;
    }
    char *copy = chunk->text + chunk->used;
    memcpy(copy, walk->path, length + 1);
    chunk->used += length + 1;
    return copy;
}

/* Leaves of the path its first @length bytes. */
static void cut(struct walk *walk, size_t length)
{
    walk->length = length;
    walk->path[length] = '\0';
}

static int append(struct walk *walk, const char *text, size_t length)
{
    if (length >= PATH_MAX_LENGTH - walk->length)
        return fail(walk, RESUME_ELENGTH, "a field's path is too long");
    memcpy(walk->path + walk->length, text, length);
    cut(walk, walk->length + length);
    return 0;
}

/* Makes the path its first @length bytes, a separator, and a name. */
static int set_path(struct walk *walk, size_t length, char separator, const char *name)
{
    cut(walk, length);
    int ret = append(walk, &separator, 1);
    return ret == 0 ? append(walk, name, strlen(name)) : ret;
}

/* Fields of arrays are many: no printf for them. */
static int add_index(struct walk *walk, uint64_t index)
{
    char text[24];
    size_t at = sizeof(text);
    text[--at] = ']';
    do {
        text[--at] = (char)('0' + index % 10);
        index /= 10;
    } while (index != 0);
    text[--at] = '[';
    return append(walk, text + at, sizeof(text) - at);
}

static void rewind_lists(struct frame *frame)
{
    frame->field = frame->fields + 1;
    frame->subsection = frame->subsections + 1;
}

static int push(struct walk *walk, const struct frame *frame)
{
    if (walk->depth == JSON_TEXT_DEPTH_MAX)
        return fail(walk, RESUME_ELENGTH, "structures are nested too deeply");
    walk->frame[walk->depth] = *frame;
    rewind_lists(&walk->frame[walk->depth++]);
    return 0;
}

/* Every field and structure element visited costs a step; this is what bounds the work. */
static int steps(struct walk *walk, uint64_t count)
{
    if (count > VMDESC_FIELD_MAX - walk->steps)
        return fail(walk, RESUME_ELENGTH, "more fields than are believed");
    walk->steps += (uint32_t)count;
    return 0;
}

static int step(struct walk *walk)
{
    return steps(walk, 1);
}

static int add_field(struct walk *walk, const char *type, uint32_t size, uint32_t array_len)
{
    struct vmdesc *desc = walk->desc;
    if (!walk->kept) {
        walk->pos += (size_t)size * array_len;
        return step(walk);
    }
    if (desc->field_count == walk->field_capacity) {
        size_t capacity = walk->field_capacity * 2;
        struct vmdesc_field *fields = realloc(desc->fields, capacity * sizeof(*fields));
        if (fields == NULL)
            return no_memory(walk);
        desc->fields = fields;
        walk->field_capacity = capacity;
    }
    const char *path = keep_path(walk);
    if (path == NULL)
        return no_memory(walk);
    desc->fields[desc->field_count++] = (struct vmdesc_field){
        .path = path,
        .hash = vmdesc_hash(path, walk->length),
        .type = type,
        .data = desc->tail + walk->pos,
        .offset = desc->tail_offset + walk->pos,
        .size = size,
        .array_len = array_len,
    };
    walk->pos += (size_t)size * array_len;
    return step(walk);
}

/* A field without inner description: one entry, or one per element of a short array. */
static int walk_plain(struct walk *walk, const char *type, uint32_t size, uint32_t array_len)
{
    size_t base = walk->length;
    if (array_len == 1 || array_len > VMDESC_EXPAND_MAX)
        return add_field(walk, type, size, array_len);
    for (uint32_t i = 0; i < array_len; i++) {
        cut(walk, base);
        int ret = add_index(walk, i);
        if (ret == 0)
            ret = add_field(walk, type, size, 1);
        if (ret != 0)
            return ret;
    }
    return 0;
}

/*
 * Does the field have an inner description to be walked? That of a temporary or queue counts only if it
 * is as long as the field.
 */
static int is_structure(struct walk *walk, const struct vmdesc_json_field *field, bool *ret)
{
    uint64_t visited = 0;
    *ret = field->fields != 0;
    if (!*ret || field->is_struct)
        return 0;
    *ret =
        field->array_len == 1 && vmdesc_json_length(walk->json, field->fields, field->subsections,
                                                    field->size, &visited) == field->size;
    return steps(walk, visited);
}

static int walk_field(struct walk *walk, const struct frame *frame, uint32_t index)
{
    struct vmdesc_json_field field;
    const char *problem = vmdesc_json_field(walk->json, index, &field);
    if (problem != NULL)
        return fail(walk, RESUME_ERESERVED, problem);
    int ret = set_path(walk, frame->path, frame->separator, field.name);
    if (ret == 0 && field.has_index)
        ret = add_index(walk, field.index);
    if (ret == 0)
        ret = step(walk);
    if (ret != 0)
        return ret;

    uint64_t total = (uint64_t)field.size * field.array_len;
    if (total > walk->limit - walk->pos)
        return fail(walk, RESUME_ELENGTH, "the field is longer than what is left of the stream");
    bool structure;
    ret = is_structure(walk, &field, &structure);
    if (ret != 0)
        return ret;
    if (!structure)
        return walk_plain(walk, field.type, field.size, field.array_len);
    if (field.size == 0 && field.array_len > 1)
        return fail(walk, RESUME_ELENGTH, "an array of structures without length");

    struct frame inner = {
        .name = field.vmsd_name,
        .fields = field.fields,
        .subsections = field.subsections,
        .base = walk->length,
        .separator = '.',
        .sized = true,
        .start = walk->pos,
        .size = field.size,
        .elements = field.array_len,
        .indexed = field.has_array_len,
    };
    if (inner.indexed)
        ret = add_index(walk, 0);
    inner.path = walk->length;
    return ret == 0 ? push(walk, &inner) : ret;
}

static int walk_subsection(struct walk *walk, const struct frame *frame, uint32_t index)
{
    struct vmdesc_json_section section;
    const char *problem = vmdesc_json_subsection(walk->json, index, &section);
    if (problem != NULL)
        return fail(walk, RESUME_ERESERVED, problem);
    const char *name = section.name;
    size_t parent = frame->name != NULL ? strlen(frame->name) : 0;
    if (parent > 0 && strncmp(name, frame->name, parent) == 0 && name[parent] == '/' &&
        name[parent + 1] != '\0')
        name += parent + 1;
    int ret = set_path(walk, frame->path, '/', name);
    if (ret == 0)
        ret = step(walk);
    if (ret != 0)
        return ret;

    const uint8_t *p = walk->desc->tail + walk->pos;
    size_t length = strlen(section.name);
    size_t left = walk->limit - walk->pos;
    if (left < 2 + length + 4)
        return fail(walk, RESUME_ETRUNC, "the stream ends in a subsection's header");
    if (p[0] != STREAM_TYPE_SUBSECTION || p[1] != length ||
        memcmp(p + 2, section.name, length) != 0)
        return fail(walk, RESUME_ECONSISTENT, "the subsection that is described is not there");
    if (section.has_version && stream_be32(p + 2 + length) != section.version)
        return fail(walk, RESUME_ECONSISTENT, "the subsection's version is not the described one");
    walk->pos += 2 + length + 4;

    struct frame inner = {
        .name = section.name,
        .fields = section.fields,
        .subsections = section.subsections,
        .path = walk->length,
        .base = walk->length,
        .separator = '/',
        .start = walk->pos,
        .elements = 1,
    };
    return push(walk, &inner);
}

/* The top frame has no more fields or subsections: the next element of its array, or its end. */
static int end_frame(struct walk *walk)
{
    struct frame *frame = &walk->frame[walk->depth - 1];
    cut(walk, frame->path);
    if (frame->sized && walk->pos - frame->start != frame->size)
        return fail(walk, RESUME_ELENGTH, "a structure is not as long as its fields");
    frame->element++;
    if (frame->element == frame->elements) {
        walk->depth--;
        return 0;
    }
    rewind_lists(frame);
    frame->start = walk->pos;
    cut(walk, frame->base);
    int ret = add_index(walk, frame->element);
    frame->path = walk->length;
    return ret == 0 ? step(walk) : ret;
}

/* The entry of list @list at *@next, which then is the next one; 0 behind the last. */
static uint32_t take_entry(const struct walk *walk, uint32_t list, uint32_t *next)
{
    uint32_t index = *next;
    if (list == 0 || index == walk->json->values[list].next)
        return 0;
    *next = walk->json->values[index].next;
    return index;
}

/* Walks one section's payload; the frame of the device is on the stack. */
static int walk_payload(struct walk *walk)
{
    while (walk->depth > 0) {
        struct frame *frame = &walk->frame[walk->depth - 1];
        uint32_t index;
        int ret;
        cut(walk, frame->path);
        if ((index = take_entry(walk, frame->fields, &frame->field)) != 0)
            ret = walk_field(walk, frame, index);
        else if ((index = take_entry(walk, frame->subsections, &frame->subsection)) != 0)
            ret = walk_subsection(walk, frame, index);
        else
            ret = end_frame(walk);
        if (ret != 0)
            return ret;
    }
    return 0;
}

/* Commands may stand between sections. */
static int skip_commands(struct walk *walk)
{
    const uint8_t *tail = walk->desc->tail;
    while (walk->pos < walk->limit && tail[walk->pos] == STREAM_TYPE_COMMAND) {
        if (walk->limit - walk->pos < 5)
            return fail(walk, RESUME_ETRUNC, "the stream ends in a command");
        size_t length = stream_be16(tail + walk->pos + 3);
        if (walk->limit - walk->pos - 5 < length)
            return fail(walk, RESUME_ETRUNC, "the stream ends in a command");
        walk->pos += 5 + length;
    }
    return 0;
}

/* Reads a section's header and compares it with the description. */
static int read_section_header(struct walk *walk, const struct vmdesc_json_section *json,
                               struct vmdesc_section *section)
{
    const uint8_t *p = walk->desc->tail + walk->pos;
    size_t left = walk->limit - walk->pos;
    size_t length = strlen(json->name);
    if (left < 6 || left < 6 + (size_t)p[5] + 8)
        return fail(walk, RESUME_ETRUNC, "the stream ends in a section's header");
    if (p[0] != STREAM_TYPE_FULL)
        return stream_fail(walk->error, RESUME_ECONSISTENT, walk->desc->tail_offset + walk->pos,
                           vmdesc_hint_description,
                           "byte 0x%02x where device section \"%.100s\" was expected", p[0],
                           json->name);
    if (p[5] != length || memcmp(p + 6, json->name, length) != 0)
        return stream_fail(walk->error, RESUME_ECONSISTENT, walk->desc->tail_offset + walk->pos,
                           vmdesc_hint_description,
                           "another device section where \"%.100s\" was expected", json->name);
    section->id = stream_be32(p + 1);
    section->instance = stream_be32(p + 6 + length);
    section->version = stream_be32(p + 10 + length);
    if (section->instance != json->instance ||
        (json->has_version && section->version != json->version))
        return stream_fail(walk->error, RESUME_ECONSISTENT, walk->desc->tail_offset + walk->pos,
                           vmdesc_hint_description,
                           "device section \"%.100s\" instance %u version %u, described as %u "
                           "and %u",
                           json->name, section->instance, section->version, json->instance,
                           json->version);
    section->name = json->name;
    section->start = walk->pos;
    walk->pos += 6 + length + 8;
    section->payload = walk->pos;
    return 0;
}

static bool is_wanted(const char *const *wanted, const char *name)
{
    if (wanted == NULL)
        return true;
    while (*wanted != NULL && strcmp(*wanted, name) != 0)
        wanted++;
    return *wanted != NULL;
}

static int walk_section(struct walk *walk, uint32_t device, uint32_t index)
{
    struct vmdesc *desc = walk->desc;
    struct vmdesc_json_section json;
    struct vmdesc_section section = {.device = index, .first_field = desc->field_count};

    cut(walk, 0);
    const char *problem = vmdesc_json_device(walk->json, device, &json);
    if (problem != NULL)
        return fail(walk, RESUME_ERESERVED, problem);
    walk->kept = is_wanted(walk->wanted, json.name);
    int ret = append(walk, json.name, strlen(json.name));
    if (ret == 0)
        ret = skip_commands(walk);
    if (ret == 0)
        ret = read_section_header(walk, &json, &section);
    if (ret != 0)
        return ret;
    struct frame frame = {
        .name = json.vmsd_name,
        .fields = json.fields,
        .subsections = json.subsections,
        .path = walk->length,
        .base = walk->length,
        .separator = '/',
        .start = walk->pos,
        .elements = 1,
    };
    ret = push(walk, &frame);
    if (ret == 0)
        ret = walk_payload(walk);
    if (ret != 0)
        return ret;

    const uint8_t *p = desc->tail + walk->pos;
    if (walk->limit - walk->pos < 5)
        return fail(walk, RESUME_ETRUNC, "the stream ends before the section's footer");
    if (p[0] != STREAM_TYPE_FOOTER || stream_be32(p + 1) != section.id)
        return fail(walk, RESUME_ELENGTH, "the described length does not end at the footer");
    section.payload_length = walk->pos - section.payload;
    walk->pos += 5;
    section.end = walk->pos;
    section.field_count = desc->field_count - section.first_field;
    desc->sections[desc->section_count++] = section;
    return 0;
}

static int walk_sections(struct walk *walk)
{
    struct vmdesc *desc = walk->desc;
    const struct json_value *values = walk->json->values;
    uint32_t devices = json_text_member(walk->json, 0, "devices");
    if (devices == 0 || values[devices].kind != JSON_KIND_ARRAY)
        return fail(walk, RESUME_ERESERVED, "the description has no list of devices");
    uint32_t count = values[devices].length;
    if (count > VMDESC_SECTION_MAX)
        return fail(walk, RESUME_ELENGTH, "more device sections than are believed");
    walk->field_capacity = 4096;
    desc->fields = malloc(walk->field_capacity * sizeof(*desc->fields));
    desc->sections = calloc((size_t)count + 1, sizeof(*desc->sections));
    if (desc->fields == NULL || desc->sections == NULL)
        return no_memory(walk);
    uint32_t next = devices + 1;
    for (uint32_t i = 0; i < count; i++) {
        int ret = walk_section(walk, take_entry(walk, devices, &next), i);
        if (ret != 0)
            return ret;
    }
    cut(walk, 0);
    int ret = append(walk, "end", 3);
    if (ret == 0)
        ret = skip_commands(walk);
    if (ret != 0)
        return ret;
    if (walk->pos == walk->limit || desc->tail[walk->pos] != STREAM_TYPE_EOF)
        return fail(walk, RESUME_EMISSING, "a section follows that the description does not have");
    if (walk->pos + 1 != walk->limit)
        return fail(walk, RESUME_ECONSISTENT, "bytes between the end and the description");
    desc->eof = walk->pos;
    return vmdesc_sort(desc, walk->error);
}

int vmdesc_walk(struct vmdesc *desc, struct json_text *json, const char *const *wanted,
                struct stream_error *error)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    if (walk == NULL)
        return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL,
                           "out of memory");
    walk->desc = desc;
    walk->json = json;
    walk->wanted = wanted;
    walk->error = error;
    walk->limit = desc->vmdesc;
    int ret = walk_sections(walk);
    free(walk);
    desc->names = json->text;
    json->text = NULL;
    return ret;
}

int vmdesc_open(struct vmdesc *desc, const uint8_t *tail, size_t length, uint64_t offset,
                struct stream_error *error)
{
    struct vmdesc out = {.tail = tail, .tail_length = length, .tail_offset = offset};
    int ret = vmdesc_json_locate(tail, length, &out.vmdesc);
    if (ret != 0)
        return stream_fail(error, ret, offset + length, vmdesc_hint_description,
                           "no description of the device sections at the end of the stream");
    out.json = out.vmdesc + 5;
    out.json_length = stream_be32(tail + out.vmdesc + 1);
    struct json_text json = {.text = NULL};
    ret = vmdesc_json_parse(tail + out.json, out.json_length, offset + out.json, &json, error);
    if (ret == 0)
        ret = vmdesc_walk(&out, &json, NULL, error);
    json_text_free(&json);
    if (ret != 0)
        vmdesc_close(&out);
    else
        *desc = out;
    return ret;
}

json_t *vmdesc_description(const struct vmdesc *desc)
{
    return json_loadb((const char *)desc->tail + desc->json, desc->json_length, 0, NULL);
}

void vmdesc_close(struct vmdesc *desc)
{
    struct chunk *chunk = desc->strings;
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(desc->fields);
    free(desc->sections);
    free(desc->order);
    free(desc->names);
    free(desc->owned);
    memset(desc, 0, sizeof(*desc));
}
