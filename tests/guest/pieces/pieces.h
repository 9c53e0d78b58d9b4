/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Programs of the Linux guest that each keep one piece of the CPU's state in use and notice when it
 * is not what it was. All are one binary: "pieces NAME [CPU]".
 */
#ifndef PIECES_H
#define PIECES_H

#include <stdint.h>

/* Each runs for ever; returns an exit status only when it cannot run here. */
int piece_ac(void);
int piece_bases(void);
int piece_breakpoint(void);
int piece_ioperm(void);
int piece_ldt(void);
int piece_pkey(void);
int piece_singlestep(void);
int piece_threads(void);

/* piece_due - whether it is time for the next line. */
int piece_due(void);

/* piece_line - the next numbered line, "NAME: line N DETAILS". @details: "word=word ...". */
void piece_line(const char *details);

/* piece_wrong - report a wrong value. @what: what it is, a few words. */
void piece_wrong(const char *what, uint64_t want, uint64_t got);

/* piece_say - "guest: NAME says TEXT", of no meaning to the tests. */
void piece_say(const char *text);

/*
 * piece_signal - the number of the signal that @action ends with, 0 when it does none.
 * @code: NULL, or where the signal's si_code is put.
 */
int piece_signal(void (*action)(void *), void *argument, int *code);

#endif
