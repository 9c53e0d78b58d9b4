/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * resume.efi: load, check, prepare, leave. This file is the sequence and nothing else; what is right
 * and wrong is decided by libresume. Everything that can fail comes before ExitBootServices; until
 * then the firmware gets the machine back as it was, with a message, and goes on to its boot manager.
 */
#include <efi.h>

#include <resume/guest.h>

#include "console.h"
#include "io.h"
#include "memory.h"
#include "prepare.h"
#include "processors.h"
#include "runtime.h"
#include "source.h"

#define EXIT_TRIES 4
#define CR4_LA57 (UINT64_C(1) << 12)

/* Everything between the start and the point of no return. */
struct loader {
    EFI_HANDLE image;
    EFI_SYSTEM_TABLE *system;
    struct source_input state_input;
    struct source_input plan_input;
    struct resume_guest guest;
    struct resume_cpu cpu;
    struct memory_map map;
    struct prepared prepared;
};

/* Some 5 KiB, wiped in the end. */
static struct resume_vcpu scratch;

static EFI_STATUS load(struct loader *loader)
{
    struct resume_diag diag = {0};
    int err;
    EFI_STATUS status = source_load(loader->image, loader->system, "state", &loader->state_input);

    if (status == EFI_SUCCESS) {
        status = source_load(loader->image, loader->system, "plan", &loader->plan_input);
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    err = resume_guest_open(loader->state_input.data, loader->state_input.length, &scratch,
                            &loader->guest, &diag);
    if (err != RESUME_OK) {
        return console_refuse("state blob", err, &diag);
    }
    err = resume_guest_plan(&loader->guest, loader->plan_input.data, loader->plan_input.length,
                            &diag);
    return err == RESUME_OK ? EFI_SUCCESS : console_refuse("plan", err, &diag);
}

static EFI_STATUS check_machine(struct loader *loader)
{
    const struct resume_cpuid cpuid = {cpu_query_cpuid, NULL};
    const struct resume_guest *guest = &loader->guest;
    struct processors processors;
    struct resume_diag diag = {0};
    int err;

    processors_find(loader->system, &processors);
    if (guest->state.vcpu_count != processors.count) {
        console_line("refused: processors: the state has %u, this machine %u: start it with as "
                     "many as the snapshot's",
                     (uint64_t)guest->state.vcpu_count, processors.count);
        return EFI_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < guest->set.known; i++) {
        if (!processors_have(&processors, guest->set.apic_id[i])) {
            console_line("refused: processors: no processor of this machine has APIC ID %x: give "
                         "it the topology (-smp) of the snapshot's",
                         (uint64_t)guest->set.apic_id[i]);
            return EFI_UNSUPPORTED;
        }
    }
    err = resume_cpu_identify(&cpuid, &loader->cpu, &diag);
    if (err == RESUME_OK) {
        err = resume_guest_check_cpu(guest, &loader->cpu, &scratch, &diag);
    }
    return err == RESUME_OK ? EFI_SUCCESS : console_refuse("this machine's CPU", err, &diag);
}

static EFI_STATUS check_home(struct loader *loader)
{
    const struct resume_home *home = &loader->guest.plan.home;
    EFI_STATUS status = memory_map_allocate(loader->system, &loader->map);
    uint64_t where;
    uint32_t type;

    if (status == EFI_SUCCESS) {
        status = memory_map_take(loader->system, &loader->map);
    }
    if (status != EFI_SUCCESS) {
        console_line("refused: memory map: the firmware does not give it (status %x)",
                     (uint64_t)status);
        return status;
    }
    if (!memory_map_is_ram(&loader->map, home->pa, home->length, &where, &type)) {
        console_line(
            "refused: home: address %x is not usable RAM on this machine (memory type %x): "
            "give the machine as much RAM as the snapshot's",
            where, (uint64_t)type);
        return EFI_UNSUPPORTED;
    }
    return EFI_SUCCESS;
}

static void clean_up(struct loader *loader)
{
    memory_map_free(loader->system, &loader->map);
    prepare_undo(loader->system, &loader->guest, &loader->prepared);
    memset(&scratch, 0, sizeof(scratch));
    source_free(loader->system, &loader->plan_input);
    source_free(loader->system, &loader->state_input);
}

/* End boot services and go. Returns only if the firmware does not let go. */
static EFI_STATUS leave(struct loader *loader)
{
    EFI_STATUS status = EFI_INVALID_PARAMETER;

    memset(&scratch, 0, sizeof(scratch));
    source_free(loader->system, &loader->plan_input);
    source_free(loader->system, &loader->state_input);
    /* A map that changed in between makes the key stale: take it again. */
    for (uint32_t i = 0; i < EXIT_TRIES && status != EFI_SUCCESS; i++) {
        status = memory_map_take(loader->system, &loader->map);
        if (status == EFI_SUCCESS) {
            status = loader->system->BootServices->ExitBootServices(loader->image, loader->map.key);
        }
    }
    if (status == EFI_SUCCESS) {
        prepare_enter(&loader->guest, &loader->prepared);
    }
    return status;
}

/* gnu-efi's start code calls this with the System V convention. */
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    struct loader loader = {.image = image, .system = system};
    EFI_STATUS status;

    console_init(system);
    console_line("resume.efi " RESUME_VERSION);
    status = load(&loader);
    if (status == EFI_SUCCESS) {
        status = check_machine(&loader);
    }
    if (status == EFI_SUCCESS) {
        console_line("home: %u KiB at %x (physical %x)", loader.guest.plan.home.length / 1024,
                     loader.guest.plan.home.va, loader.guest.plan.home.pa);
        console_line("processors: %u of %u; paging: %u levels here, %u in the guest",
                     (uint64_t)loader.guest.set.active, (uint64_t)loader.guest.set.count,
                     (cpu_read_cr4() & CR4_LA57) != 0 ? 5 : UINT64_C(4),
                     (uint64_t)loader.guest.set.levels);
        status = prepare_all(system, &loader.guest, &loader.cpu, &scratch, &loader.prepared);
    }
    if (status == EFI_SUCCESS) {
        status = check_home(&loader);
    }
    if (status == EFI_SUCCESS) {
        console_line("leaving the firmware");
        status = leave(&loader);
        /* The firmware is half gone: of its services only those for memory may be used now. */
        console_leave_firmware();
        console_line("refused: firmware: boot services do not end (status %x)", (uint64_t)status);
    }
    clean_up(&loader);
    console_line("back to the firmware");
    return status;
}
