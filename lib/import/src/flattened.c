/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Layout: makedumpfile's source, makedumpfile.h; QEMU's, include/sysemu/dump.h. */
#include "flattened.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define SIGNATURE "makedumpfile\0\0\0"
#define SIGNATURE_SIZE 16u
#define HEADER_SIZE 4096u
#define PIECE_HEADER 16u
#define TYPE 1u
#define VERSION 1u
#define PIECES_FIRST 256u
#define PIECES_MAX (SIZE_MAX / sizeof(struct flattened_piece) / 2)

int flattened_is(const struct import_file *file)
{
    uint8_t header[SIGNATURE_SIZE];
    return import_read(file, 0, header, sizeof(header), NULL) == 0 &&
           memcmp(header, SIGNATURE, SIGNATURE_SIZE) == 0;
}

static int compare(const void *left, const void *right)
{
    const struct flattened_piece *a = left;
    const struct flattened_piece *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* A piece that is written again, with the same place and length, replaces the first. */
static int join(struct flattened *flattened, struct resume_import_error *error)
{
    struct flattened_piece *pieces = flattened->pieces;
    size_t count = 0;
    if (flattened->count == 0)
        return import_fail(error, RESUME_EMISSING, HEADER_SIZE, flattened->file->name,
                           "make it again", "there is nothing in the flattened file");
    qsort(pieces, flattened->count, sizeof(*pieces), compare);
    for (size_t i = 0; i < flattened->count; i++) {
        if (count > 0 && pieces[count - 1].offset == pieces[i].offset &&
            pieces[count - 1].length == pieces[i].length)
            count--;
        if (count > 0 && pieces[count - 1].offset + pieces[count - 1].length > pieces[i].offset)
            return import_fail(error, RESUME_EUNSUPPORTED, pieces[i].at, flattened->file->name,
                               "put it together with makedumpfile -R",
                               "a piece overlaps another one");
        pieces[count++] = pieces[i];
    }
    flattened->count = count;
    return 0;
}

static int add(struct flattened *flattened, size_t *room, const struct flattened_piece *piece,
               struct resume_import_error *error)
{
    if (flattened->count == *room) {
        /* Each piece has taken 16 bytes of the file, so that this grows no faster than it. */
        size_t wanted = *room == 0 ? PIECES_FIRST : *room * 2;
        struct flattened_piece *grown = NULL;
        if (wanted < PIECES_MAX)
            grown = realloc(flattened->pieces, wanted * sizeof(*grown));
        if (grown == NULL)
            return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET,
                               flattened->file->name, "", "no memory for its list of pieces");
        flattened->pieces = grown;
        *room = wanted;
    }
    flattened->pieces[flattened->count++] = *piece;
    return 0;
}

static int find_pieces(struct flattened *flattened, struct resume_import_error *error)
{
    const struct import_file *file = flattened->file;
    uint8_t header[SIGNATURE_SIZE + 16];
    size_t room = 0;
    uint64_t at = HEADER_SIZE;
    int ret = import_read(file, 0, header, sizeof(header), error);
    if (ret == 0 && (import_be64(header + 16) != TYPE || import_be64(header + 24) != VERSION))
        ret = import_fail(error, RESUME_EVERSION, 16, file->name,
                          "put it together with makedumpfile -R",
                          "the flattened form has another type or version than 1");
    while (ret == 0) {
        struct flattened_piece piece;
        ret = import_read(file, at, header, PIECE_HEADER, error);
        if (ret != 0)
            break;
        at += PIECE_HEADER;
        piece.offset = import_be64(header);
        piece.length = import_be64(header + 8);
        piece.at = at;
        if (piece.offset == UINT64_MAX && piece.length == UINT64_MAX)
            return join(flattened, error);
        if (piece.length == 0 || piece.length > file->size - at ||
            piece.offset > INT64_MAX - piece.length)
            return import_fail(error, RESUME_ELENGTH, at - PIECE_HEADER, file->name,
                               "is the file complete? make it again",
                               "a piece of %llu bytes has no room here",
                               (unsigned long long)piece.length);
        ret = add(flattened, &room, &piece, error);
        at += piece.length;
    }
    return ret;
}

int flattened_open(struct flattened *flattened, const struct import_file *file,
                   struct resume_import_error *error)
{
    memset(flattened, 0, sizeof(*flattened));
    flattened->file = file;
    flattened->is_flattened = flattened_is(file);
    if (flattened->is_flattened) {
        int ret = find_pieces(flattened, error);
        if (ret != 0)
            flattened_close(flattened);
        return ret;
    }
    flattened->pieces = malloc(sizeof(*flattened->pieces));
    if (flattened->pieces == NULL)
        return import_fail(error, RESUME_IMPORT_ERRNO(ENOMEM), RESUME_IMPORT_NO_OFFSET, file->name,
                           "", "no memory");
    flattened->pieces[0] = (struct flattened_piece){.length = file->size};
    flattened->count = 1;
    return 0;
}

void flattened_close(struct flattened *flattened)
{
    free(flattened->pieces);
    memset(flattened, 0, sizeof(*flattened));
}

int flattened_read(const struct flattened *flattened, uint64_t offset, void *buffer, size_t length,
                   struct resume_import_error *error)
{
    const struct flattened_piece *pieces = flattened->pieces;
    const struct flattened_piece *last = pieces + flattened->count - 1;
    uint64_t end = flattened->count != 0 ? last->offset + last->length : 0;
    size_t low = 0;
    size_t high = flattened->count;
    if (offset > end || length > end - offset)
        return import_fail(error, RESUME_ETRUNC, RESUME_IMPORT_NO_OFFSET, flattened->file->name,
                           "is the file complete? make it again",
                           "%zu bytes at %llu of the dump are beyond its end, which is at %llu",
                           length, (unsigned long long)offset, (unsigned long long)end);
    /* The first piece that ends behind the offset. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pieces[middle].offset + pieces[middle].length > offset)
            high = middle;
        else
            low = middle + 1;
    }
    memset(buffer, 0, length);
    for (; low < flattened->count && pieces[low].offset < offset + length; low++) {
        const struct flattened_piece *piece = &pieces[low];
        uint64_t from = piece->offset > offset ? piece->offset : offset;
        uint64_t to = piece->offset + piece->length;
        to = to < offset + length ? to : offset + length;
        int ret = import_read(flattened->file, piece->at + (from - piece->offset),
                              (uint8_t *)buffer + (from - offset), (size_t)(to - from), error);
        if (ret != 0)
            return ret;
    }
    return 0;
}
