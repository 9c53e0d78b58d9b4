/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * An input in any format that is read, for the subcommands that look at one: opened through
 * resume/import.h, with failures and arguments in the tool's form.
 */
#ifndef RESUME_TOOLS_INPUT_H
#define RESUME_TOOLS_INPUT_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <resume/import.h>

#include "report.h"

/* Owned by the caller; members are read-only for him. A zeroed one is closed. */
struct input {
    const char *what; /* the subcommand, for messages; borrowed */
    const char *path; /* as given; borrowed */
    struct resume_import *import;
    const struct resume_import_format *format;
    const char *detail; /* may be empty */
    uint32_t vcpu_count;
};

/*
 * input_open - open @path.
 * @format: a name, or NULL to find out.  @what: the subcommand, a static string.
 * Failures: EXIT_CODE_REFUSED, EXIT_CODE_ENVIRONMENT.
 */
int input_open(struct input *out, const char *what, const char *path, const char *format,
               struct report_failure *failure);
void input_close(struct input *input);

/* input_vcpu - as resume_import_vcpu. Failures as above; EXIT_CODE_USAGE when there is no such vCPU. */
int input_vcpu(struct input *input, uint32_t index, struct resume_vcpu *out,
               struct report_failure *failure);

/* All vCPUs of an input, each with an XSAVE image of its own. */
struct input_vcpus {
    uint32_t count;
    struct resume_vcpu *vcpu; /* owned, with the images */
};

/* input_vcpus_read - decode them all. @out: zeroed; to be freed, also after a failure. */
int input_vcpus_read(struct input *input, struct input_vcpus *out, struct report_failure *failure);
void input_vcpus_free(struct input_vcpus *vcpus);

/* input_machine - as resume_import_machine. */
int input_machine(struct input *input, struct resume_machine *out, struct report_failure *failure);

/* input_first_vcpu - the first vCPU that is not dormant, 0 when all are. */
int input_first_vcpu(struct input *input, uint32_t *ret_index, struct report_failure *failure);

/* input_fail - describe a failure of resume/import.h with @path, while doing @what. */
int input_fail(const struct resume_import_error *error, const char *what, const char *path,
               struct report_failure *failure);

/* "QEMU ELF dump (ELF64)". @buffer: INPUT_TITLE_MAX bytes. Returns it. */
#define INPUT_TITLE_MAX 256
char *input_title(const struct input *input, char *buffer);

/*
 * input_missing - the fields that a resume needs and vCPU @vcpu does not have, "efer, cr8".
 * @buffer: INPUT_MISSING_MAX bytes, empty when nothing is missing. Returns how many there are.
 */
#define INPUT_MISSING_MAX 1024
size_t input_missing(const struct resume_vcpu *vcpu, char *buffer);

/*
 * input_check_resumable - refuse, for a resume, what lacks fields that a resume needs, naming them, and
 * what is no snapshot directory, by its format. What cannot be opened at all is left to the resume,
 * whose messages say more of a damaged snapshot.
 * Failures: EXIT_CODE_REFUSED.
 */
int input_check_resumable(const char *path, struct report_failure *failure);

/* What the subcommands that look at one input take. */
struct input_arguments {
    const char *path;
    const char *format; /* NULL: found out */
    bool json;
    bool has_vcpu;
    uint32_t vcpu; /* with has_vcpu */
};

/* A child of such a subcommand's argp; its input is a struct input_arguments. */
extern const struct argp input_argp;

/* input_format_argument - check a --format; "help" prints the formats and exits. For argp parsers. */
const char *input_format_argument(const char *arg, struct argp_state *state);

/* input_vcpu_argument - a number of a vCPU. For argp parsers. */
uint32_t input_vcpu_argument(const char *arg, const struct argp_state *state);

/* input_finish_stdout - has all that was printed been written? */
int input_finish_stdout(struct report_failure *failure);

#endif
