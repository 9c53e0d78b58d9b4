/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* JSON of unknown origin, parsed within bounds and with integers of 64 bits without a sign. */
#ifndef RESUME_IMPORT_JSON_STRUCTS_H
#define RESUME_IMPORT_JSON_STRUCTS_H

#include <jansson.h>

#include "importer.h"

/*
 * import_json - parse a text.
 * @values_max: the most values in it; each costs some 50 bytes of memory. Also refused: more than 64
 * levels, a name twice in one object.
 * @offset: of the text in the file, for messages.  @out: to be released.
 * Integers of 19 digits or more become strings of digits; import_json_u64 reads both.
 * Errors: ELENGTH, EMAGIC (no JSON), ERRNO.
 */
int import_json(const char *text, size_t length, size_t values_max, uint64_t offset,
                const char *where, json_t **out, struct resume_import_error *error);

/* import_json_u64 - 0 when @value is an integer of 64 bits, which goes to @out; else nonzero. */
int import_json_u64(const json_t *value, uint64_t *out);

/*
 * import_json_numbers - an array of integers as @size bytes each (1 or 4), little-endian, negative
 * ones in two's complement. @to: room for @count of them. Returns 0 when there are as many as that,
 * all of them in range.
 */
int import_json_numbers(const json_t *array, unsigned size, size_t count, uint8_t *to);

#endif
