/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "qemu_pairs.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* Takes ownership of both strings; @key NULL means that memory ran out. */
static int add_pair(struct qemu_pairs *pairs, char *key, char *value)
{
    if (key == NULL || pairs->count == QEMU_PAIRS_MAX) {
        free(key);
        free(value);
        return -1;
    }
    pairs->pair[pairs->count++] = (struct qemu_pair){key, value};
    return 0;
}

/* Copies the next part of @text, up to a single comma, with doubled commas made single. */
static char *next_part(const char **text)
{
    const char *from = *text;
    char *part = malloc(strlen(from) + 1);
    if (part == NULL)
        return NULL;
    size_t length = 0;
    while (*from != '\0') {
        if (*from == ',') {
            if (from[1] != ',')
                break;
            from++;
        }
        part[length++] = *from++;
    }
    part[length] = '\0';
    *text = *from == ',' ? from + 1 : NULL;
    return part;
}

static int parse_text(const char *text, const char *implied, struct qemu_pairs *out)
{
    bool first = true;
    while (text != NULL && *text != '\0') {
        char *part = next_part(&text);
        if (part == NULL)
            return -1;
        char *equals = strchr(part, '=');
        int result;
        if (equals != NULL) {
            char *value = strdup(equals + 1);
            *equals = '\0';
            result = value != NULL ? add_pair(out, part, value) : add_pair(out, NULL, part);
        } else if (first && implied != NULL) {
            result = add_pair(out, strdup(implied), part);
        } else {
            result = add_pair(out, part, NULL);
        }
        if (result < 0)
            return -1;
        first = false;
    }
    return 0;
}

static char *scalar_text(const json_t *value)
{
    char *text = NULL;
    if (json_is_string(value))
        return strdup(json_string_value(value));
    if (json_is_boolean(value))
        return strdup(json_is_true(value) ? "on" : "off");
    if (json_is_integer(value) &&
        asprintf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value)) < 0)
        return NULL;
    return text;
}

/* One level of a JSON object; deeper levels are appended to the work list. */
struct pending_object {
    char *prefix;
    const json_t *object;
};

static int flatten_json(const json_t *root, struct qemu_pairs *out)
{
    struct pending_object pending[QEMU_PAIRS_MAX] = {{NULL, root}};
    size_t count = 1;
    int result = 0;
    for (size_t next = 0; next < count; next++) {
        const char *prefix = pending[next].prefix;
        const char *key;
        json_t *value;
        /* jansson's iterator wants a non-const object but does not write to it */
        json_object_foreach((json_t *)(uintptr_t)pending[next].object, key, value)
        {
            char *name = NULL;
            if (result < 0)
                break;
            if (asprintf(&name, "%s%s%s", prefix != NULL ? prefix : "", prefix != NULL ? "." : "",
                         key) < 0) {
                result = -1;
            } else if (json_is_object(value)) {
                if (count == QEMU_PAIRS_MAX) {
                    free(name);
                    result = -1;
                } else {
                    pending[count++] = (struct pending_object){name, value};
                }
            } else {
                char *text = scalar_text(value);
                result = text != NULL ? add_pair(out, name, text) : 0;
                if (text == NULL)
                    free(name); /* lists and nulls are of no interest here */
            }
        }
    }
    for (size_t i = 0; i < count; i++)
        free(pending[i].prefix);
    return result;
}

int qemu_pairs_parse(const char *text, const char *implied, struct qemu_pairs *out)
{
    struct qemu_pairs pairs = {0};
    int result;
    if (text[0] == '{') {
        json_t *root = json_loads(text, 0, NULL);
        result = json_is_object(root) ? flatten_json(root, &pairs) : -1;
        json_decref(root);
    } else {
        result = parse_text(text, implied, &pairs);
    }
    if (result < 0) {
        qemu_pairs_free(&pairs);
        return -1;
    }
    *out = pairs;
    return 0;
}

void qemu_pairs_free(struct qemu_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->pair[i].key);
        free(pairs->pair[i].value);
    }
    pairs->count = 0;
}

const char *qemu_pairs_get(const struct qemu_pairs *pairs, const char *key)
{
    const char *value = NULL;
    for (size_t i = 0; i < pairs->count; i++)
        if (pairs->pair[i].value != NULL && strcmp(pairs->pair[i].key, key) == 0)
            value = pairs->pair[i].value;
    return value;
}

bool qemu_pairs_on(const struct qemu_pairs *pairs, const char *key)
{
    bool on = false;
    for (size_t i = 0; i < pairs->count; i++) {
        const char *value = pairs->pair[i].value;
        if (strcmp(pairs->pair[i].key, key) == 0)
            on = value == NULL || strcmp(value, "on") == 0 || strcmp(value, "yes") == 0 ||
                 strcmp(value, "true") == 0 || strcmp(value, "y") == 0;
    }
    return on;
}

int qemu_pairs_set(struct qemu_pairs *pairs, const char *key, const char *value)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->pair[i].key, key) != 0)
            continue;
        char *copy = strdup(value);
        if (copy == NULL)
            return -1;
        free(pairs->pair[i].value);
        pairs->pair[i].value = copy;
    }
    return 0;
}

void qemu_pairs_remove(struct qemu_pairs *pairs, const char *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->pair[i].key, key) == 0) {
            free(pairs->pair[i].key);
            free(pairs->pair[i].value);
        } else {
            pairs->pair[kept++] = pairs->pair[i];
        }
    }
    pairs->count = kept;
}

static void put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == ',')
            fputc(',', out);
        fputc(*text, out);
    }
}

char *qemu_pairs_format(const struct qemu_pairs *pairs)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < pairs->count; i++) {
        if (i > 0)
            fputc(',', out);
        put_escaped(out, pairs->pair[i].key);
        if (pairs->pair[i].value != NULL) {
            fputc('=', out);
            put_escaped(out, pairs->pair[i].value);
        }
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
