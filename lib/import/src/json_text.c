/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* YAJL says what there is, one thing after the other; here it is written down. */
#include "json_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include <resume/import.h>

/* What YAJL wants of a function that it calls. */
#define GO_ON 1
#define STOP 0

struct writer {
    struct json_text json;
    uint32_t capacity; /* of json.values */
    uint32_t used;     /* of json.text */
    uint32_t depth;
    uint32_t container[JSON_TEXT_DEPTH_MAX]; /* those that are open */
    int error;                               /* why it was stopped */
};

static int stop(struct writer *writer, int error)
{
    writer->error = error;
    return STOP;
}

static int add(struct writer *writer, enum json_kind kind, uint32_t length)
{
    struct json_text *json = &writer->json;
    if (json->count == writer->capacity) {
        uint32_t capacity = writer->capacity * 2;
        struct json_value *values = realloc(json->values, capacity * sizeof(*values));
        if (values == NULL)
            return stop(writer, RESUME_IMPORT_ERRNO(ENOMEM));
        json->values = values;
        writer->capacity = capacity;
    }
    json->values[json->count] = (struct json_value){
        .kind = kind, .next = json->count + 1, .at = writer->used, .length = length};
    json->count++;
    return GO_ON;
}

/* One with a text. There is room: it was longer in the original, or something stands behind it. */
static int add_text(struct writer *writer, enum json_kind kind, const void *text, size_t length)
{
    char *to = writer->json.text + writer->used;
    int ret = add(writer, kind, (uint32_t)length);
    memcpy(to, text, length);
    to[length] = 0;
    for (size_t i = 0; i < length; i++) {
        if (to[i] == 0)
            to[i] = (char)0xff;
    }
    writer->used += (uint32_t)length + 1;
    return ret;
}

/* One more in the innermost container. */
static int count(struct writer *writer)
{
    if (writer->depth == 0)
        return GO_ON;
    struct json_value *outer = &writer->json.values[writer->container[writer->depth - 1]];
    outer->length++;
    if (outer->kind == JSON_KIND_OBJECT && outer->length > JSON_TEXT_MEMBERS_MAX)
        return stop(writer, RESUME_ELENGTH);
    return GO_ON;
}

static int on_null(void *ctx)
{
    return count(ctx) && add(ctx, JSON_KIND_OTHER, 0);
}

static int on_boolean(void *ctx, int value)
{
    (void)value;
    return count(ctx) && add(ctx, JSON_KIND_OTHER, 0);
}

static int on_number(void *ctx, const char *text, size_t length)
{
    int whole = 1;
    for (size_t i = 0; i < length; i++)
        whole &= text[i] != '.' && text[i] != 'e' && text[i] != 'E';
    return count(ctx) && add_text(ctx, whole ? JSON_KIND_INTEGER : JSON_KIND_OTHER, text, length);
}

static int on_string(void *ctx, const unsigned char *text, size_t length)
{
    return count(ctx) && add_text(ctx, JSON_KIND_STRING, text, length);
}

static int on_name(void *ctx, const unsigned char *text, size_t length)
{
    return add_text(ctx, JSON_KIND_STRING, text, length);
}

static int open_container(struct writer *writer, enum json_kind kind)
{
    if (!count(writer))
        return STOP;
    if (writer->depth == JSON_TEXT_DEPTH_MAX)
        return stop(writer, RESUME_ELENGTH);
    writer->container[writer->depth++] = writer->json.count;
    return add(writer, kind, 0);
}

static int on_object(void *ctx)
{
    return open_container(ctx, JSON_KIND_OBJECT);
}

static int on_array(void *ctx)
{
    return open_container(ctx, JSON_KIND_ARRAY);
}

static int on_end(void *ctx)
{
    struct writer *writer = ctx;
    writer->json.values[writer->container[--writer->depth]].next = writer->json.count;
    return GO_ON;
}

/* Returns 0 or an error. */
static int parse(struct writer *writer, const uint8_t *text, size_t length, size_t *ret_at)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_object,
        .yajl_map_key = on_name,
        .yajl_end_map = on_end,
        .yajl_start_array = on_array,
        .yajl_end_array = on_end,
    };
    yajl_handle handle = yajl_alloc(&callbacks, NULL, writer);
    if (handle == NULL)
        return RESUME_IMPORT_ERRNO(ENOMEM);
    /* Names are judged by those who want one, and may be shown as they are. */
    yajl_config(handle, yajl_dont_validate_strings, 1);
    yajl_status status = yajl_parse(handle, text, length);
    *ret_at = yajl_get_bytes_consumed(handle);
    /* A string that begins behind the outermost value, and does not end, is not noticed: end it. */
    if (status == yajl_status_ok && writer->json.count > 0 && writer->depth == 0)
        status = yajl_parse(handle, (const unsigned char *)"\"", 1);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(handle);
    yajl_free(handle);
    if (status == yajl_status_ok)
        return writer->json.count > 0 ? 0 : RESUME_ERESERVED;
    return writer->error != 0 ? writer->error : RESUME_ERESERVED;
}

int json_text_parse(const uint8_t *text, size_t length, struct json_text *out, size_t *ret_at)
{
    struct writer writer = {.error = 0};
    *ret_at = 0;
    if (length >= UINT32_C(1) << 30)
        return RESUME_ELENGTH;
    writer.capacity = (uint32_t)length / 6 + 16;
    writer.json.values = malloc(writer.capacity * sizeof(*writer.json.values));
    writer.json.text = malloc(length + 1);
    int ret = RESUME_IMPORT_ERRNO(ENOMEM);
    if (writer.json.values != NULL && writer.json.text != NULL)
        ret = parse(&writer, text, length, ret_at);
    if (ret != 0) {
        json_text_free(&writer.json);
        return ret;
    }
    *out = writer.json;
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
        if (c < '0' || c > '9') /* a sign, that is */
            return -1;
        number = number * 10 + (uint64_t)(c - '0');
    }
    if (number > UINT32_MAX)
        return -1;
    *out = (uint32_t)number;
    return 0;
}
