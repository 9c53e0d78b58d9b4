/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A host that serves an image as it likes: pread() of the program under test comes here (the linker's
 * --wrap), and gets bytes from memory. The file that it has opened only has the length.
 */
#ifndef TESTS_HOSTILE_SOURCE_H
#define TESTS_HOSTILE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is served; zeroed but for data and length: an honest host. */
struct source {
    const uint8_t *data; /* borrowed */
    size_t length;
    size_t piece;         /* most bytes of one reading; 0: no limit */
    bool once;            /* every byte is garbage but at its first reading */
    unsigned fail_at;     /* number of the reading that fails, from 1 */
    unsigned end_at;      /* number of the reading that finds the end */
    unsigned change_from; /* number of the reading from which on all is garbage */
};

/* source_serve - serve this from now on; the counts begin anew. NULL: nothing. */
void source_serve(const struct source *source);

/* source_readings - how many there were. */
unsigned source_readings(void);

/* source_most - how often the byte was read that was read most often, and how many bytes were not at
 * all. */
unsigned source_most(size_t *ret_unread);

#endif
