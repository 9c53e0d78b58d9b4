/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The CPU state of a virtual machine, and the state blob that carries it.
 *
 * struct resume_vcpu is the canonical record: what a vCPU holds, independent of the monitor that it
 * came from. A state blob (docs/FORMAT.md) is its serialised form for all vCPUs of a machine.
 * The structs are owned by the caller; zero means "nothing known". A field counts only if its
 * validity bit is set.
 */
#ifndef RESUME_STATE_H
#define RESUME_STATE_H

#include <stddef.h>
#include <stdint.h>

#include <resume/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Order of the general registers: that of their encoding (Intel SDM vol. 2, "REX Prefixes"). */
enum resume_gpr {
    RESUME_RAX,
    RESUME_RCX,
    RESUME_RDX,
    RESUME_RBX,
    RESUME_RSP,
    RESUME_RBP,
    RESUME_RSI,
    RESUME_RDI,
    RESUME_R8,
    RESUME_R9,
    RESUME_R10,
    RESUME_R11,
    RESUME_R12,
    RESUME_R13,
    RESUME_R14,
    RESUME_R15,
    RESUME_GPR_COUNT
};

/* Order of the segment registers: ES to GS as encoded, then the system segments and tables. */
enum resume_seg {
    RESUME_ES,
    RESUME_CS,
    RESUME_SS,
    RESUME_DS,
    RESUME_FS,
    RESUME_GS,
    RESUME_LDTR,
    RESUME_TR,
    RESUME_GDTR,
    RESUME_IDTR,
    RESUME_SEG_COUNT
};

/*
 * A segment register with its hidden part. For GDTR and IDTR only base and limit count.
 * Access rights are in the form of the VMCS (Intel SDM vol. 3, "Guest Register State"): bits 3:0
 * type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable; all others zero.
 */
struct resume_segment {
    uint64_t base;
    uint32_t limit; /* in bytes, already scaled by G: the highest valid offset */
    uint32_t access;
    uint16_t selector;
    uint16_t reserved[3];
};

#define RESUME_SEG_TYPE UINT32_C(0x0000f)
#define RESUME_SEG_S UINT32_C(0x00010)
#define RESUME_SEG_DPL UINT32_C(0x00060)
#define RESUME_SEG_DPL_SHIFT 5
#define RESUME_SEG_P UINT32_C(0x00080)
#define RESUME_SEG_AVL UINT32_C(0x01000)
#define RESUME_SEG_L UINT32_C(0x02000)
#define RESUME_SEG_DB UINT32_C(0x04000)
#define RESUME_SEG_G UINT32_C(0x08000)
#define RESUME_SEG_UNUSABLE UINT32_C(0x10000)

/* General registers; validity bit n = gpr[n], then RIP and RFLAGS. */
struct resume_regs {
    uint64_t valid;
    uint64_t gpr[RESUME_GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
};
#define RESUME_REGS_RIP (UINT64_C(1) << 16)
#define RESUME_REGS_RFLAGS (UINT64_C(1) << 17)
#define RESUME_REGS_ALL (UINT64_C(0x3ffff))

/* Segments; validity bit n = seg[n]. */
struct resume_segs {
    uint64_t valid;
    struct resume_segment seg[RESUME_SEG_COUNT];
};
#define RESUME_SEGS_ALL (UINT64_C(0x3ff))

/* Control registers and what governs modes and extended state; one validity bit each, in order. */
struct resume_ctrl {
    uint64_t valid;
    uint64_t cr0;
    uint64_t cr2;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t cr8;
    uint64_t efer;
    uint64_t xcr0;
    uint64_t xss;
    uint64_t apic_base;
};
#define RESUME_CTRL_CR0 (UINT64_C(1) << 0)
#define RESUME_CTRL_CR2 (UINT64_C(1) << 1)
#define RESUME_CTRL_CR3 (UINT64_C(1) << 2)
#define RESUME_CTRL_CR4 (UINT64_C(1) << 3)
#define RESUME_CTRL_CR8 (UINT64_C(1) << 4)
#define RESUME_CTRL_EFER (UINT64_C(1) << 5)
#define RESUME_CTRL_XCR0 (UINT64_C(1) << 6)
#define RESUME_CTRL_XSS (UINT64_C(1) << 7)
#define RESUME_CTRL_APIC_BASE (UINT64_C(1) << 8)
#define RESUME_CTRL_ALL (UINT64_C(0x1ff))

/* Debug registers; validity bits 0-3 = dr[0..3], then DR6 and DR7. */
struct resume_debug {
    uint64_t valid;
    uint64_t dr[4];
    uint64_t dr6;
    uint64_t dr7;
};
#define RESUME_DEBUG_DR6 (UINT64_C(1) << 4)
#define RESUME_DEBUG_DR7 (UINT64_C(1) << 5)
#define RESUME_DEBUG_ALL (UINT64_C(0x3f))

/* Whether the vCPU runs and what is pending on it; one validity bit each, in order. */
struct resume_run {
    uint64_t valid;
    uint32_t mp_state;         /* enum resume_mp_state */
    uint32_t sipi_vector;      /* 0..255, meaningful while waiting for SIPI */
    uint32_t smm;              /* 1 = in system management mode */
    uint32_t interrupt_shadow; /* 0 none, 1 after STI, 2 after MOV SS / POP SS, 3 unknown which */
    uint32_t nmi_masked;       /* 1 = NMIs blocked until IRET */
    uint32_t nmi_pending;      /* 1 = an NMI waits */
    uint32_t exception_vector; /* pending exception, or RESUME_NO_EVENT */
    uint32_t interrupt_vector; /* interrupt being injected, or RESUME_NO_EVENT */
    uint32_t apic_id;          /* of the local APIC: what tells the processors apart */
    uint32_t shadow_length;    /* 0..15: bytes of the instruction before RIP that made
                                  interrupt_shadow; running it again makes the shadow again */
};
enum resume_mp_state {
    RESUME_MP_RUNNING = 0,
    RESUME_MP_HALTED = 1,
    RESUME_MP_WAIT_SIPI = 2,
    RESUME_MP_UNINITIALIZED = 3
};
#define RESUME_NO_EVENT UINT32_MAX
#define RESUME_RUN_MP_STATE (UINT64_C(1) << 0)
#define RESUME_RUN_SIPI_VECTOR (UINT64_C(1) << 1)
#define RESUME_RUN_SMM (UINT64_C(1) << 2)
#define RESUME_RUN_SHADOW (UINT64_C(1) << 3)
#define RESUME_RUN_NMI_MASKED (UINT64_C(1) << 4)
#define RESUME_RUN_NMI_PENDING (UINT64_C(1) << 5)
#define RESUME_RUN_EXCEPTION (UINT64_C(1) << 6)
#define RESUME_RUN_INTERRUPT (UINT64_C(1) << 7)
#define RESUME_RUN_APIC_ID (UINT64_C(1) << 8)
#define RESUME_RUN_SHADOW_LENGTH (UINT64_C(1) << 9)
#define RESUME_RUN_ALL (UINT64_C(0x3ff))

/* A model-specific register. Presence in the list is its validity. */
struct resume_msr {
    uint32_t index;
    uint32_t flags; /* RESUME_MSR_* */
    uint64_t value;
};
#define RESUME_MSR_OPTIONAL UINT32_C(1) /* a machine that lacks it may go on without */

/* The most MSRs a vCPU record may carry. */
#define RESUME_MSR_MAX 256

/*
 * One component of the XSAVE area as it lies in the record. The layout is always the standard
 * (non-compacted) form; it is carried because offsets differ between CPUs (Intel SDM vol. 1,
 * "Standard Form of XSAVE Area"). Component 0 (x87) and 1 (SSE) live in the legacy region.
 */
struct resume_xcomp {
    uint32_t id; /* bit number in XCR0 | XSS: 0..62 */
    uint32_t offset;
    uint32_t size;
};
#define RESUME_XCOMP_MAX 16

/*
 * Extended state: a standard-form XSAVE image (legacy region 512 bytes, header 64 bytes, then the
 * components). XSTATE_BV sits at offset 512, XCOMP_BV (520) is zero. x87 registers are in stack
 * order (ST0 first), as FXSAVE writes them. `area` is borrowed: parsed records point into the blob.
 */
struct resume_xsave {
    const uint8_t *area; /* any alignment; NULL when not known */
    uint32_t length;     /* bytes; 0 when not known, else >= 576 */
    uint32_t comp_count;
    struct resume_xcomp comp[RESUME_XCOMP_MAX];
};

/* Shortest (legacy region and header) and longest XSAVE image that a record may carry, in bytes. */
#define RESUME_XSAVE_MIN 576
#define RESUME_XSAVE_MAX 16384

/* Everything known of one vCPU. */
struct resume_vcpu {
    struct resume_regs regs;
    struct resume_segs segs;
    struct resume_ctrl ctrl;
    struct resume_debug debug;
    struct resume_run run;
    uint32_t msr_count;
    uint32_t reserved;
    struct resume_msr msr[RESUME_MSR_MAX];
    struct resume_xsave xsave;
};

/* A range of guest-physical RAM. Both 4 KiB aligned; ranges ascend and do not overlap. */
struct resume_range {
    uint64_t base_pa;
    uint64_t length;
};
#define RESUME_RANGE_MAX 64

/* Where a blob came from. */
enum resume_source {
    RESUME_SOURCE_UNKNOWN = 0,
    RESUME_SOURCE_QEMU_STREAM = 1,
};
enum resume_accel { RESUME_ACCEL_UNKNOWN = 0, RESUME_ACCEL_TCG = 1, RESUME_ACCEL_KVM = 2 };

#define RESUME_NAME_MAX 64

/* Facts of the machine as a whole. */
struct resume_machine {
    uint32_t source;                /* enum resume_source */
    uint32_t accel;                 /* enum resume_accel */
    char type[RESUME_NAME_MAX];     /* monitor's machine type, "pc-q35-7.2"; NUL-terminated */
    char producer[RESUME_NAME_MAX]; /* program that wrote the blob, "resumectl 0.1.0" */
    uint32_t range_count;
    uint32_t reserved;
    struct resume_range range[RESUME_RANGE_MAX]; /* guest RAM */
};

/* An opened blob: a view into the caller's buffer. Fields are read-only for the caller. */
struct resume_state {
    const uint8_t *data;
    size_t length;
    uint32_t vcpu_count;
    uint32_t crc32c; /* the blob's checksum: names this very state, a plan refers to it */
    uint16_t major;
    uint16_t minor;
    uint16_t header_size;
    uint16_t reserved;
};

/* The most vCPUs a blob may carry. */
#define RESUME_VCPU_MAX 4096

/*
 * resume_state_open - check the framing of a state blob.
 * @data: the bytes, any alignment, borrowed as long as @out is used; may be NULL only if @length 0.
 * @length: bytes available; bytes after the blob's own total size are an error.
 * @out: the opened view.  @diag: optional.
 * Checks header, version, checksum and every record's frame; reads no register.
 * Time grows linearly with @length, which is at most RESUME_FORMAT_SIZE_MAX.
 * Errors: EINVAL, ETRUNC, EMAGIC, EVERSION, ELENGTH, ERESERVED, ECRC, EMANDATORY, EDUPLICATE,
 * EMISSING, EORDER.
 */
int resume_state_open(const void *data, size_t length, struct resume_state *out,
                      struct resume_diag *diag);

/*
 * resume_state_vcpu - decode one vCPU of an opened blob.
 * @index: 0 .. vcpu_count - 1.  @out: about 5 KiB; its xsave.area points into the blob. What is
 * not valid in it is zero; its MSRs ascend by index.
 * Errors: EINVAL, ELENGTH, ERESERVED (also: a field that is not valid is not zero), EREGISTER (an
 * enumerated value is out of range), EDUPLICATE (an MSR twice), EORDER (MSRs do not ascend).
 */
int resume_state_vcpu(const struct resume_state *state, uint32_t index, struct resume_vcpu *out,
                      struct resume_diag *diag);

/*
 * resume_state_machine - decode the machine facts of an opened blob.
 * @out: `source` and `accel` may hold values that are not listed here, from a later producer; the
 * names hold printable ASCII only.
 * Errors: EINVAL, ELENGTH, ERESERVED (also: a name that is not zero-terminated printable ASCII),
 * ECONSISTENT (ranges empty, unsorted, unaligned, wrapping or overlapping).
 */
int resume_state_machine(const struct resume_state *state, struct resume_machine *out,
                         struct resume_diag *diag);

/*
 * resume_state_size - exact size of the blob that resume_state_write would produce.
 * @vcpus: array of @count vCPUs, 1 <= count <= RESUME_VCPU_MAX.  @ret_size: bytes.
 * Refuses what resume_state_vcpu or resume_state_machine would refuse to read back.
 * Errors: EINVAL (also: a name is not zero-terminated printable ASCII), ELENGTH (a count or length
 * in the records is beyond its maximum), ERESERVED (unknown MSR flags), EREGISTER (an enumerated
 * value is out of range), EDUPLICATE (an MSR twice), ECONSISTENT (ranges).
 */
int resume_state_size(const struct resume_machine *machine, const struct resume_vcpu *vcpus,
                      uint32_t count, size_t *ret_size);

/*
 * resume_state_write - serialise.
 * @buffer: at least resume_state_size() bytes, any alignment.  @ret_size: bytes written.
 * The result is deterministic: equal state gives equal bytes. Fields that are not valid are written
 * as zero, MSRs in ascending order.
 * Errors: those of resume_state_size, ENOSPC.
 */
int resume_state_write(const struct resume_machine *machine, const struct resume_vcpu *vcpus,
                       uint32_t count, void *buffer, size_t capacity, size_t *ret_size);

/*
 * resume_vcpu_validate - is this a state that a CPU can be in, and that a long-mode resume can load?
 * Checks, independent of any machine: presence of every field required for a long-mode resume;
 * reserved bits of CR0, CR4, EFER, RFLAGS, DR6/DR7, XCR0, MXCSR; canonical addresses; consistency
 * of CR0.PG/PE, CR4.PAE, EFER.LME/LMA, CS; XSTATE_BV within XCR0 | XSS; PAT types; an interrupt
 * shadow only where there can be one. Of a dormant vCPU only the ranges of RUN are checked.
 * Errors: EINVAL, EMISSING, ECANON, EREGISTER, ECONSISTENT.
 */
int resume_vcpu_validate(const struct resume_vcpu *vcpu, uint32_t index, struct resume_diag *diag);

/*
 * resume_vcpu_dormant - 1 when nothing but INIT and SIPI makes the vCPU go on, else 0.
 * That is one that waits for SIPI (or is not initialised), or is halted outside long mode with
 * interrupts disabled: a processor that the guest has never started. INIT and SIPI throw its
 * registers away, so that none of them is restored: it stays with the devices.
 */
int resume_vcpu_dormant(const struct resume_vcpu *vcpu);

/*
 * resume_vcpu_check_scope - can this version of the trampoline restore it?
 * @vcpu: validated. Refuses, naming the field:
 * - cr4, cr3, efer: VMX, SMX, SVM, key locker, PKS, user interrupts, LASS, LAM, FRED;
 * - smm; interrupt_vector: the interrupt has to be put back into the local APIC before;
 * - exception_vector: other than a fault that the instruction at RIP raises again;
 * - interrupt_shadow, shadow_length: other than that of a one-byte STI or a two-byte MOV to SS;
 *   with TF or RF set, or with a breakpoint on that instruction;
 * - nmi_masked: with TF, RF, VIF or VIP in RFLAGS, which only IRET loads, unblocking NMIs;
 * - a selector: beyond 0xfff; of CS or SS beyond its table; with less privilege than its RPL; or
 *   two registers with one selector and different hidden parts;
 * - S_CET: shadow stacks for the supervisor, or an awaited ENDBR; PL3_SSP: not there though user
 *   code with a shadow stack runs (the MSR then stands for SSP itself, which is loaded from it);
 * - an MSR that no way restores (resume/msr.h) and that is not marked optional;
 * - xstate_bv: supervisor components.
 * A dormant vCPU is always in scope. What the vCPUs must have in common: resume/vcpu_set.h.
 * Errors: EINVAL, EUNSUPPORTED.
 */
int resume_vcpu_check_scope(const struct resume_vcpu *vcpu, uint32_t index,
                            struct resume_diag *diag);

/*
 * The fields of regs, segs, ctrl, debug and run by name: for programs that print or compare a whole
 * vCPU. The reader and the writer of blobs work from the same table. It ascends by `offset`. For
 * GDTR and IDTR only base and limit are in it.
 */
struct resume_field {
    char record[8];        /* "GPR", "SEG", "CTRL", "DEBUG", "RUN" */
    char name[24];         /* unique in the table: "rax", "cs.base", "cr4", "dr7", "mp_state" */
    uint16_t tag;          /* RESUME_FORMAT_TAG_* of the record */
    uint16_t size;         /* bytes: 2, 4 or 8 */
    uint32_t offset;       /* of the field in struct resume_vcpu */
    uint32_t valid_offset; /* of the 64-bit validity word in struct resume_vcpu */
    uint32_t valid_bit;    /* number of the bit in it; the parts of a segment share one */
};

/* resume_field_table - the whole table.  @ret_count: entries, never NULL. */
const struct resume_field *resume_field_table(size_t *ret_count);

/* resume_field_find - the field of that name, or NULL. */
const struct resume_field *resume_field_find(const char *name);

/* resume_field_valid - 1 when the field's validity bit is set, else 0. No pointer may be NULL. */
int resume_field_valid(const struct resume_vcpu *vcpu, const struct resume_field *field);

/* resume_field_get - the field's value, zero-extended, whether valid or not. */
uint64_t resume_field_get(const struct resume_vcpu *vcpu, const struct resume_field *field);

/* resume_field_set - store a value, cut to the field's size, and set the validity bit. */
void resume_field_set(struct resume_vcpu *vcpu, const struct resume_field *field, uint64_t value);

/*
 * resume_vcpu_msr - find an MSR in a record.
 * Returns its value's address, or NULL when the record does not carry it.
 */
const uint64_t *resume_vcpu_msr(const struct resume_vcpu *vcpu, uint32_t index);

/* Architectural MSR numbers used in records (Intel SDM vol. 4; AMD APM vol. 2, "MSR Registers"). */
#define RESUME_MSR_TSC UINT32_C(0x10)
#define RESUME_MSR_APIC_BASE UINT32_C(0x1b)
#define RESUME_MSR_SYSENTER_CS UINT32_C(0x174)
#define RESUME_MSR_SYSENTER_ESP UINT32_C(0x175)
#define RESUME_MSR_SYSENTER_EIP UINT32_C(0x176)
#define RESUME_MSR_PAT UINT32_C(0x277)
#define RESUME_MSR_U_CET UINT32_C(0x6a0)
#define RESUME_MSR_S_CET UINT32_C(0x6a2)
#define RESUME_MSR_XSS UINT32_C(0xda0)
#define RESUME_MSR_EFER UINT32_C(0xc0000080)
#define RESUME_MSR_STAR UINT32_C(0xc0000081)
#define RESUME_MSR_LSTAR UINT32_C(0xc0000082)
#define RESUME_MSR_CSTAR UINT32_C(0xc0000083)
#define RESUME_MSR_FMASK UINT32_C(0xc0000084)
#define RESUME_MSR_FS_BASE UINT32_C(0xc0000100)
#define RESUME_MSR_GS_BASE UINT32_C(0xc0000101)
#define RESUME_MSR_KERNEL_GS_BASE UINT32_C(0xc0000102)
#define RESUME_MSR_TSC_AUX UINT32_C(0xc0000103)

#ifdef __cplusplus
}
#endif
#endif
