/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* state.json by itself. */
#define IMPORT_FUZZ_FORMAT "cloud-hypervisor"
#include "import_fuzz.h"
