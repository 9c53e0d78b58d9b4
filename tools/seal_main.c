/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl seal: writes a snapshot image, which firmware can load by itself. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json_build.h"
#include "seal.h"
#include "sealed.h"
#include "subcommands.h"

enum {
    OPTION_KEY = 'k',
    OPTION_OUTPUT = 'o',
    OPTION_COMPRESS = 'c',
    OPTION_CHUNK = 'b',
    OPTION_CIPHER = 'a',
    OPTION_JSON = 'j'
};

struct arguments {
    const char *key;
    bool json;
    struct seal_options options;
};

static uint32_t parse_compression(const char *arg, struct argp_state *state)
{
    for (uint32_t i = RESUME_SEALED_NONE; i <= RESUME_SEALED_ZSTD; i++)
        if (strcmp(arg, sealed_compression_name(i)) == 0)
            return i;
    argp_error(state, "--compress takes lz4, zstd or none");
    return RESUME_SEALED_NONE;
}

static uint32_t parse_cipher(const char *arg, struct argp_state *state)
{
    for (uint32_t i = RESUME_SEALED_CHACHA20_POLY1305; i <= RESUME_SEALED_AES_256_GCM; i++)
        if (strcmp(arg, sealed_protection_name(i)) == 0)
            return i;
    argp_error(state, "--cipher takes aes-256-gcm or chacha20-poly1305");
    return RESUME_SEALED_CHECKSUM;
}

/* KiB, a power of two between the limits of the format. */
static uint32_t parse_chunk(const char *arg, struct argp_state *state)
{
    char *end;
    unsigned long value = strtoul(arg, &end, 10);
    unsigned long pages = value / (RESUME_SEALED_PAGE / 1024);
    if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || (value & (value - 1)) != 0 ||
        pages < RESUME_SEALED_CHUNK_PAGES_MIN || pages > RESUME_SEALED_CHUNK_PAGES_MAX)
        argp_error(state, "--chunk takes a power of two, 16 to 4096 KiB");
    return (uint32_t)pages;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case OPTION_KEY:
        arguments->key = arg;
        return 0;
    case OPTION_OUTPUT:
        arguments->options.output = arg;
        return 0;
    case OPTION_COMPRESS:
        arguments->options.compression = parse_compression(arg, state);
        return 0;
    case OPTION_CIPHER:
        arguments->options.cipher = parse_cipher(arg, state);
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case OPTION_CHUNK:
        arguments->options.chunk_pages = parse_chunk(arg, state);
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->options.directory != NULL)
            argp_error(state, "one SNAPSHOT at a time");
        arguments->options.directory = arg;
        return 0;
    case ARGP_KEY_END:
        if (arguments->options.directory == NULL)
            argp_error(state, "no SNAPSHOT given");
        if (arguments->options.output == NULL)
            argp_error(state, "no --output given");
        if (arguments->options.cipher != 0 && arguments->key == NULL)
            argp_error(state, "--cipher is for images that are sealed: give --key");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int print_json(const struct seal_options *options, const struct seal_result *result,
                      struct report_failure *failure)
{
    const uint64_t chunk_size = (uint64_t)options->chunk_pages * RESUME_SEALED_PAGE;
    char identity[2 * RESUME_SEALED_IDENTITY + 1];
    json_t *root = json_build_object();
    sealed_hex(result->identity, sizeof(result->identity), identity);
    json_build_set(root, "format", json_build_number(1));
    json_build_set(root, "path", json_build_text(options->output));
    json_build_set(root, "identity", json_build_text(identity));
    json_build_set(root, "sealed", json_build_bool(result->protection != RESUME_SEALED_CHECKSUM));
    json_build_set(root, "protection", json_build_text(sealed_protection_name(result->protection)));
    json_build_set(root, "compression",
                   json_build_text(sealed_compression_name(options->compression)));
    json_build_set(root, "memory", json_build_number(result->pages * RESUME_SEALED_PAGE));
    json_build_set(root, "content", json_build_number(result->content * RESUME_SEALED_PAGE));
    json_build_set(root, "chunk_size", json_build_number(chunk_size));
    json_build_set(root, "devices", json_build_number(result->devices));
    json_build_set(root, "total", json_build_number(result->total));
    return json_build_print(root, stdout, "seal", failure);
}

static void summarise(const struct seal_options *options, const struct seal_result *result,
                      bool json, const struct progress *progress)
{
    char total[32];
    char content[32];
    char time_text[32];
    char identity[2 * RESUME_SEALED_IDENTITY + 1];
    const uint64_t bytes = result->content * RESUME_SEALED_PAGE;
    report_note("image complete: %s: %s for %s of memory that is not zero (%s)", options->output,
                progress_format_bytes(result->total, total, sizeof(total)),
                progress_format_bytes(bytes, content, sizeof(content)),
                progress_format_time(progress_total_ns(progress), time_text, sizeof(time_text)));
    if (!json)
        printf("identity %s\n", sealed_hex(result->identity, sizeof(result->identity), identity));
    if (options->key == NULL)
        report_warning("seal", SEALED_INTEGRITY_ONLY);
}

int seal_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"key", OPTION_KEY, "FILE", 0,
         "Seal with the 32 bytes in FILE. Without it the image is only checked for damage", 0},
        {"output", OPTION_OUTPUT, "IMAGE", 0, "Write IMAGE, which must not exist", 0},
        {"compress", OPTION_COMPRESS, "METHOD", 0, "lz4 (the default), zstd or none", 0},
        {"chunk", OPTION_CHUNK, "KIB", 0, "Memory in one chunk, 16 to 4096 KiB (default: 256)", 0},
        {"cipher", OPTION_CIPHER, "CIPHER", 0,
         "aes-256-gcm or chacha20-poly1305 (default: what firmware is faster with on this machine)",
         0},
        {"json", OPTION_JSON, NULL, 0, "Print JSON instead of text", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "SNAPSHOT",
        "Write a snapshot as one image that firmware can check, decrypt and load by itself. Prints "
        "the image's identity, which a verifier can be given.\v"
        "A key is 32 random bytes: (umask 077; head -c 32 /dev/urandom > "
        "vm.key)\n\n" TOOL_HELP_EXIT_CODES,
        NULL,
        NULL,
        NULL};
    struct report_failure failure = {0};
    struct progress progress;
    struct seal_result result;
    uint8_t key[RESUME_SEALED_KEY];
    struct arguments arguments = {
        .options = {.compression = RESUME_SEALED_LZ4, .chunk_pages = SEAL_CHUNK_PAGES}};
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, "seal", "arguments", "see resumectl seal --help", "%s",
                     strerror(error));
        return EXIT_CODE_ENVIRONMENT;
    }
    progress_init(&progress, stderr);
    arguments.options.progress = &progress;
    int ret = 0;
    if (arguments.key != NULL) {
        ret = sealed_key_read(arguments.key, key, &failure);
        arguments.options.key = key;
    }
    if (ret == 0)
        ret = seal_run(&arguments.options, &result, &failure);
    if (ret == 0)
        summarise(&arguments.options, &result, arguments.json, &progress);
    if (ret == 0 && arguments.json)
        ret = print_json(&arguments.options, &result, &failure);
    resume_sealed_wipe(key, sizeof(key));
    if (ret == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        ret = report_fail_errno(&failure, errno, "write", "standard output");
    return ret == 0 ? EXIT_CODE_OK : report_print(&failure);
}
