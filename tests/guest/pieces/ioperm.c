/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The I/O permission bitmap of the TSS: one port is allowed and written all the time, its neighbours
 * are not. When TR's limit or base is wrong, the allowed one faults or the others do not.
 */
#define _GNU_SOURCE
#include "pieces.h"

#include <signal.h>
#include <stddef.h>
#include <sys/io.h>

#define PORT 0x80u /* diagnostics: nobody listens */

static void write_port(void *argument)
{
    const uint16_t *port = argument;

    __asm__ volatile("outb %%al, %%dx" : : "a"(0), "d"(*port));
}

int piece_ioperm(void)
{
    uint16_t allowed = PORT, below = PORT - 1, above = PORT + 1;

    if (ioperm(PORT, 1, 1) != 0) {
        piece_wrong("ioperm is not there", 0, 1);
        return 1;
    }
    for (;;) {
        int number = 0;

        for (unsigned i = 0; i < 50 && number == 0; i++) {
            number = piece_signal(write_port, &allowed, NULL);
            for (volatile unsigned spin = 0; spin < 5000; spin++)
                ;
        }
        if (number != 0)
            piece_wrong("signal at the allowed port", 0, (uint64_t)number);
        number = piece_signal(write_port, &below, NULL);
        if (number != SIGSEGV)
            piece_wrong("signal at the port below", SIGSEGV, (uint64_t)number);
        number = piece_signal(write_port, &above, NULL);
        if (number != SIGSEGV)
            piece_wrong("signal at the port above", SIGSEGV, (uint64_t)number);
        if (piece_due())
            piece_line("port=ok");
    }
}
