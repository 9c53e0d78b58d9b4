#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Usage: tests/soak.sh [N] [--smp CPUS] [--chain K] [--jobs J] [--seed S] ...
#
# N times (200): a loaded Linux of several CPUs is snapshotted at a random instant and resumed. Installs
# what is missing and builds what it needs, then runs tests/qemu/soak.py, whose --help has all options.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
# shellcheck source-path=SCRIPTDIR source=../cmake/steps.sh
. cmake/steps.sh

for argument in "$@"; do
    case $argument in
    --help | -h | --list) exec python3 -B tests/qemu/soak.py "$@" ;;
    esac
done

build()
{
    cmake --preset release && cmake --build --preset release --target resumectl resume_efi
}

guests()
{
    tests/guest/build.sh build/cache/kernel build/guest || return
    # Only when it is there: for --kernel.
    [ ! -e build/cache/next/complete ] ||
        tests/guest/build.sh build/cache/next/kernel build/guest-next
}

steps_init "$root/build/soak/steps"
step "Install what is missing" 60 cmake/setup-debian.sh --build --qemu --kernel || exit 1
step "Build resumectl and resume.efi" 30 build || exit 1
step "Build the guests" 5 guests || exit 1
exec python3 -B tests/qemu/soak.py "$@"
