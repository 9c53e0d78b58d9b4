/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Which cipher is the faster one for the machine that will load the image. */
#include <string.h>

#include "manifest.h"
#include "seal.h"

/* CPUID leaf 1, ECX: PCLMULQDQ, SSSE3, SSE4.1, AES-NI. */
#define ACCELERATED ((1u << 1) | (1u << 9) | (1u << 19) | (1u << 25))

uint32_t seal_cipher(const struct manifest *machine)
{
    /* A translator needs more instructions for one of AES than for general registers. */
    if (strcmp(machine->accelerator, "tcg") == 0)
        return RESUME_SEALED_CHACHA20_POLY1305;
    for (uint32_t i = 0; i < machine->feature_count; i++) {
        const struct manifest_feature *word = &machine->feature[i];
        if (word->leaf == 1 && strcmp(word->reg, "ECX") == 0 &&
            (word->value & ACCELERATED) == ACCELERATED)
            return RESUME_SEALED_AES_256_GCM;
    }
    return RESUME_SEALED_CHACHA20_POLY1305;
}
