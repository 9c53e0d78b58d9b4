/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The wire format of state blobs and plans: the numbers, for programs that look at the bytes
 * themselves. docs/FORMAT.md explains them; a test keeps the two in step.
 *
 * Everything is little-endian. A file is a header and records; a record is a record header and a
 * payload, zero-padded to a multiple of 8 bytes.
 */
#ifndef RESUME_FORMAT_H
#define RESUME_FORMAT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The first 8 bytes of a state blob. */
#define RESUME_FORMAT_STATE_MAGIC "RSMSTATE"

/*
 * Version of the state blob format, independent of the library's. A reader of major.m reads every
 * blob of the same major whose `compatible` field is at most m.
 */
#define RESUME_FORMAT_STATE_MAJOR 1
#define RESUME_FORMAT_STATE_MINOR 1
#define RESUME_FORMAT_STATE_COMPATIBLE 0

/* The first 8 bytes of a plan, and its version. */
#define RESUME_FORMAT_PLAN_MAGIC "RSMPLAN\0"
#define RESUME_FORMAT_PLAN_MAJOR 1
#define RESUME_FORMAT_PLAN_MINOR 0
#define RESUME_FORMAT_PLAN_COMPATIBLE 0

/* Longest file of either kind, in bytes. */
#define RESUME_FORMAT_SIZE_MAX UINT32_C(0x08000000)

/* Records and lengths are multiples of this. */
#define RESUME_FORMAT_ALIGN 8

/* Header: offsets of its fields, and its size in this version. */
#define RESUME_FORMAT_HEADER_MAGIC 0       /* 8 bytes */
#define RESUME_FORMAT_HEADER_MAJOR 8       /* u16 */
#define RESUME_FORMAT_HEADER_MINOR 10      /* u16 */
#define RESUME_FORMAT_HEADER_COMPATIBLE 12 /* u16, <= minor */
#define RESUME_FORMAT_HEADER_LENGTH 14     /* u16, where the first record starts */
#define RESUME_FORMAT_HEADER_TOTAL 16      /* u64, bytes of the whole file */
#define RESUME_FORMAT_HEADER_VCPUS 24      /* u32 */
#define RESUME_FORMAT_HEADER_FLAGS 28      /* u32, no flag is defined: zero */
#define RESUME_FORMAT_HEADER_CRC 32        /* u32, CRC-32C of the file with this field zero */
#define RESUME_FORMAT_HEADER_RESERVED 36   /* zero up to the end of the header */
#define RESUME_FORMAT_HEADER_SIZE 64

/* Record header. */
#define RESUME_FORMAT_RECORD_TAG 0     /* u16 */
#define RESUME_FORMAT_RECORD_VERSION 2 /* u16, 1 for all records of this version */
#define RESUME_FORMAT_RECORD_FLAGS 4   /* u32 */
#define RESUME_FORMAT_RECORD_VCPU 8    /* u32, RESUME_FORMAT_VM or a vCPU */
#define RESUME_FORMAT_RECORD_LENGTH 12 /* u32, bytes of payload before padding */
#define RESUME_FORMAT_RECORD_SIZE 16

/* Record flags; all others are zero. */
#define RESUME_FORMAT_MANDATORY UINT32_C(1) /* a reader that does not know the record must refuse */

/* The `vcpu` of a record that concerns the machine as a whole. */
#define RESUME_FORMAT_VM UINT32_MAX

/* Tags below this one belong to the machine, this one and above to a vCPU. 0 is never used. */
#define RESUME_FORMAT_TAG_VCPU 0x0100

/* Tags of a state blob. */
#define RESUME_FORMAT_TAG_MACHINE 0x0001
#define RESUME_FORMAT_TAG_MEMMAP 0x0002
#define RESUME_FORMAT_TAG_GPR 0x0100
#define RESUME_FORMAT_TAG_SEG 0x0101
#define RESUME_FORMAT_TAG_CTRL 0x0102
#define RESUME_FORMAT_TAG_DEBUG 0x0103
#define RESUME_FORMAT_TAG_RUN 0x0104
#define RESUME_FORMAT_TAG_MSR 0x0105
#define RESUME_FORMAT_TAG_XSAVE 0x0106

/* The version of every record above. */
#define RESUME_FORMAT_RECORD_VERSION_1 1

/* Payload sizes of the records of fixed size. */
#define RESUME_FORMAT_MACHINE_SIZE 144
#define RESUME_FORMAT_GPR_SIZE 152
#define RESUME_FORMAT_SEG_SIZE 248
#define RESUME_FORMAT_CTRL_SIZE 80
#define RESUME_FORMAT_DEBUG_SIZE 56
#define RESUME_FORMAT_RUN_SIZE 48
#define RESUME_FORMAT_RUN_SIZE_0 40 /* in minor version 0 */

/* MACHINE: validity bits 0 to 3 in the order of the fields. */
#define RESUME_FORMAT_MACHINE_SOURCE 8 /* u32, enum resume_source */
#define RESUME_FORMAT_MACHINE_ACCEL 12 /* u32, enum resume_accel */
#define RESUME_FORMAT_MACHINE_TYPE 16  /* 64 bytes, printable ASCII, zero-terminated and -filled */
#define RESUME_FORMAT_MACHINE_PRODUCER 80 /* likewise */

/* MEMMAP, MSR: validity bit 0 is the list. A prefix, then entries. */
#define RESUME_FORMAT_LIST_COUNT 8     /* u32 */
#define RESUME_FORMAT_LIST_RESERVED 12 /* u32, zero */
#define RESUME_FORMAT_LIST_SIZE 16
#define RESUME_FORMAT_RANGE_BASE 0   /* u64 */
#define RESUME_FORMAT_RANGE_LENGTH 8 /* u64 */
#define RESUME_FORMAT_RANGE_SIZE 16
#define RESUME_FORMAT_MSR_INDEX 0 /* u32, ascending */
#define RESUME_FORMAT_MSR_FLAGS 4 /* u32, RESUME_MSR_* */
#define RESUME_FORMAT_MSR_VALUE 8 /* u64 */
#define RESUME_FORMAT_MSR_SIZE 16

/* XSAVE: validity bit 0 is the image. A prefix, then the components, then the image. */
#define RESUME_FORMAT_XSAVE_COMPS 8   /* u32, number of components */
#define RESUME_FORMAT_XSAVE_LENGTH 12 /* u32, bytes of the image */
#define RESUME_FORMAT_XSAVE_SIZE 16
#define RESUME_FORMAT_XCOMP_ID 0        /* u32 */
#define RESUME_FORMAT_XCOMP_OFFSET 4    /* u32 */
#define RESUME_FORMAT_XCOMP_LENGTH 8    /* u32 */
#define RESUME_FORMAT_XCOMP_RESERVED 12 /* u32, zero */
#define RESUME_FORMAT_XCOMP_SIZE 16

/* Tags of a plan. */
#define RESUME_FORMAT_TAG_HOME 0x0001

/* HOME: the place of the trampoline in the guest's memory (struct resume_home). */
#define RESUME_FORMAT_HOME_STATE_CRC 0 /* u32, checksum field of the state blob it belongs to */
#define RESUME_FORMAT_HOME_KIND 4      /* u32, enum resume_home_kind */
#define RESUME_FORMAT_HOME_VA 8        /* u64, guest-virtual */
#define RESUME_FORMAT_HOME_PA 16       /* u64, guest-physical */
#define RESUME_FORMAT_HOME_LENGTH 24   /* u64, bytes */
#define RESUME_FORMAT_HOME_FILL 32     /* u32, the byte the home is filled with */
#define RESUME_FORMAT_HOME_RESERVED 36 /* u32, zero */
#define RESUME_FORMAT_HOME_SIZE 40

#ifdef __cplusplus
}
#endif
#endif
