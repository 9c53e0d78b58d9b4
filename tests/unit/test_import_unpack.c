/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Unpacking into a temporary file. What is unpacked was packed by the same libraries' other half. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "import_exercise.h"
#include "unpack.h"

#define PLAIN_SIZE 400000u
#define PACKED_MAX 900000u
#define BOMB_SIZE (UINT64_C(64) << 20)
#define PREFIX 13u

static const enum unpack_method methods[] = {UNPACK_GZIP, UNPACK_BZIP2, UNPACK_XZ, UNPACK_ZSTD};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

struct fixture {
    struct import_memfile memory;
    struct resume_import_error error;
    uint8_t *plain;
    uint8_t *packed;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    fixture->plain = calloc(1, PLAIN_SIZE);
    fixture->packed = malloc(PACKED_MAX);
    import_memfile_open(&fixture->memory);
    /* Noise, with runs of zeroes that begin and end anywhere, and one of exactly a hole. */
    uint32_t seed = 1;
    for (size_t i = 0; i < PLAIN_SIZE; i++) {
        seed = seed * 1103515245 + 12345;
        fixture->plain[i] = i / 50001 % 2 != 0 ? 0 : (uint8_t)(seed >> 16);
    }
    memset(fixture->plain + 8192, 0, 4096);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    import_memfile_close(&fixture->memory);
    free(fixture->plain);
    free(fixture->packed);
    free(fixture);
    return 0;
}

static size_t pack_gzip(const uint8_t *data, size_t length, uint8_t *out)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    memcpy(&stream.next_in, &data, sizeof(data));
    stream.avail_in = (unsigned)length;
    stream.next_out = out;
    stream.avail_out = PACKED_MAX / 2;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t size = PACKED_MAX / 2 - stream.avail_out;
    deflateEnd(&stream);
    return size;
}

static size_t pack_bzip2(const uint8_t *data, size_t length, uint8_t *out)
{
    unsigned size = PACKED_MAX / 2;
    char *from;
    memcpy(&from, &data, sizeof(from));
    assert_int_equal(BZ2_bzBuffToBuffCompress((char *)out, &size, from, (unsigned)length, 9, 0, 0),
                     BZ_OK);
    return size;
}

static size_t pack(enum unpack_method method, const uint8_t *data, size_t length, uint8_t *out)
{
    size_t size = 0;
    switch (method) {
    case UNPACK_GZIP:
        return pack_gzip(data, length, out);
    case UNPACK_BZIP2:
        return pack_bzip2(data, length, out);
    case UNPACK_XZ:
        assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, data, length, out,
                                                 &size, PACKED_MAX / 2),
                         LZMA_OK);
        return size;
    case UNPACK_ZSTD:
        break;
    }
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size = ZSTD_compress2(context, out, PACKED_MAX / 2, data, length);
    ZSTD_freeCCtx(context);
    assert_false(ZSTD_isError(size));
    return size;
}

/* @at: where in the file the compressed part begins. */
static int unpack(struct fixture *fixture, enum unpack_method method, const uint8_t *data,
                  size_t length, size_t at, struct import_file *out)
{
    import_memfile_set(&fixture->memory, data, length);
    struct import_file file = {.fd = fixture->memory.fd, .size = length, .name = "packed"};
    memset(&fixture->error, 0, sizeof(fixture->error));
    int ret = unpack_file(&file, at, method, out, &fixture->error);
    if (ret != 0) {
        assert_int_equal(fixture->error.code, ret);
        assert_true(fixture->error.why[0] != 0);
    }
    return ret;
}

static void holds(const struct import_file *file, const uint8_t *data, size_t length)
{
    uint8_t *got = malloc(length + 1);
    assert_int_equal(file->size, length);
    assert_int_equal(import_read(file, 0, got, length, NULL), 0);
    assert_memory_equal(got, data, length);
    free(got);
}

static void gives_back_what_was_packed(void **state)
{
    struct fixture *fixture = *state;
    static const size_t lengths[] = {0, 1, 4096, 65536, 65537, PLAIN_SIZE};
    struct import_file out;
    for (size_t m = 0; m < METHODS; m++) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            size_t size = pack(methods[m], fixture->plain, lengths[i], fixture->packed + PREFIX);
            assert_int_equal(
                unpack(fixture, methods[m], fixture->packed, PREFIX + size, PREFIX, &out), 0);
            holds(&out, fixture->plain, lengths[i]);
            import_file_close(&out);
        }
    }
}

/* As the programs do; and libvirt's writer may leave zeroes at the end. */
static void takes_several_with_zeroes_after(void **state)
{
    struct fixture *fixture = *state;
    struct import_file out;
    for (size_t m = 0; m < METHODS; m++) {
        size_t size = pack(methods[m], fixture->plain, 200000, fixture->packed);
        size += pack(methods[m], fixture->plain + 200000, 200000, fixture->packed + size);
        memset(fixture->packed + size, 0, 70000);
        assert_int_equal(unpack(fixture, methods[m], fixture->packed, size + 70000, 0, &out), 0);
        holds(&out, fixture->plain, 400000);
        import_file_close(&out);
        fixture->packed[size + 69999] = 7;
        assert_int_equal(unpack(fixture, methods[m], fixture->packed, size + 70000, 0, &out),
                         RESUME_ECRC);
    }
}

static void leaves_holes(void **state)
{
    struct fixture *fixture = *state;
    struct import_file out;
    struct stat status;
    uint8_t *zeroes = calloc(1, 8 << 20);
    zeroes[5 << 20] = 1;
    size_t size = pack(UNPACK_ZSTD, zeroes, 8 << 20, fixture->packed);
    assert_int_equal(unpack(fixture, UNPACK_ZSTD, fixture->packed, size, 0, &out), 0);
    holds(&out, zeroes, 8 << 20);
    assert_int_equal(fstat(out.fd, &status), 0);
    assert_true(status.st_nlink == 0);
    assert_true(status.st_blocks * 512 < 1 << 20);
    import_file_close(&out);
    free(zeroes);
}

static void refuses_what_is_cut_or_damaged(void **state)
{
    struct fixture *fixture = *state;
    struct import_file out;
    for (size_t m = 0; m < METHODS; m++) {
        size_t size = pack(methods[m], fixture->plain, 3000, fixture->packed);
        for (size_t cut = 0; cut < size; cut += 1 + cut / 16) {
            int ret = unpack(fixture, methods[m], fixture->packed, cut, 0, &out);
            assert_int_equal(ret, cut < 6 && ret == RESUME_EMAGIC ? ret : RESUME_ETRUNC);
        }
        /* All have a checksum of what they hold; a few bits of their own mean nothing. */
        unsigned harmless = 0;
        for (size_t i = 0; i < size; i += 7) {
            fixture->packed[i] ^= 0x10;
            if (unpack(fixture, methods[m], fixture->packed, size, 0, &out) == 0) {
                holds(&out, fixture->plain, 3000);
                import_file_close(&out);
                harmless++;
            }
            fixture->packed[i] ^= 0x10;
        }
        assert_true(harmless < 4);
        assert_int_equal(
            unpack(fixture, methods[(m + 1) % METHODS], fixture->packed, size, 0, &out),
            RESUME_EMAGIC);
        assert_int_equal(unpack(fixture, methods[m], fixture->packed, size, size + 1, &out),
                         RESUME_ETRUNC);
    }
}

/* Some 10 KiB that would be 64 MiB. */
static void bounds_what_comes_out(void **state)
{
    struct fixture *fixture = *state;
    struct import_file out;
    uint8_t *zeroes = calloc(1, BOMB_SIZE);
    size_t size = pack(UNPACK_XZ, zeroes, BOMB_SIZE, fixture->packed);
    assert_true(size < 16384);
    assert_int_equal(unpack(fixture, UNPACK_XZ, fixture->packed, size, 0, &out), RESUME_ELENGTH);
    /* What gzip can do is always within the limit. */
    size = pack(UNPACK_GZIP, zeroes, BOMB_SIZE, fixture->packed);
    assert_int_equal(unpack(fixture, UNPACK_GZIP, fixture->packed, size, 0, &out), 0);
    assert_int_equal(out.size, BOMB_SIZE);
    import_file_close(&out);
    free(zeroes);
}

static void bounds_the_memory_it_takes(void **state)
{
    struct fixture *fixture = *state;
    struct import_file out;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 28);
    ZSTD_outBuffer to = {fixture->packed, PACKED_MAX, 0};
    ZSTD_inBuffer from = {fixture->plain, 1000, 0};
    ZSTD_compressStream2(context, &to, &from, ZSTD_e_flush);
    from.pos = 0;
    assert_int_equal(ZSTD_compressStream2(context, &to, &from, ZSTD_e_end), 0);
    ZSTD_freeCCtx(context);
    assert_int_equal(unpack(fixture, UNPACK_ZSTD, fixture->packed, to.pos, 0, &out),
                     RESUME_EUNSUPPORTED);
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 6);
    options.dict_size = UINT32_C(1) << 28;
    lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    size_t size = 0;
    assert_int_equal(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, fixture->plain,
                                               1000, fixture->packed, &size, PACKED_MAX),
                     LZMA_OK);
    assert_int_equal(unpack(fixture, UNPACK_XZ, fixture->packed, size, 0, &out),
                     RESUME_EUNSUPPORTED);
}

static void says_when_the_place_is_full(void **state)
{
    struct fixture *fixture = *state;
    struct import_file out;
    struct rlimit before;
    size_t size = pack(UNPACK_GZIP, fixture->plain, PLAIN_SIZE, fixture->packed);
    import_memfile_set(&fixture->memory, fixture->packed, size);
    struct import_file file = {.fd = fixture->memory.fd, .size = size, .name = "packed"};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 100000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int ret = unpack_file(&file, 0, UNPACK_GZIP, &out, &fixture->error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(ret, RESUME_IMPORT_ERRNO(EFBIG));
    assert_non_null(strstr(fixture->error.hint, "TMPDIR"));
    setenv("TMPDIR", "/does/not/exist", 1);
    assert_int_equal(unpack(fixture, UNPACK_GZIP, fixture->packed, size, 0, &out),
                     RESUME_IMPORT_ERRNO(ENOENT));
    assert_string_equal(fixture->error.where, "/does/not/exist");
    unsetenv("TMPDIR");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_back_what_was_packed),
        TEST(takes_several_with_zeroes_after),
        TEST(leaves_holes),
        TEST(refuses_what_is_cut_or_damaged),
        TEST(bounds_what_comes_out),
        TEST(bounds_the_memory_it_takes),
        TEST(says_when_the_place_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
