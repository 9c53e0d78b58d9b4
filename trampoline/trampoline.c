/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#include "trampoline.h"

const uint8_t resume_trampoline[] = {
#include "trampoline_bytes.inc"
};
const size_t resume_trampoline_length = sizeof(resume_trampoline);
