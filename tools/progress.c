/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"
#include "report.h"

#define SECOND_NS UINT64_C(1000000000)
#define REDRAW_NS (SECOND_NS / 10)
#define BAR_WIDTH 24u
#define NAME_WIDTH 36

void progress_init(struct progress *progress, FILE *out)
{
    if (progress == NULL)
        return;
    *progress = (struct progress){.out = out, .now = deadline_now};
    progress->terminal = isatty(fileno(out)) == 1;
    progress->colour = report_colour(out);
}

char *progress_format_bytes(uint64_t bytes, char *buffer, size_t capacity)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t whole = bytes;
    uint64_t tenths = 0;
    while (whole >= 1024) {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(buffer, capacity, "%" PRIu64 " B", whole);
    else
        snprintf(buffer, capacity, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, units[unit]);
    return buffer;
}

char *progress_format_time(uint64_t ns, char *buffer, size_t capacity)
{
    uint64_t tenths = ns / (SECOND_NS / 10);
    uint64_t seconds = ns / SECOND_NS;
    if (seconds < 60)
        snprintf(buffer, capacity, "%" PRIu64 ".%" PRIu64 " s", tenths / 10, tenths % 10);
    else
        snprintf(buffer, capacity, "%" PRIu64 ":%02" PRIu64 " min", seconds / 60, seconds % 60);
    return buffer;
}

void progress_step_begin(struct progress *progress, const char *format, ...)
{
    if (progress == NULL)
        return;
    progress_step_end(progress, NULL);
    va_list args;
    va_start(args, format);
    if (vsnprintf(progress->name, sizeof(progress->name), format, args) < 0)
        progress->name[0] = '\0';
    va_end(args);
    progress->active = true;
    progress->drawn = false;
    progress->start_ns = progress->now();
    progress->draw_ns = progress->start_ns;
    if (progress->terminal) {
        fprintf(progress->out, "  %-*s ", NAME_WIDTH, progress->name);
        fflush(progress->out);
    }
}

/* Draws the line of the current step over itself. */
static void draw_bar(struct progress *progress, uint64_t elapsed, uint64_t done, uint64_t total)
{
    char rate_text[32];
    char time_text[32];
    fprintf(progress->out, "\r\033[K  %-*s ", NAME_WIDTH, progress->name);
    if (total == 0) {
        fputs(progress_format_time(elapsed, time_text, sizeof(time_text)), progress->out);
    } else {
        char bar[BAR_WIDTH + 1];
        double part = (double)done / (double)total;
        unsigned filled = (unsigned)(part * BAR_WIDTH);
        memset(bar, '.', BAR_WIDTH);
        memset(bar, '#', filled < BAR_WIDTH ? filled : BAR_WIDTH);
        bar[BAR_WIDTH] = '\0';
        double rate = (double)done / ((double)elapsed / (double)SECOND_NS);
        fprintf(progress->out, "[%s] %3u%%", bar, (unsigned)(part * 100));
        if (done > 0 && elapsed > 0) {
            uint64_t left = (uint64_t)((double)(total - done) / rate * (double)SECOND_NS);
            fprintf(progress->out, "  %s/s",
                    progress_format_bytes((uint64_t)rate, rate_text, sizeof(rate_text)));
            fprintf(progress->out, "  %s left",
                    progress_format_time(left, time_text, sizeof(time_text)));
        }
    }
    fflush(progress->out);
    progress->drawn = true;
}

void progress_step_update(struct progress *progress, uint64_t done, uint64_t total)
{
    if (progress == NULL || !progress->active || !progress->terminal)
        return;
    uint64_t now = progress->now();
    uint64_t elapsed = now - progress->start_ns;
    if (elapsed < SECOND_NS || now - progress->draw_ns < REDRAW_NS)
        return;
    progress->draw_ns = now;
    draw_bar(progress, elapsed, total != 0 && done > total ? total : done, total);
}

/* Ends the step's line and records it. @result may be NULL. */
static void finish_step(struct progress *progress, const char *result, bool failed)
{
    char time_text[32];
    uint64_t elapsed = progress->now() - progress->start_ns;
    const char *on = "";
    const char *off = "";
    if (progress->colour) {
        on = failed ? "\033[1;31m" : "\033[32m";
        off = "\033[0m";
    }
    if (progress->terminal)
        fputs("\r\033[K", progress->out);
    fprintf(progress->out, "  %-*s %s%-6s%s %8s%s%s\n", NAME_WIDTH, progress->name, on,
            failed ? "failed" : "done", off,
            progress_format_time(elapsed, time_text, sizeof(time_text)), result != NULL ? "  " : "",
            result != NULL ? result : "");
    fflush(progress->out);
    if (progress->step_count < PROGRESS_STEP_MAX) {
        struct progress_step *step = &progress->step[progress->step_count++];
        memcpy(step->name, progress->name, sizeof(step->name));
        step->duration_ns = elapsed;
        step->failed = failed;
    }
    progress->active = false;
}

void progress_step_end(struct progress *progress, const char *format, ...)
{
    if (progress == NULL || !progress->active)
        return;
    char result[160] = "";
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        if (vsnprintf(result, sizeof(result), format, args) < 0)
            result[0] = '\0';
        va_end(args);
    }
    finish_step(progress, result[0] != '\0' ? result : NULL, false);
}

void progress_step_fail(struct progress *progress)
{
    if (progress != NULL && progress->active)
        finish_step(progress, NULL, true);
}

uint64_t progress_total_ns(const struct progress *progress)
{
    uint64_t total = 0;
    if (progress != NULL)
        for (uint32_t i = 0; i < progress->step_count; i++)
            total += progress->step[i].duration_ns;
    return total;
}
