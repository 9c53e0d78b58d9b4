/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"

/* RFC 3720, appendix B.4. */
static void published_vectors(void **state)
{
    uint8_t bytes[32];

    (void)state;
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(resume_crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(resume_crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(resume_crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(resume_crc32c(0, bytes, sizeof(bytes)), 0x113fdb5c);
}

/* The check value that catalogues of checksums give for this one. */
static void check_value(void **state)
{
    (void)state;
    assert_int_equal(resume_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(resume_crc32c(0, NULL, 0), 0);
}

static void in_pieces(void **state)
{
    const char *text = "123456789";

    (void)state;
    for (size_t cut = 0; cut <= 9; cut++) {
        uint32_t crc = resume_crc32c(0, text, cut);

        assert_int_equal(resume_crc32c(crc, text + cut, 9 - cut), 0xe3069283);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(check_value),
        cmocka_unit_test(in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
