/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * A QEMU migration stream wherever it lies: a file of its own, or what a container (a qcow2 snapshot,
 * a libvirt save file, a snapshot directory) shows as one through struct import_file.
 *
 * Opening reads the head and the end of the stream; its RAM is read only when memory is asked for. A
 * stream whose device sections cannot be found from its end is walked from its begin.
 */
#ifndef RESUME_QEMU_STREAM_H
#define RESUME_QEMU_STREAM_H

#include "importer.h"

/* An opened stream. Private to qemu_stream.c. */
struct qemu_stream;

/* qemu_stream_probe - does @file begin as a stream does? 100 or 0. Reads 8 bytes; does not fail. */
int qemu_stream_probe(const struct import_file *file);

/*
 * qemu_stream_open - read a stream's head and its device sections.
 * @file: shows the stream from offset 0 to its size; borrowed until qemu_stream_close. Zeroes after
 * the stream's end are fine.  @ret: to be closed with qemu_stream_close.
 * @detail: receives "TCG, pc-q35-7.2"; may be NULL if @detail_size is 0.
 * Errors: EMAGIC, ETRUNC and the others of a stream that is damaged; EMISSING (no description of
 * the device sections, or no vCPU); EUNSUPPORTED (a kind of stream that is not read);
 * RESUME_IMPORT_ERRNO. Offsets in messages are those of @file.
 */
int qemu_stream_open(const struct import_file *file, struct qemu_stream **ret, char *detail,
                     size_t detail_size, struct resume_import_error *error);

/* qemu_stream_close - free everything; the file stays open. NULL is fine. */
void qemu_stream_close(struct qemu_stream *stream);

/* qemu_stream_vcpus - number of vCPUs, at least 1. */
uint32_t qemu_stream_vcpus(const struct qemu_stream *stream);

/*
 * qemu_stream_vcpu - decode one vCPU; as struct importer's vcpu.
 * @out: its xsave.area belongs to @stream and is overwritten by the next call.
 */
int qemu_stream_vcpu(struct qemu_stream *stream, uint32_t index, struct resume_vcpu *out,
                     struct resume_import_error *error);

/*
 * qemu_stream_machine - accelerator and machine type, and the ranges of RAM where they are known:
 * given by qemu_stream_map, or those of a PC with QEMU's default split at 4 GiB.
 */
int qemu_stream_machine(struct qemu_stream *stream, struct resume_machine *out,
                        struct resume_import_error *error);

/* Where a part of a RAM block is in guest-physical memory. Bytes, multiples of 4 KiB. */
struct qemu_stream_range {
    uint64_t base_pa;
    uint64_t length;
    const char *block; /* as in the stream ("pc.ram"), or the memory region's name ("vga.vram") */
    uint64_t block_offset;
};

/*
 * qemu_stream_map - say where the RAM blocks are, for who knows it better than the stream, which does
 * not: a snapshot directory has the memory map in its manifest. Replaces the guess of a PC's memory.
 * To be called before qemu_stream_memory.  @ranges: copied.
 * Errors: EINVAL (unaligned, wrapping, beyond its block, overlapping; a block that is not there),
 * ENOSPC (more than 256), EUNSUPPORTED (memory has been given out).
 */
int qemu_stream_map(struct qemu_stream *stream, const struct qemu_stream_range *ranges,
                    size_t count, struct resume_import_error *error);

/*
 * qemu_stream_memory - the guest's memory; as struct importer's memory. The first call reads the
 * stream's RAM once to find its pages (that of a mapped-ram file: its bitmaps, as pages are asked
 * for).
 * Errors: EUNREACHABLE (where the RAM lies is not known), those of a stream that is damaged.
 */
int qemu_stream_memory(struct qemu_stream *stream, struct resume_phys *out,
                       struct resume_import_error *error);

#endif
