/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What follows the RAM in a spliced stream: the source's sections, with those of the resumed vCPUs the
 * target's. */
#define _GNU_SOURCE
#include <stdlib.h>

#include <jansson.h>

#include "splice_private.h"

/* Section header: type, section id; after it name and numbers. */
#define SECTION_ID 1u
/* Footer: type, section id. */
#define FOOTER_LENGTH 5u

/* The sections of the vCPUs that are resumed. Those of dormant ones stay, like a device's. */
static bool is_replaced(const struct splice *splice, const struct vmdesc_section *section)
{
    const struct splice_parked *parked = splice->options->parked;
    if (strcmp(section->name, "cpu") != 0 && strcmp(section->name, "cpu_common") != 0)
        return false;
    return splice_parked_active(parked, splice_parked_index(parked, section->instance));
}

/* The target's cpu_common with the source's pending lines. @ret_payload: to be freed. */
static int build_common(struct splice *splice, uint32_t index, const struct vmdesc_section *ours,
                        uint8_t **ret_payload, struct report_failure *failure)
{
    static const char path[] = "cpu_common/interrupt_request";
    const struct splice_parked *parked = splice->options->parked;
    const struct vmdesc *target = &parked->desc;
    const struct vmdesc_field *to = vmdesc_field_find(target, ours, path);
    uint32_t request;
    if (to == NULL || to->size != 4 || to->array_len != 1)
        return report_fail(failure, EXIT_CODE_REFUSED, SPLICE_WHAT, path, "take the snapshot again",
                           "the section has no such number of 32 bits");
    int result = splice_pending(&splice->desc, index, parked, &request, failure);
    if (result < 0)
        return result;
    uint8_t *payload = malloc(ours->payload_length);
    if (payload == NULL)
        return report_fail_memory(failure, SPLICE_WHAT);
    const uint8_t *begin = target->tail + ours->payload;
    memcpy(payload, begin, ours->payload_length);
    splice_put_be32(payload + (to->data - begin), request);
    splice->result.interrupt_request[index] = request;
    *ret_payload = payload;
    return 0;
}

/* A section of the source with another payload, between its own header and footer. */
static int write_section(struct splice *splice, const struct vmdesc_section *section,
                         const uint8_t *payload, size_t length, struct report_failure *failure)
{
    const uint8_t *tail = splice->desc.tail;
    size_t footer = section->payload + section->payload_length;
    if (splice_write(splice, tail + section->start, section->payload - section->start) != 0 ||
        splice_write(splice, payload, length) != 0 ||
        splice_write(splice, tail + footer, section->end - footer) != 0)
        return splice_fail_write(failure);
    return 0;
}

/* A section of a vCPU that is resumed: the target's. */
static int write_replaced(struct splice *splice, const struct vmdesc_section *theirs,
                          struct report_failure *failure)
{
    const struct splice_parked *parked = splice->options->parked;
    const struct vmdesc_section *ours =
        vmdesc_section_find(&parked->desc, theirs->name, theirs->instance);
    uint8_t *built = NULL;
    int result = 0;
    if (strcmp(theirs->name, "cpu_common") == 0)
        result = build_common(splice, splice_parked_index(parked, theirs->instance), ours, &built,
                              failure);
    if (result < 0)
        return result;
    const uint8_t *payload = built != NULL ? built : parked->desc.tail + ours->payload;
    result = write_section(splice, theirs, payload, ours->payload_length, failure);
    free(built);
    splice->result.replaced++;
    return result;
}

/*
 * The target's section "cpu" that an image does not have: it follows the vCPU's @common, or is not to
 * be added (NULL).
 */
static const struct vmdesc_section *added_behind(const struct splice *splice,
                                                 const struct vmdesc_section *common)
{
    const struct splice_parked *parked = splice->options->parked;
    if (!splice->options->image || strcmp(common->name, "cpu_common") != 0 ||
        !is_replaced(splice, common))
        return NULL;
    return vmdesc_section_find(&parked->desc, "cpu", common->instance);
}

static bool is_used(const struct splice *splice, uint32_t id)
{
    bool used = id == splice->stream.ram_id;
    for (uint32_t i = 0; !used && i < splice->desc.section_count; i++)
        used = splice->desc.sections[i].id == id;
    return used;
}

/* The number that the section was left out with follows that of the one before it; else any that is
 * free will do. */
static uint32_t free_id(struct splice *splice, uint32_t before)
{
    uint32_t id = (before > splice->last_added ? before : splice->last_added) + 1;
    while (is_used(splice, id))
        id++;
    splice->last_added = id;
    return id;
}

/* A section of the target as it is, but for its number. */
static int write_added(struct splice *splice, const struct vmdesc_section *section, uint32_t id,
                       struct report_failure *failure)
{
    const uint8_t *tail = splice->options->parked->desc.tail;
    const size_t length = section->end - section->start;
    const size_t footer = section->payload + section->payload_length - section->start;
    uint8_t *copy = malloc(length);
    if (copy == NULL)
        return report_fail_memory(failure, SPLICE_WHAT);
    memcpy(copy, tail + section->start, length);
    splice_put_be32(copy + SECTION_ID, id);
    if (length - footer == FOOTER_LENGTH)
        splice_put_be32(copy + footer + 1, id);
    const int ret = splice_write(splice, copy, length);
    free(copy);
    splice->result.sections++;
    splice->result.replaced++;
    return ret != 0 ? splice_fail_write(failure) : 0;
}

/* The local APIC of vCPU @index: its own, but for an interrupt that it takes back. */
static int write_apic(struct splice *splice, const struct vmdesc_section *apic, uint32_t index,
                      struct report_failure *failure)
{
    uint8_t *built = NULL;
    int result = 0;
    if (splice_parked_active(splice->options->parked, index))
        result = splice_apic(&splice->desc, index, &built, failure);
    if (result < 0)
        return result;
    const uint8_t *payload = built != NULL ? built : splice->desc.tail + apic->payload;
    result = write_section(splice, apic, payload, apic->payload_length, failure);
    free(built);
    return result;
}

/* The source's device @index as the spliced stream has it, and what follows it there. */
static int describe_device(const struct splice *splice, size_t index, json_t *theirs,
                           const json_t *our_devices, json_t *to)
{
    const struct vmdesc *source = &splice->desc;
    const struct vmdesc *target = &splice->options->parked->desc;
    const struct vmdesc_section *section = NULL;
    for (uint32_t i = 0; i < source->section_count && section == NULL; i++) {
        if (source->sections[i].device == index)
            section = &source->sections[i];
    }
    if (section == NULL || !is_replaced(splice, section))
        return json_array_append(to, theirs);
    const struct vmdesc_section *ours =
        vmdesc_section_find(target, section->name, section->instance);
    const struct vmdesc_section *added = added_behind(splice, section);
    int ret = json_array_append(to, json_array_get(our_devices, ours->device));
    if (ret == 0 && added != NULL)
        ret = json_array_append(to, json_array_get(our_devices, added->device));
    return ret;
}

/*
 * The description with the target's devices where they are the target's. NULL when it cannot be had.
 * @ret_changed: is it another one than the source's?
 */
static json_t *describe(const struct splice *splice, bool *ret_changed)
{
    json_t *root = vmdesc_description(&splice->desc);
    json_t *target_root = vmdesc_description(&splice->options->parked->desc);
    const json_t *our_devices = json_object_get(target_root, "devices");
    json_t *their_devices = json_object_get(root, "devices");
    json_t *devices = json_array();
    const size_t count = json_array_size(their_devices);
    bool made = root != NULL && target_root != NULL && devices != NULL;
    for (size_t i = 0; made && i < count; i++)
        made =
            describe_device(splice, i, json_array_get(their_devices, i), our_devices, devices) == 0;
    *ret_changed = made && !json_equal(devices, their_devices);
    if (made)
        made = json_object_set(root, "devices", devices) == 0;
    json_decref(devices);
    json_decref(target_root);
    if (!made) {
        json_decref(root);
        return NULL;
    }
    return root;
}

static int write_description(struct splice *splice, struct report_failure *failure)
{
    const struct vmdesc *source = &splice->desc;
    bool changed;
    json_t *root = describe(splice, &changed);
    if (root == NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, SPLICE_WHAT, "description",
                           "take the snapshot again",
                           "the description of the devices is not valid JSON, or there is no "
                           "memory for it");
    /* Unchanged it passes byte by byte. */
    if (!changed) {
        json_decref(root);
        size_t end = source->json + source->json_length;
        return splice_write(splice, source->tail + source->eof, end - source->eof) != 0
                   ? splice_fail_write(failure)
                   : 0;
    }
    /* Escaped, so that a reader may look for the section from the end of the stream. */
    char *text = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(root);
    if (text == NULL)
        return report_fail_memory(failure, SPLICE_WHAT);
    size_t length = strlen(text);
    uint8_t header[6] = {STREAM_TYPE_EOF, STREAM_TYPE_VMDESC};
    int result = 0;
    splice_put_be32(header + 2, (uint32_t)length);
    if (length > VMDESC_JSON_MAX)
        result = report_fail(failure, EXIT_CODE_REFUSED, SPLICE_WHAT, "description",
                             "take the snapshot again",
                             "the description of the devices grew to %zu bytes", length);
    else if (splice_write(splice, header, sizeof(header)) != 0 ||
             splice_write(splice, text, length) != 0)
        result = splice_fail_write(failure);
    free(text);
    return result;
}

int splice_write_devices(struct splice *splice, struct report_failure *failure)
{
    const struct vmdesc *source = &splice->desc;
    size_t at = 0;
    uint32_t apics = 0; /* the n-th belongs to the n-th vCPU */
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < source->section_count; i++) {
        const struct vmdesc_section *section = &source->sections[i];
        bool replaced = is_replaced(splice, section);
        bool apic = strcmp(section->name, "apic") == 0;
        size_t until = replaced || apic ? section->start : section->end;
        if (splice_write(splice, source->tail + at, until - at) != 0)
            return splice_fail_write(failure);
        if (replaced)
            result = write_replaced(splice, section, failure);
        else if (apic)
            result = write_apic(splice, section, apics++, failure);
        at = section->end;
        splice->result.sections++;
        const struct vmdesc_section *added = added_behind(splice, section);
        if (result == 0 && added != NULL)
            result = write_added(splice, added, free_id(splice, section->id), failure);
    }
    if (result == 0 && splice_write(splice, source->tail + at, source->eof - at) != 0)
        return splice_fail_write(failure);
    return result == 0 ? write_description(splice, failure) : result;
}
