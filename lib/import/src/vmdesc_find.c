/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Looking up sections and fields by name. */
#include <string.h>

#include "vmdesc_internal.h"

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
    const uint32_t hash = vmdesc_hash(path);
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
