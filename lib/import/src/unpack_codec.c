/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "unpack_codec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* So that its input may be const. */
#define ZLIB_CONST
#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <resume/import.h>

#define XZ_MEMORY (UINT64_C(128) << 20)
#define ZSTD_WINDOW_LOG 27

static unsigned clamp(size_t length)
{
    return length < UINT_MAX ? (unsigned)length : UINT_MAX;
}

static void advance(struct unpack_buffers *buffers, size_t taken, size_t given)
{
    buffers->in += taken;
    buffers->in_left -= taken;
    buffers->out += given;
    buffers->out_left -= given;
}

static void *gzip_open(void)
{
    z_stream *stream = calloc(1, sizeof(*stream));
    /* 16: with the header of gzip, and no other. */
    if (stream != NULL && inflateInit2(stream, 16 + MAX_WBITS) != Z_OK) {
        free(stream);
        return NULL;
    }
    return stream;
}

static int gzip_step(void *state, struct unpack_buffers *buffers)
{
    z_stream *stream = state;
    unsigned in = clamp(buffers->in_left);
    unsigned out = clamp(buffers->out_left);
    stream->next_in = buffers->in;
    stream->avail_in = in;
    stream->next_out = buffers->out;
    stream->avail_out = out;
    int ret = inflate(stream, Z_NO_FLUSH);
    advance(buffers, in - stream->avail_in, out - stream->avail_out);
    switch (ret) {
    case Z_OK:
    case Z_BUF_ERROR:
        return UNPACK_MORE;
    case Z_STREAM_END:
        inflateReset(stream);
        return UNPACK_END;
    case Z_MEM_ERROR:
        return RESUME_IMPORT_ERRNO(ENOMEM);
    default:
        return RESUME_ECRC;
    }
}

static void gzip_close(void *state)
{
    inflateEnd(state);
    free(state);
}

const struct unpack_codec unpack_gzip = {
    .name = "gzip",
    .magic = (const uint8_t *)"\x1f\x8b",
    .magic_size = 2,
    .open = gzip_open,
    .step = gzip_step,
    .close = gzip_close,
};

/* Its library begins anew only with a new state. */
struct bzip2 {
    bz_stream stream;
    int is_open;
};

static void *bzip2_open(void)
{
    return calloc(1, sizeof(struct bzip2));
}

static int bzip2_step(void *state, struct unpack_buffers *buffers)
{
    struct bzip2 *bzip2 = state;
    bz_stream *stream = &bzip2->stream;
    unsigned in = clamp(buffers->in_left);
    unsigned out = clamp(buffers->out_left);
    if (!bzip2->is_open) {
        memset(stream, 0, sizeof(*stream));
        if (BZ2_bzDecompressInit(stream, 0, 0) != BZ_OK)
            return RESUME_IMPORT_ERRNO(ENOMEM);
        bzip2->is_open = 1;
    }
    /* The library does not write through it, but its type says so. */
    memcpy(&stream->next_in, &buffers->in, sizeof(stream->next_in));
    stream->avail_in = in;
    stream->next_out = (char *)buffers->out;
    stream->avail_out = out;
    int ret = BZ2_bzDecompress(stream);
    advance(buffers, in - stream->avail_in, out - stream->avail_out);
    switch (ret) {
    case BZ_OK:
        return UNPACK_MORE;
    case BZ_STREAM_END:
        BZ2_bzDecompressEnd(stream);
        bzip2->is_open = 0;
        return UNPACK_END;
    case BZ_MEM_ERROR:
        return RESUME_IMPORT_ERRNO(ENOMEM);
    default:
        return RESUME_ECRC;
    }
}

static void bzip2_close(void *state)
{
    struct bzip2 *bzip2 = state;
    if (bzip2->is_open)
        BZ2_bzDecompressEnd(&bzip2->stream);
    free(bzip2);
}

const struct unpack_codec unpack_bzip2 = {
    .name = "bzip2",
    .magic = (const uint8_t *)"BZh",
    .magic_size = 3,
    .open = bzip2_open,
    .step = bzip2_step,
    .close = bzip2_close,
};

static void *xz_open(void)
{
    static const lzma_stream empty = LZMA_STREAM_INIT;
    lzma_stream *stream = malloc(sizeof(*stream));
    if (stream == NULL)
        return NULL;
    *stream = empty;
    if (lzma_stream_decoder(stream, XZ_MEMORY, 0) != LZMA_OK) {
        free(stream);
        return NULL;
    }
    return stream;
}

static int xz_step(void *state, struct unpack_buffers *buffers)
{
    lzma_stream *stream = state;
    size_t in = buffers->in_left;
    size_t out = buffers->out_left;
    stream->next_in = buffers->in;
    stream->avail_in = in;
    stream->next_out = buffers->out;
    stream->avail_out = out;
    lzma_ret ret = lzma_code(stream, LZMA_RUN);
    advance(buffers, in - stream->avail_in, out - stream->avail_out);
    if (ret == LZMA_OK || ret == LZMA_BUF_ERROR)
        return UNPACK_MORE;
    if (ret == LZMA_STREAM_END)
        return lzma_stream_decoder(stream, XZ_MEMORY, 0) == LZMA_OK ? UNPACK_END
                                                                    : RESUME_IMPORT_ERRNO(ENOMEM);
    if (ret == LZMA_MEMLIMIT_ERROR || ret == LZMA_OPTIONS_ERROR)
        return RESUME_EUNSUPPORTED;
    return ret == LZMA_MEM_ERROR ? RESUME_IMPORT_ERRNO(ENOMEM) : RESUME_ECRC;
}

static void xz_close(void *state)
{
    lzma_end(state);
    free(state);
}

const struct unpack_codec unpack_xz = {
    .name = "xz",
    .magic = (const uint8_t *)"\xfd"
                              "7zXZ\0",
    .magic_size = 6,
    .open = xz_open,
    .step = xz_step,
    .close = xz_close,
};

static void *zstd_open(void)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (stream == NULL)
        return NULL;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
        ZSTD_freeDStream(stream);
        return NULL;
    }
    return stream;
}

static int zstd_step(void *state, struct unpack_buffers *buffers)
{
    ZSTD_inBuffer in = {.src = buffers->in, .size = buffers->in_left};
    ZSTD_outBuffer out = {.dst = buffers->out, .size = buffers->out_left};
    size_t ret = ZSTD_decompressStream(state, &out, &in);
    advance(buffers, in.pos, out.pos);
    if (!ZSTD_isError(ret))
        return ret == 0 ? UNPACK_END : UNPACK_MORE;
    ZSTD_ErrorCode code = ZSTD_getErrorCode(ret);
    if (code == ZSTD_error_memory_allocation)
        return RESUME_IMPORT_ERRNO(ENOMEM);
    return code == ZSTD_error_frameParameter_windowTooLarge ? RESUME_EUNSUPPORTED : RESUME_ECRC;
}

static void zstd_close(void *state)
{
    ZSTD_freeDStream(state);
}

const struct unpack_codec unpack_zstd = {
    .name = "Zstandard",
    .magic = (const uint8_t *)"\x28\xb5\x2f\xfd",
    .magic_size = 4,
    .open = zstd_open,
    .step = zstd_step,
    .close = zstd_close,
};
