/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "json_structs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define DEPTH_MAX 64
/* Jansson's integers have a sign: from so many digits on a number may be too large for them. */
#define DIGITS_MAX 19

/* A copy of the text, with the large integers in quotes. */
struct copy {
    char *to;
    size_t length;
    size_t values;
    size_t deepest;
};

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* @copy->to may be NULL: only count. */
static void put(struct copy *copy, const char *from, size_t length)
{
    if (copy->to != NULL)
        memcpy(copy->to + copy->length, from, length);
    copy->length += length;
}

/* Returns where the string that starts at @at ends. */
static size_t skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length && text[at] != '"'; at++) {
        if (text[at] == '\\' && at + 1 < length)
            at++;
    }
    return at < length ? at + 1 : length;
}

static size_t copy_digits(struct copy *copy, const char *text, size_t length, size_t at)
{
    size_t end = at;
    while (end < length && is_digit(text[end]))
        end++;
    char before = at > 0 ? text[at - 1] : ',';
    char behind = end < length ? text[end] : ',';
    int whole = strchr(",:[ \n\t\r", before) != NULL && strchr(",]} \n\t\r", behind) != NULL;
    int large = before != 0 && behind != 0 && whole && end - at >= DIGITS_MAX;
    if (large)
        put(copy, "\"", 1);
    put(copy, text + at, end - at);
    if (large)
        put(copy, "\"", 1);
    return end;
}

static void copy_text(struct copy *copy, const char *text, size_t length)
{
    size_t depth = 0;
    size_t at = 0;
    copy->length = 0;
    copy->values = 1;
    copy->deepest = 0;
    while (at < length) {
        size_t end = at + 1;
        if (is_digit(text[at])) {
            at = copy_digits(copy, text, length, at);
            continue;
        }
        switch (text[at]) {
        case '"':
            end = skip_string(text, length, at);
            break;
        case '[':
        case '{':
            depth++;
            copy->deepest = depth > copy->deepest ? depth : copy->deepest;
            copy->values++;
            break;
        case ']':
        case '}':
            depth -= depth != 0;
            break;
        case ',':
            copy->values++;
            break;
        default:
            break;
        }
        put(copy, text + at, end - at);
        at = end;
    }
}

int import_json(const char *text, size_t length, size_t values_max, uint64_t offset,
                const char *where, json_t **out, struct resume_import_error *error)
{
    struct copy copy = {0};
    json_error_t why;
    copy_text(&copy, text, length);
    if (copy.values > values_max || copy.deepest > DEPTH_MAX)
        return import_fail(error, RESUME_ELENGTH, offset, where, "",
                           "there are %zu values in it at up to %zu levels, expected at most %zu "
                           "and %d",
                           copy.values, copy.deepest, values_max, DEPTH_MAX);
    copy.to = malloc(copy.length + 1);
    if (copy.to == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, where, "",
                           "no memory");
    copy_text(&copy, text, length);
    *out = json_loadb(copy.to, copy.length, JSON_REJECT_DUPLICATES, &why);
    free(copy.to);
    if (*out == NULL)
        return import_fail(error, RESUME_EMAGIC, offset, where, "is the file complete?",
                           "it is no JSON: %.150s (line %d, column %d)", why.text, why.line,
                           why.column);
    return 0;
}

int import_json_u64(const json_t *value, uint64_t *out)
{
    uint64_t number = 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return 0;
    }
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (text == NULL || length < DIGITS_MAX || length > DIGITS_MAX + 1)
        return -1;
    for (size_t i = 0; i < length; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (!is_digit(text[i]) || number > (UINT64_MAX - digit) / 10)
            return -1;
        number = number * 10 + digit;
    }
    *out = number;
    return 0;
}

int import_json_numbers(const json_t *array, unsigned size, size_t count, uint8_t *to)
{
    const json_int_t most = size == 1 ? UINT8_MAX : UINT32_MAX;
    const json_int_t least = size == 1 ? INT8_MIN : 0;
    if (!json_is_array(array) || json_array_size(array) != count)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(array, i);
        json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < least || number > most)
            return -1;
        if (size == 1)
            to[i] = (uint8_t)number;
        else
            import_put_le32(to + 4 * i, (uint32_t)number);
    }
    return 0;
}
