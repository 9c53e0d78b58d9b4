/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Listings of info registers. Those in tests/golden/import/registers_text are QEMU's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <resume/import.h>

#include "import_exercise.h"
#include "import_torture.h"

#define GOLDEN RESUME_TEST_GOLDEN_DIR "/import/registers_text/"
#define TEXT_MAX 16384

static struct resume_import_error failure;
static uint8_t image[RESUME_XSAVE_MAX];

/* The listing of vCPU @index; its image is copied. */
static int read_vcpu(const char *path, uint32_t index, uint32_t count, struct resume_vcpu *out)
{
    struct resume_import *import = NULL;
    int ret = resume_import_open(path, NULL, &import, &failure);
    if (ret != 0)
        return ret;
    assert_string_equal(resume_import_format(import)->name, "registers");
    assert_int_equal(resume_import_vcpus(import), count);
    ret = resume_import_vcpu(import, index, out, &failure);
    if (ret == 0 && out->xsave.length != 0) {
        memcpy(image, out->xsave.area, out->xsave.length);
        out->xsave.area = image;
    }
    resume_import_close(import);
    return ret;
}

static int read_text(const char *text, struct resume_vcpu *out)
{
    struct import_memfile file;
    import_memfile_open(&file);
    import_memfile_set(&file, text, strlen(text));
    int ret = read_vcpu(file.path, 0, 1, out);
    import_memfile_close(&file);
    return ret;
}

static char *load(const char *name)
{
    char path[512];
    char *text = calloc(1, TEXT_MAX);
    snprintf(path, sizeof(path), GOLDEN "%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(text);
    assert_in_range(fread(text, 1, TEXT_MAX - 1, file), 100, TEXT_MAX - 2);
    fclose(file);
    return text;
}

static void reads_user_mode(void **state)
{
    struct resume_vcpu vcpu;
    const struct resume_segment *seg = vcpu.segs.seg;
    (void)state;
    assert_int_equal(read_vcpu(GOLDEN "qemu-7.2-user", 0, 1, &vcpu), 0);
    assert_int_equal(vcpu.regs.valid, RESUME_REGS_ALL);
    assert_int_equal(vcpu.regs.gpr[RESUME_RBX], 0x13695a58);
    assert_int_equal(vcpu.regs.gpr[RESUME_RSP], 0x7ffc6ab619a8);
    assert_int_equal(vcpu.regs.gpr[RESUME_R10], 0x91d6efa8d6d94d42);
    assert_int_equal(vcpu.regs.gpr[RESUME_R14], 0x13695a40);
    assert_int_equal(vcpu.regs.rip, 0x4ec5ac);
    assert_int_equal(vcpu.regs.rflags, 0x206);
    assert_int_equal(vcpu.segs.valid, RESUME_SEGS_ALL);
    assert_int_equal(seg[RESUME_CS].selector, 0x33);
    assert_int_equal(seg[RESUME_CS].access, 0xa0fb);
    assert_int_equal(seg[RESUME_SS].access, 0xc0f3);
    assert_int_equal(seg[RESUME_DS].access, 0x10000);
    assert_int_equal(seg[RESUME_FS].base, 0x136933c0);
    assert_int_equal(seg[RESUME_LDTR].access, 0x82);
    assert_int_equal(seg[RESUME_TR].base, 0xfffffe0000003000);
    assert_int_equal(seg[RESUME_TR].limit, 0x4087);
    assert_int_equal(seg[RESUME_TR].access, 0x89);
    assert_int_equal(seg[RESUME_GDTR].base, 0xfffffe0000001000);
    assert_int_equal(seg[RESUME_GDTR].limit, 0x7f);
    assert_int_equal(seg[RESUME_IDTR].limit, 0xfff);
    assert_int_equal(vcpu.ctrl.valid, RESUME_CTRL_CR0 | RESUME_CTRL_CR2 | RESUME_CTRL_CR3 |
                                          RESUME_CTRL_CR4 | RESUME_CTRL_EFER);
    assert_int_equal(vcpu.ctrl.cr2, 0x5633e7);
    assert_int_equal(vcpu.ctrl.cr3, 0x1e01e000);
    assert_int_equal(vcpu.ctrl.efer, 0xd01);
    assert_int_equal(vcpu.debug.valid, RESUME_DEBUG_ALL);
    assert_int_equal(vcpu.debug.dr6, 0xffff0ff0);
    assert_int_equal(vcpu.run.mp_state, RESUME_MP_RUNNING);
    assert_int_equal(vcpu.run.valid, RESUME_RUN_MP_STATE | RESUME_RUN_SMM | RESUME_RUN_SHADOW);
    assert_int_equal(vcpu.msr_count, 0);
    assert_int_equal(vcpu.xsave.length, 576);
    assert_int_equal(vcpu.xsave.comp_count, 0);
    assert_memory_equal(image, "\x7f\x03\0\0", 4);
    assert_memory_equal(image + 24, "\x80\x1f", 2);
    /* XMM2, low byte first. */
    assert_memory_equal(image + 160 + 32, "\0\xff\0\0\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff", 16);
}

static void reads_several(void **state)
{
    struct resume_vcpu vcpu;
    (void)state;
    assert_int_equal(read_vcpu(GOLDEN "qemu-7.2-haswell-two-vcpus", 1, 2, &vcpu), 0);
    assert_int_equal(vcpu.regs.rip, 0xffffffff84217a0b);
    assert_int_equal(vcpu.run.mp_state, RESUME_MP_HALTED);
    assert_int_equal(vcpu.xsave.length, 832);
    assert_int_equal(vcpu.xsave.comp_count, 1);
    assert_memory_equal(image + 160 + 16, "\x5d\x92\xf3\x27\xc0\x8c\x5a\x17", 8);
    assert_int_equal(read_vcpu(GOLDEN "qemu-7.2-haswell-two-vcpus", 0, 2, &vcpu), 0);
    assert_int_equal(vcpu.regs.rip, 0x4161e0);
    assert_int_equal(vcpu.run.mp_state, RESUME_MP_RUNNING);
}

static void reads_narrow_forms(void **state)
{
    static const char *const names[] = {GOLDEN "qemu-7.2-reset", GOLDEN "qemu-10.0-reset"};
    struct resume_vcpu vcpu;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(read_vcpu(names[i], 0, 2, &vcpu), 0);
        assert_int_equal(vcpu.regs.valid, 0x300ff);
        assert_int_equal(vcpu.regs.gpr[RESUME_RDX], 0x60fb1);
        assert_int_equal(vcpu.regs.rip, 0xfff0);
        assert_int_equal(vcpu.segs.seg[RESUME_CS].base, 0xffff0000);
        assert_int_equal(vcpu.segs.valid, RESUME_SEGS_ALL);
        assert_int_equal(vcpu.ctrl.cr0, 0x60000010);
        /* XMM8 to XMM15 are not listed. */
        assert_int_equal(vcpu.xsave.length, 0);
    }
}

/* In long mode, outside 64-bit code, bases are cut to 32 bits. */
static void leaves_out_halves(void **state)
{
    struct resume_vcpu vcpu;
    (void)state;
    assert_int_equal(
        read_text("EAX=00000001 EBX=ffffffff\nEIP=08048000 EFL=00000202 HLT=0\n"
                  "CS =0023 00000000 ffffffff 00cffb00 DPL=3 CS32 [-RA]\n"
                  "GS =0000 00000000 00000000 00000000\n"
                  "TR =0040 00003000 00004087 00008900 DPL=0 TSS64-avl\n"
                  "GDT=     fffffe0000001000 0000007f\n"
                  "CR0=80050033 CR2=0000000000001000 CR3=0000000001000000 CR4=000006b0\n"
                  "EFER=0000000000000d01\n",
                  &vcpu),
        0);
    assert_int_equal(vcpu.regs.gpr[RESUME_RBX], 0xffffffff);
    assert_int_equal(vcpu.segs.valid, 1u << RESUME_CS | 1u << RESUME_GDTR);
    assert_int_equal(vcpu.segs.seg[RESUME_TR].limit, 0);
}

static void reads_msrs_of_modified_qemus(void **state)
{
    struct resume_vcpu vcpu;
    char *text = load("qemu-7.2-user");
    (void)state;
    strcat(text, "MSR c0000081 0023001000000000\nMSR 0xc0000082: 0xffffffff81e00000\n"
                 "MSR[00000174] = 10\n"
                 "MSR_KERNEL_GS_BASE=ffff888000000000 MSR_IA32_PAT=0407050600070106\n"
                 "FMASK=00047700 CSTAR=ffffffff81e01000\nMSR c0000080 0000000000000d01\n"
                 "SYSENTER_ESP = fffffe0000002200\nIA32_SYSENTER_EIP=ffffffff81e01500\n"
                 "XCR0=0000000000000007 CR8=0000000000000005\nsome other line: of 12 words\n");
    assert_int_equal(read_text(text, &vcpu), 0);
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_STAR), 0x0023001000000000);
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_LSTAR), 0xffffffff81e00000);
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_SYSENTER_CS), 0x10);
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_KERNEL_GS_BASE), 0xffff888000000000);
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_PAT), 0x0407050600070106);
    assert_int_equal(*resume_vcpu_msr(&vcpu, RESUME_MSR_SYSENTER_EIP), 0xffffffff81e01500);
    assert_int_equal(vcpu.ctrl.efer, 0xd01);
    assert_int_equal(vcpu.ctrl.xcr0, 7);
    assert_int_equal(vcpu.ctrl.cr8, 5);
    assert_int_equal(vcpu.msr_count, 9);
    /* All that a resume needs. */
    assert_int_equal(resume_import_missing(&vcpu, NULL, 0), 0);
    struct resume_diag diag;
    assert_int_equal(resume_vcpu_validate(&vcpu, 0, &diag), 0);
    strcat(text, "MSR_LSTAR=ffffffff81e00001\n");
    assert_int_equal(read_text(text, &vcpu), RESUME_EDUPLICATE);
    free(text);
}

/* QEMU lists physical registers; the image has them from the top of the stack. */
static void orders_the_stack(void **state)
{
    struct resume_vcpu vcpu;
    char *text = load("qemu-7.2-user");
    char *at = strstr(text, "FSW=0000 [ST=0] FTW=00");
    (void)state;
    memcpy(at, "FSW=3000 [ST=6] FTW=c0", 22);
    at = strstr(text, "FPR6=");
    memcpy(at, "FPR6=8000000000000001 3fff FPR7=c000000000000002 4000", 53);
    assert_int_equal(read_text(text, &vcpu), 0);
    assert_memory_equal(image + 2, "\0\x30\xc0", 3);
    assert_memory_equal(image + 32, "\x01\0\0\0\0\0\0\x80\xff\x3f", 10);
    assert_memory_equal(image + 48, "\x02\0\0\0\0\0\0\xc0\0\x40", 10);
    free(text);
}

static void refuses_nonsense(void **state)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"RAX=0000000000000001 RIP=\n", RESUME_EMISSING},
        {"RAX=1 RFL=2\nRIP=1\nFCW=10000\n", RESUME_EREGISTER},
        {"RAX=1 RFL=2\nRIP=1\nCS =10000 0 ffffffff 00af9b00\n", RESUME_EREGISTER},
        {"RAX=1 RFL=2 RFL=3\nRIP=1\n", RESUME_EDUPLICATE},
        {"RAX=1 RFL=2\nRIP=1\nSMM=2\n", RESUME_EREGISTER},
        {"ORAX=1\n", RESUME_EMAGIC},
    };
    struct resume_vcpu vcpu;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_text(cases[i].text, &vcpu), cases[i].code);
    }
}

static void survives_torture(void **state)
{
    char *text = load("qemu-7.2-haswell-two-vcpus");
    (void)state;
    struct torture torture = {
        .format = "registers", .data = (const uint8_t *)text, .length = strlen(text)};
    struct torture_result result = import_torture(&torture);
    print_message("%lu inputs, %lu refused\n", result.tried, result.refused);
    assert_true(result.refused > 100);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_user_mode),
        cmocka_unit_test(reads_several),
        cmocka_unit_test(reads_narrow_forms),
        cmocka_unit_test(leaves_out_halves),
        cmocka_unit_test(reads_msrs_of_modified_qemus),
        cmocka_unit_test(orders_the_stack),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(survives_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
