/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What is pending on the source's vCPUs, and how it comes into the spliced stream. */
#define _GNU_SOURCE
#include "splice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_events.h"

#define WHAT "splice"
#define ADVICE_LATER "take the snapshot again, a moment later"

int splice_interrupt_request(uint32_t source, bool nmi_blocked, uint32_t *ret,
                             struct report_failure *failure)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {SPLICE_IRQ_NMI, "a non-maskable interrupt"},
        {SPLICE_IRQ_SMI, "an SMI"},
        {SPLICE_IRQ_INIT, "an INIT"},
        {SPLICE_IRQ_SIPI, "a startup IPI"},
        {SPLICE_IRQ_MCE, "a machine check"},
        {SPLICE_IRQ_VIRQ, "a virtual interrupt (SVM)"},
        {SPLICE_IRQ_HALT, "a request to halt"},
        {SPLICE_IRQ_TPR, "a report of a TPR access"},
    };
    /* Neither has a meaning for the guest. */
    const uint32_t dropped = SPLICE_IRQ_EXITTB | SPLICE_IRQ_DEBUG;
    const uint32_t kept =
        SPLICE_IRQ_HARD | SPLICE_IRQ_POLL | (nmi_blocked ? SPLICE_IRQ_NMI : UINT32_C(0));
    uint32_t rest = source & ~(dropped | kept);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((rest & names[i].bit) != 0)
            return report_fail(
                failure, EXIT_CODE_REFUSED, WHAT, "cpu_common/interrupt_request", ADVICE_LATER,
                "%s is pending; it would be delivered before the guest is back", names[i].name);
    }
    if (rest != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, "cpu_common/interrupt_request",
                           ADVICE_LATER,
                           "pending events 0x%" PRIx32 " that this version does not know", rest);
    *ret = source & kept;
    return 0;
}

/* A flag of a vCPU under KVM. Absent means clear. */
static bool is_set(const struct vmdesc *desc, const struct vmdesc_section *cpu, const char *path)
{
    const struct vmdesc_field *field = cpu != NULL ? vmdesc_field_find(desc, cpu, path) : NULL;
    uint64_t value;
    return field != NULL && vmdesc_field_u64(field, &value) == 0 && value != 0;
}

int splice_pending(const struct vmdesc *source, uint32_t index, const struct splice_parked *parked,
                   uint32_t *ret, struct report_failure *failure)
{
    static const char path[] = "cpu_common/interrupt_request";
    const struct vmdesc_section *common = vmdesc_section_nth(source, "cpu_common", index);
    /* An image has no such section: what was in it of this kind is in the other. */
    const struct vmdesc_section *cpu =
        common != NULL ? vmdesc_section_find(source, "cpu", common->instance) : NULL;
    const struct vmdesc_field *field =
        common != NULL ? vmdesc_field_find(source, common, path) : NULL;
    uint64_t request;
    if (field == NULL || vmdesc_field_u64(field, &request) != 0)
        return report_fail(failure, EXIT_CODE_REFUSED, WHAT, path,
                           "use the QEMU that the source ran under",
                           "the section has no such number");
    if (is_set(source, cpu, "cpu/env.nmi_pending") || is_set(source, cpu, "cpu/env.nmi_injected"))
        request |= SPLICE_IRQ_NMI;
    bool nmi_blocked = splice_parked_active(parked, index) &&
                       (parked->handoff[index].flags & RESUME_HANDOFF_BLOCK_NMI) != 0;
    return splice_interrupt_request((uint32_t)request, nmi_blocked, ret, failure);
}

int splice_apic(const struct vmdesc *source, uint32_t index, uint8_t **ret_payload,
                struct report_failure *failure)
{
    const struct vmdesc_section *apic = vmdesc_section_nth(source, "apic", index);
    struct stream_error error;
    uint32_t vector = RESUME_NO_EVENT;
    memset(&error, 0, sizeof(error));
    *ret_payload = NULL;
    if (apic == NULL)
        return 0;
    /* In an image it has been given back already, and the section that told of it is not there. */
    const struct vmdesc_section *common = vmdesc_section_nth(source, "cpu_common", index);
    if (common != NULL && vmdesc_section_find(source, "cpu", common->instance) == NULL)
        return 0;
    if (qemu_events_injected(source, index, &vector, &error) != 0)
        return splice_report(failure, &error, WHAT, "a pending interrupt");
    if (vector == RESUME_NO_EVENT)
        return 0;
    uint8_t *payload = malloc(apic->payload_length + 1);
    if (payload == NULL)
        return report_fail_memory(failure, WHAT);
    memcpy(payload, source->tail + apic->payload, apic->payload_length);
    if (qemu_events_uninject(source, apic, vector, payload, &error) != 0) {
        free(payload);
        return splice_report(failure, &error, WHAT, "the local APIC");
    }
    *ret_payload = payload;
    return 0;
}
