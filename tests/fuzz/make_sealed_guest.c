/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* make_sealed_guest DIRECTORY: an image that is not sealed, of a guest that can be resumed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "seal.h"
#include "snapshot_guest.h"

int main(int argc, char **argv)
{
    char path[1024];
    struct seal_result sealed;
    struct report_failure failure;
    if (argc != 2)
        return 1;
    snprintf(path, sizeof(path), "%s/guest", argv[1]);
    unlink(path);
    memset(&failure, 0, sizeof(failure));
    struct guest *guest = guest_open(2);
    guest_sleep(guest, 1);
    if (guest_snapshot(guest) != 0)
        return report_print(&guest->failure);
    guest_save(guest);
    const struct seal_options options = {.directory = guest->directory,
                                         .output = path,
                                         .compression = RESUME_SEALED_ZSTD,
                                         .chunk_pages = 64};
    const int result = seal_run(&options, &sealed, &failure);
    guest_close(guest);
    return result == 0 ? 0 : report_print(&failure);
}
