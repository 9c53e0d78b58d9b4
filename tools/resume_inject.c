/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Spoiling a resume on purpose, to see what finds it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <resume/format.h>

#include "resume_input_private.h"

/* "0x10^0xff" behind the prefix: the part before the caret is cut out, the mask returned. */
static int parse_mask(const char *wish, const char *text, char *name, size_t capacity,
                      uint64_t *ret_mask, struct report_failure *failure)
{
    const char *caret = strchr(text, '^');
    char *end = NULL;
    errno = 0;
    unsigned long long mask = caret != NULL ? strtoull(caret + 1, &end, 0) : 0;
    if (caret == NULL || caret == text || (size_t)(caret - text) >= capacity || end == caret + 1 ||
        *end != '\0' || errno != 0 || mask == 0)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "see --help",
                           "expected reg:NAME^MASK or ram:ADDRESS^MASK with a mask that is not 0");
    memcpy(name, text, (size_t)(caret - text));
    name[caret - text] = '\0';
    *ret_mask = mask;
    return 0;
}

static int inject_ram(struct resume_input *input, const char *wish, struct report_failure *failure)
{
    char text[32];
    uint64_t mask;
    uint64_t offset;
    int result = parse_mask(wish, wish + 4, text, sizeof(text), &mask, failure);
    if (result < 0)
        return result;
    char *end;
    errno = 0;
    unsigned long long pa = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || mask > 0xff)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "see --help",
                           "expected a guest-physical address and a mask of one byte");
    if (input->poke.mask != 0)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "give one ram: wish",
                           "one byte of RAM can be spoiled at a time");
    const struct manifest_range *range = splice_locate(input->manifest, pa, 1, &offset);
    if (range == NULL)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish,
                           "resumectl inspect shows the memory map",
                           "there is no RAM at this address");
    memcpy(input->poke.block, range->block, sizeof(input->poke.block));
    input->poke.offset = offset;
    input->poke.mask = (uint8_t)mask;
    return 0;
}

/* "xsave+0xa80": a byte of the extended state, in the file that it was decoded from. */
static int inject_xsave(const struct resume_vcpu *vcpu, struct resume_input_file *state_file,
                        const char *offset, uint64_t mask, const char *wish,
                        struct report_failure *failure)
{
    char *end;
    errno = 0;
    unsigned long long at = strtoull(offset, &end, 0);
    if (end == offset || *end != '\0' || errno != 0 || mask > 0xff || vcpu->xsave.area == NULL ||
        at >= vcpu->xsave.length)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "see --help",
                           "expected an offset in the XSAVE area of this vCPU and a mask of one "
                           "byte");
    state_file->data[(size_t)(vcpu->xsave.area - state_file->data) + (size_t)at] ^= (uint8_t)mask;
    return 0;
}

/* "rax" or "rax@3": the name, and whose it is; without a number the first vCPU that is resumed. */
static int inject_register(const struct resume_input *input, struct resume_input_file *state_file,
                           struct resume_vcpu *vcpus, const char *wish,
                           struct report_failure *failure)
{
    char name[48];
    uint64_t mask;
    int result = parse_mask(wish, wish + 4, name, sizeof(name), &mask, failure);
    if (result < 0)
        return result;
    uint32_t index = 0;
    char *at = strchr(name, '@');
    if (at != NULL) {
        char *end;
        errno = 0;
        unsigned long number = strtoul(at + 1, &end, 10);
        if (at[1] < '0' || at[1] > '9' || *end != '\0' || errno != 0 ||
            number >= input->vcpu_count || !input->active[number])
            return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish,
                               "resumectl inspect shows the vCPUs",
                               "no vCPU that is resumed has this number");
        *at = '\0';
        index = (uint32_t)number;
    } else {
        while (index + 1 < input->vcpu_count && !input->active[index])
            index++;
    }
    if (strncmp(name, "xsave+", 6) == 0)
        return inject_xsave(&vcpus[index], state_file, name + 6, mask, wish, failure);
    const struct resume_field *field = resume_field_find(name);
    if (field == NULL)
        return report_fail(failure, EXIT_CODE_USAGE, "--inject", wish,
                           "resumectl inspect shows the names", "no register has this name");
    resume_field_set(&vcpus[index], field, resume_field_get(&vcpus[index], field) ^ mask);
    return 0;
}

/* Writes the spoiled state with a plan that fits it into the private directory. */
static int write_spoiled(struct resume_input *input, const struct resume_machine *machine,
                         const struct resume_vcpu *vcpus, const struct resume_plan *plan,
                         struct report_failure *failure)
{
    size_t length;
    size_t plan_length;
    struct resume_state state;
    struct resume_plan spoiled = *plan;
    struct resume_diag diag;
    uint8_t plan_data[RESUME_PLAN_SIZE_MAX];
    memset(&diag, 0, sizeof(diag));
    int err = resume_state_size(machine, vcpus, input->vcpu_count, &length);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, NULL, "--inject", "state", NULL);
    uint8_t *data = malloc(length);
    if (data == NULL)
        return report_fail_memory(failure, "--inject");
    err = resume_state_write(machine, vcpus, input->vcpu_count, data, length, &length);
    if (err == RESUME_OK)
        err = resume_state_open(data, length, &state, &diag);
    if (err == RESUME_OK) {
        spoiled.state_crc32c = state.crc32c;
        err = resume_plan_write(&spoiled, plan_data, sizeof(plan_data), &plan_length);
    }
    int result = 0;
    if (err != RESUME_OK)
        result = report_fail_diag(failure, err, NULL, "--inject", "state", NULL);
    if (result == 0)
        result = resume_input_write(input->work_fd, RESUME_INPUT_STATE, data, length, failure);
    if (result == 0)
        result =
            resume_input_write(input->work_fd, RESUME_INPUT_PLAN, plan_data, plan_length, failure);
    if (result == 0)
        result = resume_input_join(input->state_path, input->work_directory, RESUME_INPUT_STATE,
                                   failure);
    if (result == 0)
        result =
            resume_input_join(input->plan_path, input->work_directory, RESUME_INPUT_PLAN, failure);
    free(data);
    return result;
}

int resume_input_inject(struct resume_input *input, const struct resume_input_options *options,
                        const struct resume_guest *guest, struct resume_input_file *state_file,
                        struct resume_vcpu *vcpus, struct report_failure *failure)
{
    bool spoiled = false;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < options->inject_count; i++) {
        const char *wish = options->inject[i];
        if (strncmp(wish, "ram:", 4) == 0) {
            result = inject_ram(input, wish, failure);
        } else if (strncmp(wish, "reg:", 4) == 0 && input->image) {
            result = report_fail(failure, EXIT_CODE_USAGE, "--inject", wish,
                                 "resume the snapshot directory that the image was made from",
                                 "an image's registers are under a seal or checksum, and firmware "
                                 "reads them from the image");
        } else if (strncmp(wish, "reg:", 4) == 0) {
            result = inject_register(input, state_file, vcpus, wish, failure);
            spoiled = true;
        } else {
            result = report_fail(failure, EXIT_CODE_USAGE, "--inject", wish, "see --help",
                                 "expected reg:NAME^MASK, reg:NAME@VCPU^MASK or ram:ADDRESS^MASK");
        }
    }
    if (result < 0 || !spoiled)
        return result;
    struct resume_machine machine;
    struct resume_diag diag;
    memset(&diag, 0, sizeof(diag));
    int err = resume_state_machine(&guest->state, &machine, &diag);
    if (err != RESUME_OK)
        return report_fail_diag(failure, err, &diag, RESUME_INPUT_WHAT, MANIFEST_STATE, NULL);
    return write_spoiled(input, &machine, vcpus, &guest->plan, failure);
}
