#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Usage: tests/bench/run.sh [--rounds N]
#
# Measures what a resume costs, as ratios within one run. Builds what it needs. See bench.py.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
case ${1:-} in
--help | -h)
    sed -n '4,6s/^# \{0,1\}//p' "$0"
    exec python3 -B tests/bench/bench.py --help
    ;;
esac
# shellcheck source-path=SCRIPTDIR source=../../cmake/steps.sh
. cmake/steps.sh
steps_init build/bench/logs
build_all()
{
    cmake --preset release && cmake --build --preset release &&
        cmake --preset dev && cmake --build --preset dev --target launch-secret-resume_efi
}
step "Install what is missing" 10 cmake/setup-debian.sh --build --qemu --kernel
step "Build (release)" 20 build_all
step "Build the guests" 3 tests/guest/build.sh build/cache/kernel build/guest
step "Assemble the probe" 1 tests/qemu/probe/build.sh build/guest
exec python3 -B tests/bench/bench.py "$@"
