/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Bringing fields in an order, and looking up sections and fields by name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmdesc_internal.h"

/* Of fields whose paths have the same hash. */
static int compare_fields(const void *left, const void *right)
{
    const struct vmdesc_field *a = *(struct vmdesc_field *const *)left;
    const struct vmdesc_field *b = *(struct vmdesc_field *const *)right;
    int order = strcmp(a->path, b->path);
    if (order != 0)
        return order;
    return a < b ? -1 : a > b;
}

/*
 * Brings indices of fields in the order of their hashes, by one byte of them after the other; those of one
 * hash stay in the order that they have. @spare: room for as many.
 */
static void sort_by_hash(const struct vmdesc_field *fields, uint32_t *order, uint32_t *spare,
                         uint32_t count)
{
    for (unsigned shift = 0; shift < 16; shift += 8) {
        uint32_t next[256] = {0};
        uint32_t sum = 0;
        for (uint32_t i = 0; i < count; i++)
            next[fields[order[i]].hash >> shift & 255]++;
        for (unsigned byte = 0; byte < 256; byte++) {
            uint32_t length = next[byte];
            next[byte] = sum;
            sum += length;
        }
        for (uint32_t i = 0; i < count; i++)
            spare[next[fields[order[i]].hash >> shift & 255]++] = order[i];
        uint32_t *sorted = spare;
        spare = order;
        order = sorted;
    }
}

/* Brings the fields of a section in order, and numbers those that have the same path. */
static void sort_section(struct vmdesc *desc, const struct vmdesc_section *section, uint32_t *spare,
                         struct vmdesc_field **same)
{
    struct vmdesc_field *fields = desc->fields;
    uint32_t *order = desc->order + section->first_field;
    uint32_t end;
    for (uint32_t i = 0; i < section->field_count; i++)
        order[i] = section->first_field + i;
    sort_by_hash(fields, order, spare, section->field_count);
    for (uint32_t begin = 0; begin < section->field_count; begin = end) {
        end = begin + 1;
        while (end < section->field_count && fields[order[end]].hash == fields[order[begin]].hash)
            end++;
        if (end - begin == 1)
            continue;
        for (uint32_t i = begin; i < end; i++)
            same[i - begin] = &fields[order[i]];
        qsort(same, end - begin, sizeof(struct vmdesc_field *), compare_fields);
        for (uint32_t i = begin; i < end; i++) {
            struct vmdesc_field *field = same[i - begin];
            order[i] = (uint32_t)(field - fields);
            if (i > begin && strcmp(field->path, same[i - begin - 1]->path) == 0)
                field->duplicate = same[i - begin - 1]->duplicate + 1;
        }
    }
}

int vmdesc_sort(struct vmdesc *desc, struct stream_error *error)
{
    size_t count = (size_t)desc->field_count + 1;
    struct vmdesc_field **same = malloc(count * sizeof(struct vmdesc_field *));
    uint32_t *spare = malloc(count * sizeof(*spare));
    int ret = 0;
    desc->order = malloc(count * sizeof(*desc->order));
    if (same == NULL || spare == NULL || desc->order == NULL)
        ret = stream_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), STREAM_NO_OFFSET, NULL,
                          "out of memory");
    for (uint32_t i = 0; ret == 0 && i < desc->section_count; i++)
        sort_section(desc, &desc->sections[i], spare, same);
    free(same);
    free(spare);
    return ret;
}

const struct vmdesc_section *vmdesc_section_nth(const struct vmdesc *desc, const char *name,
                                                uint32_t nth)
{
    for (uint32_t i = 0; i < desc->section_count; i++) {
        if (strcmp(desc->sections[i].name, name) == 0 && nth-- == 0)
            return &desc->sections[i];
    }
    return NULL;
}

const struct vmdesc_section *vmdesc_section_find(const struct vmdesc *desc, const char *name,
                                                 uint32_t instance)
{
    for (uint32_t i = 0; i < desc->section_count; i++) {
        const struct vmdesc_section *section = &desc->sections[i];
        if (section->instance == instance && strcmp(section->name, name) == 0)
            return section;
    }
    return NULL;
}

uint32_t vmdesc_section_count(const struct vmdesc *desc, const char *name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < desc->section_count; i++)
        count += strcmp(desc->sections[i].name, name) == 0;
    return count;
}

const struct vmdesc_field *vmdesc_field_find(const struct vmdesc *desc,
                                             const struct vmdesc_section *section, const char *path)
{
    const uint32_t *order = desc->order + section->first_field;
    const uint16_t hash = vmdesc_hash(path, strlen(path));
    uint32_t low = 0;
    uint32_t high = section->field_count;
    /* The first that is not before it. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct vmdesc_field *field = &desc->fields[order[middle]];
        if (field->hash < hash || (field->hash == hash && strcmp(field->path, path) < 0))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == section->field_count)
        return NULL;
    const struct vmdesc_field *field = &desc->fields[order[low]];
    return strcmp(field->path, path) == 0 ? field : NULL;
}

bool vmdesc_has_subsection(const struct vmdesc *desc, const struct vmdesc_section *section,
                           const char *path)
{
    const struct vmdesc_field *fields = desc->fields + section->first_field;
    size_t length = strlen(path);
    for (uint32_t i = 0; i < section->field_count; i++) {
        if (strncmp(fields[i].path, path, length) == 0 && fields[i].path[length] == '/')
            return true;
    }
    return false;
}

int vmdesc_field_u64(const struct vmdesc_field *field, uint64_t *ret_value)
{
    const uint8_t *p = field->data;
    bool extend = strncmp(field->type, "int", 3) == 0;
    uint64_t value;
    if (field->array_len != 1)
        return RESUME_EINVAL;
    switch (field->size) {
    case 1:
        value = p[0];
        break;
    case 2:
        value = stream_be16(p);
        break;
    case 4:
        value = stream_be32(p);
        break;
    case 8:
        value = stream_be64(p);
        break;
    default:
        return RESUME_EINVAL;
    }
    if (extend && field->size < 8) {
        uint64_t sign = UINT64_C(1) << (field->size * 8 - 1);
        value = (value ^ sign) - sign;
    }
    *ret_value = value;
    return 0;
}
