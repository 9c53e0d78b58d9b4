/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "processors.h"

#include "console.h"
#include "io.h"
#include "runtime.h"

/* PI specification vol. 2, "MP Services Protocol"; gnu-efi does not declare it. */
#define MP_SERVICES_GUID                                                                           \
    {                                                                                              \
        0x3fdda605, 0xa76e, 0x4f46,                                                                \
        {                                                                                          \
            0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                         \
        }                                                                                          \
    }

/* EFI_PROCESSOR_INFORMATION as of revision 1.7, which added its last part. */
struct processor_information {
    uint64_t processor_id;
    uint32_t status;
    uint32_t location[3];
    uint32_t extended_location[6];
};

struct mp_services {
    EFI_STATUS(EFIAPI *get_number_of_processors)
    (struct mp_services *self, UINTN *ret_all, UINTN *ret_enabled);
    EFI_STATUS(EFIAPI *get_processor_info)
    (struct mp_services *self, UINTN number, struct processor_information *ret_information);
    EFI_STATUS(EFIAPI *start_all)
    (struct mp_services *self, processors_work work, BOOLEAN one_by_one, EFI_EVENT event,
     UINTN microseconds, void *argument, UINTN **ret_failed);
};

#define JOIN_STEP 1000   /* microseconds */
#define JOIN_STEPS 30000 /* until it is said */

void processors_find(EFI_SYSTEM_TABLE *system, struct processors *out)
{
    EFI_GUID guid = MP_SERVICES_GUID;
    void *interface = NULL;
    struct mp_services *services = NULL;
    UINTN all = 0;
    UINTN enabled = 0;

    memset(out, 0, sizeof(*out));
    if (system->BootServices->LocateProtocol(&guid, NULL, &interface) == EFI_SUCCESS) {
        services = interface;
        if (services->get_number_of_processors(services, &all, &enabled) != EFI_SUCCESS) {
            all = 0;
        }
    }
    out->count = all;
    for (UINTN i = 0; i < all && out->known < RESUME_HOME_VCPUS; i++) {
        struct processor_information information = {0};

        if (services->get_processor_info(services, i, &information) == EFI_SUCCESS) {
            out->apic_id[out->known++] = (uint32_t)information.processor_id;
        }
    }
    if (all == 0) {
        uint32_t registers[4];

        cpu_query_cpuid(NULL, 1, 0, registers);
        out->count = 1;
        out->known = 1;
        out->apic_id[0] = registers[1] >> 24;
    }
}

int processors_have(const struct processors *processors, uint32_t apic_id)
{
    for (uint32_t i = 0; i < processors->known; i++) {
        if (processors->apic_id[i] == apic_id) {
            return 1;
        }
    }
    return 0;
}

int processors_start(EFI_SYSTEM_TABLE *system, processors_work work, void *argument,
                     struct processors_team *out)
{
    EFI_GUID guid = MP_SERVICES_GUID;
    struct processors_team team = {system, NULL};
    struct mp_services *services;
    void *interface = NULL;

    if (system->BootServices->LocateProtocol(&guid, NULL, &interface) != EFI_SUCCESS ||
        system->BootServices->CreateEvent(0, 0, NULL, NULL, &team.event) != EFI_SUCCESS) {
        return 0;
    }
    services = interface;
    if (services->start_all(services, work, FALSE, team.event, 0, argument, NULL) != EFI_SUCCESS) {
        system->BootServices->CloseEvent(team.event);
        return 0;
    }
    *out = team;
    return 1;
}

void processors_join(struct processors_team *team)
{
    EFI_BOOT_SERVICES *services = team->system->BootServices;

    for (uint32_t i = 0; services->CheckEvent(team->event) != EFI_SUCCESS; i++) {
        if (i == JOIN_STEPS) {
            console_line("waiting for the other processors to come back");
        }
        services->Stall(JOIN_STEP);
    }
    services->CloseEvent(team->event);
}
