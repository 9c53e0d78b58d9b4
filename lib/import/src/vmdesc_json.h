/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The JSON text of a stream's description: finding it, parsing it, and reading its entries. */
#ifndef RESUME_IMPORT_VMDESC_JSON_H
#define RESUME_IMPORT_VMDESC_JSON_H

#include "json_text.h"
#include "stream.h"

/*
 * A device or subsection as described. Strings are those of the JSON text; lists are indices of arrays
 * in it, or 0.
 */
struct vmdesc_json_section {
    const char *name; /* 1 to 255 printable ASCII characters */
    const char *vmsd_name;
    uint32_t instance;
    uint32_t version;
    bool has_version;
    uint32_t fields;
    uint32_t subsections;
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
    uint32_t fields;       /* the inner description's fields, or 0 */
    uint32_t subsections;  /* its subsections, or 0 */
};

/*
 * vmdesc_json_locate - find the VMDESC section at the end of @tail: the index of its type byte.
 * Zeroes after it are tolerated. Errors: EMISSING.
 */
int vmdesc_json_locate(const uint8_t *tail, size_t length, size_t *ret_index);

/*
 * vmdesc_json_parse - parse, within the limits of vmdesc.h.
 * @offset: of @text in the file, for messages. @ret: to be released with json_text_free; its outermost
 * value is an object. Errors: ELENGTH, ERESERVED, RESUME_IMPORT_ERRNO(ENOMEM).
 */
int vmdesc_json_parse(const uint8_t *text, size_t length, uint64_t offset, struct json_text *ret,
                      struct stream_error *error);

/* Read one entry, value @index. Return NULL, or what is wrong with it. */
const char *vmdesc_json_device(const struct json_text *json, uint32_t index,
                               struct vmdesc_json_section *out);
const char *vmdesc_json_subsection(const struct json_text *json, uint32_t index,
                                   struct vmdesc_json_section *out);
const char *vmdesc_json_field(const struct json_text *json, uint32_t index,
                              struct vmdesc_json_field *out);

/*
 * The bytes that fields and subsections take, by the sizes of the outermost fields. @limit: what is
 * beyond it is reported as limit + 1. Malformed entries count nothing. @visited: the number of entries
 * that were looked at is added to it.
 */
uint64_t vmdesc_json_length(const struct json_text *json, uint32_t fields, uint32_t subsections,
                            uint64_t limit, uint64_t *visited);

/* The bytes that all device sections take, headers and footers included; or > STREAM_TAIL_MAX. */
uint64_t vmdesc_json_sections_length(const struct json_text *json);

#endif
