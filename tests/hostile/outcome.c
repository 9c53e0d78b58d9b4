/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "outcome.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 48u
#define SAYINGS 64u
#define SHOWN 3u
#define LENGTH 160u

struct saying {
    char text[LENGTH];
    unsigned count;
};

static struct row {
    const char *what;
    enum outcome_wanted wanted;
    unsigned tried;
    unsigned refused;
    unsigned said_count;
    struct saying said[SAYINGS];
} rows[ROWS];
static unsigned row_count;
static bool failed;

void outcome_begin(const char *what, enum outcome_wanted wanted)
{
    if (row_count == ROWS) {
        fprintf(stderr, "hostile: more than %u rows\n", ROWS);
        exit(1);
    }
    rows[row_count++] = (struct row){.what = what, .wanted = wanted};
}

void outcome_wrong(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "hostile: %s: ", rows[row_count - 1].what);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    failed = true;
}

/* Without values, which differ from try to try: only structure and reason. */
static void simplify(const char *why, char *out)
{
    size_t length = 0;
    const char *end = strstr(why, ": found ");
    const char *stop = end != NULL ? end : why + strlen(why);
    while (why < stop && length < LENGTH - 1) {
        if (isdigit((unsigned char)*why)) {
            out[length++] = 'N';
            while (why < stop && isxdigit((unsigned char)*why))
                why++;
        } else {
            out[length++] = *why++;
        }
    }
    out[length] = '\0';
}

void outcome_add(int result, const struct report_failure *failure)
{
    struct row *row = &rows[row_count - 1];
    char text[LENGTH];
    unsigned i = 0;
    row->tried++;
    if (result == 0) {
        if (row->wanted != OUTCOME_ACCEPTED)
            outcome_wrong("try %u was accepted", row->tried);
        return;
    }
    row->refused++;
    simplify(failure->why, text);
    if (row->wanted != OUTCOME_REFUSED)
        outcome_wrong("try %u was refused: %s", row->tried, failure->why);
    /* A message names a structure and a reason; but that there is no key is about all of it. */
    if (strchr(text, ':') == NULL && strcmp(text, "it is sealed") != 0)
        outcome_wrong("try %u says only \"%s\"", row->tried, failure->why);
    while (i < row->said_count && strcmp(row->said[i].text, text) != 0)
        i++;
    if (i == SAYINGS)
        return;
    if (i == row->said_count) {
        memcpy(row->said[i].text, text, sizeof(text));
        row->said_count++;
    }
    row->said[i].count++;
}

/* The next frequent saying; those that are equal in the order in which they came. */
static struct saying *take(struct row *row)
{
    struct saying *best = &row->said[0];
    for (unsigned i = 1; i < row->said_count; i++)
        if (row->said[i].count > best->count)
            best = &row->said[i];
    return best;
}

bool outcome_print(FILE *out)
{
    fputs("| What the host does | Tried | Refused | What is said, and how often "
          "|\n|---|---|---|---|\n",
          out);
    for (unsigned i = 0; i < row_count; i++) {
        struct row *row = &rows[i];
        fprintf(out, "| %s | %u | %s |", row->what, row->tried,
                row->refused == row->tried ? "all"
                : row->refused == 0        ? "none"
                                           : "some");
        for (unsigned k = 0; k < row->said_count && k < SHOWN; k++) {
            struct saying *saying = take(row);
            fprintf(out, "%s %s", k == 0 ? "" : ";", saying->text);
            if (saying->count != row->tried)
                fprintf(out, " (%u)", saying->count);
            saying->count = 0;
        }
        if (row->said_count > SHOWN)
            fprintf(out, "; %u more", row->said_count - SHOWN);
        fputs(" |\n", out);
        if (row->tried == 0)
            failed = true;
    }
    return !failed;
}
