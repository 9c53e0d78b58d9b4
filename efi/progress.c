/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "progress.h"

#include "console.h"
#include "io.h"

#define UPDATES_PER_SECOND 4
#define MEASURED_MICROSECONDS 10000
#define BAR 20 /* the whole line has less than 80 columns */

/* A line that is put together. */
struct line {
    char text[120];
    uint32_t length;
};

static void put(struct line *line, const char *text)
{
    while (*text != 0 && line->length + 1 < sizeof(line->text)) {
        line->text[line->length++] = *text++;
    }
    line->text[line->length] = 0;
}

/* In at least @width characters, with spaces in front. */
static void put_number(struct line *line, uint64_t value, uint32_t width)
{
    char digits[24];
    uint32_t at = sizeof(digits) - 1;

    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0 && at > 0);
    while (at > 0 && sizeof(digits) - 1 - at < width) {
        digits[--at] = ' ';
    }
    put(line, digits + at);
}

static uint64_t milliseconds(const struct progress *progress, uint64_t ticks)
{
    const uint64_t per_millisecond = progress->frequency / 1000;
    const uint64_t passed = per_millisecond == 0 ? 0 : ticks / per_millisecond;

    return passed == 0 ? 1 : passed;
}

static void show(struct progress *progress, uint64_t now, uint64_t done, uint64_t read)
{
    const uint64_t passed = milliseconds(progress, now - progress->begun);
    const uint64_t full = progress->total == 0 ? BAR : done / (progress->total / BAR + 1);
    const uint64_t percent = progress->total == 0 ? 100 : done / (progress->total / 100 + 1);
    struct line line = {{0}, 0};

    put(&line, "\r[");
    for (uint32_t i = 0; i < BAR; i++) {
        put(&line, i < full || done >= progress->total ? "#" : ".");
    }
    put(&line, "] ");
    put_number(&line, done >= progress->total ? 100 : percent, 3);
    put(&line, " %  ");
    put_number(&line, done / passed / 1000, 5);
    put(&line, " MB/s of memory  ");
    put_number(&line, read / passed / 1000, 5);
    put(&line, " MB/s of the image ");
    console_show(line.text);
    progress->shown = now;
    progress->visible = 1;
}

void progress_begin(struct progress *progress, EFI_SYSTEM_TABLE *system, uint64_t total)
{
    uint64_t before = cpu_read_tsc();

    system->BootServices->Stall(MEASURED_MICROSECONDS);
    *progress = (struct progress){0};
    progress->begun = cpu_read_tsc();
    progress->shown = progress->begun;
    progress->frequency = (progress->begun - before) * (1000000 / MEASURED_MICROSECONDS);
    progress->total = total;
}

void progress_update(struct progress *progress, uint64_t done, uint64_t read)
{
    const uint64_t now = cpu_read_tsc();

    if (now - progress->shown >= progress->frequency / UPDATES_PER_SECOND) {
        show(progress, now, done, read);
    }
}

uint64_t progress_end(struct progress *progress, uint64_t done, uint64_t read)
{
    const uint64_t now = cpu_read_tsc();

    if (progress->visible || done >= progress->total) {
        show(progress, now, done, read);
        console_show("\r\n");
    }
    return milliseconds(progress, now - progress->begun);
}
