/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* The load options: text in UCS-2, of words between spaces, not necessarily with a zero at the end. */
#include "console.h"
#include "image_source.h"
#include "runtime.h"

/* A piece of the load options. */
struct word {
    const CHAR16 *text;
    uint32_t length;
};

static CHAR16 lower(CHAR16 c)
{
    return c >= L'A' && c <= L'Z' ? (CHAR16)(c + 32) : c;
}

/* Takes @prefix, of small letters, off the word. */
static int skip(struct word *word, const char *prefix)
{
    uint32_t i = 0;

    for (; prefix[i] != 0; i++) {
        if (i == word->length || lower(word->text[i]) != (CHAR16)(unsigned char)prefix[i]) {
            return 0;
        }
    }
    word->text += i;
    word->length -= i;
    return 1;
}

static int digit(CHAR16 c)
{
    if (c >= L'0' && c <= L'9') {
        return c - L'0';
    }
    c = lower(c);
    return c >= L'a' && c <= L'f' ? c - L'a' + 10 : -1;
}

/* XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX; the first three groups are little-endian in memory. */
static int parse_guid(const struct word *word, EFI_GUID *out)
{
    static const uint8_t place[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t bytes[16];
    uint32_t at = 0;

    if (word->length != 36) {
        return 0;
    }
    for (uint32_t i = 0; i < 16; i++) {
        int high;
        int low;

        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (word->text[at++] != L'-') {
                return 0;
            }
        }
        high = digit(word->text[at]);
        low = digit(word->text[at + 1]);
        if (high < 0 || low < 0) {
            return 0;
        }
        bytes[place[i]] = (uint8_t)(high * 16 + low);
        at += 2;
    }
    memcpy(out, bytes, sizeof(*out));
    return 1;
}

static int parse(struct word word, struct image_choice *out)
{
    if (skip(&word, "fw_cfg")) {
        out->backend = IMAGE_FW_CFG;
        return word.length == 0;
    }
    if (skip(&word, "file:")) {
        out->backend = IMAGE_FILE;
        if (word.length == 0 || word.length >= IMAGE_PATH_MAX) {
            return 0;
        }
        for (uint32_t i = 0; i < word.length; i++) {
            out->path[i] = word.text[i] == L'/' ? L'\\' : word.text[i];
        }
        return 1;
    }
    if (skip(&word, "partition")) {
        out->backend = IMAGE_PARTITION;
        if (word.length == 0) {
            return 1;
        }
        out->has_guid = 1;
        return skip(&word, ":") && parse_guid(&word, &out->guid);
    }
    return 0;
}

EFI_STATUS image_choice_parse(EFI_HANDLE image, EFI_SYSTEM_TABLE *system, struct image_choice *out)
{
    EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    struct image_choice choice = {0};
    const EFI_LOADED_IMAGE *loaded;
    const CHAR16 *text;
    void *interface = NULL;
    uint32_t length;
    uint32_t at = 0;

    if (system->BootServices->HandleProtocol(image, &guid, &interface) != EFI_SUCCESS) {
        return EFI_INVALID_PARAMETER;
    }
    loaded = interface;
    text = loaded->LoadOptions;
    length = text == NULL ? 0 : loaded->LoadOptionsSize / 2;
    while (at < length && text[at] != 0) {
        struct word word = {text + at, 0};

        while (at < length && text[at] != 0 && text[at] != L' ') {
            at++;
            word.length++;
        }
        if (skip(&word, "image=") && !parse(word, &choice)) {
            console_line("refused: load options: image=: not understood: give fw_cfg, file:PATH, "
                         "partition or partition:GUID");
            return EFI_INVALID_PARAMETER;
        }
        while (at < length && text[at] == L' ') {
            at++;
        }
    }
    *out = choice;
    return EFI_SUCCESS;
}
