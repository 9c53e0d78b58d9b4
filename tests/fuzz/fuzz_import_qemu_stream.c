/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define IMPORT_FUZZ_FORMAT "qemu-stream"
#include "import_fuzz.h"
