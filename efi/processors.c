/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "processors.h"

/* PI specification vol. 2, "MP Services Protocol"; gnu-efi does not declare it. */
#define MP_SERVICES_GUID                                                                           \
    {                                                                                              \
        0x3fdda605, 0xa76e, 0x4f46,                                                                \
        {                                                                                          \
            0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                         \
        }                                                                                          \
    }

struct mp_services {
    EFI_STATUS(EFIAPI *get_number_of_processors)
    (struct mp_services *self, UINTN *ret_all, UINTN *ret_enabled);
};

uint64_t processors_count(EFI_SYSTEM_TABLE *system)
{
    EFI_GUID guid = MP_SERVICES_GUID;
    void *interface = NULL;
    UINTN all = 1;
    UINTN enabled = 1;

    if (system->BootServices->LocateProtocol(&guid, NULL, &interface) == EFI_SUCCESS) {
        struct mp_services *services = interface;

        if (services->get_number_of_processors(services, &all, &enabled) != EFI_SUCCESS) {
            return 1;
        }
    }
    return all;
}
