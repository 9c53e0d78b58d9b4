/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Formats that are refused by their names: their magic numbers, and what only looks alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "import_build_guest.h"

static const struct {
    size_t offset;
    const char *magic;
    size_t length;
    const char *title; /* part of it; NULL: must be unknown */
} cases[] = {
    {0, "\xd0\xbe\xd2\xbe", 4, "VMware"},
    {0, "\xd1\xba\xd1\xba", 4, "VMware"},
    {0, "\xd2\xbe\xd2\xbe", 4, "VMware"},
    {0, "\xd3\xbe\xd3\xbe", 4, "VMware"},
    {0, "\xd4\xbe\xd4\xbe", 4, NULL},
    {0, "\177VirtualBox SavedState V2.0\n", 28, "VirtualBox"},
    {0, "\177VirtualBox SavedState V1.2\n", 28, "VirtualBox"},
    {0, "\177VirtualBox Something else.\n", 28, NULL},
    {0, "\x14\x20\x28\x01", 4, "Hyper-V"},
    {4096, "\x14\x20\x28\x01", 4, "Hyper-V"},
    {8192, "\x14\x20\x28\x01", 4, NULL},
    {0, "hibr", 4, "hiberfil.sys"},
    {0, "HIBR", 4, "hiberfil.sys"},
    {0, "RSTR", 4, "hiberfil.sys"},
    {0, "wake", 4, "hiberfil.sys"},
    {0, "hibernate", 9, NULL},
    {4, "hibr", 4, NULL},
    {4086, "S1SUSPEND", 10, "Linux hibernation"},
    {4086, "LINHIB0001", 10, "Linux hibernation"},
    {4086, "SWAPSPACE2", 10, NULL},
    {0, "PAGEDU64", 8, "Windows crash dump"},
    {0, "PAGEDUMP", 8, "Windows crash dump"},
    {0, "RSMIMAGE", 8, "libresume snapshot image"},
    {8, "RSMIMAGE", 8, NULL},
};

static void refuses_each_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct resume_import_error error;
        struct bytes bytes = {0};
        bytes_add_zeros(&bytes, 16384);
        memcpy(bytes.data + cases[i].offset, cases[i].magic, cases[i].length);
        int ret = guest_try(&bytes, &error);
        if (cases[i].title == NULL && ret != RESUME_EMAGIC)
            fail_msg("case %zu is known: %s", i, error.why);
        if (cases[i].title != NULL &&
            (ret != RESUME_EUNSUPPORTED || strstr(error.why, cases[i].title) == NULL))
            fail_msg("case %zu is not %s: %d, %s", i, cases[i].title, ret, error.why);
        if (cases[i].title != NULL)
            assert_true(strlen(error.hint) > 0);
        bytes_free(&bytes);
    }
}

static void needs_the_whole_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes bytes = {0};
        if (cases[i].title == NULL)
            continue;
        bytes_add_zeros(&bytes, cases[i].offset);
        bytes_add(&bytes, cases[i].magic, cases[i].length < 20 ? cases[i].length - 1 : 20);
        assert_int_equal(guest_try(&bytes, NULL), RESUME_EMAGIC);
        bytes_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_each_by_its_name),
        cmocka_unit_test(needs_the_whole_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
