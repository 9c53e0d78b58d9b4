/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "json_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <resume/import.h>

/* What may come next. */
enum expected {
    EXPECT_VALUE,
    EXPECT_FIRST_VALUE, /* or the end of the array */
    EXPECT_NAME,
    EXPECT_FIRST_NAME, /* or the end of the object */
    EXPECT_COLON,
    EXPECT_MORE, /* a comma, or the end of the container */
    EXPECT_END
};

struct parser {
    struct json_text json;
    uint32_t at;
    uint32_t length;
    uint32_t capacity;
    uint32_t depth;
    uint32_t container[JSON_TEXT_DEPTH_MAX]; /* those that are open */
};

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The next character; behind the text is a zero, which is nowhere valid. */
static char peek(const struct parser *parser)
{
    return parser->json.text[parser->at];
}

static int add(struct parser *parser, enum json_kind kind, uint32_t at, uint32_t length)
{
    struct json_text *json = &parser->json;
    if (json->count == parser->capacity) {
        uint32_t capacity = parser->capacity * 2;
        struct json_value *values = realloc(json->values, capacity * sizeof(*values));
        if (values == NULL)
            return RESUME_IMPORT_ERRNO(ENOMEM);
        json->values = values;
        parser->capacity = capacity;
    }
    json->values[json->count] =
        (struct json_value){.kind = kind, .next = json->count + 1, .at = at, .length = length};
    json->count++;
    return 0;
}

static int hex_digit(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One escape at the backslash; returns the byte that it stands for, or a negative number. */
static int read_escape(struct parser *parser)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    parser->at++;
    char c = peek(parser);
    parser->at += c != 0;
    if (c != 'u') {
        const char *letter = c != 0 ? strchr(letters, c) : NULL;
        return letter != NULL ? meant[letter - letters] : -1;
    }
    int value = 0;
    for (unsigned i = 0; i < 4; i++) {
        int digit = hex_digit(peek(parser));
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
        parser->at++;
    }
    return value > 0 && value < 0x80 ? value : 0xff;
}

/* Decoded where it is: that takes no more room than the text did. */
static int read_string(struct parser *parser)
{
    char *text = parser->json.text;
    uint32_t from = ++parser->at;
    while ((uint8_t)peek(parser) >= ' ' && peek(parser) != '"' && peek(parser) != '\\')
        parser->at++;
    uint32_t to = parser->at;
    while (peek(parser) != '"') {
        int c = (uint8_t)peek(parser);
        if (c < ' ')
            return RESUME_ERESERVED;
        if (c == '\\')
            c = read_escape(parser);
        else
            parser->at++;
        if (c < 0)
            return RESUME_ERESERVED;
        text[to++] = (char)c;
    }
    text[to] = 0;
    parser->at++;
    return add(parser, JSON_KIND_STRING, from, to - from);
}

static void skip_digits(struct parser *parser)
{
    while (is_digit(peek(parser)))
        parser->at++;
}

static int read_number(struct parser *parser)
{
    enum json_kind kind = JSON_KIND_INTEGER;
    uint32_t from = parser->at;
    parser->at += peek(parser) == '-';
    uint32_t digits = parser->at;
    skip_digits(parser);
    if (parser->at == digits || (parser->json.text[digits] == '0' && parser->at - digits > 1))
        return RESUME_ERESERVED;
    if (peek(parser) == '.') {
        kind = JSON_KIND_OTHER;
        parser->at++;
        skip_digits(parser);
        if (!is_digit(parser->json.text[parser->at - 1]))
            return RESUME_ERESERVED;
    }
    if (peek(parser) == 'e' || peek(parser) == 'E') {
        kind = JSON_KIND_OTHER;
        parser->at++;
        parser->at += peek(parser) == '+' || peek(parser) == '-';
        skip_digits(parser);
        if (!is_digit(parser->json.text[parser->at - 1]))
            return RESUME_ERESERVED;
    }
    return add(parser, kind, from, parser->at - from);
}

static int read_word(struct parser *parser)
{
    static const char *const words[] = {"null", "true", "false"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        uint32_t length = (uint32_t)strlen(words[i]);
        if (strncmp(parser->json.text + parser->at, words[i], length) == 0) {
            parser->at += length;
            return add(parser, JSON_KIND_OTHER, parser->at - length, length);
        }
    }
    return RESUME_ERESERVED;
}

static int open_container(struct parser *parser, enum json_kind kind)
{
    if (parser->depth == JSON_TEXT_DEPTH_MAX)
        return RESUME_ELENGTH;
    parser->container[parser->depth++] = parser->json.count;
    return add(parser, kind, parser->at++, 0);
}

/* One more in the innermost container. */
static int count(struct parser *parser)
{
    if (parser->depth == 0)
        return 0;
    struct json_value *outer = &parser->json.values[parser->container[parser->depth - 1]];
    outer->length++;
    return outer->kind == JSON_KIND_OBJECT && outer->length > JSON_TEXT_MEMBERS_MAX ? RESUME_ELENGTH
                                                                                    : 0;
}

static enum expected after_value(const struct parser *parser)
{
    return parser->depth == 0 ? EXPECT_END : EXPECT_MORE;
}

static int read_value(struct parser *parser, enum expected *expected)
{
    char c = peek(parser);
    int ret = count(parser);
    if (ret != 0)
        return ret;
    if (c == '{' || c == '[') {
        *expected = c == '{' ? EXPECT_FIRST_NAME : EXPECT_FIRST_VALUE;
        return open_container(parser, c == '{' ? JSON_KIND_OBJECT : JSON_KIND_ARRAY);
    }
    *expected = after_value(parser);
    return c == '"'                  ? read_string(parser)
           : c == '-' || is_digit(c) ? read_number(parser)
                                     : read_word(parser);
}

/* The comma behind an element or member, or the end of the container. */
static int read_separator(struct parser *parser, enum expected *expected)
{
    struct json_value *outer = &parser->json.values[parser->container[parser->depth - 1]];
    int is_object = outer->kind == JSON_KIND_OBJECT;
    char c = peek(parser);
    if (c == ',') {
        *expected = is_object ? EXPECT_NAME : EXPECT_VALUE;
    } else if (c == (is_object ? '}' : ']')) {
        outer->next = parser->json.count;
        parser->depth--;
        *expected = after_value(parser);
    } else {
        return RESUME_ERESERVED;
    }
    parser->at++;
    return 0;
}

static int read_next(struct parser *parser, enum expected *expected)
{
    char c = peek(parser);
    switch (*expected) {
    case EXPECT_FIRST_VALUE:
        if (c == ']')
            return read_separator(parser, expected);
        return read_value(parser, expected);
    case EXPECT_VALUE:
        return read_value(parser, expected);
    case EXPECT_FIRST_NAME:
        if (c == '}')
            return read_separator(parser, expected);
        *expected = EXPECT_COLON;
        return c == '"' ? read_string(parser) : RESUME_ERESERVED;
    case EXPECT_NAME:
        *expected = EXPECT_COLON;
        return c == '"' ? read_string(parser) : RESUME_ERESERVED;
    case EXPECT_COLON:
        *expected = EXPECT_VALUE;
        parser->at += c == ':';
        return c == ':' ? 0 : RESUME_ERESERVED;
    case EXPECT_MORE:
        return read_separator(parser, expected);
    case EXPECT_END:
        break;
    }
    return RESUME_ERESERVED;
}

static int parse(struct parser *parser)
{
    enum expected expected = EXPECT_VALUE;
    for (;;) {
        while (peek(parser) == ' ' || peek(parser) == '\n' || peek(parser) == '\t' ||
               peek(parser) == '\r')
            parser->at++;
        if (expected == EXPECT_END && parser->at == parser->length)
            return 0;
        int ret = read_next(parser, &expected);
        if (ret != 0)
            return ret;
    }
}

int json_text_parse(const uint8_t *text, size_t length, struct json_text *out, size_t *ret_at)
{
    struct parser parser = {.length = (uint32_t)length};
    *ret_at = 0;
    if (length >= UINT32_C(1) << 30)
        return RESUME_ELENGTH;
    parser.capacity = parser.length / 8 + 16;
    parser.json.values = malloc(parser.capacity * sizeof(*parser.json.values));
    parser.json.text = malloc(length + 1);
    int ret = RESUME_IMPORT_ERRNO(ENOMEM);
    if (parser.json.values != NULL && parser.json.text != NULL) {
        if (length > 0)
            memcpy(parser.json.text, text, length);
        parser.json.text[length] = 0;
        ret = parse(&parser);
    }
    if (ret != 0) {
        *ret_at = parser.at;
        json_text_free(&parser.json);
        return ret;
    }
    *out = parser.json;
    return 0;
}

void json_text_free(struct json_text *json)
{
    free(json->text);
    free(json->values);
    memset(json, 0, sizeof(*json));
}

int json_text_is(const struct json_text *json, uint32_t index, const char *string)
{
    const struct json_value *value = &json->values[index];
    return value->kind == JSON_KIND_STRING && value->length == strlen(string) &&
           memcmp(json->text + value->at, string, value->length) == 0;
}

uint32_t json_text_member(const struct json_text *json, uint32_t index, const char *name)
{
    uint32_t found = 0;
    if (json->values[index].kind != JSON_KIND_OBJECT)
        return 0;
    for (uint32_t i = index + 1; i < json->values[index].next; i = json->values[i + 1].next) {
        if (json_text_is(json, i, name))
            found = i + 1;
    }
    return found;
}

int json_text_u32(const struct json_text *json, uint32_t index, uint32_t *out)
{
    const struct json_value *value = &json->values[index];
    uint64_t number = 0;
    if (value->kind != JSON_KIND_INTEGER || value->length > 10)
        return -1;
    for (uint32_t i = 0; i < value->length; i++) {
        char c = json->text[value->at + i];
        if (!is_digit(c)) /* a sign, that is */
            return -1;
        number = number * 10 + (uint64_t)(c - '0');
    }
    if (number > UINT32_MAX)
        return -1;
    *out = (uint32_t)number;
    return 0;
}
