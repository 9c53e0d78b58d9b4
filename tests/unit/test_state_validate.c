/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * One case per rule of resume_vcpu_validate: a good state, changed in one place. The rules and the
 * bits are from the Intel SDM, not from the code under test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "good_state.h"

#define BIT(n) (UINT64_C(1) << (n))
#define NOT_CANONICAL UINT64_C(0x0000800000000000)

typedef void change_fn(struct good_state *good);

struct rule {
    const char *name;
    change_fn *change;
    int err;
    const char *field;
};

/* What a case does to the state; `v` is the vCPU, `good` all of it. */
#define CHANGE(name, ...)                                                                          \
    static void name(struct good_state *good)                                                      \
    {                                                                                              \
        struct resume_vcpu *v = &good->vcpu;                                                       \
        (void)v;                                                                                   \
        __VA_ARGS__;                                                                               \
    }
#define RULE(name, err, field)                                                                     \
    {                                                                                              \
#name, name, err, field                                                                    \
    }
#define SEG(number) v->segs.seg[RESUME_##number]

/* Presence. */
CHANGE(no_rsp, v->regs.valid &= ~BIT(4))
CHANGE(no_rip, v->regs.valid &= ~RESUME_REGS_RIP)
CHANGE(no_rflags, v->regs.valid &= ~RESUME_REGS_RFLAGS)
CHANGE(no_cs, v->segs.valid &= ~BIT(RESUME_CS))
CHANGE(no_idtr, v->segs.valid &= ~BIT(RESUME_IDTR))
CHANGE(no_cr0, v->ctrl.valid &= ~RESUME_CTRL_CR0)
CHANGE(no_cr2, v->ctrl.valid &= ~RESUME_CTRL_CR2)
CHANGE(no_cr3, v->ctrl.valid &= ~RESUME_CTRL_CR3)
CHANGE(no_cr4, v->ctrl.valid &= ~RESUME_CTRL_CR4)
CHANGE(no_cr8, v->ctrl.valid &= ~RESUME_CTRL_CR8)
CHANGE(no_efer, v->ctrl.valid &= ~RESUME_CTRL_EFER)
CHANGE(no_xcr0, v->ctrl.valid &= ~RESUME_CTRL_XCR0)
CHANGE(no_dr0, v->debug.valid &= ~BIT(0))
CHANGE(no_dr7, v->debug.valid &= ~RESUME_DEBUG_DR7)
CHANGE(no_star, good_state_remove_msr(good, RESUME_MSR_STAR))
CHANGE(no_lstar, good_state_remove_msr(good, RESUME_MSR_LSTAR))
CHANGE(no_cstar, good_state_remove_msr(good, RESUME_MSR_CSTAR))
CHANGE(no_fmask, good_state_remove_msr(good, RESUME_MSR_FMASK))
CHANGE(no_kernel_gs_base, good_state_remove_msr(good, RESUME_MSR_KERNEL_GS_BASE))
CHANGE(no_sysenter_cs, good_state_remove_msr(good, RESUME_MSR_SYSENTER_CS))
CHANGE(no_sysenter_esp, good_state_remove_msr(good, RESUME_MSR_SYSENTER_ESP))
CHANGE(no_sysenter_eip, good_state_remove_msr(good, RESUME_MSR_SYSENTER_EIP))
CHANGE(no_pat, good_state_remove_msr(good, RESUME_MSR_PAT))
CHANGE(no_xsave, memset(&v->xsave, 0, sizeof(v->xsave)))

/* RFLAGS, control, debug and extended control registers. */
CHANGE(rflags_bit_1_clear, v->regs.rflags &= ~BIT(1))
CHANGE(rflags_bit_3, v->regs.rflags |= BIT(3))
CHANGE(rflags_bit_15, v->regs.rflags |= BIT(15))
CHANGE(rflags_bit_22, v->regs.rflags |= BIT(22))
CHANGE(rflags_bit_63, v->regs.rflags |= BIT(63))
CHANGE(rflags_vm, v->regs.rflags |= BIT(17))
CHANGE(cr0_bit_6, v->ctrl.cr0 |= BIT(6))
CHANGE(cr0_bit_17, v->ctrl.cr0 |= BIT(17))
CHANGE(cr0_bit_32, v->ctrl.cr0 |= BIT(32))
CHANGE(cr0_pg_without_pe, v->ctrl.cr0 &= ~BIT(0))
CHANGE(cr0_nw_without_cd, v->ctrl.cr0 |= BIT(29))
CHANGE(cr0_no_paging, v->ctrl.cr0 &= ~BIT(31))
CHANGE(cr3_bit_52, v->ctrl.cr3 |= BIT(52))
CHANGE(cr3_bit_63, v->ctrl.cr3 |= BIT(63))
CHANGE(cr4_bit_15, v->ctrl.cr4 |= BIT(15))
CHANGE(cr4_bit_26, v->ctrl.cr4 |= BIT(26))
CHANGE(cr4_bit_63, v->ctrl.cr4 |= BIT(63))
CHANGE(cr4_no_pae, v->ctrl.cr4 &= ~BIT(5))
CHANGE(cr4_cet_without_wp, (v->ctrl.cr4 |= BIT(23), v->ctrl.cr0 &= ~BIT(16)))
CHANGE(cr8_16, v->ctrl.cr8 = 16)
CHANGE(efer_bit_1, v->ctrl.efer |= BIT(1))
CHANGE(efer_bit_9, v->ctrl.efer |= BIT(9))
CHANGE(efer_bit_63, v->ctrl.efer |= BIT(63))
CHANGE(efer_no_lme, v->ctrl.efer &= ~BIT(8))
CHANGE(efer_no_lma, v->ctrl.efer &= ~BIT(10))
CHANGE(xcr0_no_x87, v->ctrl.xcr0 = 6)
CHANGE(xcr0_bit_8, v->ctrl.xcr0 |= BIT(8))
CHANGE(xcr0_bit_63, v->ctrl.xcr0 |= BIT(63))
CHANGE(xcr0_avx_without_sse, v->ctrl.xcr0 = 5)
CHANGE(xcr0_half_mpx, v->ctrl.xcr0 |= BIT(3))
CHANGE(xcr0_other_half_mpx, v->ctrl.xcr0 |= BIT(4))
CHANGE(xcr0_opmask_alone, v->ctrl.xcr0 |= BIT(5))
CHANGE(xcr0_two_of_avx512, v->ctrl.xcr0 |= BIT(6) | BIT(7))
CHANGE(xcr0_avx512_without_avx, v->ctrl.xcr0 = 0xe3)
CHANGE(xcr0_half_amx, v->ctrl.xcr0 |= BIT(17))
CHANGE(xcr0_other_half_amx, v->ctrl.xcr0 |= BIT(18))
CHANGE(xss_user_bit, v->ctrl.xss = BIT(2))
CHANGE(apic_base_bit_9, v->ctrl.apic_base |= BIT(9))
CHANGE(apic_base_bit_52, v->ctrl.apic_base |= BIT(52))
CHANGE(apic_base_x2apic_disabled, v->ctrl.apic_base = 0xfee00400)
CHANGE(dr6_bit_32, v->debug.dr6 |= BIT(32))
CHANGE(dr7_bit_63, v->debug.dr7 |= BIT(63))

/* Segments. */
CHANGE(rip_not_canonical, v->regs.rip = NOT_CANONICAL)
CHANGE(rip_57_bits_with_4_levels, v->regs.rip = UINT64_C(0x00ff000000000000))
CHANGE(rip_58_bits_with_5_levels,
       (v->ctrl.cr4 |= BIT(12), v->regs.rip = UINT64_C(0x0100000000000000)))
CHANGE(compat_rip_above_4_gib,
       (SEG(CS).access = 0xc0fb, SEG(CS).selector = 0x23, v->regs.rip = BIT(32)))
CHANGE(cs_unusable, SEG(CS).access |= 0x10000)
CHANGE(cs_not_present, SEG(CS).access &= ~0x80u)
CHANGE(cs_is_data, SEG(CS).access = 0xa0f3)
CHANGE(cs_is_system, SEG(CS).access &= ~0x10u)
CHANGE(cs_long_and_big, SEG(CS).access |= 0x4000)
CHANGE(cs_null, (SEG(CS).selector = 3))
CHANGE(cs_dpl_below_rpl, SEG(CS).access = 0xa09b)
CHANGE(cs_dpl_above_rpl, (SEG(CS).selector = 0x10, SEG(SS).selector = 0x18))
CHANGE(cs_conforming_dpl_above_rpl, (SEG(CS).access = 0xa0ff, SEG(CS).selector = 0x10,
                                     SEG(SS).selector = 0x18, SEG(SS).access = 0xc093))
CHANGE(cs_base_above_4_gib, SEG(CS).base = BIT(32))
CHANGE(cs_access_bit_8, SEG(CS).access |= 0x100)
CHANGE(tr_access_bit_17, SEG(TR).access |= 0x20000)
CHANGE(ss_rpl_differs, SEG(SS).selector = 0x28)
CHANGE(ss_null_in_user_mode, (SEG(SS).selector = 3, SEG(SS).access = 0x10000))
CHANGE(ss_null_in_compat_mode, (SEG(CS).access = 0xc09b, SEG(CS).selector = 0x10,
                                SEG(SS).selector = 0, SEG(SS).access = 0x10000))
CHANGE(ss_unusable_in_compat_mode, (SEG(CS).access = 0xc0fb, SEG(SS).access = 0x10000))
CHANGE(ss_read_only, SEG(SS).access = 0xc0f1)
CHANGE(ss_is_code, SEG(SS).access = 0xc0fb)
CHANGE(ss_is_system, SEG(SS).access = 0xc0e3)
CHANGE(ss_dpl_differs, SEG(SS).access = 0xc093)
CHANGE(ds_is_system, (SEG(DS).selector = 0x2b, SEG(DS).access = 0xc0e3))
CHANGE(ds_execute_only, (SEG(DS).selector = 0x33, SEG(DS).access = 0xc0f9))
CHANGE(ds_base_above_4_gib, (SEG(DS).selector = 0x2b, SEG(DS).access = 0xc0f3,
                             SEG(DS).limit = 0xffffffff, SEG(DS).base = BIT(32)))
CHANGE(fs_is_system, (SEG(FS).selector = 0x2b, SEG(FS).access = 0xc0e3))
CHANGE(es_limit_without_g,
       (SEG(ES).selector = 0x2b, SEG(ES).access = 0x40f3, SEG(ES).limit = 0x100000))
CHANGE(es_limit_with_g, (SEG(ES).selector = 0x2b, SEG(ES).access = 0xc0f3, SEG(ES).limit = 0x1000))
CHANGE(fs_base_not_canonical, SEG(FS).base = NOT_CANONICAL)
CHANGE(gs_base_not_canonical, SEG(GS).base = NOT_CANONICAL)
CHANGE(ldtr_is_data, SEG(LDTR).access = 0x92)
CHANGE(ldtr_is_tss, SEG(LDTR).access = 0x89)
CHANGE(ldtr_base_not_canonical, SEG(LDTR).base = NOT_CANONICAL)
CHANGE(ldtr_selector_in_ldt, SEG(LDTR).selector = 0x4c)
CHANGE(tr_not_present, SEG(TR).access = 0x09)
CHANGE(tr_unusable, SEG(TR).access |= 0x10000)
CHANGE(tr_16_bit, SEG(TR).access = 0x83)
CHANGE(tr_is_data, SEG(TR).access = 0x9b)
CHANGE(tr_base_not_canonical, SEG(TR).base = NOT_CANONICAL)
CHANGE(tr_selector_in_ldt, SEG(TR).selector = 0x44)
CHANGE(gdtr_base_not_canonical, SEG(GDTR).base = NOT_CANONICAL)
CHANGE(gdtr_limit_64_kib, SEG(GDTR).limit = 0x10000)
CHANGE(idtr_base_not_canonical, SEG(IDTR).base = NOT_CANONICAL)
CHANGE(idtr_limit_64_kib, SEG(IDTR).limit = 0x10000)

/* MSRs. */
CHANGE(lstar_not_canonical, *good_state_msr(good, RESUME_MSR_LSTAR) = NOT_CANONICAL)
CHANGE(cstar_not_canonical, *good_state_msr(good, RESUME_MSR_CSTAR) = NOT_CANONICAL)
CHANGE(kernel_gs_not_canonical, *good_state_msr(good, RESUME_MSR_KERNEL_GS_BASE) = NOT_CANONICAL)
CHANGE(sysenter_esp_not_canonical, *good_state_msr(good, RESUME_MSR_SYSENTER_ESP) = NOT_CANONICAL)
CHANGE(sysenter_eip_not_canonical, *good_state_msr(good, RESUME_MSR_SYSENTER_EIP) = NOT_CANONICAL)
CHANGE(fmask_bit_32, *good_state_msr(good, RESUME_MSR_FMASK) = BIT(32))
CHANGE(tsc_aux_bit_32, *good_state_msr(good, RESUME_MSR_TSC_AUX) = BIT(32))
CHANGE(pat_type_2, *good_state_msr(good, RESUME_MSR_PAT) = 0x0007040600070402)
CHANGE(pat_type_3, *good_state_msr(good, RESUME_MSR_PAT) = 0x0307040600070406)
CHANGE(pat_type_8, *good_state_msr(good, RESUME_MSR_PAT) = 0x0007040800070406)
CHANGE(pat_high_bit, *good_state_msr(good, RESUME_MSR_PAT) = 0x8007040600070406)
CHANGE(msr_twice, good_state_add_msr(good, RESUME_MSR_LSTAR, 0, 0xffffffff81800080))
CHANGE(msr_efer_differs, good_state_add_msr(good, RESUME_MSR_EFER, 0, 0x501))
CHANGE(msr_fs_base_differs, good_state_add_msr(good, RESUME_MSR_FS_BASE, 0, 0))
CHANGE(msr_gs_base_differs, good_state_add_msr(good, RESUME_MSR_GS_BASE, 0, 0))
CHANGE(msr_xss_differs, good_state_add_msr(good, 0xda0, 0, 0x800))
CHANGE(pl0_ssp_not_canonical, good_state_add_msr(good, 0x6a4, 0, NOT_CANONICAL))
CHANGE(pl3_ssp_not_canonical, good_state_add_msr(good, 0x6a7, 0, NOT_CANONICAL))
CHANGE(ssp_table_not_canonical, good_state_add_msr(good, 0x6a8, 0, NOT_CANONICAL))
CHANGE(u_cet_not_canonical, good_state_add_msr(good, 0x6a0, 0, NOT_CANONICAL))
CHANGE(s_cet_not_canonical, good_state_add_msr(good, 0x6a2, 0, NOT_CANONICAL))
CHANGE(msr_apic_base_differs, good_state_add_msr(good, RESUME_MSR_APIC_BASE, 0, 0xfee00800))

/* XSAVE image. */
CHANGE(mxcsr_bit_16, good_state_put_area(good, 24, 4, 0x11f80))
CHANGE(xcomp_bv_compacted, good_state_put_area(good, 520, 8, BIT(63)))
CHANGE(xsave_header_byte_16, good_state_put_area(good, 528, 1, 1))
CHANGE(xsave_header_byte_63, good_state_put_area(good, 575, 1, 1))
CHANGE(xstate_bv_beyond_xcr0, good_state_put_area(good, 512, 8, 0xf))
CHANGE(xstate_bv_avx_without_osxsave, v->ctrl.cr4 &= ~BIT(18))
CHANGE(xstate_bv_not_in_components, v->xsave.comp_count = 0)
CHANGE(component_63, v->xsave.comp[0].id = 63)
CHANGE(component_empty, v->xsave.comp[0].size = 0)
CHANGE(component_beyond_end, v->xsave.comp[0].size = 257)
CHANGE(component_wraps, v->xsave.comp[0].size = UINT32_MAX)
CHANGE(component_far_away, v->xsave.comp[0].offset = UINT32_MAX)
CHANGE(component_in_header, v->xsave.comp[0].offset = 575)
CHANGE(component_in_legacy_region, v->xsave.comp[0].offset = 0)
CHANGE(legacy_component_in_header, (v->xsave.comp[v->xsave.comp_count++] = (struct resume_xcomp){
                                        .id = 1, .offset = 160, .size = 353}))
CHANGE(component_twice, (v->xsave.length = 1088,
                         v->xsave.comp[v->xsave.comp_count++] = (struct resume_xcomp){2, 832, 256}))
CHANGE(components_overlap,
       (v->xsave.length = 1088,
        v->xsave.comp[v->xsave.comp_count++] = (struct resume_xcomp){9, 831, 8}))

/* Enumerated values, and what is no record at all. */
CHANGE(mp_state_4, v->run.mp_state = 4)
CHANGE(exception_vector_32, v->run.exception_vector = 32)
CHANGE(shadow_length_16, v->run.shadow_length = 16)
CHANGE(sti_shadow_without_if, (v->run.interrupt_shadow = 1, v->regs.rflags &= ~BIT(9)))
CHANGE(halted_in_a_shadow, (v->run.interrupt_shadow = 2, v->run.mp_state = RESUME_MP_HALTED))
CHANGE(dormant_with_a_bad_vector, (v->run.mp_state = RESUME_MP_WAIT_SIPI, v->run.sipi_vector = 256))
CHANGE(dormant_beyond_maximum,
       (v->run.mp_state = RESUME_MP_WAIT_SIPI, v->msr_count = RESUME_MSR_MAX + 1))
CHANGE(msrs_beyond_maximum, v->msr_count = RESUME_MSR_MAX + 1)
CHANGE(components_beyond_maximum, v->xsave.comp_count = RESUME_XCOMP_MAX + 1)
CHANGE(image_beyond_maximum, v->xsave.length = RESUME_XSAVE_MAX + 1)
CHANGE(image_without_header, v->xsave.length = 575)
CHANGE(image_without_address, v->xsave.area = NULL)

static const struct rule rules[] = {
    RULE(no_rsp, RESUME_EMISSING, "rsp"),
    RULE(no_rip, RESUME_EMISSING, "rip"),
    RULE(no_rflags, RESUME_EMISSING, "rflags"),
    RULE(no_cs, RESUME_EMISSING, "cs.base"),
    RULE(no_idtr, RESUME_EMISSING, "idtr.base"),
    RULE(no_cr0, RESUME_EMISSING, "cr0"),
    RULE(no_cr2, RESUME_EMISSING, "cr2"),
    RULE(no_cr3, RESUME_EMISSING, "cr3"),
    RULE(no_cr4, RESUME_EMISSING, "cr4"),
    RULE(no_cr8, RESUME_EMISSING, "cr8"),
    RULE(no_efer, RESUME_EMISSING, "efer"),
    RULE(no_xcr0, RESUME_EMISSING, "xcr0"),
    RULE(no_dr0, RESUME_EMISSING, "dr0"),
    RULE(no_dr7, RESUME_EMISSING, "dr7"),
    RULE(no_star, RESUME_EMISSING, "STAR"),
    RULE(no_lstar, RESUME_EMISSING, "LSTAR"),
    RULE(no_cstar, RESUME_EMISSING, "CSTAR"),
    RULE(no_fmask, RESUME_EMISSING, "FMASK"),
    RULE(no_kernel_gs_base, RESUME_EMISSING, "KERNEL_GS_BASE"),
    RULE(no_sysenter_cs, RESUME_EMISSING, "SYSENTER_CS"),
    RULE(no_sysenter_esp, RESUME_EMISSING, "SYSENTER_ESP"),
    RULE(no_sysenter_eip, RESUME_EMISSING, "SYSENTER_EIP"),
    RULE(no_pat, RESUME_EMISSING, "PAT"),
    RULE(no_xsave, RESUME_EMISSING, "image"),

    RULE(rflags_bit_1_clear, RESUME_EREGISTER, "rflags"),
    RULE(rflags_bit_3, RESUME_EREGISTER, "rflags"),
    RULE(rflags_bit_15, RESUME_EREGISTER, "rflags"),
    RULE(rflags_bit_22, RESUME_EREGISTER, "rflags"),
    RULE(rflags_bit_63, RESUME_EREGISTER, "rflags"),
    RULE(rflags_vm, RESUME_ECONSISTENT, "rflags"),
    RULE(cr0_bit_6, RESUME_EREGISTER, "cr0"),
    RULE(cr0_bit_17, RESUME_EREGISTER, "cr0"),
    RULE(cr0_bit_32, RESUME_EREGISTER, "cr0"),
    RULE(cr0_pg_without_pe, RESUME_EREGISTER, "cr0"),
    RULE(cr0_nw_without_cd, RESUME_EREGISTER, "cr0"),
    RULE(cr0_no_paging, RESUME_ECONSISTENT, "cr0"),
    RULE(cr3_bit_52, RESUME_EREGISTER, "cr3"),
    RULE(cr3_bit_63, RESUME_EREGISTER, "cr3"),
    RULE(cr4_bit_15, RESUME_EREGISTER, "cr4"),
    RULE(cr4_bit_26, RESUME_EREGISTER, "cr4"),
    RULE(cr4_bit_63, RESUME_EREGISTER, "cr4"),
    RULE(cr4_no_pae, RESUME_ECONSISTENT, "cr4"),
    RULE(cr4_cet_without_wp, RESUME_ECONSISTENT, "cr4"),
    RULE(cr8_16, RESUME_EREGISTER, "cr8"),
    RULE(efer_bit_1, RESUME_EREGISTER, "efer"),
    RULE(efer_bit_9, RESUME_EREGISTER, "efer"),
    RULE(efer_bit_63, RESUME_EREGISTER, "efer"),
    RULE(efer_no_lme, RESUME_ECONSISTENT, "efer"),
    RULE(efer_no_lma, RESUME_ECONSISTENT, "efer"),
    RULE(xcr0_no_x87, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_bit_8, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_bit_63, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_avx_without_sse, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_half_mpx, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_other_half_mpx, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_opmask_alone, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_two_of_avx512, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_avx512_without_avx, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_half_amx, RESUME_EREGISTER, "xcr0"),
    RULE(xcr0_other_half_amx, RESUME_EREGISTER, "xcr0"),
    RULE(xss_user_bit, RESUME_EREGISTER, "xss"),
    RULE(apic_base_bit_9, RESUME_EREGISTER, "apic_base"),
    RULE(apic_base_bit_52, RESUME_EREGISTER, "apic_base"),
    RULE(apic_base_x2apic_disabled, RESUME_EREGISTER, "apic_base"),
    RULE(dr6_bit_32, RESUME_EREGISTER, "dr6"),
    RULE(dr7_bit_63, RESUME_EREGISTER, "dr7"),

    RULE(rip_not_canonical, RESUME_ECANON, "rip"),
    RULE(rip_57_bits_with_4_levels, RESUME_ECANON, "rip"),
    RULE(rip_58_bits_with_5_levels, RESUME_ECANON, "rip"),
    RULE(compat_rip_above_4_gib, RESUME_ECONSISTENT, "rip"),
    RULE(cs_unusable, RESUME_ECONSISTENT, "cs.access"),
    RULE(cs_not_present, RESUME_ECONSISTENT, "cs.access"),
    RULE(cs_is_data, RESUME_ECONSISTENT, "cs.access"),
    RULE(cs_is_system, RESUME_ECONSISTENT, "cs.access"),
    RULE(cs_long_and_big, RESUME_EREGISTER, "cs.access"),
    RULE(cs_null, RESUME_ECONSISTENT, "cs.selector"),
    RULE(cs_dpl_below_rpl, RESUME_ECONSISTENT, "cs.access"),
    RULE(cs_dpl_above_rpl, RESUME_ECONSISTENT, "cs.access"),
    RULE(cs_conforming_dpl_above_rpl, RESUME_ECONSISTENT, "cs.access"),
    RULE(cs_base_above_4_gib, RESUME_EREGISTER, "cs.base"),
    RULE(cs_access_bit_8, RESUME_EREGISTER, "cs.access"),
    RULE(tr_access_bit_17, RESUME_EREGISTER, "tr.access"),
    RULE(ss_rpl_differs, RESUME_ECONSISTENT, "ss.selector"),
    RULE(ss_null_in_user_mode, RESUME_ECONSISTENT, "ss.selector"),
    RULE(ss_null_in_compat_mode, RESUME_ECONSISTENT, "ss.selector"),
    RULE(ss_unusable_in_compat_mode, RESUME_ECONSISTENT, "ss.access"),
    RULE(ss_read_only, RESUME_ECONSISTENT, "ss.access"),
    RULE(ss_is_code, RESUME_ECONSISTENT, "ss.access"),
    RULE(ss_is_system, RESUME_ECONSISTENT, "ss.access"),
    RULE(ss_dpl_differs, RESUME_ECONSISTENT, "ss.access"),
    RULE(ds_is_system, RESUME_ECONSISTENT, "ds.access"),
    RULE(ds_execute_only, RESUME_ECONSISTENT, "ds.access"),
    RULE(ds_base_above_4_gib, RESUME_EREGISTER, "ds.base"),
    RULE(fs_is_system, RESUME_ECONSISTENT, "fs.access"),
    RULE(es_limit_without_g, RESUME_EREGISTER, "es.limit"),
    RULE(es_limit_with_g, RESUME_EREGISTER, "es.limit"),
    RULE(fs_base_not_canonical, RESUME_ECANON, "fs.base"),
    RULE(gs_base_not_canonical, RESUME_ECANON, "gs.base"),
    RULE(ldtr_is_data, RESUME_ECONSISTENT, "ldtr.access"),
    RULE(ldtr_is_tss, RESUME_ECONSISTENT, "ldtr.access"),
    RULE(ldtr_base_not_canonical, RESUME_ECANON, "ldtr.base"),
    RULE(ldtr_selector_in_ldt, RESUME_ECONSISTENT, "ldtr.selector"),
    RULE(tr_not_present, RESUME_ECONSISTENT, "tr.access"),
    RULE(tr_unusable, RESUME_ECONSISTENT, "tr.access"),
    RULE(tr_16_bit, RESUME_ECONSISTENT, "tr.access"),
    RULE(tr_is_data, RESUME_ECONSISTENT, "tr.access"),
    RULE(tr_base_not_canonical, RESUME_ECANON, "tr.base"),
    RULE(tr_selector_in_ldt, RESUME_ECONSISTENT, "tr.selector"),
    RULE(gdtr_base_not_canonical, RESUME_ECANON, "gdtr.base"),
    RULE(gdtr_limit_64_kib, RESUME_EREGISTER, "gdtr.limit"),
    RULE(idtr_base_not_canonical, RESUME_ECANON, "idtr.base"),
    RULE(idtr_limit_64_kib, RESUME_EREGISTER, "idtr.limit"),

    RULE(lstar_not_canonical, RESUME_ECANON, "LSTAR"),
    RULE(cstar_not_canonical, RESUME_ECANON, "CSTAR"),
    RULE(kernel_gs_not_canonical, RESUME_ECANON, "KERNEL_GS_BASE"),
    RULE(sysenter_esp_not_canonical, RESUME_ECANON, "SYSENTER_ESP"),
    RULE(sysenter_eip_not_canonical, RESUME_ECANON, "SYSENTER_EIP"),
    RULE(fmask_bit_32, RESUME_EREGISTER, "FMASK"),
    RULE(tsc_aux_bit_32, RESUME_EREGISTER, "TSC_AUX"),
    RULE(pat_type_2, RESUME_EREGISTER, "PAT"),
    RULE(pat_type_3, RESUME_EREGISTER, "PAT"),
    RULE(pat_type_8, RESUME_EREGISTER, "PAT"),
    RULE(pat_high_bit, RESUME_EREGISTER, "PAT"),
    RULE(msr_twice, RESUME_ECONSISTENT, "index"),
    RULE(msr_efer_differs, RESUME_ECONSISTENT, "EFER"),
    RULE(msr_fs_base_differs, RESUME_ECONSISTENT, "FS_BASE"),
    RULE(msr_gs_base_differs, RESUME_ECONSISTENT, "GS_BASE"),
    RULE(msr_xss_differs, RESUME_ECONSISTENT, "XSS"),
    RULE(pl0_ssp_not_canonical, RESUME_ECANON, "PL0_SSP"),
    RULE(pl3_ssp_not_canonical, RESUME_ECANON, "PL3_SSP"),
    RULE(ssp_table_not_canonical, RESUME_ECANON, "INTERRUPT_SSP_TABLE"),
    RULE(u_cet_not_canonical, RESUME_ECANON, "U_CET"),
    RULE(s_cet_not_canonical, RESUME_ECANON, "S_CET"),
    RULE(msr_apic_base_differs, RESUME_ECONSISTENT, "APIC_BASE"),

    RULE(mxcsr_bit_16, RESUME_EREGISTER, "mxcsr"),
    RULE(xcomp_bv_compacted, RESUME_EREGISTER, "xcomp_bv"),
    RULE(xsave_header_byte_16, RESUME_EREGISTER, "header"),
    RULE(xsave_header_byte_63, RESUME_EREGISTER, "header"),
    RULE(xstate_bv_beyond_xcr0, RESUME_ECONSISTENT, "xstate_bv"),
    RULE(xstate_bv_avx_without_osxsave, RESUME_ECONSISTENT, "xstate_bv"),
    RULE(xstate_bv_not_in_components, RESUME_ECONSISTENT, "components"),
    RULE(component_63, RESUME_EREGISTER, "component id"),
    RULE(component_empty, RESUME_ECONSISTENT, "component size"),
    RULE(component_beyond_end, RESUME_ECONSISTENT, "component size"),
    RULE(component_wraps, RESUME_ECONSISTENT, "component size"),
    RULE(component_far_away, RESUME_ECONSISTENT, "component size"),
    RULE(component_in_header, RESUME_ECONSISTENT, "component offset"),
    RULE(component_in_legacy_region, RESUME_ECONSISTENT, "component offset"),
    RULE(legacy_component_in_header, RESUME_ECONSISTENT, "component size"),
    RULE(component_twice, RESUME_ECONSISTENT, "component id"),
    RULE(components_overlap, RESUME_ECONSISTENT, "component offset"),

    RULE(mp_state_4, RESUME_EREGISTER, "mp_state"),
    RULE(exception_vector_32, RESUME_EREGISTER, "exception_vector"),
    RULE(shadow_length_16, RESUME_EREGISTER, "shadow_length"),
    RULE(sti_shadow_without_if, RESUME_ECONSISTENT, "interrupt_shadow"),
    RULE(halted_in_a_shadow, RESUME_ECONSISTENT, "mp_state"),
    RULE(dormant_with_a_bad_vector, RESUME_EREGISTER, "sipi_vector"),
    RULE(dormant_beyond_maximum, RESUME_EINVAL, "vcpu"),
    RULE(msrs_beyond_maximum, RESUME_EINVAL, "vcpu"),
    RULE(components_beyond_maximum, RESUME_EINVAL, "vcpu"),
    RULE(image_beyond_maximum, RESUME_EINVAL, "vcpu"),
    RULE(image_without_header, RESUME_EINVAL, "vcpu"),
    RULE(image_without_address, RESUME_EINVAL, "vcpu"),
};

/* Unusual but legal: must not be refused. */
CHANGE(as_it_is, (void)0)
CHANGE(kernel_mode, (SEG(CS).selector = 0x10, SEG(CS).access = 0xa09b, SEG(SS).selector = 0x18,
                     SEG(SS).access = 0xc093, v->regs.rip = 0xffffffff81000000))
CHANGE(kernel_null_ss, (SEG(CS).selector = 0x10, SEG(CS).access = 0xa09b, SEG(SS).selector = 0,
                        SEG(SS).access = 0, SEG(SS).limit = 0))
CHANGE(kernel_null_ss_unusable, (SEG(CS).selector = 0x10, SEG(CS).access = 0xa09b,
                                 SEG(SS).selector = 0, SEG(SS).access = 0x10000))
CHANGE(ring_1_null_ss, (SEG(CS).selector = 0x11, SEG(CS).access = 0xa0bb, SEG(SS).selector = 1,
                        SEG(SS).access = 0xc0b3))
CHANGE(conforming_code, SEG(CS).access = 0xa09f)
CHANGE(compatibility_mode, (SEG(CS).selector = 0x23, SEG(CS).access = 0xc0fb))
CHANGE(compat_highest_rip, (SEG(CS).access = 0xc0fb, v->regs.rip = 0xffffffff))
CHANGE(tss_busy, SEG(TR).access = 0x8b)
CHANGE(ldt_unusable, (SEG(LDTR).access = 0x10000, SEG(LDTR).base = NOT_CANONICAL))
CHANGE(ldt_in_use,
       (SEG(LDTR).selector = 0x50, SEG(LDTR).base = 0xfffffe0000070000, SEG(LDTR).limit = 0xffff))
CHANGE(amd_ss_after_sysret, SEG(SS).access = 0x10000)
CHANGE(null_ds_with_leftovers, (SEG(DS).access = 0x40f3, SEG(DS).limit = 0xffffffff))
CHANGE(highest_low_rip, v->regs.rip = 0x00007fffffffffff)
CHANGE(five_levels, (v->ctrl.cr4 |= BIT(12), v->regs.rip = 0x00ffffffffffffff,
                     *good_state_msr(good, RESUME_MSR_LSTAR) = 0xff00000000000000))
CHANGE(pcid, (v->ctrl.cr4 |= BIT(17), v->ctrl.cr3 |= 0xfff))
CHANGE(caches_off, v->ctrl.cr0 |= BIT(29) | BIT(30))
CHANGE(without_osxsave,
       (v->ctrl.cr4 &= ~BIT(18), v->ctrl.valid &= ~RESUME_CTRL_XCR0, v->xsave.length = 576,
        v->xsave.comp_count = 0, good_state_put_area(good, 512, 8, 3)))
CHANGE(without_optional_fields,
       (v->ctrl.valid &= ~(RESUME_CTRL_XSS | RESUME_CTRL_APIC_BASE), v->run.valid = 0,
        v->run.mp_state = 99, good_state_remove_msr(good, RESUME_MSR_TSC_AUX)))
CHANGE(avx512, (v->ctrl.xcr0 = 0xe7))
CHANGE(pkru, (v->ctrl.xcr0 |= BIT(9), v->xsave.length = 840,
              v->xsave.comp[v->xsave.comp_count++] = (struct resume_xcomp){9, 832, 8},
              good_state_put_area(good, 512, 8, 0x207)))
CHANGE(legacy_components_listed,
       (v->xsave.comp[v->xsave.comp_count++] = (struct resume_xcomp){0, 0, 160},
        v->xsave.comp[v->xsave.comp_count++] = (struct resume_xcomp){1, 160, 256}))
CHANGE(same_values_as_msrs, (good_state_add_msr(good, RESUME_MSR_EFER, 0, 0xd01),
                             good_state_add_msr(good, RESUME_MSR_FS_BASE, 0, 0x136933c0),
                             good_state_add_msr(good, RESUME_MSR_APIC_BASE, 0, 0xfee00900)))
CHANGE(debug_addresses_of_any_form, v->debug.dr[0] = NOT_CANONICAL)
CHANGE(every_mxcsr_bit, good_state_put_area(good, 24, 4, 0xffff))
CHANGE(every_pat_type, *good_state_msr(good, RESUME_MSR_PAT) = 0x0001040506070006)
CHANGE(xcr0_not_valid, (v->ctrl.cr4 &= ~BIT(18), v->ctrl.valid &= ~RESUME_CTRL_XCR0,
                        v->ctrl.xcr0 = 4, good_state_put_area(good, 512, 8, 3)))
CHANGE(cet_with_wp, v->ctrl.cr4 |= BIT(23))
CHANGE(no_wp_without_cet, v->ctrl.cr0 &= ~BIT(16))
CHANGE(
    most_msrs, while (v->msr_count < RESUME_MSR_MAX) {
        good_state_add_msr(good, 0x1000 + v->msr_count, 0, 0);
    })
CHANGE(shadow_of_sti, (v->run.interrupt_shadow = 1, v->run.shadow_length = 1))
CHANGE(shadow_of_mov_ss,
       (v->run.interrupt_shadow = 2, v->run.shadow_length = 2, v->regs.rflags &= ~BIT(9)))
CHANGE(shadow_not_valid,
       (v->run.valid &= ~RESUME_RUN_SHADOW, v->run.interrupt_shadow = 1, v->regs.rflags &= ~BIT(9)))
CHANGE(waits_for_sipi, (memset(v, 0, sizeof(*v)), v->run.valid = RESUME_RUN_MP_STATE,
                        v->run.mp_state = RESUME_MP_WAIT_SIPI))
CHANGE(not_initialised, (memset(v, 0, sizeof(*v)), v->run.valid = RESUME_RUN_MP_STATE,
                         v->run.mp_state = RESUME_MP_UNINITIALIZED))
CHANGE(in_firmwares_loop, (v->run.mp_state = RESUME_MP_HALTED, v->regs.rflags = 2, v->ctrl.efer = 0,
                           v->ctrl.cr0 = 0x10, SEG(CS).access = 0x9b))
CHANGE(longest_image, v->xsave.length = RESUME_XSAVE_MAX)
CHANGE(
    most_components, for (uint32_t i = 1; i < RESUME_XCOMP_MAX; i++) {
        v->xsave.length = RESUME_XSAVE_MAX;
        v->xsave.comp[i] = (struct resume_xcomp){20 + i, 1024 * i, 8};
        v->xsave.comp_count = i + 1;
    })
CHANGE(null_es_with_any_base, SEG(ES).base = NOT_CANONICAL)
CHANGE(ds_read_only, (SEG(DS).selector = 0x2b, SEG(DS).access = 0x40f1, SEG(DS).limit = 0xfffff))
CHANGE(ds_readable_code,
       (SEG(DS).selector = 0x2b, SEG(DS).access = 0x40fb, SEG(DS).base = 0xffffffff))
CHANGE(conforming_code_of_this_level, SEG(CS).access = 0xa0ff)
CHANGE(longest_tables, (SEG(GDTR).limit = 0xffff, SEG(IDTR).limit = 0xffff))
CHANGE(highest_fmask, *good_state_msr(good, RESUME_MSR_FMASK) = 0xffffffff)
CHANGE(component_62, (v->xsave.length = 840,
                      v->xsave.comp[v->xsave.comp_count++] = (struct resume_xcomp){62, 832, 8}))
CHANGE(components_in_any_order,
       (v->xsave.length = 840, v->xsave.comp[1] = v->xsave.comp[0],
        v->xsave.comp[0] = (struct resume_xcomp){9, 832, 8}, v->xsave.comp_count = 2))

static const struct rule legal[] = {
    RULE(as_it_is, RESUME_OK, NULL),
    RULE(kernel_mode, RESUME_OK, NULL),
    RULE(kernel_null_ss, RESUME_OK, NULL),
    RULE(kernel_null_ss_unusable, RESUME_OK, NULL),
    RULE(ring_1_null_ss, RESUME_OK, NULL),
    RULE(conforming_code, RESUME_OK, NULL),
    RULE(compatibility_mode, RESUME_OK, NULL),
    RULE(compat_highest_rip, RESUME_OK, NULL),
    RULE(tss_busy, RESUME_OK, NULL),
    RULE(ldt_unusable, RESUME_OK, NULL),
    RULE(ldt_in_use, RESUME_OK, NULL),
    RULE(amd_ss_after_sysret, RESUME_OK, NULL),
    RULE(null_ds_with_leftovers, RESUME_OK, NULL),
    RULE(highest_low_rip, RESUME_OK, NULL),
    RULE(five_levels, RESUME_OK, NULL),
    RULE(pcid, RESUME_OK, NULL),
    RULE(caches_off, RESUME_OK, NULL),
    RULE(without_osxsave, RESUME_OK, NULL),
    RULE(without_optional_fields, RESUME_OK, NULL),
    RULE(avx512, RESUME_OK, NULL),
    RULE(pkru, RESUME_OK, NULL),
    RULE(legacy_components_listed, RESUME_OK, NULL),
    RULE(same_values_as_msrs, RESUME_OK, NULL),
    RULE(debug_addresses_of_any_form, RESUME_OK, NULL),
    RULE(every_mxcsr_bit, RESUME_OK, NULL),
    RULE(every_pat_type, RESUME_OK, NULL),
    RULE(xcr0_not_valid, RESUME_OK, NULL),
    RULE(cet_with_wp, RESUME_OK, NULL),
    RULE(no_wp_without_cet, RESUME_OK, NULL),
    RULE(most_msrs, RESUME_OK, NULL),
    RULE(shadow_of_sti, RESUME_OK, NULL),
    RULE(shadow_of_mov_ss, RESUME_OK, NULL),
    RULE(shadow_not_valid, RESUME_OK, NULL),
    RULE(waits_for_sipi, RESUME_OK, NULL),
    RULE(not_initialised, RESUME_OK, NULL),
    RULE(in_firmwares_loop, RESUME_OK, NULL),
    RULE(longest_image, RESUME_OK, NULL),
    RULE(most_components, RESUME_OK, NULL),
    RULE(null_es_with_any_base, RESUME_OK, NULL),
    RULE(ds_read_only, RESUME_OK, NULL),
    RULE(ds_readable_code, RESUME_OK, NULL),
    RULE(conforming_code_of_this_level, RESUME_OK, NULL),
    RULE(longest_tables, RESUME_OK, NULL),
    RULE(highest_fmask, RESUME_OK, NULL),
    RULE(component_62, RESUME_OK, NULL),
    RULE(components_in_any_order, RESUME_OK, NULL),
};

/* The record that is named is the one that the field belongs to: MSRs are in capitals. */
static void check_record(const struct rule *rule, const struct resume_diag *diag)
{
    const struct resume_field *field = resume_field_find(rule->field);
    const char *record = field != NULL                                    ? field->record
                         : strcmp(rule->field, "vcpu") == 0               ? "arguments"
                         : strcmp(rule->field, "index") == 0              ? "MSR"
                         : rule->field[0] >= 'A' && rule->field[0] <= 'Z' ? "MSR"
                                                                          : "XSAVE";

    if (strncmp(diag->where, record, strlen(record)) != 0) {
        fail_msg("%s: blames %s instead of %s", rule->name, diag->where, record);
    }
}

static void run(const struct rule *rule)
{
    static struct good_state good;
    struct resume_diag diag = {.vcpu = 77};
    int err;

    good_state_fill(&good);
    rule->change(&good);
    err = resume_vcpu_validate(&good.vcpu, 5, &diag);
    if (err != rule->err) {
        fail_msg("%s: %s (%s, %s) instead of %s", rule->name, resume_strerror(err),
                 diag.where != NULL ? diag.where : "-", diag.field != NULL ? diag.field : "-",
                 resume_strerror(rule->err));
    }
    assert_int_equal(resume_vcpu_validate(&good.vcpu, 5, NULL), err);
    if (err == RESUME_OK) {
        assert_null(diag.field);
        assert_int_equal(diag.vcpu, 77);
        return;
    }
    assert_int_equal(diag.code, -err);
    assert_int_equal(diag.vcpu, 5);
    assert_non_null(diag.where);
    if (strcmp(diag.field, rule->field) != 0) {
        fail_msg("%s: names %s instead of %s", rule->name, diag.field, rule->field);
    }
    check_record(rule, &diag);
}

static void every_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        run(&rules[i]);
    }
}

static void legal_states(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(legal) / sizeof(legal[0]); i++) {
        run(&legal[i]);
    }
}

/* Every single validity bit that is needed, not only the samples above. */
static void every_required_field(void **state)
{
    static struct good_state good;
    size_t count;
    const struct resume_field *table = resume_field_table(&count);
    unsigned required = 0;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        uint64_t valid;
        int err;

        good_state_fill(&good);
        memcpy(&valid, (uint8_t *)&good.vcpu + table[i].valid_offset, sizeof(valid));
        valid &= ~BIT(table[i].valid_bit);
        memcpy((uint8_t *)&good.vcpu + table[i].valid_offset, &valid, sizeof(valid));
        err = resume_vcpu_validate(&good.vcpu, 0, NULL);
        assert_true(err == RESUME_OK || err == RESUME_EMISSING);
        required += err == RESUME_EMISSING;
    }
    /* All but XSS, APIC_BASE and the 10 of RUN. */
    assert_int_equal(required, count - 12);
}

static void no_vcpu(void **state)
{
    static struct good_state good;

    (void)state;
    /* A count beyond the list does not lead beyond it. */
    good_state_fill(&good);
    good.vcpu.msr_count = RESUME_MSR_MAX + 1;
    assert_null(resume_vcpu_msr(&good.vcpu, 0x1234));
    memset(good.vcpu.msr, 0xff, sizeof(good.vcpu.msr));
    good.vcpu.xsave.length = 0x1234;
    good.vcpu.msr_count = UINT32_MAX;
    assert_null(resume_vcpu_msr(&good.vcpu, 0x1234));
    assert_int_equal(resume_vcpu_validate(NULL, 0, NULL), RESUME_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule),
        cmocka_unit_test(legal_states),
        cmocka_unit_test(every_required_field),
        cmocka_unit_test(no_vcpu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
