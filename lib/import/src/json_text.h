/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A JSON text as a flat list of its values, in the text's order: for descriptions of many thousand
 * values of which each is looked at once or twice. A tree with an object of its own for each of them
 * costs several times as much to build as all that is done with it here. Nothing recurses.
 *
 * What a container holds follows it up to values[container].next:
 *
 *     for (uint32_t i = container + 1; i < values[container].next; i = values[i].next)
 *
 * visits an array's elements. Those of an object are a name and a value by turns.
 */
#ifndef RESUME_IMPORT_JSON_TEXT_H
#define RESUME_IMPORT_JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define JSON_TEXT_DEPTH_MAX 64u /* containers in each other */
#define JSON_TEXT_MEMBERS_MAX                                                                      \
    64u /* of one object: looking for one by its name takes no longer than that */

enum json_kind {
    JSON_KIND_OTHER, /* null, true, false, a number with a fraction or an exponent */
    JSON_KIND_INTEGER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
};

struct json_value {
    uint32_t kind;   /* enum json_kind */
    uint32_t next;   /* index of the first value that is neither this one nor in it */
    uint32_t at;     /* where its text begins */
    uint32_t length; /* of its text in bytes; of a container, how many elements or members it has */
};

struct json_text {
    char *text; /* strings, decoded, and numbers, each with a zero behind it */
    struct json_value *values;
    uint32_t count;
};

/*
 * json_text_parse - parse, with YAJL.
 * @length: below 2^30 bytes. A value costs 16 bytes, and 2 bytes of text at least.
 * @out: to be released with json_text_free; untouched on failure.
 * @ret_at: receives where in the text it is wrong, about.
 * A NUL in a string becomes the byte FF; whether other bytes are UTF-8 is not judged.
 * Errors: ERESERVED (no JSON), ELENGTH (nested more than JSON_TEXT_DEPTH_MAX deep, an object of more
 * than JSON_TEXT_MEMBERS_MAX members, too long), RESUME_IMPORT_ERRNO(ENOMEM).
 */
int json_text_parse(const uint8_t *text, size_t length, struct json_text *out, size_t *ret_at);

/* json_text_free - free everything; a zeroed one is fine. */
void json_text_free(struct json_text *json);

/* json_text_is - is value @index the string @string? */
int json_text_is(const struct json_text *json, uint32_t index, const char *string);

/*
 * json_text_member - index of the value that object @index has for @name; of several the last one.
 * 0 if there is none (value 0 is the outermost one), or @index is no object.
 */
uint32_t json_text_member(const struct json_text *json, uint32_t index, const char *name);

/* json_text_u32 - 0 and the value of an integer from 0 to 2^32 - 1; else nonzero. */
int json_text_u32(const struct json_text *json, uint32_t index, uint32_t *out);

#endif
