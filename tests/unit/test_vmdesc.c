/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream_build.h"
#include "vmdesc.h"

#define SEGMENT_JSON                                                                               \
    ", \"struct\": {\"vmsd_name\": \"segment\", \"version\": 1, \"fields\": ["                     \
    "{\"name\": \"selector\", \"type\": \"uint32\", \"size\": 4}, "                                \
    "{\"name\": \"base\", \"type\": \"uint64\", \"size\": 8}]}"

/* One of everything that descriptions have. */
static void build_sample(struct builder *b)
{
    build_header(b, "pc-q35-7.2");
    build_small_ram(b, 2);
    build_device(b, "cpu", "cpu", 0, 12);
    build_describe(b, "env.regs", "uint64", 8, ", \"array_len\": 2");
    build_be(b, 0x1111, 8);
    build_be(b, 0x2222, 8);
    build_field(b, "env.nr", "int32", 4, 0xffffffff);
    build_describe(b, "env.segs", "struct", 12, ", \"array_len\": 2" SEGMENT_JSON);
    for (unsigned i = 0; i < 2; i++) {
        build_be(b, 0x10 + i, 4);
        build_be(b, 0xa000 + i, 8);
    }
    build_describe(b, "env.tr", "struct", 12, SEGMENT_JSON);
    build_be(b, 0x40, 4);
    build_be(b, 0xb000, 8);
    build_describe(b, "tmp", "tmp", 10,
                   ", \"vmsd_name\": \"t\", \"version\": 0, \"fields\": ["
                   "{\"name\": \"mant\", \"type\": \"uint64\", \"size\": 8}, "
                   "{\"name\": \"exp\", \"type\": \"uint16\", \"size\": 2}]");
    build_be(b, 0x3333, 8);
    build_be(b, 0x44, 2);
    build_subsections(b);
    build_subsection(b, "cpu/fpop", 1);
    build_field(b, "env.fpop", "uint16", 2, 0x55);
    build_subsection_end(b);
    build_subsection(b, "alien", 3);
    build_field(b, "x", "uint8", 1, 0x66);
    build_subsection_end(b);
    build_device_end(b);

    build_u8(b, 8); /* a command between devices */
    build_be(b, 11, 2);
    build_be(b, 0, 2);

    build_device(b, "0000:00:1f.0/ICH9LPC", "ICH9LPC", 7, 1);
    /* Described element by element, one with an inner subsection. */
    build_describe(b, "port", "struct", 4,
                   ", \"index\": 0, \"struct\": {\"vmsd_name\": \"port\", \"version\": 1, "
                   "\"fields\": [{\"name\": \"v\", \"type\": \"uint32\", \"size\": 4}]}");
    build_be(b, 0x77, 4);
    build_describe(b, "port", "struct", 4 + 2 + 9 + 4 + 1,
                   ", \"index\": 1, \"struct\": {\"vmsd_name\": \"port\", \"version\": 1, "
                   "\"fields\": [{\"name\": \"v\", \"type\": \"uint32\", \"size\": 4}], "
                   "\"subsections\": [{\"vmsd_name\": \"port/more\", \"version\": 2, \"fields\": "
                   "[{\"name\": \"w\", \"type\": \"uint8\", \"size\": 1}]}]}");
    build_be(b, 0x88, 4);
    build_u8(b, 5);
    build_name(b, "port/more");
    build_be(b, 2, 4);
    build_u8(b, 0x99);
    /* A queue repeats its keys; only the size can be trusted. */
    build_describe(b, "queue", "qtailq", 7,
                   ", \"vmsd_name\": \"q\", \"version\": 1, \"fields\": [{\"name\": \"e\", "
                   "\"type\": \"uint8\", \"size\": 1}]");
    build_bytes(b, "QUEUED!", 7);
    build_describe(b, "big", "uint16", 2, ", \"array_len\": 1025");
    for (unsigned i = 0; i < 1025; i++)
        build_be(b, i, 2);
    build_field(b, "same", "uint8", 1, 1);
    build_field(b, "same", "uint8", 1, 2);
    build_field(b, "empty", "buffer", 0, 0);
    build_device_end(b);

    build_device(b, "none", "none", 0, 0);
    build_device_end(b);
    build_finish(b);
}

static int open_tail(const struct builder *b, struct vmdesc *desc, struct stream_error *error)
{
    return vmdesc_open(desc, b->data + b->devices_at, b->length - b->devices_at, b->devices_at,
                       error);
}

static uint64_t number(const struct vmdesc *desc, const struct vmdesc_section *section,
                       const char *path)
{
    uint64_t value = 0;
    const struct vmdesc_field *field = vmdesc_field_find(desc, section, path);
    if (field == NULL)
        fail_msg("no field %s", path);
    assert_int_equal(vmdesc_field_u64(field, &value), 0);
    assert_ptr_equal(field->data, desc->tail + (field->offset - desc->tail_offset));
    return value;
}

static void test_sections_and_fields(void **state)
{
    struct builder b = {0};
    struct vmdesc desc;
    struct stream_error error;
    uint64_t value;
    (void)state;
    build_sample(&b);
    if (open_tail(&b, &desc, &error) != 0)
        fail_msg("%s", error.why);
    assert_int_equal(desc.section_count, 3);

    const struct vmdesc_section *cpu = vmdesc_section_find(&desc, "cpu", 0);
    assert_non_null(cpu);
    assert_null(vmdesc_section_find(&desc, "cpu", 1));
    assert_null(vmdesc_section_nth(&desc, "cpu", 1));
    assert_int_equal(vmdesc_section_count(&desc, "cpu"), 1);
    assert_int_equal(vmdesc_section_count(&desc, "apic"), 0);
    assert_int_equal(cpu->version, 12);
    assert_int_equal(cpu->payload_length,
                     16 + 4 + 24 + 12 + 10 + (2 + 8 + 4 + 2) + (2 + 5 + 4 + 1));
    assert_int_equal(cpu->payload, 1 + 4 + 1 + 3 + 8);
    assert_int_equal(cpu->end, cpu->payload + cpu->payload_length + 5);
    assert_int_equal(number(&desc, cpu, "cpu/env.regs[0]"), 0x1111);
    assert_int_equal(number(&desc, cpu, "cpu/env.regs[1]"), 0x2222);
    assert_int_equal(number(&desc, cpu, "cpu/env.nr"), UINT64_MAX);
    assert_int_equal(number(&desc, cpu, "cpu/env.segs[1].selector"), 0x11);
    assert_int_equal(number(&desc, cpu, "cpu/env.segs[1].base"), 0xa001);
    assert_int_equal(number(&desc, cpu, "cpu/env.tr.selector"), 0x40);
    assert_int_equal(number(&desc, cpu, "cpu/tmp.mant"), 0x3333);
    assert_int_equal(number(&desc, cpu, "cpu/tmp.exp"), 0x44);
    assert_int_equal(number(&desc, cpu, "cpu/fpop/env.fpop"), 0x55);
    assert_int_equal(number(&desc, cpu, "cpu/alien/x"), 0x66);
    assert_true(vmdesc_has_subsection(&desc, cpu, "cpu/fpop"));
    assert_false(vmdesc_has_subsection(&desc, cpu, "cpu/fpo"));
    assert_null(vmdesc_field_find(&desc, cpu, "cpu/env.regs"));

    const struct vmdesc_section *lpc = vmdesc_section_find(&desc, "0000:00:1f.0/ICH9LPC", 7);
    assert_non_null(lpc);
    assert_int_equal(number(&desc, lpc, "0000:00:1f.0/ICH9LPC/port[0].v"), 0x77);
    assert_int_equal(number(&desc, lpc, "0000:00:1f.0/ICH9LPC/port[1].v"), 0x88);
    assert_int_equal(number(&desc, lpc, "0000:00:1f.0/ICH9LPC/port[1]/more/w"), 0x99);
    const struct vmdesc_field *field = vmdesc_field_find(&desc, lpc, "0000:00:1f.0/ICH9LPC/queue");
    assert_non_null(field);
    assert_int_equal(field->size, 7);
    assert_memory_equal(field->data, "QUEUED!", 7);
    assert_int_equal(vmdesc_field_u64(field, &value), RESUME_EINVAL);
    field = vmdesc_field_find(&desc, lpc, "0000:00:1f.0/ICH9LPC/big");
    assert_non_null(field);
    assert_int_equal(field->array_len, 1025);
    assert_int_equal(field->size, 2);
    assert_int_equal(stream_be16(field->data + 2 * 1024), 1024);
    assert_int_equal(vmdesc_field_u64(field, &value), RESUME_EINVAL);
    field = vmdesc_field_find(&desc, lpc, "0000:00:1f.0/ICH9LPC/same");
    assert_int_equal(field[0].duplicate, 0);
    assert_int_equal(field[0].data[0], 1);
    assert_string_equal(field[1].path, field[0].path);
    assert_int_equal(field[1].duplicate, 1);
    assert_int_equal(field[1].data[0], 2);

    assert_int_equal(vmdesc_section_find(&desc, "none", 0)->field_count, 0);
    assert_int_equal(desc.vmdesc + desc.tail_offset, b.vmdesc_at);
    assert_int_equal(desc.eof + 1, desc.vmdesc);
    vmdesc_close(&desc);
    vmdesc_close(&desc);
    build_free(&b);
}

static void test_truncated_everywhere(void **state)
{
    struct builder b = {0};
    struct vmdesc desc;
    struct stream_error error;
    (void)state;
    build_sample(&b);
    size_t full = b.length - b.devices_at;
    for (size_t length = 0; length < full; length++) {
        uint8_t *copy = malloc(length > 0 ? length : 1);
        assert_non_null(copy);
        memcpy(copy, b.data + b.devices_at, length);
        assert_int_not_equal(vmdesc_open(&desc, copy, length, b.devices_at, &error), 0);
        free(copy);
    }
    build_free(&b);
}

/* A flip in a value shows as that value; a flip in the framing is refused. */
static void test_flipped_everywhere(void **state)
{
    struct builder b = {0};
    struct vmdesc good;
    struct vmdesc desc;
    struct stream_error error;
    (void)state;
    build_sample(&b);
    assert_int_equal(open_tail(&b, &good, &error), 0);
    uint8_t *is_value = calloc(1, good.tail_length);
    assert_non_null(is_value);
    for (uint32_t i = 0; i < good.field_count; i++) {
        const struct vmdesc_field *field = &good.fields[i];
        memset(is_value + (field->data - good.tail), 1, (size_t)field->size * field->array_len);
    }
    /* The number of a command does not matter. */
    memset(is_value + good.sections[0].end + 1, 1, 2);
    for (size_t i = 0; i < good.tail_length; i++) {
        uint8_t *byte = b.data + b.devices_at + i;
        for (unsigned bit = 0; bit < 8; bit++) {
            *byte ^= (uint8_t)(1u << bit);
            int ret = open_tail(&b, &desc, &error);
            if (ret == 0) {
                /* In the JSON text a type or a blank may change without harm. */
                if (i < good.vmdesc && !is_value[i])
                    assert_in_range(i, 0, 0);
                assert_int_equal(desc.section_count, good.section_count);
                vmdesc_close(&desc);
            } else {
                assert_true(i >= good.vmdesc || !is_value[i]);
                assert_int_equal(error.code, ret);
            }
            *byte ^= (uint8_t)(1u << bit);
        }
    }
    free(is_value);
    vmdesc_close(&good);
    build_free(&b);
}

static void test_find_tail(void **state)
{
    static const char zeroes[5000];
    struct builder b = {0};
    struct stream_error error;
    uint64_t offset = 0;
    FILE *file = tmpfile();
    (void)state;
    assert_non_null(file);
    build_sample(&b);
    /* The command between the devices is what the lengths cannot know of: found too late. */
    assert_int_equal(fwrite(b.data, 1, b.length, file), b.length);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(vmdesc_find_tail(fileno(file), b.length, &offset, &error), 0);
    assert_int_equal(offset, b.devices_at + 5);
    build_free(&b);

    build_header(&b, "a");
    build_small_ram(&b, 1);
    build_device(&b, "timer", "timer", 0, 2);
    build_field(&b, "t", "int64", 8, 1);
    build_describe(&b, "a", "uint8", 1, ", \"array_len\": 3");
    build_bytes(&b, "abc", 3);
    build_subsections(&b);
    build_subsection(&b, "timer/sub", 1);
    build_field(&b, "s", "uint8", 1, 1);
    build_subsection_end(&b);
    build_device_end(&b);
    build_finish(&b);
    size_t length = b.length;
    build_bytes(&b, zeroes, sizeof(zeroes)); /* as a block device's end may be */
    rewind(file);
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    assert_int_equal(fwrite(b.data, 1, b.length, file), b.length);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(vmdesc_find_tail(fileno(file), length, &offset, &error), 0);
    assert_int_equal(offset, b.devices_at);
    offset = 0;
    assert_int_equal(vmdesc_find_tail(fileno(file), b.length, &offset, &error), 0);
    assert_int_equal(offset, b.devices_at);
    struct vmdesc desc;
    assert_int_equal(open_tail(&b, &desc, &error), 0); /* with the zeroes, too */
    vmdesc_close(&desc);

    assert_int_equal(vmdesc_find_tail(fileno(file), length - 1, &offset, &error), RESUME_EMISSING);
    assert_int_equal(vmdesc_find_tail(fileno(file), 0, &offset, &error), RESUME_EMISSING);
    assert_int_equal(vmdesc_find_tail(fileno(file), b.length + 1, &offset, &error), RESUME_ETRUNC);
    assert_int_equal(vmdesc_find_tail(-1, b.length, &offset, &error), RESUME_IMPORT_ERRNO(EBADF));
    fclose(file);
    build_free(&b);
}

/* A device "d" with one field as described by @rest and @size, and @data. */
static int open_field(const char *type, unsigned size, const char *rest, size_t data,
                      struct stream_error *error)
{
    struct builder b = {0};
    struct vmdesc desc = {0};
    build_header(&b, "a");
    build_small_ram(&b, 1);
    build_device(&b, "d", "d", 0, 1);
    build_describe(&b, "f", type, size, rest);
    for (size_t i = 0; i < data; i++)
        build_u8(&b, 0x41);
    build_device_end(&b);
    build_finish(&b);
    int ret = open_tail(&b, &desc, error);
    vmdesc_close(&desc);
    build_free(&b);
    return ret;
}

#define INNER(size)                                                                                \
    ", \"struct\": {\"vmsd_name\": \"s\", \"fields\": [{\"name\": \"m\", \"type\": \"buffer\", "   \
    "\"size\": " size "}]}"

static void test_lengths(void **state)
{
    static const struct {
        const char *type;
        unsigned size;
        const char *rest;
        size_t data;
        int code;
    } cases[] = {
        {"buffer", 0, "", 0, 0},
        {"buffer", 5, "", 5, 0},
        {"buffer", 5, "", 4, RESUME_ELENGTH},
        {"buffer", 5, "", 6, RESUME_ELENGTH},
        {"buffer", UINT32_MAX, "", 5, RESUME_ELENGTH},
        {"buffer", UINT32_MAX, ", \"array_len\": 4294967295", 5, RESUME_ELENGTH},
        {"uint8", 1, ", \"array_len\": 1024", 1024, 0},
        {"uint8", 1, ", \"array_len\": 1025", 1025, 0},
        {"uint8", 1, ", \"array_len\": 1024", 1023, RESUME_ELENGTH},
        {"uint8", 1, ", \"array_len\": 0", 0, RESUME_ERESERVED},
        {"uint8", 1, ", \"array_len\": -1", 1, RESUME_ERESERVED},
        {"uint8", 1, ", \"array_len\": 4294967296", 1, RESUME_ERESERVED},
        {"uint8", 1, ", \"array_len\": \"1\"", 1, RESUME_ERESERVED},
        {"uint8", 1, ", \"array_len\": 1.0", 1, RESUME_ERESERVED},
        {"uint8", 1, ", \"index\": -1", 1, RESUME_ERESERVED},
        {"struct", 3, INNER("3"), 3, 0},
        {"struct", 3, INNER("2"), 3, RESUME_ELENGTH},
        {"struct", 3, INNER("4"), 4, RESUME_ELENGTH},
        {"struct", 3, ", \"array_len\": 4" INNER("3"), 12, 0},
        {"struct", 3, ", \"array_len\": 4" INNER("3"), 11, RESUME_ELENGTH},
        {"struct", 0, ", \"array_len\": 2" INNER("0"), 0, RESUME_ELENGTH},
        {"struct", 0, ", \"array_len\": 4294967295" INNER("0"), 0, RESUME_ELENGTH},
        {"struct", 3, ", \"struct\": {}", 3, RESUME_ERESERVED},
        {"struct", 3, ", \"struct\": 7", 3, RESUME_ERESERVED},
        {"struct", 3, ", \"struct\": {\"fields\": {}}", 3, RESUME_ERESERVED},
        {"struct", 1, ", \"struct\": {\"fields\": [7]}", 1, RESUME_ERESERVED},
        {"struct", 0, ", \"struct\": {\"fields\": [], \"subsections\": 7}", 0, RESUME_ERESERVED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stream_error error = {0};
        int ret = open_field(cases[i].type, cases[i].size, cases[i].rest, cases[i].data, &error);
        if (ret != cases[i].code)
            fail_msg("case %zu: %d \"%s\", expected %d", i, ret, error.why, cases[i].code);
    }
}

/* Structures within structures, @depth of them around one byte. */
static int open_nested(unsigned depth, struct stream_error *error)
{
    struct builder text = {0};
    for (unsigned i = 0; i < depth; i++)
        build_json(&text, ", \"struct\": {\"fields\": [{\"name\": \"n\", \"type\": \"struct\", "
                          "\"size\": 1");
    for (unsigned i = 0; i < depth; i++)
        build_json(&text, "}]}");
    int ret = open_field("struct", 1, depth > 0 ? text.json : "", 1, error);
    build_free(&text);
    return ret;
}

static void test_depth(void **state)
{
    struct stream_error error;
    (void)state;
    assert_int_equal(open_nested(0, &error), 0);
    /* The text nests 5 deep up to the field, then 3 for each structure: 5 + 3 * 19 = 62. */
    assert_int_equal(open_nested(19, &error), 0);
    assert_int_equal(open_nested(20, &error), RESUME_ELENGTH);
    assert_non_null(strstr(error.why, "nested"));
    assert_int_equal(open_nested(20000, &error), RESUME_ELENGTH);
}

/* Small lengths that multiply: an array of structures, each an array of structures, ... */
static void test_field_limit(void **state)
{
    struct stream_error error;
    struct builder text = {0};
    (void)state;
    /* 2 MiB of structures of one byte. */
    assert_int_equal(
        open_field("struct", 1, ", \"array_len\": 2097152" INNER("1"), 2097152, &error),
        RESUME_ELENGTH);
    assert_non_null(strstr(error.why, "more fields"));
    /* 2048 structures of one byte with 1000 fields of no length each. */
    build_json(&text, ", \"array_len\": 2048, \"struct\": {\"fields\": [{\"name\": \"m\", "
                      "\"type\": \"uint8\", \"size\": 1}");
    for (unsigned i = 0; i < 1000; i++)
        build_json(&text, ", {\"name\": \"z\", \"type\": \"buffer\", \"size\": 0}");
    build_json(&text, "]}");
    assert_int_equal(open_field("struct", 1, text.json, 2048, &error), RESUME_ELENGTH);
    assert_non_null(strstr(error.why, "more fields"));
    build_free(&text);
    /* 2048 temporaries of one byte whose 1000 fields have none: they are looked at, and not walked. */
    build_json(&text, ", \"array_len\": 2048, \"struct\": {\"fields\": [{\"name\": \"m\", "
                      "\"type\": \"tmp\", \"size\": 1, \"fields\": [{\"name\": \"z\", "
                      "\"type\": \"buffer\", \"size\": 0}");
    for (unsigned i = 1; i < 1000; i++)
        build_json(&text, ", {\"name\": \"z\", \"type\": \"buffer\", \"size\": 0}");
    build_json(&text, "]}]}");
    assert_int_equal(open_field("struct", 1, text.json, 2048, &error), RESUME_ELENGTH);
    assert_non_null(strstr(error.why, "more fields"));
    build_free(&text);
}

/* The description as a whole. */
static void test_description(void **state)
{
    static const struct {
        const char *json;
        int code;
    } cases[] = {
        {"{\"devices\": []}", 0},
        {"{\"devices\": [],\n\n}", RESUME_ERESERVED},
        {"{\"devices\": {}}", RESUME_ERESERVED},
        {"{\"page_size\": 4096}", RESUME_ERESERVED},
        {"{\"devices\": [7]}", RESUME_ERESERVED},
        {"{\"devices\": [{\"name\": \"a\", \"instance_id\": 0, \"fields\": []}]}", RESUME_ETRUNC},
        {"{\"devices\": [{\"name\": \"\\u001b\", \"instance_id\": 0, \"fields\": []}]}",
         RESUME_ERESERVED},
        {"{\"devices\": [{\"name\": \"\", \"instance_id\": 0, \"fields\": []}]}", RESUME_ERESERVED},
        {"{\"devices\": [{\"name\": \"a\", \"fields\": []}]}", RESUME_ERESERVED},
        {"{\"devices\": [{\"name\": \"a\", \"instance_id\": 0}]}", RESUME_ERESERVED},
        {"{\"devices\": [{\"name\": \"a\", \"instance_id\": -1, \"fields\": []}]}",
         RESUME_ERESERVED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct builder b = {0};
        struct vmdesc desc = {0};
        struct stream_error error = {0};
        build_u8(&b, 0);
        build_u8(&b, 6);
        build_be(&b, strlen(cases[i].json), 4);
        build_bytes(&b, cases[i].json, strlen(cases[i].json));
        int ret = vmdesc_open(&desc, b.data, b.length, 0, &error);
        if (ret != cases[i].code)
            fail_msg("case %zu: %d \"%s\", expected %d", i, ret, error.why, cases[i].code);
        vmdesc_close(&desc);
        build_free(&b);
    }
}

/* A section in the stream that the description does not have, and one too few. */
static void test_sections_do_not_match(void **state)
{
    struct builder b = {0};
    struct vmdesc desc;
    struct stream_error error;
    (void)state;
    build_header(&b, "a");
    build_small_ram(&b, 1);
    build_device(&b, "one", "one", 0, 1);
    build_device_end(&b);
    size_t json = b.json_length;
    build_device(&b, "two", "two", 0, 1);
    build_device_end(&b);
    b.json_length = json;
    build_finish(&b);
    assert_int_equal(open_tail(&b, &desc, &error), RESUME_EMISSING);
    build_free(&b);

    build_header(&b, "a");
    build_small_ram(&b, 1);
    build_device(&b, "one", "one", 0, 1);
    build_device_end(&b);
    size_t length = b.length;
    build_device(&b, "two", "two", 0, 1);
    build_device_end(&b);
    b.length = length;
    build_finish(&b);
    assert_int_equal(open_tail(&b, &desc, &error), RESUME_ETRUNC);
    build_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections_and_fields),
        cmocka_unit_test(test_truncated_everywhere),
        cmocka_unit_test(test_flipped_everywhere),
        cmocka_unit_test(test_find_tail),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_field_limit),
        cmocka_unit_test(test_description),
        cmocka_unit_test(test_sections_do_not_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
