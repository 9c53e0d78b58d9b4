/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* make_snapshot: makes a snapshot directory of four vCPUs, of which two were never started, and prints its
 * name. Who runs this removes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "snapshot_guest.h"

/* Not closed: that would remove it. */
static struct guest *guest;

static void make(void **state)
{
    (void)state;
    guest = guest_open(4);
    guest_sleep(guest, 0);
    guest_sleep(guest, 2);
    assert_int_equal(guest_snapshot(guest), 0);
    guest_save(guest);
    printf("%s\n", guest->directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(make)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
