/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Writes seeds for fuzz_stream, and with another directory and a state blob for fuzz_import_snapshot:
 * make_stream_seeds DIRECTORY [DIRECTORY BLOB].
 */
#include <stdio.h>
#include <string.h>

#include "stream_build.h"

static uint64_t value_of(void *ctx, const char *path)
{
    static const struct {
        const char *path;
        uint64_t value;
    } values[] = {
        {"cpu/env.cr[0]", 0x80050033},
        {"cpu/env.cr[4]", 0x1506b0},
        {"cpu/env.efer", 0xd01},
        {"cpu/env.xcr0", 0x2ff},
        {"cpu/env.eflags", 0x202},
        {"cpu/env.segs[1].flags", 0x00affb00},
        {"cpu/env.segs[2].flags", 0xcff300},
        {"cpu/env.interrupt_injected", 0xffffffff},
        {"cpu/env.exception_nr", 0xffffffff},
    };
    (void)ctx;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (strcmp(path, values[i].path) == 0)
            return values[i].value;
    }
    return 0;
}

static int write_seed(const char *directory, const char *name, const uint8_t *data, size_t length)
{
    char path[512];
    int written = snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (written < 0 || (size_t)written >= sizeof(path))
        return 1;
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, length, file) != length) {
        perror(path);
        return 1;
    }
    return fclose(file) != 0;
}

/* RAM of every kind of entry, and a device section with what descriptions can have. */
static void build_framing(struct builder *b)
{
    build_header(b, "pc-q35-7.2");
    build_u8(b, 5);
    build_name(b, "configuration/capabilities");
    build_be(b, 1, 4);
    build_be(b, 1, 4);
    build_name(b, "events");
    build_ram_section(b, 1);
    build_block_list(b, 0x5000);
    build_block(b, "pc.ram", 0x3000);
    build_block(b, "pc.rom", 0x2000);
    build_ram_section_end(b);
    build_ram_section(b, 2);
    build_zero(b, "pc.ram", 0, 0);
    build_page(b, NULL, 0x1000, 0x11);
    build_ram_section_end(b);
    build_bytes(b, "\10\0\13\0\0", 5);
    build_ram_section(b, 3);
    build_zero(b, "pc.rom", 0x1000, 0xff);
    build_ram_section_end(b);
    build_device(b, "d", "d", 3, 1);
    build_field(b, "i", "int32", 4, 0xffffffff);
    build_describe(b, "t", "tmp", 3,
                   ", \"fields\": [{\"name\": \"a\", \"type\": \"uint8\", \"size\": 3}]");
    build_be(b, 0x010203, 3);
    build_describe(b, "s", "struct", 2,
                   ", \"array_len\": 2, \"struct\": {\"vmsd_name\": \"s\", \"fields\": "
                   "[{\"name\": \"m\", \"type\": \"uint16\", \"size\": 2}]}");
    build_be(b, 0x01020304, 4);
    build_describe(b, "x", "struct", 1,
                   ", \"index\": 1, \"struct\": {\"fields\": [{\"name\": \"m\", \"type\": "
                   "\"bool\", \"size\": 1}]}");
    build_u8(b, 1);
    build_subsections(b);
    build_subsection(b, "d/sub", 1);
    build_describe(b, "n", "uint8", 1, ", \"array_len\": 2");
    build_be(b, 0x0102, 2);
    build_subsection_end(b);
    build_device_end(b);
    build_finish(b);
}

static void build_mapped(struct builder *b)
{
    static const uint8_t kinds[] = {BUILD_MAPPED_PRESENT, BUILD_MAPPED_ABSENT};
    build_header(b, "pc-q35-10.0");
    build_mapped_capability(b);
    build_ram_section(b, 1);
    build_block_list(b, 3 * 4096);
    build_mapped_block(b, "pc.ram", kinds, 2, 1, 0);
    build_mapped_block(b, "rom", kinds, 1, 2, 0);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_ram_section_end(b);
    build_vcpu(b, 0, 0, value_of, NULL);
    build_finish(b);
}

/* The device area taken apart, as fuzz_stream puts it together. */
static int write_description(const char *directory, const char *name, const struct builder *b)
{
    struct builder seed = {0};
    size_t text = b->length - b->vmdesc_at - 5;
    build_u8(&seed, 6);
    build_be(&seed, text, 2);
    build_bytes(&seed, b->data + b->vmdesc_at + 5, text);
    build_bytes(&seed, b->data + b->devices_at, b->vmdesc_at - 1 - b->devices_at);
    int failed = write_seed(directory, name, seed.data, seed.length);
    build_free(&seed);
    return failed;
}

/* The block "rom" is in no place; "none" is in no stream. */
static const char manifest[] =
    "{\"kind\": \"libresume snapshot\", \"machine\": {\"type\": \"pc-q35-10.0\", \"memory_map\": ["
    "{\"base\": \"0x0\", \"length\": \"0x1000\", \"block\": \"pc.ram\", \"offset\": \"0x0\", "
    "\"kind\": \"ram\"}, "
    "{\"base\": \"0x100000000\", \"length\": \"0x1000\", \"block\": \"pc.ram\", "
    "\"offset\": \"0x1000\", \"kind\": \"ram\"}, "
    "{\"base\": \"0xffff0000\", \"length\": \"0x1000\", \"block\": \"rom\", \"offset\": \"0x0\", "
    "\"kind\": \"rom\"}, "
    "{\"base\": \"0xa0000\", \"length\": \"0x1000\", \"block\": \"none\", \"offset\": \"0x0\", "
    "\"kind\": \"ram\"}]}}";

/* A snapshot directory as fuzz_import_snapshot takes it. */
static int write_snapshot(const char *directory, const char *name, const char *blob,
                          const char *text, const struct builder *b)
{
    static uint8_t data[1 << 17];
    const size_t described = strlen(text);
    FILE *file = fopen(blob, "rb");
    size_t length = file != NULL ? fread(data + 5, 1, 1 << 15, file) : 0;
    if (length == 0 || fclose(file) != 0) {
        perror(blob);
        return 1;
    }
    if (b->length > sizeof(data) - 5 - length - described)
        return 1;
    data[0] = 0;
    data[1] = (uint8_t)length;
    data[2] = (uint8_t)(length >> 8);
    data[3] = (uint8_t)described;
    data[4] = (uint8_t)(described >> 8);
    length += 5;
    memcpy(data + length, text, described);
    memcpy(data + length + described, b->data, b->length);
    return write_seed(directory, name, data, length + described + b->length);
}

int main(int argc, char **argv)
{
    struct builder b = {0};
    const char *snapshots = argc == 4 ? argv[2] : NULL;
    int failed = 0;
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: make_stream_seeds DIRECTORY [DIRECTORY BLOB]\n");
        return 2;
    }
    build_framing(&b);
    failed |= write_seed(argv[1], "framing", b.data, b.length);
    failed |= write_seed(argv[1], "devices", b.data + b.devices_at, b.length - b.devices_at);
    failed |= write_description(argv[1], "framing_description", &b);
    build_free(&b);
    build_header(&b, NULL);
    build_small_ram(&b, 2);
    build_vcpu(&b, 0, 0xff & ~BUILD_CPU_NO_APIC, value_of, NULL);
    build_finish(&b);
    failed |= write_seed(argv[1], "vcpu", b.data, b.length);
    failed |= write_seed(argv[1], "vcpu_devices", b.data + b.devices_at, b.length - b.devices_at);
    failed |= write_description(argv[1], "vcpu_description", &b);
    if (snapshots != NULL)
        failed |= write_snapshot(snapshots, "plain", argv[3], manifest, &b);
    build_free(&b);
    build_mapped(&b);
    failed |= write_seed(argv[1], "mapped", b.data, b.length);
    if (snapshots != NULL)
        failed |= write_snapshot(snapshots, "mapped", argv[3], manifest, &b);
    build_free(&b);
    /* No vCPU is decoded from a snapshot's stream: one field will do. */
    build_header(&b, "pc-q35-10.0");
    build_small_ram(&b, 2);
    build_device(&b, "cpu", "cpu", 0, 12);
    build_field(&b, "env.eip", "uint64", 8, 0);
    build_device_end(&b);
    build_finish(&b);
    if (snapshots != NULL)
        failed |= write_snapshot(snapshots, "small", argv[3], manifest, &b) |
                  write_snapshot(snapshots, "small_damaged", argv[3], manifest + 1, &b);
    build_free(&b);
    return failed;
}
