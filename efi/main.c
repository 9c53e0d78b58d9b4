/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * resume.efi: open, check, prepare, load, leave. This file is the sequence and nothing else; what is
 * right and wrong is decided by libresume. Everything that can fail comes before ExitBootServices;
 * until then the firmware gets the machine back as it was, with a message, and goes on to its boot
 * manager.
 *
 * The guest's state and plan come by themselves, and the hypervisor puts its memory back; or they come
 * in a snapshot image, and its memory is loaded from there.
 */
#include <efi.h>

#include <resume/guest.h>

#include "console.h"
#include "image.h"
#include "io.h"
#include "key.h"
#include "load.h"
#include "memory.h"
#include "place.h"
#include "prepare.h"
#include "processors.h"
#include "runtime.h"
#include "source.h"

#define EXIT_TRIES 4
#define CR4_LA57 (UINT64_C(1) << 12)

/* Everything between the start and the point of no return. */
struct loader {
    EFI_HANDLE application;
    EFI_SYSTEM_TABLE *system;
    struct source_input state_input;
    struct source_input plan_input;
    struct resume_guest guest;
    struct resume_cpu cpu;
    struct memory_map map;
    struct prepared prepared;
    int from_image;
};

/* Large, and wiped in the end. What follows the first is for images. */
static struct resume_vcpu scratch;
static struct image image;
static struct place place;
static struct load load;

/* ---- The guest ---- */

static EFI_STATUS open_guest(struct loader *loader, const void *state, size_t state_length,
                             const void *plan, size_t plan_length)
{
    struct resume_diag diag = {0};
    int err = resume_guest_open(state, state_length, &scratch, &loader->guest, &diag);

    if (err != RESUME_OK) {
        return console_refuse("state blob", err, &diag);
    }
    err = resume_guest_plan(&loader->guest, plan, plan_length, &diag);
    return err == RESUME_OK ? EFI_SUCCESS : console_refuse("plan", err, &diag);
}

static EFI_STATUS open_inputs(struct loader *loader)
{
    EFI_STATUS status =
        source_load(loader->application, loader->system, "state", &loader->state_input);

    if (status == EFI_SUCCESS) {
        status = source_load(loader->application, loader->system, "plan", &loader->plan_input);
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    return open_guest(loader, loader->state_input.data, loader->state_input.length,
                      loader->plan_input.data, loader->plan_input.length);
}

static EFI_STATUS open_image(struct loader *loader, const struct image_choice *choice)
{
    EFI_STATUS status = image_open(loader->application, loader->system, choice, &image);
    const uint8_t *state;
    const uint8_t *plan;
    size_t state_length;
    size_t plan_length;
    int sealed;

    if (status != EFI_SUCCESS) {
        return status;
    }
    loader->from_image = 1;
    sealed = image.header.protection != RESUME_SEALED_CHECKSUM;
    if (sealed) {
        console_set_discreet(); /* before anything is said of the guest */
    }
    state = resume_sealed_part(&image.sealed, RESUME_SEALED_PART_STATE, &state_length);
    plan = resume_sealed_part(&image.sealed, RESUME_SEALED_PART_PLAN, &plan_length);
    status = open_guest(loader, state, state_length, plan, plan_length);
    if (status == EFI_SUCCESS && sealed) {
        resume_guest_set_discreet(&loader->guest);
    }
    return status;
}

/* An image, where the load options ask for one, or nothing else is there. */
static EFI_STATUS open_any(struct loader *loader)
{
    struct image_choice choice;
    EFI_STATUS status = image_choice_parse(loader->application, loader->system, &choice);

    if (status != EFI_SUCCESS) {
        return status;
    }
    if (choice.backend == IMAGE_ANY &&
        (source_exists(loader->application, loader->system, "state") ||
         source_exists(loader->application, loader->system, "plan"))) {
        if (key_area_exists(loader->system)) {
            console_line(
                "refused: state and plan: they are the host's, but this machine has an area "
                "for launch secrets: give it a sealed image");
            return EFI_SECURITY_VIOLATION;
        }
        return open_inputs(loader);
    }
    return open_image(loader, &choice);
}

/* ---- The machine ---- */

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

static EFI_STATUS take_map(struct loader *loader)
{
    EFI_STATUS status = memory_map_allocate(loader->system, &loader->map);

    if (status == EFI_SUCCESS) {
        status = memory_map_take(loader->system, &loader->map);
    }
    if (status != EFI_SUCCESS) {
        console_line("refused: memory map: the firmware does not give it (status %x)",
                     (uint64_t)status);
    }
    return status;
}

static EFI_STATUS check_home(const struct loader *loader)
{
    const struct resume_home *home = &loader->guest.plan.home;
    uint64_t where;
    uint32_t type;

    if (!memory_map_is_ram(&loader->map, home->pa, home->length, &where, &type)) {
        console_line(
            "refused: home: address %x is not usable RAM on this machine (memory type %x): "
            "give the machine as much RAM as the snapshot's",
            where, (uint64_t)type);
        return EFI_UNSUPPORTED;
    }
    return EFI_SUCCESS;
}

static void say_home(const struct loader *loader)
{
    const struct resume_home *home = &loader->guest.plan.home;

    /* The linear address would give away where the kernel has put itself. */
    if (loader->guest.discreet) {
        console_line("home: %u KiB (physical %x)", home->length / 1024, home->pa);
    } else {
        console_line("home: %u KiB at %x (physical %x)", home->length / 1024, home->va, home->pa);
    }
}

/* ---- Up to the point of no return ---- */

static EFI_STATUS prepare(struct loader *loader)
{
    EFI_STATUS status =
        prepare_all(loader->system, &loader->guest, &loader->cpu, &scratch, &loader->prepared);

    if (status == EFI_SUCCESS) {
        status = take_map(loader);
    }
    return status == EFI_SUCCESS ? check_home(loader) : status;
}

static EFI_STATUS prepare_and_load(struct loader *loader)
{
    struct processors processors;
    EFI_STATUS status;

    processors_find(loader->system, &processors);
    status = load_allocate(loader->system, &image, processors.count, &load);
    if (status == EFI_SUCCESS) {
        status = take_map(loader);
    }
    if (status == EFI_SUCCESS) {
        status = place_make(loader->system, &image.sealed, &loader->guest, &loader->map, &place);
    }
    if (status == EFI_SUCCESS) {
        status = prepare_placed(&loader->guest, &loader->cpu, &scratch, &place, &loader->prepared);
    }
    return status == EFI_SUCCESS ? load_run(loader->system, &load, &place.plan) : status;
}

/* What was needed to get here, and is a secret. */
static void forget(struct loader *loader)
{
    load_free(loader->system, &load);
    image_close(&image);
    memset(&scratch, 0, sizeof(scratch));
    source_free(loader->system, &loader->plan_input);
    source_free(loader->system, &loader->state_input);
}

static void clean_up(struct loader *loader)
{
    memory_map_free(loader->system, &loader->map);
    prepare_undo(loader->system, &loader->guest, &loader->prepared);
    place_undo(&place);
    forget(loader);
}

/* End boot services and go. Returns only if the firmware does not let go. */
static EFI_STATUS leave(struct loader *loader)
{
    EFI_STATUS status = EFI_INVALID_PARAMETER;

    forget(loader);
    /* A map that changed in between makes the key stale: take it again. */
    for (uint32_t i = 0; i < EXIT_TRIES && status != EFI_SUCCESS; i++) {
        status = memory_map_take(loader->system, &loader->map);
        if (status == EFI_SUCCESS) {
            status = loader->system->BootServices->ExitBootServices(loader->application,
                                                                    loader->map.key);
        }
    }
    if (status == EFI_SUCCESS) {
        place_forget(&place);
        prepare_enter(&loader->guest, &loader->prepared);
    }
    return status;
}

/* gnu-efi's start code calls this with the System V convention. */
EFI_STATUS efi_main(EFI_HANDLE application, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE application, EFI_SYSTEM_TABLE *system)
{
    struct loader loader = {.application = application, .system = system};
    EFI_STATUS status;

    console_init(system);
    console_line("resume.efi " RESUME_VERSION);
    status = open_any(&loader);
    if (status == EFI_SUCCESS) {
        status = check_machine(&loader);
    }
    if (status == EFI_SUCCESS) {
        say_home(&loader);
        console_line("processors: %u of %u; paging: %u levels here, %u in the guest",
                     (uint64_t)loader.guest.set.active, (uint64_t)loader.guest.set.count,
                     (cpu_read_cr4() & CR4_LA57) != 0 ? 5 : UINT64_C(4),
                     (uint64_t)loader.guest.set.levels);
        status = loader.from_image ? prepare_and_load(&loader) : prepare(&loader);
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
