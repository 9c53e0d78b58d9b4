/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "vmdesc_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmdesc.h"

/* QEMU escapes control characters, so in the text itself there is no byte 06 to mistake. */
int vmdesc_json_locate(const uint8_t *tail, size_t length, size_t *ret_index)
{
    size_t end = length;
    while (end > 0 && tail[end - 1] == 0)
        end--;
    if (end < 7)
        return RESUME_EMISSING;
    for (size_t i = end - 7; end - i <= VMDESC_JSON_MAX + 5; i--) {
        if (tail[i] == STREAM_TYPE_VMDESC && stream_be32(tail + i + 1) == end - i - 5 &&
            tail[i + 5] == '{') {
            *ret_index = i;
            return 0;
        }
        if (i == 0)
            break;
    }
    return RESUME_EMISSING;
}

/* The parser recurses with the nesting of the text, so that is measured first. */
static bool nests_too_deeply(const uint8_t *text, size_t length)
{
    uint32_t depth = 0;
    bool string = false;
    for (size_t i = 0; i < length; i++) {
        uint8_t c = text[i];
        if (string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > VMDESC_DEPTH_MAX)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

int vmdesc_json_parse(const uint8_t *text, size_t length, uint64_t offset, json_t **ret_root,
                      struct stream_error *error)
{
    json_error_t json_error;
    if (length > VMDESC_JSON_MAX || nests_too_deeply(text, length))
        return stream_fail(error, RESUME_ELENGTH, offset, NULL,
                           "the description of the device sections is too long or nested more than "
                           "%u deep",
                           VMDESC_DEPTH_MAX);
    json_t *root = json_loadb((const char *)text, length, 0, &json_error);
    if (root == NULL) {
        if (json_error_code(&json_error) == json_error_out_of_memory)
            return stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL,
                               "out of memory");
        uint64_t at = json_error.position > 0 ? (uint64_t)json_error.position : 0;
        return stream_fail(error, RESUME_ERESERVED, offset + at, NULL,
                           "the description of the device sections is not valid JSON");
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return stream_fail(error, RESUME_ERESERVED, offset, NULL,
                           "the description of the device sections is not a JSON object");
    }
    *ret_root = root;
    return 0;
}

/* Names end up in messages and on terminals. */
static const char *get_name(json_t *json, const char *key)
{
    json_t *value = json_object_get(json, key);
    const char *text = json_string_value(value);
    if (text == NULL)
        return NULL;
    size_t length = json_string_length(value);
    if (length == 0 || length > 255)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return NULL;
    }
    return text;
}

/* Returns false if the key is there with a value that is no unsigned 32-bit number. */
static bool get_u32(json_t *json, const char *key, uint32_t *ret_value, bool *ret_present)
{
    json_t *value = json_object_get(json, key);
    *ret_present = value != NULL;
    if (value == NULL)
        return true;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > UINT32_MAX)
        return false;
    *ret_value = (uint32_t)number;
    return true;
}

/* The lists of a description. The fields must be there. */
static bool get_lists(json_t *json, json_t **ret_fields, json_t **ret_subsections)
{
    *ret_fields = json_object_get(json, "fields");
    *ret_subsections = json_object_get(json, "subsections");
    return json_is_array(*ret_fields) &&
           (*ret_subsections == NULL || json_is_array(*ret_subsections));
}

const char *vmdesc_json_device(json_t *json, struct vmdesc_json_section *out)
{
    bool present;
    memset(out, 0, sizeof(*out));
    out->name = get_name(json, "name");
    if (out->name == NULL)
        return "a device without a proper name";
    out->vmsd_name = get_name(json, "vmsd_name");
    if (!get_u32(json, "instance_id", &out->instance, &present) || !present)
        return "a device without a proper instance_id";
    if (!get_u32(json, "version", &out->version, &out->has_version))
        return "a device with an impossible version";
    if (!get_lists(json, &out->fields, &out->subsections))
        return "a device without a proper list of fields";
    return NULL;
}

const char *vmdesc_json_subsection(json_t *json, struct vmdesc_json_section *out)
{
    memset(out, 0, sizeof(*out));
    out->name = get_name(json, "vmsd_name");
    if (out->name == NULL)
        return "a subsection without a proper name";
    out->vmsd_name = out->name;
    if (!get_u32(json, "version", &out->version, &out->has_version))
        return "a subsection with an impossible version";
    if (!get_lists(json, &out->fields, &out->subsections))
        return "a subsection without a proper list of fields";
    return NULL;
}

const char *vmdesc_json_field(json_t *json, struct vmdesc_json_field *out)
{
    bool present;
    memset(out, 0, sizeof(*out));
    out->array_len = 1;
    out->name = get_name(json, "name");
    if (out->name == NULL)
        return "a field without a proper name";
    out->type = get_name(json, "type");
    if (out->type == NULL)
        return "a field without a proper type";
    if (!get_u32(json, "size", &out->size, &present) || !present)
        return "a field without a proper size";
    if (!get_u32(json, "array_len", &out->array_len, &out->has_array_len) || out->array_len == 0)
        return "a field with an impossible array_len";
    if (!get_u32(json, "index", &out->index, &out->has_index))
        return "a field with an impossible index";

    json_t *inner = json_object_get(json, "struct");
    out->is_struct = inner != NULL;
    /* A temporary has its description in the field itself; so, repeatedly, have queues. */
    if (inner == NULL && json_object_get(json, "fields") != NULL)
        inner = json;
    if (inner == NULL)
        return NULL;
    if (!get_lists(inner, &out->fields, &out->subsections))
        return "a structure without a proper list of fields";
    out->vmsd_name = get_name(inner, "vmsd_name");
    out->consistent =
        out->is_struct || vmdesc_json_length(out->fields, out->subsections, out->size) == out->size;
    return NULL;
}

/* Length of a list of fields alone. */
static uint64_t fields_length(json_t *fields, uint64_t limit)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < json_array_size(fields) && sum <= limit; i++) {
        json_t *json = json_array_get(fields, i);
        uint32_t size = 0;
        uint32_t array_len = 1;
        bool present;
        if (!get_u32(json, "size", &size, &present) ||
            !get_u32(json, "array_len", &array_len, &present))
            continue;
        uint64_t length = (uint64_t)size * array_len;
        sum = length > limit - sum ? limit + 1 : sum + length;
    }
    return sum;
}

uint64_t vmdesc_json_length(json_t *fields, json_t *subsections, uint64_t limit)
{
    /* Subsections of subsections: a worklist, as long as the nesting that the parser allowed. */
    struct {
        json_t *list;
        size_t next;
    } stack[VMDESC_DEPTH_MAX];
    uint32_t depth = 0;
    uint64_t sum = fields_length(fields, limit);
    if (subsections != NULL)
        stack[depth++].list = subsections;
    if (depth > 0)
        stack[0].next = 0;
    while (depth > 0 && sum <= limit) {
        json_t *json = json_array_get(stack[depth - 1].list, stack[depth - 1].next++);
        if (json == NULL) {
            depth--;
            continue;
        }
        struct vmdesc_json_section section;
        if (vmdesc_json_subsection(json, &section) != NULL)
            continue;
        uint64_t length = 2 + strlen(section.name) + 4;
        length += fields_length(section.fields, limit);
        sum = length > limit - sum ? limit + 1 : sum + length;
        if (section.subsections != NULL && depth < VMDESC_DEPTH_MAX) {
            stack[depth].list = section.subsections;
            stack[depth++].next = 0;
        }
    }
    return sum;
}

uint64_t vmdesc_json_sections_length(json_t *root)
{
    json_t *devices = json_object_get(root, "devices");
    uint64_t sum = 0;
    for (size_t i = 0; i < json_array_size(devices) && sum <= STREAM_TAIL_MAX; i++) {
        struct vmdesc_json_section section;
        if (vmdesc_json_device(json_array_get(devices, i), &section) != NULL)
            return STREAM_TAIL_MAX + 1;
        sum += 1 + 4 + 1 + strlen(section.name) + 4 + 4 + 5;
        sum += vmdesc_json_length(section.fields, section.subsections, STREAM_TAIL_MAX);
    }
    return sum;
}
