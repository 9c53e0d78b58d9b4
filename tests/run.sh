#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# All tests, from a fresh clone. See --help.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
# shellcheck source-path=SCRIPTDIR source=../cmake/steps.sh
. cmake/steps.sh

usage()
{
    cat <<END
Usage: tests/run.sh [--quick | --long] [--seed N] [--jobs N]

Installs what is missing (Debian packages, with sudo when not root), builds, and runs all tests:
  host tests    units, gates and fuzz replays, in three builds: dev, asan (AddressSanitizer and
                UBSan), fuzz (clang)
  QEMU tests    a probe guest that checks its own registers, real Linux, bad input end to end
  importers     a stopped VM as stream, dumps, listing, qcow2 snapshot and libvirt save: the same
                registers in all of them; libvirt saves two VMs itself
  matrix        Linux on some combinations of QEMU, OVMF, kernel, CPU, vCPUs, machine and RAM; what
                Debian 12 does not have is unpacked in build/cache/next, not installed
  demo          examples/demo.sh, from a snapshot and from a sealed image
Takes less than 45 minutes on two cores without KVM. A second run needs no network.

  --quick       the host tests only: no QEMU, no guest kernel
  --long        the whole matrix, in which each value meets each value of every other column, and
                write its results into docs/MATRIX.md; some 10 minutes more
  --seed N      repeat the random instants of an earlier run of the QEMU tests
  --jobs N      QEMU tests at a time (default: one per processor, at most 4)

Logs are kept in build/test-logs and build/qemu-logs. The last line counts everything:
"N passed, N failed, N skipped". Exit status: 0 nothing failed, 1 something failed, 2 wrong usage.
END
}

quick=no
long=no
seed=()
processors=$(nproc)
jobs=$((processors < 4 ? processors : 4))
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    --long) long=yes ;;
    --seed) seed=(--seed "${2:?--seed: a number is missing}"); shift ;;
    --jobs) jobs=${2:?--jobs: a number is missing}; shift ;;
    --help | -h) usage; exit 0 ;;
    *)
        echo "run.sh: arguments: $1: unknown option (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done

if [ $quick = yes ] && [ $long = yes ]; then
    echo "run.sh: arguments: --quick and --long: choose one (see --help)" >&2
    exit 2
fi

passed=0 failed=0 skipped=0
table=()
logs=$root/build/test-logs
rm -rf "$logs"/*.log
steps_init "$logs"
began=$(steps_now)

# record WHAT PASSED FAILED SKIPPED - add to the totals and to the table of the summary.
record()
{
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
    table+=("$(printf '%-34s %4d passed %4d failed %4d skipped' "$1" "$2" "$3" "$4")")
}

# Passed, failed and skipped of a JUnit file. A test whose program is missing has failed; skipped
# are those that said so themselves.
junit()
{
    python3 - "$1" <<'END'
import sys, xml.etree.ElementTree as tree
counts = {"passed": 0, "failed": 0, "skipped": 0}
for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
    skipped = case.find("skipped")
    if case.get("status") == "run":
        counts["passed"] += 1
    elif case.get("status") == "disabled" or (
            skipped is not None and skipped.get("message", "").startswith("SKIP_")):
        counts["skipped"] += 1
    else:
        counts["failed"] += 1
print(*counts.values())
END
}

host_tests()
{
    local preset=$1 junit=$logs/$1.xml numbers
    rm -f "$junit"
    if ! step "Configure ($preset)" 5 cmake --preset "$preset" ||
        ! step "Build ($preset)" 60 cmake --build --preset "$preset"; then
        record "Host tests ($preset): not built" 0 1 0
        return
    fi
    # Without strides once, where nothing slows the tests down.
    local torture=strides
    [ "$long $preset" != "yes dev" ] || torture=all
    step "Run the host tests ($preset)" 60 \
        env RESUME_TORTURE=$torture ctest --preset "$preset" -j "$processors" --output-junit "$junit" --no-tests=error
    if [ -s "$junit" ] && numbers=$(junit "$junit"); then
        # shellcheck disable=SC2086
        record "Host tests ($preset)" $numbers
    else
        record "Host tests ($preset): no result" 0 1 0
    fi
}

# summary WHAT LOG - record what the SUMMARY line of a run of QEMU tests says.
summary()
{
    local numbers
    numbers=$(sed -n 's/^SUMMARY: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$2" | tail -n 1)
    if [ -n "$numbers" ]; then
        # shellcheck disable=SC2086
        record "$1" $numbers
    else
        record "$1: no summary" 0 1 0
    fi
}

matrix()
{
    local options=(--subset)
    [ $long = no ] || options=(--write docs/MATRIX.md)
    python3 -B tests/qemu/matrix.py --jobs "$jobs" "${options[@]}" "${seed[@]}" 2>&1 |
        tee "$logs/matrix.log"
    summary "Matrix" "$logs/matrix.log"
}

title "Get ready"
setup=(--build --tests)
[ $quick = yes ] || setup=()
if ! step "Install what is missing" 60 cmake/setup-debian.sh "${setup[@]}"; then
    record "Setup" 0 1 0
fi

title "Host tests"
for preset in dev asan fuzz; do
    host_tests "$preset"
done
for checks in guests covering; do
    if step "Test the QEMU tests' own checks ($checks)" 1 \
        python3 -B "tests/qemu/test_$checks.py"; then
        record "Checks of the QEMU tests ($checks)" 1 0 0
    else
        record "Checks of the QEMU tests ($checks)" 0 1 0
    fi
done

if [ $quick = no ]; then
    title "QEMU tests"
    # Some of the cases use it, and most of the matrix.
    if ! step "Unpack QEMU, OVMF and kernel of the next release" 30 cmake/setup-next.sh ||
        ! step "Build the guests with that kernel" 5 \
            tests/guest/build.sh build/cache/next/kernel build/guest-next; then
        record "Next release" 0 1 0
    fi
    if step "Build the guests" 5 tests/guest/build.sh build/cache/kernel build/guest; then
        log=$logs/qemu.log
        python3 -B tests/qemu/run.py --jobs "$jobs" "${seed[@]}" 2>&1 | tee "$log"
        summary "QEMU tests" "$log"
    else
        record "QEMU tests: no guests" 0 1 0
    fi

    title "Importers"
    python3 -B tests/qemu/import_agree.py 2>&1 | tee "$logs/importers.log"
    summary "Importers, of the same stopped VMs" "$logs/importers.log"

    title "Matrix"
    matrix

    title "Demo"
    for options in "" " --sealed"; do
        # shellcheck disable=SC2086
        if step "Run examples/demo.sh$options" 120 examples/demo.sh $options; then
            record "Demo$options" 1 0 0
        else
            record "Demo$options" 0 1 0
        fi
    done
fi

title "Summary"
printf '  %s\n' "${table[@]}"
echo
echo "  Took $((($(steps_now) - began) / 1000)) s. Logs: build/test-logs, build/qemu-logs."
if [ "$failed" != 0 ]; then
    grep -ahE '^\[[0-9]+/[0-9]+\] FAIL' "$logs"/{qemu,matrix}.log 2>/dev/null |
        cut -c 1-300 | sed 's/^/  /'
fi
if [ "$failed" = 0 ]; then
    echo "  ${steps_green}Nothing failed.${steps_plain}"
else
    echo "  ${steps_red}Something failed: see above for what, and the logs for why.${steps_plain}"
fi
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
