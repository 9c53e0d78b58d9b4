/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * The bytes of a snapshot image: the numbers, for programs that look at the bytes themselves.
 * docs/IMAGE.md explains them; a test keeps the two in step. Everything is little-endian.
 */
#ifndef RESUME_SEALED_FORMAT_H
#define RESUME_SEALED_FORMAT_H

#ifdef __cplusplus
extern "C" {
#endif

/* The first 8 bytes, and the version: a reader of major.m reads what has the same major and a
 * `compatible` of at most m. */
#define RESUME_SEALED_MAGIC "RSMIMAGE"
#define RESUME_SEALED_MAJOR 1
#define RESUME_SEALED_MINOR 0
#define RESUME_SEALED_COMPATIBLE 0

/* Header: offsets of its fields, and its size. */
#define RESUME_SEALED_HEADER_MAGIC 0               /* 8 bytes */
#define RESUME_SEALED_HEADER_MAJOR 8               /* u16 */
#define RESUME_SEALED_HEADER_MINOR 10              /* u16 */
#define RESUME_SEALED_HEADER_COMPATIBLE 12         /* u16 */
#define RESUME_SEALED_HEADER_LENGTH 14             /* u16 */
#define RESUME_SEALED_HEADER_TOTAL 16              /* u64 */
#define RESUME_SEALED_HEADER_PROTECTION 24         /* u32 */
#define RESUME_SEALED_HEADER_COMPRESSION 28        /* u32 */
#define RESUME_SEALED_HEADER_CHUNK_PAGES 32        /* u32 */
#define RESUME_SEALED_HEADER_VCPUS 36              /* u32 */
#define RESUME_SEALED_HEADER_CONTENT 40            /* u64 */
#define RESUME_SEALED_HEADER_CHUNKS 48             /* u64 */
#define RESUME_SEALED_HEADER_RESERVED 56           /* 8 bytes */
#define RESUME_SEALED_HEADER_SALT 64               /* 32 bytes */
#define RESUME_SEALED_HEADER_CHECK 96              /* 16 bytes */
#define RESUME_SEALED_HEADER_HOST 112              /* u64 */
#define RESUME_SEALED_HEADER_HOST_LENGTH 120       /* u64 */
#define RESUME_SEALED_HEADER_HOST_HASH 128         /* 32 bytes */
#define RESUME_SEALED_HEADER_DEVICES 160           /* u64 */
#define RESUME_SEALED_HEADER_DEVICES_LENGTH 168    /* u64 */
#define RESUME_SEALED_HEADER_DEVICES_HASH 176      /* 32 bytes */
#define RESUME_SEALED_HEADER_STRUCTURES 208        /* u64 */
#define RESUME_SEALED_HEADER_STRUCTURES_LENGTH 216 /* u64 */
#define RESUME_SEALED_HEADER_DATA 224              /* u64 */
#define RESUME_SEALED_HEADER_DATA_LENGTH 232       /* u64 */
#define RESUME_SEALED_HEADER_PARTS 240             /* 96 bytes */
#define RESUME_SEALED_HEADER_END 336               /* zero up to the end of the header */
#define RESUME_SEALED_HEADER_SIZE 512

/* The parts of the structures, in their order, and an entry of the table of them. */
#define RESUME_SEALED_PART_STATE 0
#define RESUME_SEALED_PART_PLAN 1
#define RESUME_SEALED_PART_MAP 2
#define RESUME_SEALED_PART_RUNS 3
#define RESUME_SEALED_PART_INDEX 4
#define RESUME_SEALED_PART_CHANGES 5
#define RESUME_SEALED_PARTS 6
#define RESUME_SEALED_PART_OFFSET 0 /* u64 */
#define RESUME_SEALED_PART_LENGTH 8 /* u64 */
#define RESUME_SEALED_PART_SIZE 16

/* An entry of the memory map, of the runs, of the chunk index, of the changes. */
#define RESUME_SEALED_MAP_PAGE 0  /* u64 */
#define RESUME_SEALED_MAP_COUNT 8 /* u64 */
#define RESUME_SEALED_MAP_SIZE 16
#define RESUME_SEALED_RUN_PAGE 0     /* u64 */
#define RESUME_SEALED_RUN_COUNT 8    /* u64 */
#define RESUME_SEALED_RUN_CONTENT 16 /* u64 */
#define RESUME_SEALED_RUN_SIZE 24
#define RESUME_SEALED_INDEX_OFFSET 0    /* u64 */
#define RESUME_SEALED_INDEX_STORED 8    /* u32 */
#define RESUME_SEALED_INDEX_RESERVED 12 /* u32 */
#define RESUME_SEALED_INDEX_TAG 16      /* 16 bytes */
#define RESUME_SEALED_INDEX_SIZE 32
#define RESUME_SEALED_CHANGE_OFFSET 0  /* u64 */
#define RESUME_SEALED_CHANGE_REMOVED 8 /* u32 */
#define RESUME_SEALED_CHANGE_ADDED 12  /* u32 */
#define RESUME_SEALED_CHANGE_SIZE 16   /* the bytes that were added follow */

/* Protection. */
#define RESUME_SEALED_CHECKSUM 0 /* XXH3-128: finds accidents, stops nobody */
#define RESUME_SEALED_CHACHA20_POLY1305 1
#define RESUME_SEALED_AES_256_GCM 2

/* Compression. */
#define RESUME_SEALED_NONE 0
#define RESUME_SEALED_LZ4 1
#define RESUME_SEALED_ZSTD 2

/* Sizes in bytes. */
#define RESUME_SEALED_PAGE 4096
#define RESUME_SEALED_ALIGN 8 /* of the parts */
#define RESUME_SEALED_TAG 16
#define RESUME_SEALED_KEY 32
#define RESUME_SEALED_SALT 32
#define RESUME_SEALED_CHECK 16
#define RESUME_SEALED_IDENTITY 32
#define RESUME_SEALED_HASH 32
#define RESUME_SEALED_AAD 64 /* associated data of a chunk */

/* Limits. */
#define RESUME_SEALED_CHUNK_PAGES_MIN 4
#define RESUME_SEALED_CHUNK_PAGES_MAX 1024
#define RESUME_SEALED_STRUCTURES_MAX 0x8000000
#define RESUME_SEALED_HOST_MAX 0x100000
#define RESUME_SEALED_VCPUS_MAX 4096
#define RESUME_SEALED_PAGES_MAX 0x10000000000 /* pages that 52 bits of address reach */

#ifdef __cplusplus
}
#endif
#endif
