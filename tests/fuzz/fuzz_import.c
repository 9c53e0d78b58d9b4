/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Any format: the probes, and then what they have found. */
#include <stddef.h>

#define IMPORT_FUZZ_FORMAT NULL
#include "import_fuzz.h"
