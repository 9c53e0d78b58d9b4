/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * resume.efi: load, check, prepare, leave. This file is the sequence and nothing else; what is right
 * and wrong is decided by libresume. Everything that can fail comes before ExitBootServices; until
 * then the firmware gets the machine back as it was, with a message, and goes on to its boot manager.
 */
#include <efi.h>

#include <resume/plan.h>
#include <trampoline.h>

#include "console.h"
#include "io.h"
#include "memory.h"
#include "processors.h"
#include "runtime.h"
#include "source.h"

#define CR4_LA57 (UINT64_C(1) << 12)
#define STAGING_TRIES 8
#define EXIT_TRIES 4

/* Everything between the start and the point of no return. */
struct loader {
    EFI_HANDLE image;
    EFI_SYSTEM_TABLE *system;
    struct source_input state_input;
    struct source_input plan_input;
    struct resume_state state;
    struct resume_plan plan;
    struct resume_cpu cpu;
    struct memory_map map;
    uint64_t staging_pa;
    int home_reserved;
};

/* About 3 KiB: too much for a stack that the firmware's drivers share. */
static struct resume_vcpu vcpu;

static EFI_STATUS refuse(const char *what, int err, const struct resume_diag *diag)
{
    if (diag->code == 0) {
        console_line("refused: %s: %s", what, resume_strerror(err));
    } else {
        console_line("refused: %s: %s: %s of %s at %x is %x, expected %x", what,
                     resume_strerror(err), diag->field, diag->where, diag->offset, diag->found,
                     diag->expected);
    }
    return EFI_LOAD_ERROR;
}

static EFI_STATUS load(struct loader *loader)
{
    EFI_STATUS status = source_load(loader->image, loader->system, "state", &loader->state_input);

    if (status == EFI_SUCCESS) {
        status = source_load(loader->image, loader->system, "plan", &loader->plan_input);
    }
    return status;
}

static EFI_STATUS check_inputs(struct loader *loader)
{
    struct resume_diag diag = {0};
    int err = resume_state_open(loader->state_input.data, loader->state_input.length,
                                &loader->state, &diag);

    if (err == RESUME_OK) {
        err = resume_state_vcpu(&loader->state, 0, &vcpu, &diag);
    }
    if (err == RESUME_OK) {
        err = resume_vcpu_validate(&vcpu, 0, &diag);
    }
    if (err == RESUME_OK) {
        err = resume_vcpu_check_scope(&vcpu, 0, &diag);
    }
    if (err != RESUME_OK) {
        return refuse("state blob", err, &diag);
    }
    err =
        resume_plan_read(loader->plan_input.data, loader->plan_input.length, &loader->plan, &diag);
    if (err != RESUME_OK) {
        return refuse("plan", err, &diag);
    }
    if (loader->plan.state_crc32c != loader->state.crc32c) {
        console_line("refused: plan: made for the state blob with checksum %x, this one has %x: "
                     "give the plan of the same snapshot",
                     (uint64_t)loader->plan.state_crc32c, (uint64_t)loader->state.crc32c);
        return EFI_LOAD_ERROR;
    }
    return EFI_SUCCESS;
}

static EFI_STATUS check_machine(struct loader *loader)
{
    const struct resume_cpuid cpuid = {cpu_query_cpuid, NULL};
    struct resume_diag diag = {0};
    uint64_t count = processors_count(loader->system);
    int err;

    if (loader->state.vcpu_count != 1 || count != 1) {
        console_line("refused: processors: the state has %u, this machine %u: this version resumes "
                     "one: start the machine with one",
                     (uint64_t)loader->state.vcpu_count, count);
        return EFI_UNSUPPORTED;
    }
    if ((cpu_read_cr4() & CR4_LA57) != 0) {
        console_line(
            "refused: paging: this firmware runs 5-level paging: use one that runs 4-level");
        return EFI_UNSUPPORTED;
    }
    err = resume_cpu_identify(&cpuid, &loader->cpu, &diag);
    if (err == RESUME_OK) {
        err = resume_cpu_check(&loader->cpu, &vcpu, 0, &diag);
    }
    if (err != RESUME_OK) {
        return refuse("this machine's CPU", err, &diag);
    }
    return EFI_SUCCESS;
}

/* Prepare the home and the way into it in memory that has nothing to do with either. */
static EFI_STATUS prepare(struct loader *loader)
{
    const struct resume_image_input input = {
        .vcpu = &vcpu,
        .home = &loader->plan.home,
        .trampoline = resume_trampoline,
        .trampoline_length = resume_trampoline_length,
        .cpu = &loader->cpu,
        .debug_port = console_debug_port(),
    };
    uint64_t rejected[STAGING_TRIES];
    uint32_t rejected_count = 0;
    struct resume_diag diag = {0};
    EFI_STATUS status;
    int err = RESUME_ECONFLICT;

    loader->home_reserved =
        memory_reserve(loader->system, loader->plan.home.pa, loader->plan.home.length);
    /* A staging area that collides with the home is kept until another is found. */
    while (err == RESUME_ECONFLICT && rejected_count < STAGING_TRIES) {
        status = memory_allocate(loader->system, RESUME_STAGING_LENGTH, &loader->staging_pa);
        if (status != EFI_SUCCESS) {
            console_line("refused: memory: no %u bytes for the staging area (status %x)",
                         (uint64_t)RESUME_STAGING_LENGTH, (uint64_t)status);
            loader->staging_pa = 0;
            err = RESUME_OK;
            break;
        }
        err = resume_transit_build(&loader->plan.home, (uint8_t *)loader->staging_pa,
                                   loader->staging_pa, 4, cpu_read_cr4(), &diag);
        if (err == RESUME_ECONFLICT) {
            rejected[rejected_count++] = loader->staging_pa;
            loader->staging_pa = 0;
        }
    }
    while (rejected_count > 0) {
        memory_free(loader->system, rejected[--rejected_count], RESUME_STAGING_LENGTH);
    }
    if (err != RESUME_OK) {
        return refuse("transit tables", err, &diag);
    }
    if (loader->staging_pa == 0) {
        return EFI_OUT_OF_RESOURCES;
    }
    err = resume_image_build(&input, (uint8_t *)loader->staging_pa, RESUME_HOME_LENGTH, &diag);
    if (err != RESUME_OK) {
        return refuse("image of the home", err, &diag);
    }
    return EFI_SUCCESS;
}

static EFI_STATUS check_home(struct loader *loader)
{
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
    if (!memory_map_is_ram(&loader->map, loader->plan.home.pa, loader->plan.home.length, &where,
                           &type)) {
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
    if (loader->staging_pa != 0) {
        memory_free(loader->system, loader->staging_pa, RESUME_STAGING_LENGTH);
    }
    if (loader->home_reserved) {
        memory_free(loader->system, loader->plan.home.pa, loader->plan.home.length);
    }
    memset(&vcpu, 0, sizeof(vcpu));
    source_free(loader->system, &loader->plan_input);
    source_free(loader->system, &loader->state_input);
}

/* The trampoline's first entry, in the System V convention that this code is compiled for. */
typedef void (*enter_fn)(struct resume_transit *transit);

/* End boot services and go. Returns only if the firmware does not let go. */
static EFI_STATUS leave(struct loader *loader)
{
    const struct resume_trampoline_header *header =
        (const struct resume_trampoline_header *)(loader->staging_pa + RESUME_HOME_CODE);
    enter_fn enter = (enter_fn)(loader->staging_pa + RESUME_HOME_CODE + header->enter);
    EFI_STATUS status = EFI_INVALID_PARAMETER;

    /* A map that changed in between makes the key stale: take it again. */
    for (uint32_t i = 0; i < EXIT_TRIES && status != EFI_SUCCESS; i++) {
        status = memory_map_take(loader->system, &loader->map);
        if (status == EFI_SUCCESS) {
            status = loader->system->BootServices->ExitBootServices(loader->image, loader->map.key);
        }
    }
    if (status != EFI_SUCCESS) {
        return status;
    }
    enter((struct resume_transit *)(loader->staging_pa + RESUME_STAGING_TRANSIT));
    __builtin_unreachable();
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
        status = check_inputs(&loader);
    }
    if (status == EFI_SUCCESS) {
        status = check_machine(&loader);
    }
    if (status == EFI_SUCCESS) {
        console_line("home: %u KiB at %x (physical %x)", loader.plan.home.length / 1024,
                     loader.plan.home.va, loader.plan.home.pa);
        status = prepare(&loader);
    }
    if (status == EFI_SUCCESS) {
        status = check_home(&loader);
    }
    if (status == EFI_SUCCESS) {
        console_line("leaving the firmware");
        source_free(system, &loader.plan_input);
        source_free(system, &loader.state_input);
        status = leave(&loader);
        /* The firmware is half gone: of its services only those for memory may be used now. */
        console_leave_firmware();
        console_line("refused: firmware: boot services do not end (status %x)", (uint64_t)status);
    }
    clean_up(&loader);
    console_line("back to the firmware");
    return status;
}
