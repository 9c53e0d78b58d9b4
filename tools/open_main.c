/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* resumectl open: verifies a snapshot image. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "json_build.h"
#include "open.h"
#include "sealed.h"
#include "subcommands.h"

enum { OPTION_KEY = 'k', OPTION_IDENTITY = 'i', OPTION_JSON = 'j' };

struct arguments {
    const char *path;
    const char *key;
    bool json;
    bool has_identity;
    uint8_t identity[RESUME_SEALED_IDENTITY];
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case OPTION_KEY:
        arguments->key = arg;
        return 0;
    case OPTION_IDENTITY:
        if (!sealed_hex_read(arg, arguments->identity, sizeof(arguments->identity)))
            argp_error(state, "--expect-identity takes the 64 digits that seal has printed");
        arguments->has_identity = true;
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->path != NULL)
            argp_error(state, "one IMAGE at a time");
        arguments->path = arg;
        return 0;
    case ARGP_KEY_END:
        if (arguments->path == NULL)
            argp_error(state, "no IMAGE given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_text(const char *path, const struct open_result *result)
{
    const struct resume_sealed_header *header = &result->header;
    char text[2 * RESUME_SEALED_IDENTITY + 1];
    char more[32];
    printf("%s: verified\n", path);
    printf("  identity     %s\n", sealed_hex(header->identity, sizeof(header->identity), text));
    printf("  protection   %s\n",
           header->protection == RESUME_SEALED_CHECKSUM      ? "none: " SEALED_INTEGRITY_ONLY
           : header->protection == RESUME_SEALED_AES_256_GCM ? "sealed (AES-256-GCM)"
                                                             : "sealed (ChaCha20-Poly1305)");
    printf("  vCPUs        %" PRIu32 ", %" PRIu32 " of them active\n", header->vcpus,
           result->active);
    printf("  memory       %s in %" PRIu64 " ranges\n",
           progress_format_bytes(result->pages * RESUME_SEALED_PAGE, text, sizeof(text)),
           result->ranges);
    printf("  not zero     %s in %" PRIu64 " runs\n",
           progress_format_bytes(header->content * RESUME_SEALED_PAGE, text, sizeof(text)),
           result->runs);
    printf("  chunks       %" PRIu64 " of %s, %" PRIu64 " compressed (%s), %s in all\n",
           header->chunks,
           progress_format_bytes((uint64_t)header->chunk_pages * RESUME_SEALED_PAGE, text,
                                 sizeof(text)),
           result->compressed, sealed_compression_name(header->compression),
           progress_format_bytes(header->data_length, more, sizeof(more)));
    printf("  structures   %s\n",
           progress_format_bytes(header->structures_length, text, sizeof(text)));
    printf("  device part  %s, not encrypted\n",
           progress_format_bytes(header->devices_length, text, sizeof(text)));
    printf("  image        %s\n", progress_format_bytes(header->total, text, sizeof(text)));
}

static int print_json(const char *path, const struct open_result *result,
                      struct report_failure *failure)
{
    const struct resume_sealed_header *header = &result->header;
    const uint64_t chunk_size = (uint64_t)header->chunk_pages * RESUME_SEALED_PAGE;
    char identity[2 * RESUME_SEALED_IDENTITY + 1];
    json_t *root = json_build_object();
    sealed_hex(header->identity, sizeof(header->identity), identity);
    json_build_set(root, "format", json_build_number(1));
    json_build_set(root, "path", json_build_text(path));
    json_build_set(root, "identity", json_build_text(identity));
    json_build_set(root, "sealed", json_build_bool(header->protection != RESUME_SEALED_CHECKSUM));
    json_build_set(root, "protection", json_build_text(sealed_protection_name(header->protection)));
    json_build_set(root, "compression",
                   json_build_text(sealed_compression_name(header->compression)));
    json_build_set(root, "vcpus", json_build_number(header->vcpus));
    json_build_set(root, "active", json_build_number(result->active));
    json_build_set(root, "memory", json_build_number(result->pages * RESUME_SEALED_PAGE));
    json_build_set(root, "content", json_build_number(header->content * RESUME_SEALED_PAGE));
    json_build_set(root, "runs", json_build_number(result->runs));
    json_build_set(root, "chunks", json_build_number(header->chunks));
    json_build_set(root, "chunk_size", json_build_number(chunk_size));
    json_build_set(root, "compressed_chunks", json_build_number(result->compressed));
    json_build_set(root, "stored", json_build_number(header->data_length));
    json_build_set(root, "structures", json_build_number(header->structures_length));
    json_build_set(root, "devices", json_build_number(header->devices_length));
    json_build_set(root, "total", json_build_number(header->total));
    return json_build_print(root, stdout, "open image", failure);
}

int open_main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"key", OPTION_KEY, "FILE", 0, "The key that the image was sealed with", 0},
        {"expect-identity", OPTION_IDENTITY, "HEX", 0,
         "Refuse any image but the one with this identity", 0},
        {"json", OPTION_JSON, NULL, 0, "Print JSON instead of text", 0},
        {0},
    };
    static const struct argp argp = {options,
                                     parse,
                                     "IMAGE",
                                     "Verify all of a snapshot image, without a VM: header, "
                                     "structures, state and plan, the parts "
                                     "for the host, and every chunk.\v" TOOL_HELP_EXIT_CODES,
                                     NULL,
                                     NULL,
                                     NULL};
    static struct open_result result;
    struct report_failure failure = {0};
    struct progress progress;
    struct arguments arguments = {0};
    uint8_t key[RESUME_SEALED_KEY];
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (error != 0) {
        report_error(EXIT_CODE_ENVIRONMENT, "open", "arguments", "see resumectl open --help", "%s",
                     strerror(error));
        return EXIT_CODE_ENVIRONMENT;
    }
    progress_init(&progress, stderr);
    struct open_options chosen = {.path = arguments.path,
                                  .identity = arguments.has_identity ? arguments.identity : NULL,
                                  .progress = &progress};
    int ret = 0;
    if (arguments.key != NULL) {
        ret = sealed_key_read(arguments.key, key, &failure);
        chosen.key = key;
    }
    if (ret == 0)
        ret = open_run(&chosen, &result, &failure);
    resume_sealed_wipe(key, sizeof(key));
    if (ret == 0 && arguments.json)
        ret = print_json(arguments.path, &result, &failure);
    else if (ret == 0)
        print_text(arguments.path, &result);
    if (ret == 0 && result.header.protection == RESUME_SEALED_CHECKSUM)
        report_warning("open", SEALED_INTEGRITY_ONLY);
    if (ret == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        ret = report_fail_errno(&failure, errno, "write", "standard output");
    return ret == 0 ? EXIT_CODE_OK : report_print(&failure);
}
