/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * Where a snapshot image is read from: a file on any file system that the firmware knows, a block
 * device or a partition of one, or a fw_cfg file. All of them belong to a host that is not trusted;
 * what they say is for <resume/sealed.h> to check.
 *
 * The load options of the application choose, by a word of the form image=WHERE:
 *
 *   image=fw_cfg            the fw_cfg file opt/org.libresume/image
 *   image=file:NAME         a file beside the application
 *   image=file:\DIR\NAME    this path on the application's volume, else on the first other one with it
 *   image=partition         the first block device that begins with an image
 *   image=partition:GUID    the GPT partition with this GUID, or the first one of this type
 *
 * Without such a word: the fw_cfg file if there is one; else image.rsm beside the application; else
 * \image.rsm on any volume; else any block device that begins with an image.
 */
#ifndef RESUME_EFI_IMAGE_SOURCE_H
#define RESUME_EFI_IMAGE_SOURCE_H

#include <efi.h>
#include <stddef.h>
#include <stdint.h>

#include <resume/sealed.h>

#define IMAGE_PATH_MAX 260

enum image_backend { IMAGE_ANY, IMAGE_FILE, IMAGE_PARTITION, IMAGE_FW_CFG };

/* Which image. Zeroed it means any. */
struct image_choice {
    enum image_backend backend;
    int has_guid;
    EFI_GUID guid;               /* of the partition or its type */
    CHAR16 path[IMAGE_PATH_MAX]; /* empty: image.rsm */
};

/* The failure of a read. */
struct image_error {
    EFI_STATUS status; /* EFI_END_OF_FILE: the backend gave fewer bytes than there should be */
    uint64_t offset;   /* of the bytes asked for, in the image */
    uint64_t length;   /* number of them */
    uint64_t got;      /* how many of these have arrived */
};

/* An open source. Its backends' parts are theirs alone. Must not be moved while it is open. */
struct image_source {
    enum image_backend backend;
    EFI_SYSTEM_TABLE *system;
    uint64_t size;            /* bytes of the image */
    char what[64];            /* for people: the path's end, the GUID, the fw_cfg file */
    struct image_error error; /* of the last read that failed */
    /* Reads at least one byte, and not more than @length, at @offset; the range is inside. */
    EFI_STATUS(*read)
    (struct image_source *source, uint64_t offset, void *buffer, uint64_t length, uint64_t *ret);
    union {
        struct {
            EFI_FILE *file;
        } file;
        struct {
            EFI_BLOCK_IO *device;
            uint32_t media;
            uint32_t block;     /* bytes */
            uint32_t align;     /* of what the device reads into; 0 and 1: any */
            UINTN pages;        /* of bounce */
            uint8_t *bounce;    /* pages from the boot services */
            uint64_t in_bounce; /* block that is in there; UINT64_MAX: none */
        } partition;
        struct {
            uint16_t selector;
        } fw_cfg;
    } in;
};

/*
 * image_choice_parse - the choice in @image's load options.
 * Returns EFI_SUCCESS (also when there is none: any), or EFI_INVALID_PARAMETER after a message.
 */
EFI_STATUS image_choice_parse(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, struct image_choice *out);

/*
 * image_source_open - find the image. Says on the console where it is, or why there is none.
 * @image: the application, whose volume is looked at first.
 * Drivers are connected to all devices when it is not found at first: firmware that was told what to
 * boot has not done so.
 * Returns EFI_SUCCESS, EFI_NOT_FOUND, or the error of the firmware.
 */
EFI_STATUS image_source_open(EFI_HANDLE image, EFI_SYSTEM_TABLE *system,
                             const struct image_choice *choice, struct image_source *out);

/* image_source_close - wipes what was buffered, and frees it. A zeroed one is fine. */
void image_source_close(struct image_source *source);

/*
 * image_source_read - read exactly @length bytes at @offset.
 * Returns EFI_SUCCESS, or the status in source->error, which then has the rest. What has arrived in
 * @buffer by then is undefined.
 */
EFI_STATUS image_source_read(struct image_source *source, uint64_t offset, void *buffer,
                             uint64_t length);

/* image_source_sealed - @source, borrowed, for <resume/sealed.h>. Boot services only: from the
 * processor that runs the firmware. */
struct resume_sealed_source image_source_sealed(struct image_source *source);

/* image_source_name - "file", "partition" or "fw_cfg file". */
const char *image_source_name(const struct image_source *source);

/* image_source_complain - says what source->error has. */
void image_source_complain(const struct image_source *source);

/*
 * The backends: open what @choice says. EFI_NOT_FOUND means that there is no such thing; with anything
 * else, there is, and it does not work.
 */
EFI_STATUS image_file_open(EFI_HANDLE image, const struct image_choice *choice, int beside,
                           struct image_source *out);
EFI_STATUS image_partition_open(const struct image_choice *choice, struct image_source *out);
EFI_STATUS image_fw_cfg_open(struct image_source *out);
void image_file_close(struct image_source *source);
void image_partition_close(struct image_source *source);

/* image_is_magic - do these 8 bytes begin an image? */
int image_is_magic(const void *bytes);

/* image_describe - sets out->what to the end of @text. */
void image_describe(struct image_source *out, const CHAR16 *text);

#endif
