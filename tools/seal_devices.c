/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The device sections, as the host gets to see them: without the registers of vCPUs that firmware
 * resumes. What the hypervisor had yet to deliver to such a vCPU is kept where the splice looks for it.
 * All that is left out or changed is taken down for those who have the key.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "seal_private.h"
#include "splice.h"
#include "vmdesc.h"

static int append(struct seal *seal, const void *data, size_t length)
{
    return seal_output_append(&seal->out, data, length, seal->failure);
}

int seal_change(struct seal *seal, size_t removed, const void *bytes, size_t added)
{
    const size_t padded =
        (added + RESUME_SEALED_ALIGN - 1) / RESUME_SEALED_ALIGN * RESUME_SEALED_ALIGN;
    const size_t need = seal->changes_length + RESUME_SEALED_CHANGE_SIZE + padded;
    if (removed == 0 && added == 0)
        return 0;
    if (need > seal->changes_room) {
        /* Not realloc: the old memory is to be wiped. */
        const size_t room = 2 * need;
        uint8_t *grown = calloc(1, room);
        if (grown == NULL)
            return report_fail_memory(seal->failure, SEAL_WHAT);
        if (seal->changes != NULL) {
            memcpy(grown, seal->changes, seal->changes_length);
            resume_sealed_wipe(seal->changes, seal->changes_room);
        }
        free(seal->changes);
        seal->changes = grown;
        seal->changes_room = room;
    }
    uint8_t *entry = seal->changes + seal->changes_length;
    seal_put(entry + RESUME_SEALED_CHANGE_OFFSET, seal->out.position - seal->part, 8);
    seal_put(entry + RESUME_SEALED_CHANGE_REMOVED, removed, 4);
    seal_put(entry + RESUME_SEALED_CHANGE_ADDED, added, 4);
    memcpy(entry + RESUME_SEALED_CHANGE_SIZE, bytes, added);
    seal->changes_length = need;
    return 0;
}

/* Appends @length bytes at @data where the stream has those at @source: what differs is a change. */
static int append_changed(struct seal *seal, const uint8_t *data, const uint8_t *source,
                          size_t length)
{
    size_t begin = 0;
    size_t end = length;
    while (begin < length && data[begin] == source[begin])
        begin++;
    while (end > begin && data[end - 1] == source[end - 1])
        end--;
    int result = append(seal, data, begin);
    if (result == 0)
        result = seal_change(seal, end - begin, source + begin, end - begin);
    return result == 0 ? append(seal, data + begin, length - begin) : result;
}

/* Index of the vCPU that the section belongs to: the n-th of its name is the n-th vCPU's. */
static uint32_t vcpu_of(const struct vmdesc *desc, const struct vmdesc_section *section)
{
    uint32_t index = 0;
    for (uint32_t i = 0; i < desc->section_count && &desc->sections[i] != section; i++)
        index += strcmp(desc->sections[i].name, section->name) == 0;
    return index;
}

static bool is_left_out(const struct seal *seal, const struct vmdesc *desc,
                        const struct vmdesc_section *section)
{
    if (strcmp(section->name, "cpu") != 0)
        return false;
    uint32_t index = vcpu_of(desc, section);
    return index >= seal->vcpus || seal->active[index];
}

static bool is_set(const struct vmdesc *desc, const struct vmdesc_section *section,
                   const char *path)
{
    const struct vmdesc_field *field = vmdesc_field_find(desc, section, path);
    uint64_t value;
    return field != NULL && vmdesc_field_u64(field, &value) == 0 && value != 0;
}

/* An NMI that KVM had yet to deliver becomes a pending line: the section that has it is left out. */
static int write_common(struct seal *seal, const struct vmdesc *desc,
                        const struct vmdesc_section *section, uint8_t *payload)
{
    static const char path[] = "cpu_common/interrupt_request";
    const struct vmdesc_section *cpu = vmdesc_section_nth(desc, "cpu", vcpu_of(desc, section));
    const struct vmdesc_field *field = vmdesc_field_find(desc, section, path);
    if (cpu == NULL || field == NULL || field->size != 4 || field->array_len != 1)
        return report_fail(seal->failure, EXIT_CODE_REFUSED, SEAL_WHAT, path,
                           "use the QEMU that the source ran under",
                           "the section has no such number of 32 bits");
    if (is_set(desc, cpu, "cpu/env.nmi_pending") || is_set(desc, cpu, "cpu/env.nmi_injected")) {
        const size_t at = (size_t)(field->data - (desc->tail + section->payload));
        /* SPLICE_IRQ_NMI, in big-endian order */
        payload[at + 2] |= (uint8_t)(SPLICE_IRQ_NMI >> 8);
    }
    return 0;
}

/* A section of an active vCPU with something taken from, or given back to it. */
static int write_changed(struct seal *seal, const struct vmdesc *desc,
                         const struct vmdesc_section *section)
{
    const uint8_t *tail = desc->tail;
    const size_t footer = section->payload + section->payload_length;
    uint8_t *payload = NULL;
    int result = 0;
    if (strcmp(section->name, "apic") == 0)
        result = splice_apic(desc, vcpu_of(desc, section), &payload, seal->failure);
    if (result == 0 && payload == NULL) {
        payload = malloc(section->payload_length + 1);
        if (payload == NULL)
            return report_fail_memory(seal->failure, SEAL_WHAT);
        memcpy(payload, tail + section->payload, section->payload_length);
    }
    if (result == 0 && strcmp(section->name, "cpu_common") == 0)
        result = write_common(seal, desc, section, payload);
    if (result == 0)
        result = append(seal, tail + section->start, section->payload - section->start);
    if (result == 0)
        result = append_changed(seal, payload, tail + section->payload, section->payload_length);
    if (result == 0)
        result = append(seal, tail + footer, section->end - footer);
    free(payload);
    return result;
}

/* The description without the sections that are left out. */
static int write_description(struct seal *seal, const struct vmdesc *desc)
{
    json_t *root = vmdesc_description(desc);
    json_t *kept = json_array();
    const json_t *devices = json_object_get(root, "devices");
    char *text = NULL;
    bool made = root != NULL && kept != NULL;
    for (size_t i = 0; made && i < json_array_size(devices); i++) {
        bool out = false;
        for (uint32_t k = 0; k < desc->section_count; k++)
            out = out ||
                  (desc->sections[k].device == i && is_left_out(seal, desc, &desc->sections[k]));
        made = out || json_array_append(kept, json_array_get(devices, i)) == 0;
    }
    if (made && json_object_set(root, "devices", kept) == 0)
        text = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(kept);
    json_decref(root);
    if (text == NULL)
        return report_fail_memory(seal->failure, SEAL_WHAT);
    const size_t length = strlen(text);
    const uint8_t header[6] = {STREAM_TYPE_EOF,         STREAM_TYPE_VMDESC,
                               (uint8_t)(length >> 24), (uint8_t)(length >> 16),
                               (uint8_t)(length >> 8),  (uint8_t)length};
    int result = seal_change(seal, sizeof(header) + length, desc->tail + desc->eof,
                             desc->tail_length - desc->eof);
    if (result == 0)
        result = append(seal, header, sizeof(header));
    if (result == 0)
        result = append(seal, text, length);
    free(text);
    return result;
}

static int write_sections(struct seal *seal, const struct vmdesc *desc)
{
    size_t at = 0;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < desc->section_count; i++) {
        const struct vmdesc_section *section = &desc->sections[i];
        const bool of_vcpu =
            strcmp(section->name, "apic") == 0 || strcmp(section->name, "cpu_common") == 0;
        const uint32_t index = of_vcpu ? vcpu_of(desc, section) : 0;
        result = append(seal, desc->tail + at, section->start - at);
        if (result == 0 && of_vcpu && index < seal->vcpus && seal->active[index])
            result = write_changed(seal, desc, section);
        else if (result == 0 && is_left_out(seal, desc, section))
            result =
                seal_change(seal, 0, desc->tail + section->start, section->end - section->start);
        else if (result == 0)
            result = append(seal, desc->tail + section->start, section->end - section->start);
        at = section->end;
    }
    if (result == 0)
        result = append(seal, desc->tail + at, desc->eof - at);
    return result == 0 ? write_description(seal, desc) : result;
}

int seal_devices(struct seal *seal)
{
    const uint8_t *tail = NULL;
    size_t length = 0;
    uint64_t offset = 0;
    struct stream_error error;
    struct vmdesc desc;
    memset(&error, 0, sizeof(error));
    if (stream_tail(&seal->stream, &tail, &length, &offset, &error) != 0 ||
        vmdesc_open(&desc, tail, length, offset, &error) != 0)
        return splice_report(seal->failure, &error, SEAL_WHAT, "the snapshot's stream");
    int result = write_sections(seal, &desc);
    vmdesc_close(&desc);
    return result;
}
