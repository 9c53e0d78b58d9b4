/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "attempt.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outcome.h"

static char path[128];

void attempt_make(const char *folder)
{
    snprintf(path, sizeof(path), "%s/served", folder);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    close(fd);
}

void attempt_source(const struct image *image, const struct source *source)
{
    const struct open_options options = {
        .path = path, .key = image->key, .identity = image->identity};
    struct report_failure failure;
    static struct open_result result;
    memset(&failure, 0, sizeof(failure));
    /* A hole: the bytes come from the source. */
    if (truncate(path, (off_t)source->length) != 0) {
        perror(path);
        exit(1);
    }
    source_serve(source);
    const int ret = open_run(&options, &result, &failure);
    outcome_add(ret, &failure);
    if (ret != 0 && ret != -EXIT_CODE_REFUSED && source->fail_at == 0)
        outcome_wrong("exit status %d: %s", -ret, failure.why);
}

void attempt(const struct image *image)
{
    const struct source honest = {.data = image->data, .length = image->length};
    attempt_source(image, &honest);
}
