/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The flat list of a JSON text's values. What is JSON, and what it means, is asked of jansson. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include <resume/import.h>

#include "json_text.h"

static int parse(const char *text, struct json_text *json)
{
    size_t at;
    return json_text_parse((const uint8_t *)text, strlen(text), json, &at);
}

/*
 * Text of which jansson is no judge here: it refuses more than the standard does, or other things. (YAJL
 * bears form feeds and vertical tabs between values and a byte order mark, which it should not.)
 */
static int is_excepted(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    return code == json_error_invalid_utf8 || code == json_error_null_character ||
           code == json_error_numeric_overflow || code == json_error_stack_overflow ||
           /* half of a surrogate pair */
           strstr(error->text, "Unicode") != NULL;
}

/* Goes over both; a level of nesting is a level of recursion here. Returns the index behind @index. */
static uint32_t compare(const struct json_text *json, uint32_t index, json_t *expected)
{
    const struct json_value *value = &json->values[index];
    uint32_t i = index + 1;
    const char *name;
    json_t *member;
    size_t k;
    switch (json_typeof(expected)) {
    case JSON_OBJECT:
        assert_int_equal(value->kind, JSON_KIND_OBJECT);
        json_object_foreach(expected, name, member)
        {
            uint32_t found = json_text_member(json, index, name);
            /* A name that is not ASCII is not kept. */
            if (found != 0)
                compare(json, found, member);
            else
                assert_null(strpbrk(name, "abcdefghijklmnopqrstuvwxyz"));
        }
        break;
    case JSON_ARRAY:
        assert_int_equal(value->kind, JSON_KIND_ARRAY);
        assert_int_equal(value->length, json_array_size(expected));
        json_array_foreach(expected, k, member) i = compare(json, i, member);
        assert_int_equal(i, value->next);
        break;
    case JSON_STRING:
        assert_int_equal(value->kind, JSON_KIND_STRING);
        assert_int_equal(json->text[value->at + value->length], 0);
        if (memchr(json->text + value->at, 0xff, value->length) == NULL)
            assert_true(json_text_is(json, index, json_string_value(expected)));
        break;
    case JSON_INTEGER: {
        json_int_t number = json_integer_value(expected);
        uint32_t read;
        assert_int_equal(value->kind, JSON_KIND_INTEGER);
        if (json_text_u32(json, index, &read) == 0)
            assert_int_equal(read, number);
        else
            assert_true(number < 0 || number > UINT32_MAX || value->length > 10 || number == 0);
        break;
    }
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
    default:
        assert_int_equal(value->kind, JSON_KIND_OTHER);
        break;
    }
    return value->next;
}

static void check(const char *text, size_t length)
{
    struct json_text json;
    json_error_t error;
    size_t at = SIZE_MAX;
    json_t *expected = json_loadb(text, length, JSON_DECODE_ANY, &error);
    int ret = json_text_parse((const uint8_t *)text, length, &json, &at);
    if (memchr(text, 0, length) != NULL) {
        /* jansson takes one behind the value for the end. */
        assert_int_equal(ret, RESUME_ERESERVED);
        json_decref(expected);
        return;
    }
    if (expected == NULL && is_excepted(&error)) {
        if (ret == 0)
            json_text_free(&json);
        return;
    }
    if ((ret == 0) != (expected != NULL))
        fail_msg("%d for \"%.*s\" (jansson: %s)", ret, (int)length, text,
                 expected != NULL ? "fine" : error.text);
    if (ret == 0) {
        assert_int_equal(compare(&json, 0, expected), json.count);
        json_text_free(&json);
    } else {
        assert_int_equal(ret, RESUME_ERESERVED);
        assert_true(at <= length);
    }
    json_decref(expected);
}

static const char sample[] =
    " {\"devices\": [{\"name\": \"cpu\", \"instance_id\": 0, \"version\": 12, \"fields\": [\n"
    "\t{\"name\": \"env.regs\", \"array_len\": 16, \"type\": \"uint64\", \"size\": 8}, {},\r\n"
    " {\"name\": \"a\\\"b\\\\c\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\ud83d\\ude00z\", \"size\":-1}, []],"
    "\"subsections\": null, \"x\": [true, false, 1.5, -0.25e-3, 1E5, 0, 4294967295, 4294967296,"
    " [[[\"\"]]], \"\xc3\xa9\"]}], \"page_size\": 4096, \"page_size\": 8192} ";

static void test_agrees_with_jansson(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "null",
        "nul",
        "nulll",
        "true",
        "false",
        "0",
        "-0",
        "-",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1E-2",
        "1.5e3",
        "+1",
        "--1",
        "0x10",
        "Infinity",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12",
        "\"\\u12G4\"",
        "\"\\uABCD\"",
        "\"\n\"",
        "\"\x1f\"",
        "\"\x7f\"",
        "[",
        "]",
        "[]",
        "[ ]",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1}",
        "[1,2",
        "{",
        "}",
        "{}",
        "{ }",
        "{,}",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1]",
        "{\"a\":1,\"a\":2}",
        "{}{}",
        "[] 1",
        "[[],{},[{}]]",
        "/**/1",
        "'a'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check(texts[i], strlen(texts[i]));
    /* A zero is no end. */
    check("1\0", 2);
    check("[1\0]", 4);
}

/* The sample cut everywhere, and with each byte replaced by each that means something. */
static void test_agrees_when_damaged(void **state)
{
    static const char bytes[] = "{}[],:\"\\ 0-.eu\n\x01z";
    char *text = strdup(sample);
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof(sample); i++)
        check(sample, i);
    for (size_t i = 0; i < sizeof(sample) - 1; i++) {
        for (size_t k = 0; k < sizeof(bytes); k++) {
            text[i] = bytes[k];
            check(text, sizeof(sample) - 1);
        }
        text[i] = sample[i];
    }
    free(text);
}

static void test_strings(void **state)
{
    struct json_text json;
    (void)state;
    assert_int_equal(parse("[\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0042\\u00e9\\u0000c\", \"\"]", &json),
                     0);
    assert_int_equal(json.count, 3);
    assert_true(json_text_is(&json, 1,
                             "a\"\\/\b\f\n\r\tB\xc3\xa9\xff"
                             "c"));
    assert_true(json_text_is(&json, 2, ""));
    assert_false(json_text_is(&json, 1, "a"));
    assert_false(json_text_is(&json, 0, ""));
    json_text_free(&json);
}

static void test_lookups(void **state)
{
    struct json_text json;
    uint32_t number = 7;
    (void)state;
    assert_int_equal(parse(sample, &json), 0);
    uint32_t devices = json_text_member(&json, 0, "devices");
    assert_int_equal(json.values[devices].kind, JSON_KIND_ARRAY);
    assert_int_equal(json.values[devices].length, 1);
    assert_int_equal(json_text_member(&json, devices, "name"), 0);
    assert_int_equal(json_text_member(&json, 0, "device"), 0);
    assert_true(json_text_is(&json, json_text_member(&json, devices + 1, "name"), "cpu"));
    /* The last of several. */
    assert_int_equal(json_text_u32(&json, json_text_member(&json, 0, "page_size"), &number), 0);
    assert_int_equal(number, 8192);
    json_text_free(&json);

    assert_int_equal(parse("[4294967295, 4294967296, 99999999999, -1, 1.0, \"1\", 1e1]", &json), 0);
    assert_int_equal(json_text_u32(&json, 1, &number), 0);
    assert_int_equal(number, UINT32_MAX);
    for (uint32_t i = 2; i < json.count; i++)
        assert_int_not_equal(json_text_u32(&json, i, &number), 0);
    assert_int_equal(number, UINT32_MAX);
    json_text_free(&json);
}

static void test_limits(void **state)
{
    char text[1024];
    struct json_text json = {.text = NULL};
    size_t at = 0;
    (void)state;
    memset(text, '[', JSON_TEXT_DEPTH_MAX);
    memset(text + JSON_TEXT_DEPTH_MAX, ']', JSON_TEXT_DEPTH_MAX);
    text[2 * JSON_TEXT_DEPTH_MAX] = 0;
    assert_int_equal(parse(text, &json), 0);
    assert_int_equal(json.count, JSON_TEXT_DEPTH_MAX);
    json_text_free(&json);
    text[JSON_TEXT_DEPTH_MAX] = '[';
    assert_int_equal(parse(text, &json), RESUME_ELENGTH);
    assert_null(json.text);

    char *to = text;
    for (unsigned i = 0; i <= JSON_TEXT_MEMBERS_MAX; i++) {
        memcpy(to, i == 0 ? "{\"a\":1" : ",\"a\":1", 6);
        to += 6;
        to[0] = '}';
        to[1] = 0;
        assert_int_equal(parse(text, &json), i < JSON_TEXT_MEMBERS_MAX ? 0 : RESUME_ELENGTH);
        json_text_free(&json);
    }
    assert_int_equal(json_text_parse((const uint8_t *)"1", (size_t)1 << 30, &json, &at),
                     RESUME_ELENGTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_jansson),
        cmocka_unit_test(test_agrees_when_damaged),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
