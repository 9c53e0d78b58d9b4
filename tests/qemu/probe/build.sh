#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Usage: tests/qemu/probe/build.sh OUTPUT-DIRECTORY
# Assembles the probe guest, a UEFI application: OUTPUT-DIRECTORY/probe.efi.
set -euo pipefail
if [ $# != 1 ]; then
    sed -n '4,5s/^# //p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
here=$(dirname "$0")
nasm -f bin -Werror -I "$here/" -o "$1/probe.efi" "$here/probe.nasm"
