/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The table of launch secrets: good ones, and all kinds of bad ones. The tables are written byte by
 * byte from the description in Linux' efi_secret; the GUIDs are in the order of their text here and
 * brought into UEFI's by the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/sealed.h>
#include <resume/secret.h>

#define AREA 512
#define TABLE "1e74f542-71dd-4d66-963e-ef4287ff173b"
#define OTHER "736869e5-84f0-4973-92ec-06879ce3da0b"
#define KEY "e7aa8de2-cbd1-4ef5-8183-6279520f17b8"
#define IDENTITY "7a63506a-dca1-4007-867e-ef124e56b64a"

struct table {
    uint8_t bytes[AREA];
    size_t length;
};

static void put_guid(uint8_t *to, const char *text)
{
    unsigned first;
    unsigned second;
    unsigned third;
    unsigned rest[8];
    assert_int_equal(sscanf(text, "%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x", &first, &second, &third,
                            &rest[0], &rest[1], &rest[2], &rest[3], &rest[4], &rest[5], &rest[6],
                            &rest[7]),
                     11);
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(first >> (8 * i));
    for (unsigned i = 0; i < 2; i++) {
        to[4 + i] = (uint8_t)(second >> (8 * i));
        to[6 + i] = (uint8_t)(third >> (8 * i));
    }
    for (unsigned i = 0; i < 8; i++)
        to[8 + i] = (uint8_t)rest[i];
}

static void put_length(uint8_t *to, uint32_t length)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(length >> (8 * i));
}

static void add(struct table *table, const char *guid, uint8_t fill, size_t length)
{
    uint8_t *at = table->bytes + table->length;
    put_guid(at, guid);
    put_length(at + 16, (uint32_t)(20 + length));
    memset(at + 20, fill, length);
    table->length += 20 + length;
    put_length(table->bytes + 16, (uint32_t)table->length);
}

static struct table empty(void)
{
    struct table table = {.length = 20};
    put_guid(table.bytes, TABLE);
    put_length(table.bytes + 16, 20);
    return table;
}

/* Another entry, the key, a third one: the key's entry is at 20 + 25 = 45. */
static struct table good(void)
{
    struct table table = empty();
    add(&table, OTHER, 0x11, 5);
    add(&table, KEY, 0xaa, 32);
    add(&table, "00000000-0000-0000-0000-000000000001", 0x22, 0);
    return table;
}

/* In memory of the very size, so that a sanitizer sees a byte too many. */
static int find(const struct table *table, size_t size, const char *guid, struct resume_secret *out,
                struct resume_diag *diag)
{
    uint8_t wanted[16];
    uint8_t *area = malloc(size != 0 ? size : 1);
    assert_non_null(area);
    memcpy(area, table->bytes, size);
    put_guid(wanted, guid);
    const int result = resume_secret_find(area, size, wanted, out, diag);
    free(area);
    return result;
}

static void refused(const struct table *table, size_t size, int err, const char *field,
                    uint64_t offset)
{
    const struct resume_secret untouched = {1, 2, 3};
    struct resume_secret secret = untouched;
    struct resume_diag diag = {0};
    assert_int_equal(find(table, size, KEY, &secret, &diag), err);
    assert_memory_equal(&secret, &untouched, sizeof(secret));
    assert_string_equal(diag.where, "secret table");
    assert_string_equal(diag.field, field);
    assert_int_equal(diag.offset, offset);
    assert_int_equal(diag.code, -err);
    assert_int_equal(find(table, size, KEY, &secret, NULL), err);
}

static void test_guids(void **state)
{
    static const uint8_t key[] = RESUME_SECRET_KEY_GUID;
    static const uint8_t identity[] = RESUME_SECRET_IDENTITY_GUID;
    uint8_t expected[16];
    (void)state;
    put_guid(expected, KEY);
    assert_memory_equal(key, expected, 16);
    put_guid(expected, IDENTITY);
    assert_memory_equal(identity, expected, 16);
}

static void test_found(void **state)
{
    const struct table table = good();
    struct resume_secret secret;
    (void)state;
    /* The area may be larger than the table, by anything. */
    for (size_t size = table.length; size < AREA; size++) {
        assert_int_equal(find(&table, size, KEY, &secret, NULL), RESUME_OK);
        assert_int_equal(secret.entry, 45);
        assert_int_equal(secret.data, 65);
        assert_int_equal(secret.length, 32);
    }
    assert_int_equal(find(&table, AREA, "00000000-0000-0000-0000-000000000001", &secret, NULL),
                     RESUME_OK);
    assert_int_equal(secret.entry, 97);
    assert_int_equal(secret.data, 117);
    assert_int_equal(secret.length, 0);
}

static void test_padding(void **state)
{
    struct table table = good();
    struct resume_secret secret;
    (void)state;
    /* SEV wants a multiple of 16; what remains is too short for an entry, whatever is in it. */
    for (size_t padding = 1; padding < 20; padding++) {
        memset(table.bytes + table.length, 0xff, padding);
        put_length(table.bytes + 16, (uint32_t)(table.length + padding));
        assert_int_equal(find(&table, AREA, KEY, &secret, NULL), RESUME_OK);
        assert_int_equal(secret.entry, 45);
    }
    put_length(table.bytes + 16, (uint32_t)(table.length + 20));
    memset(table.bytes + table.length, 0, 20);
    refused(&table, AREA, RESUME_ELENGTH, "entry length", table.length + 16);
}

static void test_not_injected(void **state)
{
    struct table table = {.length = 0};
    (void)state;
    refused(&table, AREA, RESUME_EMAGIC, "GUID", 0);
    table = good();
    for (size_t i = 0; i < 16; i++) {
        table.bytes[i] ^= 1;
        refused(&table, AREA, RESUME_EMAGIC, "GUID", 0);
        table.bytes[i] ^= 1;
    }
    for (size_t size = 0; size < 20; size++)
        refused(&table, size, RESUME_ETRUNC, "area", 0);
}

static void test_missing(void **state)
{
    struct table table = empty();
    (void)state;
    refused(&table, 20, RESUME_EMISSING, "entry", 20);
    add(&table, OTHER, 1, 32);
    refused(&table, AREA, RESUME_EMISSING, "entry", 72);
}

static void test_table_length(void **state)
{
    static const uint32_t lengths[] = {0, 1, 19, AREA + 1, 0x7fffffff, 0x80000000, 0xffffffff};
    struct table table = good();
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        put_length(table.bytes + 16, lengths[i]);
        refused(&table, AREA, RESUME_ELENGTH, "table length", 16);
    }
    table = good();
    for (size_t size = 20; size < table.length; size++)
        refused(&table, size, RESUME_ELENGTH, "table length", 16);
}

static void test_entry_length(void **state)
{
    static const uint32_t lengths[] = {0, 1, 19, 73, 0x7fffffff, 0x80000000, 0xffffffff};
    struct table table = good();
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        put_length(table.bytes + 45 + 16, lengths[i]);
        refused(&table, AREA, RESUME_ELENGTH, "entry length", 45 + 16);
    }
    /* Bad entries behind the wanted one count too. */
    table = good();
    put_length(table.bytes + 97 + 16, 21);
    refused(&table, AREA, RESUME_ELENGTH, "entry length", 97 + 16);
}

static void test_duplicate(void **state)
{
    struct table table = good();
    (void)state;
    add(&table, KEY, 0xbb, 32);
    refused(&table, AREA, RESUME_EDUPLICATE, "entry", 117);
}

static void test_no_guid(void **state)
{
    const struct table table = good();
    struct resume_secret secret;
    (void)state;
    assert_int_equal(find(&table, AREA, "00000000-0000-0000-0000-000000000000", &secret, NULL),
                     RESUME_EINVAL);
}

static void test_remove(void **state)
{
    struct table table = good();
    const struct table before = table;
    struct resume_secret secret;
    (void)state;
    assert_int_equal(find(&table, AREA, KEY, &secret, NULL), RESUME_OK);
    resume_secret_remove(table.bytes, &secret);
    for (size_t i = 0; i < AREA; i++) {
        const int removed = (i >= 45 && i < 61) || (i >= 65 && i < 97);
        assert_int_equal(table.bytes[i], removed ? 0 : before.bytes[i]);
    }
    refused(&table, AREA, RESUME_EMISSING, "entry", 117);
    assert_int_equal(find(&table, AREA, OTHER, &secret, NULL), RESUME_OK);
    assert_int_equal(find(&table, AREA, "00000000-0000-0000-0000-000000000001", &secret, NULL),
                     RESUME_OK);
}

/* Random tables, with the sums worked out while they are written. */
static void test_random(void **state)
{
    uint32_t seed = 5;
    unsigned found = 0;
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct table table = empty();
        struct resume_secret secret;
        size_t at[2] = {0, 0};
        unsigned keys = 0;
        for (unsigned i = 0; i < 4; i++) {
            seed = seed * 1664525u + 1013904223u;
            const size_t length = (seed >> 16) % 64;
            if ((seed >> 8) % 4 == 0 && keys < 2)
                at[keys++] = table.length;
            add(&table, at[keys ? keys - 1 : 0] == table.length && keys ? KEY : OTHER,
                (uint8_t)(seed >> 24), length);
        }
        const int result = find(&table, table.length, KEY, &secret, NULL);
        assert_int_equal(result, keys == 0   ? RESUME_EMISSING
                                 : keys == 1 ? RESUME_OK
                                             : RESUME_EDUPLICATE);
        if (result == RESUME_OK) {
            assert_int_equal(secret.entry, at[0]);
            found++;
        }
        /* Any byte changed: no crash, and what is found lies inside. */
        table.bytes[seed % table.length] ^= (uint8_t)(1u << (seed >> 29));
        if (find(&table, table.length, KEY, &secret, NULL) == RESUME_OK) {
            assert_true(secret.data <= table.length);
            assert_true(secret.length <= table.length - secret.data);
        }
    }
    assert_true(found > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guids),        cmocka_unit_test(test_found),
        cmocka_unit_test(test_padding),      cmocka_unit_test(test_not_injected),
        cmocka_unit_test(test_missing),      cmocka_unit_test(test_table_length),
        cmocka_unit_test(test_entry_length), cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_no_guid),      cmocka_unit_test(test_remove),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
