/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "json_build.h"

#include <errno.h>
#include <string.h>

/* jansson's functions accept NULL and then fail, so a lost allocation shows at the end. */
static bool lost;

static json_t *keep(json_t *json)
{
    if (json == NULL)
        lost = true;
    return json;
}

json_t *json_build_object(void)
{
    return keep(json_object());
}

json_t *json_build_array(void)
{
    return keep(json_array());
}

json_t *json_build_null(void)
{
    return keep(json_null());
}

json_t *json_build_text(const char *string)
{
    json_t *text = json_string(string);
    /* Names come out of inputs, and paths need not be UTF-8. */
    if (text == NULL && string != NULL) {
        char clean[512];
        size_t i = 0;
        for (; string[i] != '\0' && i < sizeof(clean) - 1; i++)
            clean[i] = (unsigned char)string[i] < 0x80 ? string[i] : '?';
        clean[i] = '\0';
        text = json_string(clean);
    }
    return keep(text);
}

json_t *json_build_bool(bool value)
{
    return keep(json_boolean(value));
}

json_t *json_build_number(uint64_t value)
{
    return keep(json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value)));
}

json_t *json_build_hex(uint64_t value)
{
    char buffer[24];
    snprintf(buffer, sizeof(buffer), "0x%llx", (unsigned long long)value);
    return json_build_text(buffer);
}

json_t *json_build_maybe_hex(uint64_t value, bool known)
{
    return known ? json_build_hex(value) : json_build_null();
}

json_t *json_build_wide(const uint8_t *bytes, unsigned count)
{
    char buffer[2 + 128 + 1] = "0x";
    for (unsigned i = 0; i < count && i < 64; i++)
        snprintf(buffer + 2 + i * 2, 3, "%02x", bytes[count - 1 - i]);
    return json_build_text(buffer);
}

json_t *json_build_bits(enum decode_register reg, uint64_t value)
{
    json_t *names = json_build_array();
    const char *name;
    for (unsigned bit = 0; (name = decode_bit(reg, value, &bit)) != NULL; bit++) {
        char unnamed[8];
        if (strcmp(name, "?") == 0) {
            snprintf(unnamed, sizeof(unnamed), "bit%u", bit);
            name = unnamed;
        }
        json_build_append(names, json_build_text(name));
    }
    return names;
}

json_t *json_build_flags(enum decode_register reg, uint64_t value)
{
    json_t *json = json_build_object();
    json_build_set(json, "value", json_build_hex(value));
    json_build_set(json, "flags", json_build_bits(reg, value));
    return json;
}

void json_build_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        lost = true;
}

void json_build_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        lost = true;
}

static int print(json_t *root, size_t flags, FILE *out, const char *what,
                 struct report_failure *failure)
{
    int ret = 0;
    if (lost)
        ret = report_fail_memory(failure, what);
    else if (json_dumpf(root, out, flags) != 0)
        ret = report_fail_errno(failure, errno, "write", "standard output");
    lost = false;
    json_decref(root);
    return ret;
}

int json_build_print(json_t *root, FILE *out, const char *what, struct report_failure *failure)
{
    int ret = print(root, JSON_INDENT(2), out, what, failure);
    if (ret == 0 && fputc('\n', out) == EOF)
        ret = report_fail_errno(failure, errno, "write", "standard output");
    return ret;
}

int json_build_entry(json_t *entry, bool first, FILE *out, const char *what,
                     struct report_failure *failure)
{
    if (fputs(first ? "\n    " : ",\n    ", out) == EOF) {
        json_decref(entry);
        return report_fail_errno(failure, errno, "write", "standard output");
    }
    return print(entry, 0, out, what, failure);
}
