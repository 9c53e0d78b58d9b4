/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine_stream.h"
#include "snapshot_guest.h"
#include "stream_build.h"

#define TABLE_FLAGS (FORGE_P | FORGE_RW | FORGE_US | FORGE_A)
#define CODE_FLAGS (FORGE_P | FORGE_A | FORGE_D)
#define DATA_FLAGS (FORGE_P | FORGE_RW | FORGE_A | FORGE_D | FORGE_NX)

static void map(struct forge *tables, uint64_t va, uint64_t pa, uint64_t length, uint64_t flags)
{
    for (uint64_t at = 0; at < length; at += 4096)
        forge_map(tables, va + at, pa + at, 1, TABLE_FLAGS, flags);
}

/* What every table set has: the GDT, and the page that a process runs. */
static void map_common(struct forge *tables)
{
    map(tables, 0xfffffe0000001000, GUEST_GDT_PA, 4096, DATA_FLAGS);
    map(tables, 0x4ec000, GUEST_CODE_PA, 4096, CODE_FLAGS | FORGE_US);
}

struct guest *guest_open(uint32_t vcpus)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    assert_non_null(guest);
    guest->vcpus = vcpus;
    phys_open(&guest->phys, 0, GUEST_PAGES);
    phys_fill(&guest->phys, GUEST_TEXT_PA, GUEST_TEXT_LENGTH, 0xcc);
    phys_fill(&guest->phys, GUEST_ENTRY_PA, GUEST_ENTRY_LENGTH, 0xcc);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x10, 0x00af9b000000ffff);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x18, 0x00cf93000000ffff);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x28, 0x00cff3000000ffff);
    phys_poke(&guest->phys, GUEST_GDT_PA + 0x30, 0x00affb000000ffff);
    phys_fill(&guest->phys, GUEST_CODE_PA, 4096, 0x90);
    forge_open(&guest->kernel, &guest->phys, 0x10000, 4);
    forge_open(&guest->user, &guest->phys, 0x30000, 4);
    forge_open(&guest->other, &guest->phys, 0x50000, 4);
    forge_open(&guest->bare, &guest->phys, 0x70000, 4);
    map_common(&guest->kernel);
    map_common(&guest->user);
    map_common(&guest->other);
    map_common(&guest->bare);
    map(&guest->kernel, GUEST_TEXT_VA, GUEST_TEXT_PA, GUEST_TEXT_LENGTH, CODE_FLAGS);
    map(&guest->kernel, GUEST_ENTRY_VA, GUEST_ENTRY_PA, GUEST_ENTRY_LENGTH, CODE_FLAGS);
    map(&guest->user, GUEST_ENTRY_VA, GUEST_ENTRY_PA, GUEST_ENTRY_LENGTH, CODE_FLAGS);
    map(&guest->other, GUEST_OTHER_VA, GUEST_ENTRY_PA, GUEST_ENTRY_LENGTH, CODE_FLAGS);
    for (uint32_t i = 0; i < vcpus; i++) {
        guest->vcpu[i] = machine_make();
        machine_set(guest->vcpu[i], "apic/id", i);
        machine_set(guest->vcpu[i], "cpu/env.regs[3]", 0x1000 + i);
        guest_use(guest, i, &guest->kernel);
    }
    guest->manifest = calloc(1, sizeof(*guest->manifest));
    assert_non_null(guest->manifest);
    guest->manifest->format = 1;
    guest->manifest->qemu_version[0] = 7;
    guest->manifest->qemu_version[1] = 2;
    strcpy(guest->manifest->tool, "resumectl test");
    strcpy(guest->manifest->machine_type, "pc-q35-7.2");
    strcpy(guest->manifest->accelerator, "tcg");
    strcpy(guest->manifest->cpu_type, "qemu64-x86_64-cpu");
    guest->manifest->memory_size = GUEST_PAGES * 4096;
    guest->manifest->cpu_count = vcpus;
    guest->manifest->range_count = 1;
    guest->manifest->range[0] =
        (struct manifest_range){0, GUEST_PAGES * 4096, 0, MANIFEST_RANGE_RAM, "pc.ram"};
    return guest;
}

static void remove_file(const struct guest *guest, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", guest->directory, name);
    unlink(path);
}

void guest_close(struct guest *guest)
{
    if (guest->directory[0] != '\0') {
        remove_file(guest, MANIFEST_STREAM);
        remove_file(guest, MANIFEST_STATE);
        remove_file(guest, MANIFEST_PLAN);
        remove_file(guest, MANIFEST_FILE);
        rmdir(guest->directory);
    }
    for (uint32_t i = 0; i < guest->vcpus; i++)
        machine_free(guest->vcpu[i]);
    snapshot_state_free(&guest->made);
    phys_close(&guest->phys);
    free(guest->manifest);
    free(guest);
}

void guest_use(struct guest *guest, uint32_t index, const struct forge *tables)
{
    machine_set(guest->vcpu[index], "cpu/env.cr[3]", tables->root);
}

void guest_in_kernel(struct guest *guest, uint32_t index)
{
    struct machine *vcpu = guest->vcpu[index];
    machine_set(vcpu, "cpu/env.segs[1].selector", 0x10);
    machine_set(vcpu, "cpu/env.segs[1].flags", 0x00af9b00);
    machine_set(vcpu, "cpu/env.segs[2].selector", 0x18);
    machine_set(vcpu, "cpu/env.segs[2].flags", 0x00cf9300);
    machine_set(vcpu, "cpu/env.eip", GUEST_TEXT_VA);
    machine_set(vcpu, "cpu/env.regs[4]", 0xffffffff82003e90);
}

void guest_sleep(struct guest *guest, uint32_t index)
{
    struct machine *vcpu = guest->vcpu[index];
    vcpu->parts |= BUILD_CPU_SIPI;
    machine_set(vcpu, "apic/apic_sipi/wait_for_sipi", 1);
    machine_set(vcpu, "cpu_common/halted", 1);
    machine_set(vcpu, "cpu/env.cr[0]", 0x60000010);
    machine_set(vcpu, "cpu/env.cr[3]", 0);
    machine_set(vcpu, "cpu/env.cr[4]", 0);
    machine_set(vcpu, "cpu/env.efer", 0);
    machine_set(vcpu, "cpu/env.eflags", 2);
    machine_set(vcpu, "cpu/env.segs[1].selector", 0xf000);
    machine_set(vcpu, "cpu/env.segs[1].flags", 0x9b00);
    machine_set(vcpu, "cpu/env.segs[2].selector", 0);
    machine_set(vcpu, "cpu/env.segs[2].flags", 0x9300);
}

static void put_ram(struct builder *b, const struct guest *guest)
{
    build_ram_section(b, 1);
    build_block_list(b, GUEST_PAGES * 4096);
    build_block(b, "pc.ram", GUEST_PAGES * 4096);
    build_ram_section_end(b);
    build_ram_section(b, 2);
    for (uint64_t i = 0; i < GUEST_PAGES; i++) {
        const uint8_t *page = guest->phys.bytes + i * 4096;
        if (page[0] == 0 && memcmp(page, page + 1, 4095) == 0) {
            build_zero(b, "pc.ram", i * 4096, 0);
            continue;
        }
        build_be(b, i * 4096 | 0x08, 8);
        build_name(b, "pc.ram");
        build_bytes(b, page, 4096);
    }
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_ram_section_end(b);
}

static void put_stream(struct builder *b, const struct guest *guest)
{
    memset(b, 0, sizeof(*b));
    build_header(b, "pc-q35-7.2");
    put_ram(b, guest);
    for (uint32_t i = 0; i < guest->vcpus; i++)
        build_vcpu(b, i, guest->vcpu[i]->parts, machine_value, &guest->vcpu[i]->values);
    build_finish(b);
}

int guest_snapshot(struct guest *guest)
{
    struct builder b;
    put_stream(&b, guest);
    int fd = machine_stream_file(b.data, b.length);
    assert_true(fd >= 0);
    build_free(&b);
    snapshot_state_free(&guest->made);
    memset(&guest->failure, 0, sizeof(guest->failure));
    int result = snapshot_state_make(&guest->made, fd, "stream", guest->manifest, &guest->transient,
                                     &guest->failure);
    close(fd);
    return result;
}

static void save_file(struct guest *guest, const char *name, const void *data, size_t length)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", guest->directory, name);
    FILE *out = fopen(path, "wx");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(
        manifest_add_file(guest->manifest, guest->directory, name, NULL, &guest->failure), 0);
}

void guest_save(struct guest *guest)
{
    struct builder b;
    strcpy(guest->directory, "/tmp/snapshot-guest-XXXXXX");
    assert_non_null(mkdtemp(guest->directory));
    put_stream(&b, guest);
    save_file(guest, MANIFEST_STREAM, b.data, b.length);
    build_free(&b);
    save_file(guest, MANIFEST_STATE, guest->made.blob, guest->made.blob_length);
    save_file(guest, MANIFEST_PLAN, guest->made.plan, guest->made.plan_length);
    assert_int_equal(manifest_write(guest->manifest, guest->directory, &guest->failure), 0);
}

void guest_assert_refused(const struct guest *guest, int result, const char *word)
{
    char text[2048];
    assert_int_equal(result, -EXIT_CODE_REFUSED);
    report_format(&guest->failure, text, sizeof(text));
    if (strstr(text, word) == NULL)
        fail_msg("the message does not say \"%s\": %s", word, text);
}
