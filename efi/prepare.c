/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "prepare.h"

#include <trampoline.h>

#include "console.h"
#include "io.h"
#include "memory.h"
#include "runtime.h"

#define TRIES 8
#define BELOW_1_MIB UINT64_C(0x000fffff)
#define BELOW_4_GIB UINT64_C(0xffffffff)
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (UINT64_C(1) << 10)
#define APIC_BASE_ADDRESS UINT64_C(0x000ffffffffff000)

static int build_transit(const struct resume_guest *guest, const struct prepared *prepared,
                         struct resume_diag *diag)
{
    const uint64_t apic_base = cpu_read_msr(MSR_APIC_BASE);
    const struct resume_transit_input input = {
        .home = &guest->plan.home,
        .area = &guest->staging,
        .trampoline = resume_trampoline,
        .trampoline_length = resume_trampoline_length,
        .staging_pa = prepared->staging_pa,
        .startup_pa = prepared->startup_pa,
        .apic_pa = (apic_base & APIC_BASE_X2APIC) != 0 ? 0 : apic_base & APIC_BASE_ADDRESS,
        .cr4 = cpu_read_cr4(),
        .levels = guest->set.levels,
        .moving = guest->moving,
    };

    return resume_transit_build(&input, (uint8_t *)prepared->staging_pa,
                                (uint8_t *)prepared->startup_pa, diag);
}

static EFI_STATUS allocate(EFI_SYSTEM_TABLE *system, const struct resume_guest *guest,
                           struct prepared *out)
{
    EFI_STATUS status =
        memory_allocate(system, BELOW_4_GIB, guest->staging.length, &out->staging_pa);

    if (status != EFI_SUCCESS) {
        console_line("refused: memory: no %u bytes below 4 GiB for the staging area (status %x)",
                     guest->staging.length, (uint64_t)status);
        return status;
    }
    if (guest->set.active > 1) {
        status = memory_allocate(system, BELOW_1_MIB, RESUME_PAGE_SIZE, &out->startup_pa);
        if (status != EFI_SUCCESS) {
            console_line("refused: memory: no page below 1 MiB, where the other processors have "
                         "to begin (status %x)",
                         (uint64_t)status);
        }
    }
    return status;
}

static EFI_STATUS build_home(const struct resume_guest *guest, const struct resume_cpu *cpu,
                             struct resume_vcpu *scratch, const struct prepared *prepared)
{
    struct resume_diag diag = {0};
    int err =
        resume_guest_build(guest, cpu, resume_trampoline, resume_trampoline_length,
                           console_debug_port(), scratch, (uint8_t *)prepared->staging_pa, &diag);

    return err == RESUME_OK ? EFI_SUCCESS : console_refuse("image of the home", err, &diag);
}

static void release(EFI_SYSTEM_TABLE *system, const struct resume_guest *guest,
                    const struct prepared *prepared)
{
    if (prepared->startup_pa != 0) {
        memory_free(system, prepared->startup_pa, RESUME_PAGE_SIZE);
    }
    if (prepared->staging_pa != 0) {
        memory_free(system, prepared->staging_pa, guest->staging.length);
    }
}

EFI_STATUS prepare_all(EFI_SYSTEM_TABLE *system, const struct resume_guest *guest,
                       const struct resume_cpu *cpu, struct resume_vcpu *scratch,
                       struct prepared *out)
{
    struct prepared rejected[TRIES];
    uint32_t rejected_count = 0;
    struct resume_diag diag = {0};
    EFI_STATUS status = EFI_SUCCESS;
    int err = RESUME_ECONFLICT;

    out->home_reserved = memory_reserve(system, guest->plan.home.pa, guest->plan.home.length);
    /* What collides with the home is kept until another place is found. */
    while (err == RESUME_ECONFLICT && rejected_count < TRIES) {
        status = allocate(system, guest, out);
        if (status != EFI_SUCCESS) {
            break;
        }
        err = build_transit(guest, out, &diag);
        if (err == RESUME_ECONFLICT) {
            rejected[rejected_count++] = *out;
            out->staging_pa = 0;
            out->startup_pa = 0;
        }
    }
    while (rejected_count > 0) {
        release(system, guest, &rejected[--rejected_count]);
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    if (err != RESUME_OK) {
        return console_refuse("transit tables", err, &diag);
    }
    return build_home(guest, cpu, scratch, out);
}

EFI_STATUS prepare_placed(struct resume_guest *guest, const struct resume_cpu *cpu,
                          struct resume_vcpu *scratch, const struct place *place,
                          struct prepared *out)
{
    struct resume_diag diag = {0};
    int err;

    out->placed = 1;
    out->staging_pa = place_area(place, RESUME_MOVING_STAGING);
    out->startup_pa = guest->set.active > 1 ? place_area(place, RESUME_MOVING_STARTUP) : 0;
    resume_guest_set_moving(guest, &place->moving);
    err = build_transit(guest, out, &diag);
    if (err != RESUME_OK) {
        return console_refuse("transit tables", err, &diag);
    }
    return build_home(guest, cpu, scratch, out);
}

void prepare_undo(EFI_SYSTEM_TABLE *system, const struct resume_guest *guest,
                  struct prepared *prepared)
{
    if (!prepared->placed) {
        release(system, guest, prepared);
    }
    if (prepared->home_reserved) {
        memory_free(system, guest->plan.home.pa, guest->plan.home.length);
    }
    memset(prepared, 0, sizeof(*prepared));
}

/* The trampoline's first entry, in the System V convention that this code is compiled for. */
typedef void (*enter_fn)(struct resume_transit *transit);

void prepare_enter(const struct resume_guest *guest, const struct prepared *prepared)
{
    const struct resume_trampoline_header *header =
        (const struct resume_trampoline_header *)(prepared->staging_pa + RESUME_HOME_CODE);
    enter_fn enter = (enter_fn)(prepared->staging_pa + RESUME_HOME_CODE + header->enter);

    enter((struct resume_transit *)(prepared->staging_pa + guest->staging.transit));
    __builtin_unreachable();
}
