/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * JSON for programs, put together without a check at each step: what could not be allocated shows
 * when it is printed. Values of registers and addresses are strings ("0x..."): JSON's numbers end at
 * 53 bits.
 */
#ifndef RESUME_TOOLS_JSON_BUILD_H
#define RESUME_TOOLS_JSON_BUILD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "decode.h"
#include "report.h"

/* Each gives a new reference, or NULL, which the others accept. */
json_t *json_build_object(void);
json_t *json_build_array(void);
json_t *json_build_null(void);
json_t *json_build_text(const char *string);
json_t *json_build_bool(bool value);
json_t *json_build_number(uint64_t value);
json_t *json_build_hex(uint64_t value);
json_t *json_build_maybe_hex(uint64_t value, bool known);
/* A number of up to 64 bytes, low byte first in memory. */
json_t *json_build_wide(const uint8_t *bytes, unsigned count);
/* The names of the bits that are set; "bit27" for one without a name. */
json_t *json_build_bits(enum decode_register reg, uint64_t value);
/* {"value": "0x...", "flags": [...]}. */
json_t *json_build_flags(enum decode_register reg, uint64_t value);

/* Take over @value. */
void json_build_set(json_t *object, const char *key, json_t *value);
void json_build_append(json_t *array, json_t *value);

/*
 * json_build_print - print @root, indented, with a newline at the end, and release it.
 * Failures: EXIT_CODE_ENVIRONMENT: a write, or memory that was lost since the last call.
 */
int json_build_print(json_t *root, FILE *out, const char *what, struct report_failure *failure);

/*
 * json_build_entry - print one entry of a long array, in one line: a comma before it unless it is the
 * first. Releases @entry. Failures as above.
 */
int json_build_entry(json_t *entry, bool first, FILE *out, const char *what,
                     struct report_failure *failure);

#endif
