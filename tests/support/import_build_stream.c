/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "import_build_stream.h"

#include <string.h>

/* A guest in 64-bit mode, in its kernel. */
static const struct {
    const char *path;
    uint64_t value;
} values[] = {
    {"cpu/env.eip", STREAM_VCPU_RIP},
    {"cpu/env.eflags", 0x202},
    {"cpu/env.fpuc", 0x37f},
    {"cpu/env.fpus_vmstate", 5 << 11},
    {"cpu/env.fpregs[0].tmp.tmp_mant", STREAM_VCPU_ST0},
    {"cpu/env.segs[1].selector", 0x10},
    {"cpu/env.segs[1].limit", 0xffffffff},
    {"cpu/env.segs[1].flags", 0x00af9b00},
    {"cpu/env.segs[2].selector", 0x18},
    {"cpu/env.segs[2].limit", 0xffffffff},
    {"cpu/env.segs[2].flags", 0x00cf9300},
    {"cpu/env.tr.selector", 0x40},
    {"cpu/env.tr.limit", 0x4087},
    {"cpu/env.tr.flags", 0x8b00},
    {"cpu/env.cr[0]", 0x80050033},
    {"cpu/env.cr[3]", 0x2000},
    {"cpu/env.cr[4]", 0x6b0},
    {"cpu/env.dr[6]", 0xffff0ff0},
    {"cpu/env.dr[7]", 0x400},
    {"cpu/env.mxcsr", 0x1f80},
    {"cpu/env.efer", 0xd01},
    {"cpu/env.pat", 0x0007040600070406},
    {"cpu/env.interrupt_injected", 0xffffffff},
    {"cpu/env.exception_nr", 0xffffffff},
    {"cpu/env.xcr0", 1},
    {"apic/apicbase", 0xfee00900},
};

static uint64_t value_of(void *ctx, const char *path)
{
    const int *kvm = ctx;
    if (strcmp(path, "cpu/env.tsc") == 0)
        return *kvm ? STREAM_VCPU_TSC : 0;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (strcmp(values[i].path, path) == 0)
            return values[i].value;
    }
    return 0;
}

void import_build_stream_vcpu(struct builder *b, int kvm)
{
    if (kvm) {
        build_device(b, "kvmclock", "kvmclock", 0, 1);
        build_field(b, "clock", "uint64", 8, 1000);
        build_device_end(b);
    }
    build_vcpu(b, 0, 0, value_of, &kvm);
}

void import_build_stream(struct builder *b)
{
    const unsigned page = 4096;
    build_header(b, "pc-q35-7.2");
    build_ram_section(b, 1);
    build_block_list(b, 4 * page);
    build_block(b, "pc.ram", 4 * page);
    build_ram_section_end(b);
    build_ram_section(b, 3);
    build_zero(b, "pc.ram", 0, 0);
    build_page(b, "pc.ram", 2 * page, 0x21);
    build_ram_section_end(b);
    import_build_stream_vcpu(b, 0);
    build_finish(b);
}
