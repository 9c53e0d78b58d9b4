/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A resume from a snapshot image. The host reads what it needs to run the machine: the facts, and the
 * device part. The guest's memory and registers are its firmware's business; with the key they are
 * looked at here as well, before anything is started.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resume_input_private.h"
#include "sealed.h"
#include "unseal.h"
#include "verify.h"

#define WHAT "check the image"
#define ADVICE_COPY "the image is damaged: use another copy"

struct resume_image {
    struct unseal unseal;
    struct image_memory memory;
};

static int open_file(struct resume_image *image, const struct resume_input_options *options,
                     const uint8_t *identity, struct report_failure *failure)
{
    uint8_t key[RESUME_SEALED_KEY];
    int result = 0;
    if (options->key_path != NULL)
        result = sealed_key_read(options->key_path, key, failure);
    if (result == 0)
        result = unseal_open(&image->unseal, options->path, options->key_path != NULL ? key : NULL,
                             identity, failure);
    resume_sealed_wipe(key, sizeof(key));
    return result;
}

/* The identity that is wanted, also as a file for the firmware. */
static int open_wanted(struct resume_input *input, const struct resume_input_options *options,
                       struct report_failure *failure)
{
    uint8_t identity[RESUME_SEALED_IDENTITY];
    if (options->identity == NULL)
        return open_file(input->opened, options, NULL, failure);
    if (!sealed_hex_read(options->identity, identity, sizeof(identity)))
        return report_fail(failure, EXIT_CODE_USAGE, "--expect-identity", options->identity,
                           "give what resumectl seal has printed",
                           "it has not 64 digits from 0 to 9 and a to f");
    int result = open_file(input->opened, options, identity, failure);
    if (result == 0)
        result = resume_input_write(input->work_fd, RESUME_INPUT_IDENTITY, identity,
                                    sizeof(identity), failure);
    if (result == 0)
        result = resume_input_join(input->identity_path, input->work_directory,
                                   RESUME_INPUT_IDENTITY, failure);
    return result;
}

/* What everybody may know of the machine. */
static int take_facts(struct resume_input *input, struct report_failure *failure)
{
    const struct unseal *unseal = &input->opened->unseal;
    struct manifest_image facts;
    int result = manifest_read_image(input->manifest, &facts, unseal->facts, unseal->facts_length,
                                     input->path, failure);
    if (result < 0)
        return result;
    if (input->manifest->cpu_count != unseal->header.vcpus ||
        input->manifest->cpu_count > RESUME_HOME_VCPUS)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, input->path, ADVICE_COPY,
                           "%" PRIu32 " vCPUs, its facts for the host say %" PRIu32
                           "; at most %u can be resumed",
                           unseal->header.vcpus, input->manifest->cpu_count, RESUME_HOME_VCPUS);
    const struct resume_home home = {.pa = facts.home_pa, .length = facts.home_length};
    result = splice_home_locate(&input->home, &home, input->manifest, failure);
    input->home.va_unknown = true;
    input->vcpu_count = unseal->header.vcpus;
    for (uint32_t i = 0; i < input->vcpu_count; i++) {
        input->active[i] = !facts.dormant[i];
        input->active_count += input->active[i];
    }
    return result;
}

/* The device part, and which memory is not in it. */
static int take_devices(struct resume_input *input, struct report_failure *failure)
{
    struct stream stream;
    struct stream_event event = {.kind = STREAM_HEADER};
    struct stream_error error;
    memset(&error, 0, sizeof(error));
    int result = unseal_devices(&input->opened->unseal, input->temporary, &input->stream_fd,
                                &input->stream_size, failure);
    if (result < 0)
        return result;
    if (stream_open_seekable(&stream, input->stream_fd, input->stream_size, &error) != 0)
        return splice_report(failure, &error, WHAT, "device part");
    while (result == 0 && event.kind != STREAM_MEMORY) {
        if (stream_next(&stream, &event, &error) != 0)
            result = splice_report(failure, &error, WHAT, "device part");
        else if (event.kind == STREAM_DEVICES)
            result = report_fail(failure, EXIT_CODE_REFUSED, WHAT, "device part", ADVICE_COPY,
                                 "it has no list of RAM blocks");
    }
    if (result == 0)
        result = image_memory_find(&input->opened->memory, input->manifest, &stream, failure);
    stream_close(&stream);
    input->memory = &input->opened->memory;
    return result;
}

/* Do the structures have the memory that the facts say? Areas that touch are one range of the map. */
static int check_map(const struct resume_input *input, struct report_failure *failure)
{
    const struct image_memory *memory = input->memory;
    const struct resume_sealed *sealed = &input->opened->unseal.image;
    uint64_t ranges = 0;
    uint64_t pages = 0;
    bool same = true;
    for (uint32_t i = 0; same && i < memory->count;) {
        const uint64_t page = memory->area[i].page;
        uint64_t count = 0;
        while (i < memory->count && memory->area[i].page == page + count)
            count += memory->area[i++].count;
        same = ranges < sealed->map_count;
        if (same) {
            const struct resume_sealed_run range = resume_sealed_map(sealed, ranges++);
            same = range.page == page && range.count == count;
            pages += count;
        }
    }
    if (same && ranges == sealed->map_count && pages == memory->pages)
        return 0;
    return report_fail(failure, EXIT_CODE_REFUSED, WHAT, input->path, ADVICE_COPY,
                       "its memory map is another than its facts for the host say");
}

/* What firmware will look at. */
static int take_structures(struct resume_input *input, const struct resume_input_options *options,
                           struct report_failure *failure)
{
    const struct unseal *unseal = &input->opened->unseal;
    const struct splice_home told = input->home;
    bool told_active[RESUME_HOME_VCPUS];
    struct resume_input_file state;
    struct resume_input_file plan;
    memcpy(told_active, input->active, sizeof(told_active));
    /* Nothing is spoiled in it: see resume_input_inject. */
    state.data = (uint8_t *)(uintptr_t)unseal_part(unseal, RESUME_SEALED_PART_STATE, &state.length);
    plan.data = (uint8_t *)(uintptr_t)unseal_part(unseal, RESUME_SEALED_PART_PLAN, &plan.length);
    int result = check_map(input, failure);
    if (result == 0)
        result = resume_input_take(input, options, &state, "state blob of the image", &plan,
                                   "plan of the image", failure);
    if (result < 0)
        return result;
    if (told.pa != input->home.pa || told.length != input->home.length ||
        memcmp(told_active, input->active, sizeof(told_active)) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, input->path, ADVICE_COPY,
                           "its facts for the host have another home, or other dormant vCPUs, than "
                           "its state blob and plan");
    return 0;
}

static const char *standing_of(const struct unseal *unseal)
{
    if (!unseal->opened)
        return "sealed, and no --key: what is not the guest's is taken from it unauthenticated, "
               "and "
               "the guest's firmware needs the key from elsewhere";
    return unseal->header.protection == RESUME_SEALED_CHECKSUM ? SEALED_INTEGRITY_ONLY : NULL;
}

int resume_image_open(struct resume_input *input, const struct resume_input_options *options,
                      struct report_failure *failure)
{
    input->opened = calloc(1, sizeof(*input->opened));
    if (input->opened == NULL)
        return report_fail_memory(failure, WHAT);
    int result = open_wanted(input, options, failure);
    if (result < 0)
        return result;
    const struct unseal *unseal = &input->opened->unseal;
    input->key_path = options->key_path;
    input->image_size = unseal->header.total;
    input->standing = standing_of(unseal);
    if (options->verify && !unseal->opened)
        return report_fail(failure, EXIT_CODE_REFUSED, "--verify", input->path,
                           "give the key: --key FILE",
                           "the image is sealed: there is nothing to compare with");
    result = take_facts(input, failure);
    if (result == 0)
        result = take_devices(input, failure);
    if (result == 0 && unseal->opened)
        return take_structures(input, options, failure);
    return result == 0 ? resume_input_inject(input, options, NULL, NULL, NULL, failure) : result;
}

void resume_image_close(struct resume_input *input)
{
    if (input->opened == NULL)
        return;
    unseal_close(&input->opened->unseal);
    free(input->opened);
}

int resume_image_compare(const struct resume_input *input, const struct verify_options *options,
                         struct ledger *out, struct report_failure *failure)
{
    return verify_compare_image(options, &input->opened->unseal, out, failure);
}
