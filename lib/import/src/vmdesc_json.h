/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The JSON text of a stream's description: finding it, parsing it, and reading its entries. */
#ifndef RESUME_IMPORT_VMDESC_JSON_H
#define RESUME_IMPORT_VMDESC_JSON_H

#include <jansson.h>

#include "stream.h"

/* A device or subsection as described. Strings and arrays are borrowed from the JSON text. */
struct vmdesc_json_section {
    const char *name; /* 1 to 255 printable ASCII characters */
    const char *vmsd_name;
    uint32_t instance;
    uint32_t version;
    bool has_version;
    json_t *fields;      /* an array */
    json_t *subsections; /* an array, or NULL */
};

/* A field as described. */
struct vmdesc_json_field {
    const char *name;
    const char *type;
    uint32_t size; /* of one element */
    uint32_t array_len;
    bool has_array_len;
    uint32_t index; /* of an array whose elements are described one by one */
    bool has_index;
    bool is_struct;
    const char *vmsd_name; /* of the inner description, or NULL */
    json_t *fields;        /* the inner description's fields, or NULL */
    json_t *subsections;   /* its subsections, or NULL */
    bool consistent;       /* the inner description is as long as the field */
};

/*
 * vmdesc_json_locate - find the VMDESC section at the end of @tail: the index of its type byte.
 * Zeroes after it are tolerated. Errors: EMISSING.
 */
int vmdesc_json_locate(const uint8_t *tail, size_t length, size_t *ret_index);

/* Checks nesting and length, then parses. @offset: of @text in the file, for messages. */
int vmdesc_json_parse(const uint8_t *text, size_t length, uint64_t offset, json_t **ret_root,
                      struct stream_error *error);

/* Read one entry. Return NULL, or what is wrong with it. */
const char *vmdesc_json_device(json_t *json, struct vmdesc_json_section *out);
const char *vmdesc_json_subsection(json_t *json, struct vmdesc_json_section *out);
const char *vmdesc_json_field(json_t *json, struct vmdesc_json_field *out);

/*
 * The bytes that fields and subsections take, by the sizes of the outermost fields. @limit: what is
 * beyond it is reported as limit + 1. Malformed entries count nothing.
 */
uint64_t vmdesc_json_length(json_t *fields, json_t *subsections, uint64_t limit);

/* The bytes that all device sections take, headers and footers included; or > STREAM_TAIL_MAX. */
uint64_t vmdesc_json_sections_length(json_t *root);

#endif
