/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * What QEMU's monitor prints for `info registers`. Layout: QEMU's source, target/i386/cpu-dump.c. Lines and
 * names that are not known are passed over, so that the output of modified QEMUs is read too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registers_text.h"

/* 4096 vCPUs with all their registers take some 30 MiB. */
#define TEXT_MAX (UINT64_C(64) << 20)
#define PROBE_SIZE 8192u

struct text {
    uint8_t *data; /* owned: the file, with a zero behind it */
    size_t length;
    const char *where;
    uint32_t count;
    size_t *at; /* owned: count + 1 places where a vCPU's lines begin; the last is the end */
    uint8_t area[RESUME_XSAVE_MAX];
};

/* "CPU#3", alone on its line. */
static int is_heading(const char *line, size_t length)
{
    if (length < 5 || memcmp(line, "CPU#", 4) != 0)
        return 0;
    for (size_t i = 4; i < length; i++) {
        if (line[i] == '\r' && i == length - 1 && i > 4)
            return 1;
        if (line[i] < '0' || line[i] > '9')
            return 0;
    }
    return 1;
}

static int is_first(const char *line, size_t length)
{
    return length > 4 && (memcmp(line, "RAX=", 4) == 0 || memcmp(line, "EAX=", 4) == 0);
}

static int probe(const struct import_input *input)
{
    char text[PROBE_SIZE + 1];
    size_t length = input->file.size < PROBE_SIZE ? (size_t)input->file.size : PROBE_SIZE;
    if (input->is_directory || import_read(&input->file, 0, text, length, NULL) != 0)
        return 0;
    text[length] = 0;
    if (memchr(text, 0, length) != NULL)
        return 0;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (is_first(line, strlen(line)))
            return strstr(line, "EFL=") != NULL || strstr(line, "RFL=") != NULL ? 80 : 20;
    }
    return 0;
}

/* Counts the vCPUs, and once there is room, notes down where they begin. */
static uint32_t pass(struct text *text)
{
    const char *data = (const char *)text->data;
    uint32_t count = 0;
    int headed = 0;
    for (size_t at = 0; at < text->length;) {
        const char *end = memchr(data + at, '\n', text->length - at);
        size_t length = end != NULL ? (size_t)(end - (data + at)) : text->length - at;
        int heading = is_heading(data + at, length);
        /* A listing of one vCPU need not have a heading. */
        if (heading || (is_first(data + at, length) && !headed)) {
            if (text->at != NULL)
                text->at[count] = at;
            count++;
            headed = heading;
        } else if (is_first(data + at, length)) {
            headed = 0;
        }
        at += length + 1;
    }
    if (text->at != NULL)
        text->at[count] = text->length;
    return count;
}

static void close_text(void *state)
{
    struct text *text = state;
    free(text->data);
    free(text->at);
    free(text);
}

static int find_vcpus(struct text *text, struct resume_import_error *error)
{
    if (memchr(text->data, 0, text->length) != NULL)
        return import_fail(error, RESUME_EMAGIC, 0, text->where, "", "this is not a text");
    text->count = pass(text);
    if (text->count == 0 || text->count > RESUME_VCPU_MAX)
        return import_fail(error, text->count == 0 ? RESUME_EMISSING : RESUME_ELENGTH, 0,
                           text->where, "", "it holds %u vCPUs, expected 1 to %u", text->count,
                           RESUME_VCPU_MAX);
    text->at = calloc((size_t)text->count + 1, sizeof(*text->at));
    if (text->at == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, text->where,
                           "", "no memory");
    pass(text);
    return 0;
}

static int open_text(const struct import_input *input, void **ret_state, uint32_t *ret_vcpus,
                     char *detail, size_t detail_size, struct resume_import_error *error)
{
    struct text *text = calloc(1, sizeof(*text));
    (void)detail;
    (void)detail_size;
    if (text == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                           input->file.name, "", "no memory");
    text->where = input->file.name;
    int ret = import_load(&input->file, TEXT_MAX, &text->data, &text->length, error);
    if (ret == 0)
        ret = find_vcpus(text, error);
    if (ret != 0) {
        close_text(text);
        return ret;
    }
    *ret_state = text;
    *ret_vcpus = text->count;
    return 0;
}

static int vcpu(void *state, uint32_t index, struct resume_vcpu *out,
                struct resume_import_error *error)
{
    struct text *text = state;
    const char *data = (const char *)text->data;
    return registers_text_decode(data + text->at[index], text->at[index + 1] - text->at[index],
                                 text->at[index], text->where, text->area, out, error);
}

const struct importer import_registers_text = {
    .format = {.name = "registers", .title = "listing of \"info registers\"", .readable = 1},
    .probe = probe,
    .open = open_text,
    .vcpu = vcpu,
    .close = close_text,
};
