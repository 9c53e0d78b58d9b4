/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Of device sections that are read from a file only some fields may be kept: all else is as if all were. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "importer.h"
#include "stream_build.h"
#include "vmdesc.h"

static const char *const only_cpu[] = {"apic", "cpu", NULL};
static const char *const all_three[] = {"cpu", "timer", "other", NULL};

static void build_sample(struct builder *b)
{
    build_header(b, "pc-q35-7.2");
    build_small_ram(b, 1);
    build_device(b, "timer", "timer", 0, 2);
    build_field(b, "t", "int64", 8, 1);
    build_describe(b, "a", "uint8", 1, ", \"array_len\": 3");
    build_bytes(b, "abc", 3);
    build_describe(b, "s", "struct", 2,
                   ", \"array_len\": 2, \"struct\": {\"vmsd_name\": \"s\", \"fields\": ["
                   "{\"name\": \"m\", \"type\": \"uint16\", \"size\": 2}]}");
    build_be(b, 0x1234, 2);
    build_be(b, 0x5678, 2);
    build_subsections(b);
    build_subsection(b, "timer/sub", 1);
    build_field(b, "s", "uint8", 1, 1);
    build_subsection_end(b);
    build_device_end(b);
    build_device(b, "cpu", "cpu", 0, 12);
    build_describe(b, "env.regs", "uint64", 8, ", \"array_len\": 2");
    build_be(b, 0x1111, 8);
    build_be(b, 0x2222, 8);
    build_device_end(b);
    build_device(b, "other", "other", 3, 1);
    build_field(b, "x", "uint32", 4, 5);
    build_device_end(b);
    build_finish(b);
}

struct sample {
    struct builder b;
    FILE *file;
    struct import_file import;
};

static void begin(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    build_sample(&s->b);
    s->file = tmpfile();
    assert_non_null(s->file);
    s->import.fd = fileno(s->file);
    s->import.size = s->b.length;
    s->import.name = "sample";
    assert_int_equal(pwrite(s->import.fd, s->b.data, s->b.length, 0), s->b.length);
}

static void end(struct sample *s)
{
    fclose(s->file);
    build_free(&s->b);
}

static int open_from(const struct sample *s, struct vmdesc *desc, const char *const *wanted,
                     struct stream_error *error)
{
    return vmdesc_open_from(desc, &s->import, s->b.devices_at, wanted, error);
}

static void keeps_what_is_wanted(void **state)
{
    struct sample s;
    struct vmdesc all, some;
    struct stream_error error;
    uint64_t value = 0;
    (void)state;
    begin(&s);
    assert_int_equal(open_from(&s, &all, NULL, &error), 0);
    assert_int_equal(all.field_count, 1 + 3 + 2 + 1 + 2 + 1);
    assert_int_equal(open_from(&s, &some, only_cpu, &error), 0);
    assert_int_equal(some.section_count, 3);
    assert_int_equal(some.field_count, 2);
    assert_int_equal(some.eof, all.eof);
    for (uint32_t i = 0; i < 3; i++) {
        const struct vmdesc_section *want = &all.sections[i];
        const struct vmdesc_section *is = &some.sections[i];
        assert_string_equal(is->name, want->name);
        assert_int_equal(is->instance, want->instance);
        assert_int_equal(is->payload, want->payload);
        assert_int_equal(is->payload_length, want->payload_length);
        assert_int_equal(is->end, want->end);
        assert_int_equal(is->field_count, i == 1 ? 2 : 0);
    }
    const struct vmdesc_field *field =
        vmdesc_field_find(&some, vmdesc_section_nth(&some, "cpu", 0), "cpu/env.regs[1]");
    assert_non_null(field);
    assert_int_equal(vmdesc_field_u64(field, &value), 0);
    assert_int_equal(value, 0x2222);
    assert_null(vmdesc_field_find(&some, vmdesc_section_nth(&some, "timer", 0), "timer/t"));
    vmdesc_close(&some);
    assert_int_equal(open_from(&s, &some, all_three, &error), 0);
    assert_int_equal(some.field_count, all.field_count);
    vmdesc_close(&some);
    vmdesc_close(&all);
    end(&s);
}

/* What is not kept is checked all the same. */
static void refuses_the_same(void **state)
{
    struct sample s;
    unsigned refused = 0;
    (void)state;
    begin(&s);
    for (size_t at = s.b.devices_at; at < s.b.length; at++) {
        const uint8_t bad = s.b.data[at] ^ 0x04;
        struct vmdesc all = {0}, some = {0};
        struct stream_error error = {0}, same = {0};
        assert_int_equal(pwrite(s.import.fd, &bad, 1, (off_t)at), 1);
        int want = open_from(&s, &all, NULL, &error);
        assert_int_equal(open_from(&s, &some, only_cpu, &same), want);
        if (want != 0) {
            refused++;
            assert_int_equal(same.offset, error.offset);
            assert_string_equal(same.why, error.why);
        } else {
            assert_int_equal(some.eof, all.eof);
        }
        vmdesc_close(&all);
        vmdesc_close(&some);
        assert_int_equal(pwrite(s.import.fd, &s.b.data[at], 1, (off_t)at), 1);
    }
    assert_true(refused > 100);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_is_wanted),
        cmocka_unit_test(refuses_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
