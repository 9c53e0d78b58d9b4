/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Reading a snapshot image (docs/IMAGE.md).
 *
 * The image is read through a callback, from a host that is not trusted: what it returns may be
 * short, wrong, or different at a second reading. Each byte is therefore read once into memory of
 * the caller, checked there, and used from there.
 *
 * 1. resume_sealed_header reads the header; it says how much memory the structures need.
 * 2. resume_sealed_open reads, checks and decrypts the structures. Until then nothing that the
 *    header says is more than a claim.
 * 3. Chunks may be opened in any order, each with buffers of its own by any processor: what
 *    resume_sealed_open made is only read.
 *
 * Nothing is allocated, nothing global is written. Fallible functions return RESUME_OK or a negative
 * enum resume_err; diagnoses are optional. In them `where` names the structure.
 */
#ifndef RESUME_SEALED_H
#define RESUME_SEALED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <resume/error.h>
#include <resume/sealed_format.h>
#include <resume/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Where an image comes from. @read is called from the thread that called the library.
 */
struct resume_sealed_source {
    /* Reads up to @length bytes (> 0) at @offset into @buffer, and says in @ret how many: fewer are
     * allowed, 0 is the end. Returns 0, or anything else when it failed. */
    int (*read)(void *context, uint64_t offset, void *buffer, size_t length, size_t *ret);
    void *context;
    uint64_t size; /* bytes of the image, as the source has it */
};

/* A header: first a claim, after resume_sealed_open the truth. Owned by the caller. */
struct resume_sealed_header {
    uint8_t raw[RESUME_SEALED_HEADER_SIZE]; /* as it was read */
    uint64_t total;                         /* bytes of the image */
    uint32_t protection;                    /* RESUME_SEALED_CHECKSUM or another */
    uint32_t compression;                   /* RESUME_SEALED_NONE, LZ4, ZSTD */
    uint32_t chunk_pages;                   /* pages of every chunk but the last one */
    uint32_t vcpus;
    uint64_t content; /* pages that are not zero */
    uint64_t chunks;  /* number of chunks */
    uint64_t host;    /* file offset of the host's facts, and their bytes */
    uint64_t host_length;
    uint64_t devices; /* file offset of the device part, and its bytes */
    uint64_t devices_length;
    uint64_t structures; /* file offset of the structures, and their bytes with the tag */
    uint64_t structures_length;
    uint64_t data; /* file offset of the first chunk, and the bytes of all */
    uint64_t data_length;
    uint64_t part[RESUME_SEALED_PARTS]; /* offsets in the structures, and bytes */
    uint64_t part_length[RESUME_SEALED_PARTS];
    uint8_t identity[RESUME_SEALED_IDENTITY]; /* SHA-256 of the header */
};

/* An opened image. Owned by the caller, who treats it as read-only. Copying it copies keys. */
struct resume_sealed {
    const struct resume_sealed_header *header; /* borrowed */
    const uint8_t *structures;                 /* borrowed: the caller's memory */
    uint64_t map_count;
    uint64_t run_count;
    uint32_t method;                      /* the protection, and how this CPU deals with it */
    uint8_t chunk_key[RESUME_SEALED_KEY]; /* secret; zero without a key */
};

/* A piece of guest-physical memory in pages of 4 KiB. */
struct resume_sealed_run {
    uint64_t page;    /* number of its first page */
    uint64_t count;   /* > 0 */
    uint64_t content; /* number of its first page among all pages with content; 0 in the map */
};

/* A difference between the device part and the stream that it was made from. */
struct resume_sealed_change {
    uint64_t offset;      /* in the device part; at or behind the end of the change before */
    uint32_t removed;     /* bytes there that the stream does not have */
    uint32_t added;       /* bytes that the stream has instead; not both are 0 */
    const uint8_t *bytes; /* those; secret */
};

/* Where a chunk is. */
struct resume_sealed_chunk {
    uint64_t offset;    /* in the file */
    uint64_t content;   /* number of its first page among all pages with content */
    uint32_t stored;    /* bytes in the file, 1 to `pages` pages */
    uint32_t pages;     /* 1 to chunk_pages */
    bool compressed;    /* else the pages are stored as they are, but encrypted */
    const uint8_t *tag; /* RESUME_SEALED_TAG bytes in the structures */
};

/*
 * Bytes of working memory that opening a compressed chunk takes, 16-byte aligned. One for each
 * processor that does so at a time.
 */
#define RESUME_SEALED_WORK 98304u

/*
 * resume_sealed_header - read and check the header of an image.
 * @source: read from offset 0 on.
 * Errors: EIO (the source failed), ETRUNC, EMAGIC, EVERSION, ERESERVED, EUNSUPPORTED (a protection or
 * compression that is not known), ELENGTH (a size that is impossible, the file's included),
 * ECONSISTENT (parts that overlap, or leave a gap).
 */
int resume_sealed_header(const struct resume_sealed_source *source,
                         struct resume_sealed_header *out, struct resume_diag *diag);

/*
 * resume_sealed_open - read, authenticate, decrypt and check the structures.
 * @header: from resume_sealed_header; borrowed as long as @out is used.
 * @key: RESUME_SEALED_KEY bytes; NULL exactly for images that are not sealed.
 * @identity: RESUME_SEALED_IDENTITY bytes that the image must have, or NULL: any.
 * @structures: memory for them, 8-byte aligned, borrowed as long as @out is used. Its content is secret
 * afterwards; on failure it is wiped.
 * @capacity: bytes of @structures, at least header->structures_length.
 * Errors: EINVAL (a key without a sealed image, or the other way round), ENOSPC, ESTALE (another
 * identity), EKEY (another key), EIO, ETRUNC, EAUTH (sealed: not what was sealed), ECRC (not sealed:
 * damaged), ERESERVED, ELENGTH, EORDER, ECONSISTENT, EMISSING.
 */
int resume_sealed_open(struct resume_sealed *out, const struct resume_sealed_source *source,
                       const struct resume_sealed_header *header, const uint8_t *key,
                       const uint8_t *identity, void *structures, size_t capacity,
                       struct resume_diag *diag);

/* resume_sealed_close - wipe the keys. The structures are the caller's to wipe. */
void resume_sealed_close(struct resume_sealed *image);

/* resume_sealed_part - the state blob or the plan (RESUME_SEALED_PART_STATE, PLAN) of an opened
 * image. @ret_length: its bytes. The content is not checked: see <resume/guest.h>. */
const uint8_t *resume_sealed_part(const struct resume_sealed *image, unsigned part,
                                  size_t *ret_length);

/* resume_sealed_map - a range of the guest's RAM. @index: below image->map_count; they ascend and do
 * not touch. */
struct resume_sealed_run resume_sealed_map(const struct resume_sealed *image, uint64_t index);

/* resume_sealed_run - a run of pages with content, @index below image->run_count; they ascend and do
 * not touch. All pages of the map that are in no run are zero. */
struct resume_sealed_run resume_sealed_run(const struct resume_sealed *image, uint64_t index);

/* resume_sealed_find - index of the run that has page @content (below header->content) of all pages
 * with content. */
uint64_t resume_sealed_find(const struct resume_sealed *image, uint64_t content);

/* resume_sealed_chunk - where chunk @index (below header->chunks) is. */
struct resume_sealed_chunk resume_sealed_chunk(const struct resume_sealed *image, uint64_t index);

/*
 * resume_sealed_change - a change of the device part.
 * @at: where it is in its part of the structures: 0 for the first one, if
 * header->part_length[RESUME_SEALED_PART_CHANGES] is not 0.
 * Returns where the next one is; there is none if that is the part's length.
 */
uint64_t resume_sealed_change(const struct resume_sealed *image, uint64_t at,
                              struct resume_sealed_change *out);

/*
 * resume_sealed_chunk_read - read the bytes of a chunk.
 * @stored: memory for them. @capacity: its bytes.
 * Errors: EINVAL (no such chunk), ENOSPC, EIO, ETRUNC.
 */
int resume_sealed_chunk_read(const struct resume_sealed *image, uint64_t index,
                             const struct resume_sealed_source *source, void *stored,
                             size_t capacity, struct resume_diag *diag);

/*
 * resume_sealed_chunk_open - authenticate, decrypt and decompress a chunk.
 * @stored: as many bytes as resume_sealed_chunk says, which nobody else may write to any more; they
 * are decrypted in place.
 * @pages: memory for the pages of a compressed chunk, @capacity bytes of it; not touched, and may be
 * NULL, for one that is not compressed.
 * @work: RESUME_SEALED_WORK bytes, 16-byte aligned; may be NULL for a chunk that is not compressed.
 * @ret_pages: where the pages are: @pages, or @stored for a chunk that is not compressed.
 * On failure after decryption what was decrypted is wiped.
 * Errors: EINVAL (no such chunk), ENOSPC, EAUTH or ECRC (not what was sealed), EDATA (the compressed
 * data does not give exactly the chunk's pages).
 */
int resume_sealed_chunk_open(const struct resume_sealed *image, uint64_t index, void *stored,
                             void *pages, size_t capacity, void *work, const uint8_t **ret_pages,
                             struct resume_diag *diag);

/*
 * resume_sealed_check_machine - is this the machine that the image was taken from, as far as firmware
 * can tell?
 * @vcpus: its number of vCPUs. @ram: @count ranges of its RAM in bytes, ascending, not overlapping.
 * Errors: ECONSISTENT (another number of vCPUs), EUNREACHABLE (the guest had RAM where this machine
 * has none; the diagnosis has the first such address).
 */
int resume_sealed_check_machine(const struct resume_sealed *image, uint32_t vcpus,
                                const struct resume_range *ram, size_t count,
                                struct resume_diag *diag);

/* resume_sealed_wipe - overwrite @length bytes with zeroes, in a way that a compiler does not drop. */
void resume_sealed_wipe(void *memory, size_t length);

#ifdef __cplusplus
}
#endif
#endif
