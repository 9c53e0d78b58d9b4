/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Framing: what a damaged blob is called, whatever the damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "blob.h"
#include "good_state.h"

static struct good_state good;
static struct blob whole;

static int build(void **state)
{
    (void)state;
    good_state_fill(&good);
    blob_build(&whole, &good.machine, &good.vcpu, 1, NULL, NULL);
    return 0;
}

/* Opens, and decodes everything, a copy of exactly @length bytes so that a sanitizer sees more. */
static int read_all(const uint8_t *data, size_t length, struct resume_diag *diag)
{
    uint8_t *copy = malloc(length != 0 ? length : 1);
    struct resume_state state;
    struct resume_vcpu vcpu;
    struct resume_machine machine;
    int err;

    assert_non_null(copy);
    memcpy(copy, data, length);
    err = resume_state_open(copy, length, &state, diag);
    if (err == RESUME_OK) {
        err = resume_state_machine(&state, &machine, diag);
    }
    for (uint32_t i = 0; err == RESUME_OK && i < state.vcpu_count; i++) {
        err = resume_state_vcpu(&state, i, &vcpu, diag);
    }
    free(copy);
    return err;
}

static void opens(void **state)
{
    struct resume_state opened;
    struct resume_diag diag = {.where = "untouched"};

    (void)state;
    assert_int_equal(resume_state_open(whole.data, whole.length, &opened, &diag), RESUME_OK);
    assert_ptr_equal(opened.data, whole.data);
    assert_int_equal(opened.length, whole.length);
    assert_int_equal(opened.vcpu_count, 1);
    assert_int_equal(opened.major, 1);
    assert_int_equal(opened.minor, 1);
    assert_int_equal(opened.crc32c, blob_get(&whole, 32, 4));
    assert_string_equal(diag.where, "untouched");
}

static void shortest_image(void **state)
{
    struct blob shortest;
    struct resume_vcpu vcpu = good.vcpu;

    (void)state;
    vcpu.xsave.length = 576;
    blob_build(&shortest, &good.machine, &vcpu, 1, NULL, NULL);
    assert_int_equal(read_all(shortest.data, shortest.length, NULL), RESUME_OK);
}

static void opens_at_any_alignment(void **state)
{
    static uint8_t bytes[BLOB_MAX + 8];
    struct resume_state opened;
    struct resume_vcpu vcpu;

    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(bytes + shift, whole.data, whole.length);
        assert_int_equal(resume_state_open(bytes + shift, whole.length, &opened, NULL), RESUME_OK);
        assert_int_equal(resume_state_vcpu(&opened, 0, &vcpu, NULL), RESUME_OK);
        assert_int_equal(vcpu.regs.rip, 0x4ec5ac);
    }
}

static void every_truncation_is_named(void **state)
{
    (void)state;
    for (size_t length = 0; length < whole.length; length++) {
        struct resume_diag diag = {0};

        assert_int_equal(read_all(whole.data, length, &diag), RESUME_ETRUNC);
        assert_int_equal(diag.code, -RESUME_ETRUNC);
        assert_string_equal(diag.where, "header");
    }
}

/* With total size and checksum put right for the cut, only the records themselves can tell. */
static void every_resealed_truncation_is_named(void **state)
{
    size_t xsave = blob_record(&whole, 0x0106, 0);

    (void)state;
    for (size_t length = 64; length < whole.length; length++) {
        struct blob cut = whole;
        struct resume_diag diag = {0};
        int err;

        cut.length = length;
        blob_seal(&cut);
        err = read_all(cut.data, cut.length, &diag);
        /* The XSAVE record is the last one and may be missing. */
        if (length == xsave) {
            assert_int_equal(err, RESUME_OK);
        } else if (length % 8 != 0) {
            assert_int_equal(err, RESUME_ELENGTH);
            assert_string_equal(diag.field, "total");
        } else {
            assert_true(err == RESUME_ELENGTH || err == RESUME_EMISSING);
        }
    }
}

static int expected_of_flip(size_t at, uint8_t bit)
{
    switch (at) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        return RESUME_EMAGIC;
    case 8:
    case 9:
    case 13:
        return RESUME_EVERSION;
    case 12:
        /* `compatible` 1 is this very version. */
        return bit == 0 ? RESUME_ECRC : RESUME_EVERSION;
    case 14:
    case 15:
        return RESUME_ELENGTH;
    case 16:
        /* Not a multiple of 8, or some other length. */
        return bit < 3 ? RESUME_ELENGTH : 0;
    case 17:
        return 0;
    case 18:
    case 19:
    case 20:
    case 21:
    case 22:
    case 23:
        return at == 18 || (at == 19 && bit < 3) ? RESUME_ETRUNC : RESUME_ELENGTH;
    default:
        return RESUME_ECRC;
    }
}

static void every_flipped_bit_is_named(void **state)
{
    struct blob flipped = whole;

    (void)state;
    for (size_t at = 0; at < whole.length; at++) {
        for (uint8_t bit = 0; bit < 8; bit++) {
            int expected = expected_of_flip(at, bit);
            struct resume_diag diag = {0};
            int err;

            flipped.data[at] ^= (uint8_t)(1u << bit);
            err = read_all(flipped.data, flipped.length, &diag);
            /* A total that is still plausible is larger or smaller than what is there. */
            if (expected == 0) {
                expected =
                    blob_get(&flipped, 16, 8) > whole.length ? RESUME_ETRUNC : RESUME_ELENGTH;
            }
            if (err != expected) {
                fail_msg("byte %zu bit %u: %s instead of %s", at, bit, resume_strerror(err),
                         resume_strerror(expected));
            }
            assert_int_equal(diag.code, -err);
            flipped.data[at] ^= (uint8_t)(1u << bit);
        }
    }
}

/* With the checksum put right: an error from the documented ones, or a different legal blob. */
static void resealed_flips_lead_to_documented_errors(void **state)
{
    struct blob flipped = whole;

    (void)state;
    for (size_t at = 0; at < whole.length; at++) {
        for (uint8_t bit = 0; bit < 8; bit++) {
            struct resume_diag diag = {0};
            int err;

            flipped.data[at] ^= (uint8_t)(1u << bit);
            blob_seal(&flipped);
            err = read_all(flipped.data, flipped.length, &diag);
            switch (err) {
            case RESUME_OK:
                assert_null(diag.where);
                break;
            case RESUME_EMAGIC:
            case RESUME_EVERSION:
            case RESUME_ELENGTH:
            case RESUME_ERESERVED:
            case RESUME_EMANDATORY:
            case RESUME_EDUPLICATE:
            case RESUME_EMISSING:
            case RESUME_EORDER:
            case RESUME_EREGISTER:
            case RESUME_ECONSISTENT:
                assert_non_null(diag.where);
                assert_non_null(diag.field);
                /* What is missing is missing at the end. */
                assert_true(diag.offset <= whole.length);
                break;
            default:
                fail_msg("byte %zu bit %u: %s", at, bit, resume_strerror(err));
            }
            memcpy(flipped.data, whole.data, whole.length);
        }
    }
}

/* Every length and count in the blob, at its edges, with the checksum put right. */
static void every_length_field_is_checked(void **state)
{
    static const struct {
        uint16_t tag;
        uint16_t at;
    } fields[] = {
        {0x0001, 12}, {0x0002, 12}, {0x0100, 12}, {0x0101, 12}, {0x0102, 12},
        {0x0103, 12}, {0x0104, 12}, {0x0105, 12}, {0x0106, 12}, /* record lengths */
        {0x0002, 24}, {0x0105, 24},                             /* list counts */
        {0x0106, 24}, {0x0106, 28},                             /* components, image length */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        uint32_t vcpu = fields[i].tag < 0x100 ? 0xffffffff : 0;
        size_t at = blob_record(&whole, fields[i].tag, vcpu) + fields[i].at;
        uint32_t value = (uint32_t)blob_get(&whole, at, 4);
        const uint32_t edges[] = {0,         1,          value - 8,  value - 1,  value + 1,
                                  value + 8, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};

        for (size_t k = 0; k < sizeof(edges) / sizeof(edges[0]); k++) {
            struct blob changed = whole;
            struct resume_diag diag = {0};
            int err;

            if (edges[k] == value) {
                continue;
            }
            blob_put(&changed, at, 4, edges[k]);
            blob_seal(&changed);
            err = read_all(changed.data, changed.length, &diag);
            if (err == RESUME_OK) {
                fail_msg("record %#x, offset %u: %u was accepted for %u", fields[i].tag,
                         fields[i].at, edges[k], value);
            }
            /*
             * A count that its record's length contradicts is a wrong length, nothing else; of a
             * record one byte shorter the last byte may also show as padding that is not zero.
             */
            if (fields[i].at > 12 || edges[k] >= 0x7fffffff) {
                assert_int_equal(err, RESUME_ELENGTH);
            } else if (edges[k] == value - 1) {
                assert_true(err == RESUME_ELENGTH || err == RESUME_ERESERVED);
            }
        }
    }
}

static void header_length_fields_are_checked(void **state)
{
    const uint64_t totals[] = {0,
                               1,
                               63,
                               whole.length - 8,
                               whole.length - 1,
                               whole.length + 1,
                               whole.length + 8,
                               UINT64_C(0x08000000),
                               UINT64_C(0x08000008),
                               UINT64_C(0x8000000000000000),
                               UINT64_MAX};
    const uint64_t lengths[] = {0, 1, 56, 63, 65, 72, 0xffff};

    (void)state;
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        struct blob changed = whole;

        changed.keep_total = true;
        blob_put(&changed, 16, 8, totals[i]);
        blob_seal(&changed);
        assert_int_equal(read_all(changed.data, changed.length, NULL),
                         totals[i] == whole.length + 8 || totals[i] == 0x08000000 ? RESUME_ETRUNC
                                                                                  : RESUME_ELENGTH);
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct blob changed = whole;

        blob_put(&changed, 14, 2, lengths[i]);
        blob_seal(&changed);
        assert_int_equal(read_all(changed.data, changed.length, NULL), RESUME_ELENGTH);
        /* A later minor version may have a longer header, but not just any. */
        blob_put(&changed, 10, 2, 2);
        blob_seal(&changed);
        if (lengths[i] != 72) {
            assert_int_equal(read_all(changed.data, changed.length, NULL), RESUME_ELENGTH);
        } else {
            assert_true(read_all(changed.data, changed.length, NULL) != RESUME_OK);
        }
    }
}

static void wrong_arguments_are_refused(void **state)
{
    struct resume_state opened = {.vcpu_count = 77};
    struct resume_diag diag = {0};

    (void)state;
    assert_int_equal(resume_state_open(NULL, 1, &opened, &diag), RESUME_EINVAL);
    assert_int_equal(diag.code, -RESUME_EINVAL);
    assert_int_equal(resume_state_open(whole.data, whole.length, NULL, NULL), RESUME_EINVAL);
    assert_int_equal(resume_state_open(NULL, 0, &opened, NULL), RESUME_ETRUNC);
    /* Nothing was written to the view. */
    assert_int_equal(opened.vcpu_count, 77);
}

/* A view of bytes that changed under it must not lead outside of them. */
static void changes_after_opening_are_noticed(void **state)
{
    struct blob changed = whole;
    struct resume_state opened;
    struct resume_vcpu vcpu = {.reserved = 77};
    size_t at = blob_record(&changed, 0x0103, 0);

    (void)state;
    assert_int_equal(resume_state_open(changed.data, changed.length, &opened, NULL), RESUME_OK);
    blob_put(&changed, at + 12, 4, 0xffffffff);
    assert_int_equal(resume_state_vcpu(&opened, 0, &vcpu, NULL), RESUME_ELENGTH);
    assert_int_equal(vcpu.reserved, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens),
        cmocka_unit_test(shortest_image),
        cmocka_unit_test(opens_at_any_alignment),
        cmocka_unit_test(every_truncation_is_named),
        cmocka_unit_test(every_resealed_truncation_is_named),
        cmocka_unit_test(every_flipped_bit_is_named),
        cmocka_unit_test(resealed_flips_lead_to_documented_errors),
        cmocka_unit_test(every_length_field_is_checked),
        cmocka_unit_test(header_length_fields_are_checked),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(changes_after_opening_are_noticed),
    };

    return cmocka_run_group_tests(tests, build, NULL);
}
