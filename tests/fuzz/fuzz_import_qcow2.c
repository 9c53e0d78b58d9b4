/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define IMPORT_FUZZ_FORMAT "qcow2"
#include "import_fuzz.h"
