/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define IMPORT_FUZZ_FORMAT "libvirt-save"
#include "import_fuzz.h"
