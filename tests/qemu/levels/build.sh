#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Usage: tests/qemu/levels/build.sh OUTPUT-DIRECTORY RESUME-EFI
# Assembles a UEFI application with resume.efi inside: OUTPUT-DIRECTORY/five-levels.efi.
set -euo pipefail
if [ $# != 2 ]; then
    sed -n '4,5s/^# //p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
here=$(dirname "$0")
nasm -f bin -Werror -DRESUME_EFI="'$2'" -o "$1/five-levels.efi" "$here/five-levels.nasm"
