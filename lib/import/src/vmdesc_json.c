/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE /* memrchr */
#include "vmdesc_json.h"

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
    const size_t least = end > VMDESC_JSON_MAX + 5 ? end - (VMDESC_JSON_MAX + 5) : 0;
    const uint8_t *found;
    for (size_t i = end - 6;
         i > least && (found = memrchr(tail + least, STREAM_TYPE_VMDESC, i - least)) != NULL;) {
        i = (size_t)(found - tail);
        if (stream_be32(tail + i + 1) == end - i - 5 && tail[i + 5] == '{') {
            *ret_index = i;
            return 0;
        }
    }
    return RESUME_EMISSING;
}

int vmdesc_json_parse(const uint8_t *text, size_t length, uint64_t offset, struct json_text *ret,
                      struct stream_error *error)
{
    struct json_text json;
    size_t at = 0;
    int code =
        length > VMDESC_JSON_MAX ? RESUME_ELENGTH : json_text_parse(text, length, &json, &at);
    if (code == RESUME_ELENGTH)
        return stream_fail(error, code, offset + at, NULL,
                           "the description of the device sections is too long, nested more than "
                           "%u deep, or has an object of more than %u members",
                           JSON_TEXT_DEPTH_MAX, JSON_TEXT_MEMBERS_MAX);
    if (code == RESUME_ERESERVED)
        return stream_fail(error, code, offset + at, NULL,
                           "the description of the device sections is not valid JSON");
    if (code != 0)
        return stream_fail(error, code, STREAM_NO_OFFSET, NULL, "out of memory");
    if (json.values[0].kind != JSON_KIND_OBJECT) {
        json_text_free(&json);
        return stream_fail(error, RESUME_ERESERVED, offset, NULL,
                           "the description of the device sections is not a JSON object");
    }
    *ret = json;
    return 0;
}

/* The names of members that mean something. */
enum member {
    MEMBER_NAME,
    MEMBER_TYPE,
    MEMBER_SIZE,
    MEMBER_INDEX,
    MEMBER_FIELDS,
    MEMBER_STRUCT,
    MEMBER_VERSION,
    MEMBER_ARRAY_LEN,
    MEMBER_VMSD_NAME,
    MEMBER_INSTANCE_ID,
    MEMBER_SUBSECTIONS,
    MEMBER_COUNT
};

/* Objects are read as often as a field is an array's: this is where the time goes. */
static enum member member_of(const char *name, size_t length)
{
#define IS(text) (memcmp(name, text, sizeof(text) - 1) == 0)
    switch (length) {
    case 4:
        return IS("name")   ? MEMBER_NAME
               : IS("type") ? MEMBER_TYPE
               : IS("size") ? MEMBER_SIZE
                            : MEMBER_COUNT;
    case 5:
        return IS("index") ? MEMBER_INDEX : MEMBER_COUNT;
    case 6:
        return IS("fields") ? MEMBER_FIELDS : IS("struct") ? MEMBER_STRUCT : MEMBER_COUNT;
    case 7:
        return IS("version") ? MEMBER_VERSION : MEMBER_COUNT;
    case 9:
        return IS("array_len")   ? MEMBER_ARRAY_LEN
               : IS("vmsd_name") ? MEMBER_VMSD_NAME
                                 : MEMBER_COUNT;
    case 11:
        return IS("instance_id")   ? MEMBER_INSTANCE_ID
               : IS("subsections") ? MEMBER_SUBSECTIONS
                                   : MEMBER_COUNT;
    default:
        return MEMBER_COUNT;
    }
#undef IS
}

/* An object's members, each an index, or 0. None of what is no object. */
static void find_members(const struct json_text *json, uint32_t index,
                         uint32_t members[MEMBER_COUNT])
{
    const struct json_value *values = json->values;
    memset(members, 0, MEMBER_COUNT * sizeof(members[0]));
    if (values[index].kind != JSON_KIND_OBJECT)
        return;
    for (uint32_t i = index + 1; i < values[index].next; i = values[i + 1].next) {
        enum member member = member_of(json->text + values[i].at, values[i].length);
        if (member != MEMBER_COUNT)
            members[member] = i + 1;
    }
}

/* Names end up in messages and on terminals. */
static const char *get_name(const struct json_text *json, uint32_t index)
{
    const struct json_value *value = &json->values[index];
    if (value->kind != JSON_KIND_STRING || value->length == 0 || value->length > 255)
        return NULL;
    const char *text = json->text + value->at;
    for (uint32_t i = 0; i < value->length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return NULL;
    }
    return text;
}

/* Returns false if the member is there and no unsigned 32-bit number. */
static bool get_u32(const struct json_text *json, uint32_t index, uint32_t *ret_value,
                    bool *ret_present)
{
    *ret_present = index != 0;
    return index == 0 || json_text_u32(json, index, ret_value) == 0;
}

/* The lists of a description. The fields must be there. */
static bool get_lists(const struct json_text *json, const uint32_t members[MEMBER_COUNT],
                      uint32_t *ret_fields, uint32_t *ret_subsections)
{
    *ret_fields = members[MEMBER_FIELDS];
    *ret_subsections = members[MEMBER_SUBSECTIONS];
    return *ret_fields != 0 && json->values[*ret_fields].kind == JSON_KIND_ARRAY &&
           (*ret_subsections == 0 || json->values[*ret_subsections].kind == JSON_KIND_ARRAY);
}

const char *vmdesc_json_device(const struct json_text *json, uint32_t index,
                               struct vmdesc_json_section *out)
{
    uint32_t members[MEMBER_COUNT];
    bool present;
    find_members(json, index, members);
    memset(out, 0, sizeof(*out));
    out->name = get_name(json, members[MEMBER_NAME]);
    if (out->name == NULL)
        return "a device without a proper name";
    out->vmsd_name = get_name(json, members[MEMBER_VMSD_NAME]);
    if (!get_u32(json, members[MEMBER_INSTANCE_ID], &out->instance, &present) || !present)
        return "a device without a proper instance_id";
    if (!get_u32(json, members[MEMBER_VERSION], &out->version, &out->has_version))
        return "a device with an impossible version";
    if (!get_lists(json, members, &out->fields, &out->subsections))
        return "a device without a proper list of fields";
    return NULL;
}

const char *vmdesc_json_subsection(const struct json_text *json, uint32_t index,
                                   struct vmdesc_json_section *out)
{
    uint32_t members[MEMBER_COUNT];
    find_members(json, index, members);
    memset(out, 0, sizeof(*out));
    out->name = get_name(json, members[MEMBER_VMSD_NAME]);
    if (out->name == NULL)
        return "a subsection without a proper name";
    out->vmsd_name = out->name;
    if (!get_u32(json, members[MEMBER_VERSION], &out->version, &out->has_version))
        return "a subsection with an impossible version";
    if (!get_lists(json, members, &out->fields, &out->subsections))
        return "a subsection without a proper list of fields";
    return NULL;
}

const char *vmdesc_json_field(const struct json_text *json, uint32_t index,
                              struct vmdesc_json_field *out)
{
    uint32_t members[MEMBER_COUNT];
    bool present;
    find_members(json, index, members);
    memset(out, 0, sizeof(*out));
    out->array_len = 1;
    out->name = get_name(json, members[MEMBER_NAME]);
    if (out->name == NULL)
        return "a field without a proper name";
    out->type = get_name(json, members[MEMBER_TYPE]);
    if (out->type == NULL)
        return "a field without a proper type";
    if (!get_u32(json, members[MEMBER_SIZE], &out->size, &present) || !present)
        return "a field without a proper size";
    if (!get_u32(json, members[MEMBER_ARRAY_LEN], &out->array_len, &out->has_array_len) ||
        out->array_len == 0)
        return "a field with an impossible array_len";
    if (!get_u32(json, members[MEMBER_INDEX], &out->index, &out->has_index))
        return "a field with an impossible index";

    /* A temporary has its description in the field itself; so, repeatedly, have queues. */
    out->is_struct = members[MEMBER_STRUCT] != 0;
    if (out->is_struct)
        find_members(json, members[MEMBER_STRUCT], members);
    else if (members[MEMBER_FIELDS] == 0)
        return NULL;
    if (!get_lists(json, members, &out->fields, &out->subsections))
        return "a structure without a proper list of fields";
    out->vmsd_name = get_name(json, members[MEMBER_VMSD_NAME]);
    return NULL;
}

/* Length of a list of fields alone. */
static uint64_t fields_length(const struct json_text *json, uint32_t fields, uint64_t limit,
                              uint64_t *visited)
{
    const struct json_value *values = json->values;
    uint64_t sum = 0;
    for (uint32_t i = fields + 1; i < values[fields].next && sum <= limit; i = values[i].next) {
        uint32_t members[MEMBER_COUNT];
        uint32_t size = 0;
        uint32_t array_len = 1;
        bool present;
        ++*visited;
        find_members(json, i, members);
        if (!get_u32(json, members[MEMBER_SIZE], &size, &present) ||
            !get_u32(json, members[MEMBER_ARRAY_LEN], &array_len, &present))
            continue;
        uint64_t length = (uint64_t)size * array_len;
        sum = length > limit - sum ? limit + 1 : sum + length;
    }
    return sum;
}

uint64_t vmdesc_json_length(const struct json_text *json, uint32_t fields, uint32_t subsections,
                            uint64_t limit, uint64_t *visited)
{
    const struct json_value *values = json->values;
    /* Subsections of subsections: a worklist, as long as the nesting that the parser allowed. */
    struct {
        uint32_t next;
        uint32_t end;
    } stack[JSON_TEXT_DEPTH_MAX];
    uint32_t depth = 0;
    uint64_t sum = fields_length(json, fields, limit, visited);
    if (subsections != 0) {
        stack[depth].next = subsections + 1;
        stack[depth++].end = values[subsections].next;
    }
    while (depth > 0 && sum <= limit) {
        uint32_t index = stack[depth - 1].next;
        if (index == stack[depth - 1].end) {
            depth--;
            continue;
        }
        struct vmdesc_json_section section;
        stack[depth - 1].next = values[index].next;
        ++*visited;
        if (vmdesc_json_subsection(json, index, &section) != NULL)
            continue;
        uint64_t length = 2 + strlen(section.name) + 4;
        length += fields_length(json, section.fields, limit, visited);
        sum = length > limit - sum ? limit + 1 : sum + length;
        if (section.subsections != 0 && depth < JSON_TEXT_DEPTH_MAX) {
            stack[depth].next = section.subsections + 1;
            stack[depth++].end = values[section.subsections].next;
        }
    }
    return sum;
}

uint64_t vmdesc_json_sections_length(const struct json_text *json)
{
    const struct json_value *values = json->values;
    uint32_t devices = json_text_member(json, 0, "devices");
    uint64_t visited = 0;
    uint64_t sum = 0;
    if (devices == 0 || values[devices].kind != JSON_KIND_ARRAY)
        return 0;
    for (uint32_t i = devices + 1; i < values[devices].next && sum <= STREAM_TAIL_MAX;
         i = values[i].next) {
        struct vmdesc_json_section section;
        if (vmdesc_json_device(json, i, &section) != NULL)
            return STREAM_TAIL_MAX + 1;
        sum += 1 + 4 + 1 + strlen(section.name) + 4 + 4 + 5;
        sum += vmdesc_json_length(json, section.fields, section.subsections, STREAM_TAIL_MAX,
                                  &visited);
    }
    return sum;
}
