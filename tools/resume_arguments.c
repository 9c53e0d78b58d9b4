/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "resume_arguments.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "subcommands.h"

#define TIMEOUT_DEFAULT_S 120
#define TIMEOUT_VCPU_S 15
#define TIMEOUT_IMAGE (UINT64_C(1) << 20) /* bytes in a second, on a busy host without KVM */
#define TIMEOUT_MAX_S 86400

enum {
    KEY_EFI = 0x100,
    KEY_FIRMWARE,
    KEY_LOADER,
    KEY_JSON,
    KEY_TIMING,
    KEY_INJECT,
    KEY_PARKED,
    KEY_SAVE_PARKED,
    KEY_SPLICE_TO,
    KEY_VERIFY,
    KEY_DETACH,
    KEY_TIMEOUT,
    KEY_IDENTITY
};

static const struct argp_option options[] = {
    {"verify", KEY_VERIFY, NULL, 0,
     "Stop each vCPU of the resumed VM at the guest's next instruction and compare every field of "
     "every device and vCPU and every page of RAM with the snapshot. When something differs that "
     "nothing accounts for, the VM is ended",
     1},
    {"detach", KEY_DETACH, NULL, 0,
     "Exit when the guest runs, and leave QEMU running, with standard input from /dev/null and "
     "without output: its consoles and monitors may not be on stdio, as -nographic has them",
     1},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "Limit for each thing that is waited for: the target to be parked, the stream to be loaded, "
     "the landing (default 120, 15 more for each further vCPU, and one for each MiB of an image)",
     1},
    {"key", 'k', "FILE", 0,
     "The key that the image was sealed with: it is used here, and firmware gets it as a fw_cfg "
     "file, which whoever runs the host can read. Without it, the guest's firmware must have it "
     "from elsewhere (a launch secret), and --verify has nothing to compare with",
     1},
    {"expect-identity", KEY_IDENTITY, "HEX", 0,
     "Refuse any image but the one with this identity, here and in the guest's firmware", 1},
    {"firmware", KEY_FIRMWARE, "efi|pvh", 0,
     "What takes the vCPUs to where they wait: resume.efi under the UEFI firmware of QEMU-COMMAND "
     "(efi, the default), or pvh-firmware.elf, which needs none and is there sooner (pvh)",
     1},
    {"efi", KEY_EFI, "FILE", 0, "resume.efi to use (default: the one that came with resumectl)", 1},
    {"loader", KEY_LOADER, "FILE", 0, "The same, for either firmware", 1},
    {"verbose", 'v', NULL, 0, "Print each register that the trampoline read back, by name", 2},
    {"json", KEY_JSON, "FILE", 0,
     "Write what the trampoline read back and, with --verify, the result of the comparison as JSON "
     "(\"-\": stdout)",
     2},
    {"timing", KEY_TIMING, "FILE", 0, "Write what each step took as JSON (\"-\": stderr)", 2},
    {NULL, 0, NULL, 0, "For tests and measurements:", 3},
    {"inject", KEY_INJECT, "reg:NAME[@VCPU]^MASK|ram:ADDRESS^MASK", 0,
     "Spoil the resume on purpose, to see --verify find it: flip bits of a register in the state "
     "blob that the firmware gets (of the first vCPU, or the one with this number), or of one byte "
     "of RAM at a guest-physical address in the "
     "spliced stream. May be given several times",
     3},
    {"save-parked", KEY_SAVE_PARKED, "FILE", 0, "Keep the parked target's capture", 3},
    {"parked", KEY_PARKED, "FILE", 0, "Use a kept capture of this snapshot's parked target", 3},
    {"splice-to", KEY_SPLICE_TO, "FILE", 0,
     "Write the spliced stream (\"-\": stdout) instead of starting a VM", 3},
    {0},
};

static const char documentation[] =
    "Resume a snapshot through UEFI firmware. SNAPSHOT is a directory made by resumectl snapshot, "
    "whose "
    "memory the hypervisor puts back, or an image made by resumectl seal, from which the guest's "
    "firmware loads the memory itself.\v"
    "QEMU-COMMAND is the command line that started the source VM; behind `--`. Its boot options "
    "do not matter, its drives must be as they were when the snapshot was taken.\n\n"
    "The resumed VM runs in the foreground with the command line's own serial and monitors, and "
    "resumectl exits with its status; SIGINT and SIGTERM are passed on to it. Until then, an "
    "interrupted resume leaves nothing behind. The snapshot is only read.\n\n" TOOL_HELP_EXIT_CODES;

static int parse_timeout(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > TIMEOUT_MAX_S)
        argp_error(state, "--timeout: \"%s\" is not a number of seconds from 1 to %d", text,
                   TIMEOUT_MAX_S);
    return (int)value;
}

static void check_arguments(const struct resume_arguments *arguments, struct argp_state *state)
{
    if (arguments->path == NULL)
        argp_error(state, "no snapshot given");
    bool needs_command = arguments->splice_to == NULL || arguments->parked == NULL;
    if (needs_command && arguments->command_length == 0)
        argp_error(state, "no QEMU command line given behind --");
    if (arguments->splice_to != NULL && (arguments->verify || arguments->detach))
        argp_error(state, "--splice-to starts no VM that could be verified or detached from");
    if (arguments->splice_to != NULL && arguments->json != NULL)
        argp_error(state, "--splice-to starts no VM that --json could tell of");
    if (arguments->parked != NULL && arguments->save_parked != NULL)
        argp_error(state, "--parked and --save-parked exclude each other");
    if (arguments->efi && arguments->firmware != FIRMWARE_EFI)
        argp_error(state, "--efi names what --firmware=efi starts; use --loader");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct resume_arguments *arguments = state->input;
    switch (key) {
    case KEY_VERIFY:
        arguments->verify = true;
        return 0;
    case 'k':
        arguments->key = value;
        return 0;
    case KEY_IDENTITY:
        arguments->identity = value;
        return 0;
    case 'v':
        arguments->verbose = true;
        return 0;
    case KEY_DETACH:
        arguments->detach = true;
        return 0;
    case KEY_TIMEOUT:
        arguments->timeout_s = parse_timeout(value, state);
        return 0;
    case KEY_FIRMWARE:
        if (strcmp(value, "efi") != 0 && strcmp(value, "pvh") != 0)
            argp_error(state, "--firmware: \"%s\" is neither efi nor pvh", value);
        arguments->firmware = strcmp(value, "pvh") == 0 ? FIRMWARE_PVH : FIRMWARE_EFI;
        return 0;
    case KEY_EFI:
        arguments->efi = true;
        arguments->loader = value;
        return 0;
    case KEY_LOADER:
        arguments->loader = value;
        return 0;
    case KEY_JSON:
        arguments->json = value;
        return 0;
    case KEY_TIMING:
        arguments->timing = value;
        return 0;
    case KEY_PARKED:
        arguments->parked = value;
        return 0;
    case KEY_SAVE_PARKED:
        arguments->save_parked = value;
        return 0;
    case KEY_SPLICE_TO:
        arguments->splice_to = value;
        return 0;
    case KEY_INJECT:
        if (arguments->inject_count == RESUME_INJECT_MAX)
            argp_error(state, "--inject may be given %u times at most", RESUME_INJECT_MAX);
        arguments->inject[arguments->inject_count++] = value;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->path == NULL) {
            arguments->path = value;
            return 0;
        }
        /* From here on everything is QEMU's. */
        arguments->command = &state->argv[state->next - 1];
        arguments->command_length = state->argc - (state->next - 1);
        state->next = state->argc;
        return 0;
    case ARGP_KEY_END:
        check_arguments(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void resume_arguments_parse(struct resume_arguments *out, int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "SNAPSHOT -- QEMU-COMMAND...",
        .doc = documentation,
    };
    argp_parse(&argp, argc, argv, 0, NULL, out);
}

int resume_arguments_timeout(const struct resume_arguments *arguments, uint32_t vcpu_count,
                             uint64_t image_size)
{
    if (arguments->timeout_s != 0)
        return arguments->timeout_s * 1000;
    const uint64_t more = vcpu_count > 1 ? vcpu_count - 1 : 0;
    const uint64_t seconds = TIMEOUT_DEFAULT_S + more * TIMEOUT_VCPU_S + image_size / TIMEOUT_IMAGE;
    return (seconds < TIMEOUT_MAX_S ? (int)seconds : TIMEOUT_MAX_S) * 1000;
}
