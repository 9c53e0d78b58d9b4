#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Resumes Linux on a covering set of QEMU, OVMF, kernel, CPU model, number of vCPUs, machine and
RAM. See --help."""

import argparse
import concurrent.futures
import configparser
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading

from covering import all_pairs, covering_rows, each_value, uncovered
from guests import guest_of
from harness import Failure, Machine, Ovmf, Patience, Qemu, Settings, Skip
from snapshots import inspect, modes_of, paging_levels

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

FACTORS = [
    ("QEMU", ("7.2", "10.0")),
    ("OVMF", ("2022.11", "2025.02")),
    ("kernel", ("6.1", "6.12")),
    ("CPU model", ("qemu64", "Skylake-Client", "EPYC", "max")),
    ("vCPUs", ("1", "2", "4", "8")),
    ("machine", ("q35", "pc")),
    ("RAM", ("256M", "1G", "6G")),
]
# Beyond the factor itself: page tables are kept apart although QEMU's CPU is not open to Meltdown.
APPEND = {"Skylake-Client": "pti=on"}
RAM_NAMES = {"256M": "256 MiB", "1G": "1 GiB", "6G": "6 GiB"}


def name_of(row):
    qemu, ovmf, kernel, cpu, vcpus, machine, ram = row
    return f"qemu{qemu}-ovmf{ovmf}-linux{kernel}-{cpu}-{vcpus}cpu-{machine}-{ram}"


def slow_host(vcpus):
    """For the kernel's command line, when there are more vCPUs than processors: the workload's clock
    may be held up for so many seconds, and the kernel need not find its timer working at once, which
    it does not on a busy machine."""
    return f"patience={5 + 5 * vcpus} no_timer_check"


def case_of(row, method):
    """A row as a case of the harness."""
    qemu, ovmf, kernel, cpu, vcpus, machine, ram = row
    parser = configparser.ConfigParser()
    parser.read_dict({"row": {
        "guest": "linux", "method": method, "moment": "any", "verify": "yes", "count": "1",
        "firmware": "bios", "qemu": qemu, "ovmf": ovmf, "kernel": kernel, "cpu": cpu, "smp": vcpus,
        "machine": machine, "ram": ram,
        "append": f"{slow_host(int(vcpus))} {APPEND.get(cpu, '')}".strip(),
        "programs": "cpus threads" if vcpus != "1" else "cpus"}})
    return parser["row"]


class Versions:
    """What is there, by the short names that the factors have, and the full versions."""

    def __init__(self, next_release, guest, guest_next):
        self.full = {}
        self._enter(Settings.qemus, "qemu", self._installed_qemu(), Settings.qemus["default"])
        self._enter(Settings.ovmfs, "ovmf", self._package("ovmf"), Settings.ovmfs["default"])
        if os.path.exists(os.path.join(guest, "initramfs.gz")):
            self._enter(Settings.kernels, "kernel", self._kernel(
                os.path.join(ROOT, "build/cache/kernel/version")), guest)
        try:
            with open(os.path.join(next_release, "versions"), encoding="ascii") as file:
                found = dict(line.split() for line in file)
        except OSError:
            return
        self._enter(Settings.qemus, "qemu", found["qemu"],
                    Qemu(os.path.join(next_release, "bin/qemu-system-x86_64")))
        self._enter(Settings.ovmfs, "ovmf", found["ovmf"], Ovmf(*(
            os.path.join(next_release, file)
            for file in ("OVMF.fd", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"))))
        if os.path.exists(os.path.join(guest_next, "initramfs.gz")):
            self._enter(Settings.kernels, "kernel", self._kernel(
                os.path.join(next_release, "kernel/version")), guest_next)

    def _enter(self, table, kind, version, value):
        if version:
            short = ".".join(re.findall(r"\d+", version)[:2])
            table[short] = value
            self.full[kind, short] = version

    @staticmethod
    def _installed_qemu():
        try:
            text = subprocess.run([Settings.qemus["default"].program, "--version"],
                                  capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return ""
        packaged = re.search(r"\(Debian (?:\d+:)?(\S+)\)", text)
        plain = re.search(r"version (\S+)", text)
        return (packaged or plain).group(1) if plain else ""

    @staticmethod
    def _package(name):
        found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name],
                               capture_output=True, text=True, check=False)
        return re.sub(r"^\d+:", "", found.stdout)

    @staticmethod
    def _kernel(path):
        try:
            with open(path, encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""


class Outcome:
    """What came of one row."""

    def __init__(self, row):
        self.row = row
        self.verdict = "SKIP"
        self.text = "not run"
        self.modes = []
        self.levels = None
        self.ledger = None


def check_source(machine, guest):
    """What is wrong before any snapshot is not the resume's."""
    wrong = re.search(guest.wrong, machine.console.text())
    if wrong:
        raise Failure(f"before the snapshot: {wrong.group(0)}")


def run_row(outcome, seed, method):
    """Boots the row's guest, and stops, snapshots and resumes it. Fills in what was found."""
    # Only when it is needed: run.py's own cases are of no interest here.
    from run import METHODS, check_ledger, finish, random_instant
    for path in (Settings.resumectl, Settings.resume_efi):
        if method == "resume" and not os.path.exists(path):
            raise Skip(f"{path}: not built")
    name = name_of(outcome.row)
    machine = Machine(name, case_of(outcome.row, method))
    guest = guest_of(machine)
    rng = random.Random(f"{seed}-{name}")
    try:
        if method != "resume":
            return METHODS[method](machine, guest, rng)
        machine.start()
        guest.wait_up()
        said = random_instant(machine, guest, rng)
        check_source(machine, guest)
        snapshot = machine.snapshot()
        inspected = inspect(machine, snapshot)
        outcome.modes, outcome.levels = modes_of(inspected), paging_levels(inspected)
        before = machine.console.position()
        machine.resume(snapshot, verify=True)
        finish(machine, guest, before, 300)
        with open(machine.ledger, encoding="utf-8") as file:
            outcome.ledger = json.load(file)
        said += "; " + check_ledger(machine.ledger)
        code = guest.end()
        if code != 0:
            raise RuntimeError(f"resumectl resume: exit status {code}: {machine.last_output()}")
        shutil.rmtree(snapshot)  # a row that fails keeps it
        return f"{' '.join(outcome.modes)}, {said}"
    finally:
        machine.close()


def counts(numbers):
    """"266 + 4": so many identical, and so many that differ for a known reason."""
    if numbers["unexpected"]:
        return f"{numbers['unexpected']} differ"
    return f"{numbers['identical']} + {numbers['explained']}"


def cell_modes(modes):
    """"2 user, 1 kernel, 1 idle"."""
    return ", ".join(f"{modes.count(mode)} {mode}"
                     for mode in ("user", "kernel", "idle", "dormant") if mode in modes)


def document(outcomes, versions):
    """docs/MATRIX.md."""
    lines = [
        "# Matrix",
        "",
        "Written by `tests/run.sh --long`; do not edit. Each row is a stock Linux that was started,",
        "stopped at a random instant under load on all its CPUs, snapshotted, resumed through the",
        "firmware, compared with the snapshot from outside (`--verify`) before it ran on, and watched",
        "until every CPU had gone on. Accelerator: TCG.",
        "",
        f"Among the {len(outcomes)} rows, each value of a column meets each value of every other"
        " column at least",
        f"once: {len(all_pairs(FACTORS))} pairs. `tests/qemu/covering.py` chooses them,"
        " `tests/qemu/matrix.py` runs them.",
        "",
        "| Short | Full version |",
        "|---|---|",
    ]
    for (kind, short), full in sorted(versions.full.items()):
        title = {"qemu": "QEMU", "ovmf": "OVMF", "kernel": "Linux"}[kind]
        lines.append(f"| {title} {short} | {full} |")
    lines += [
        "",
        "*CPUs at the snapshot*: in user mode, in the kernel, halted, or dormant (never started).",
        "*Fields*: identical + different for a known reason (clocks, above all); none other differs.",
        "*Bytes*: of RAM, different when the guest goes on: what the landing leaves of itself in the",
        "kernel's padding. All other pages are identical. Skylake-Client guests run with `pti=on`.",
        "",
        "| QEMU | OVMF | Linux | CPU model | vCPUs | Machine | RAM | Paging | CPUs at the snapshot |"
        " CPU fields | Device fields | Pages | Bytes | Result |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        qemu, ovmf, kernel, cpu, vcpus, machine, ram = outcome.row
        cells = [qemu, ovmf, kernel, cpu, vcpus, machine, RAM_NAMES[ram],
                 f"{outcome.levels} levels" if outcome.levels else "",
                 cell_modes(outcome.modes)]
        if outcome.ledger:
            pages = outcome.ledger["pages"]
            cells += [counts(outcome.ledger["cpu_fields"]), counts(outcome.ledger["device_fields"]),
                      str(pages["total"]), str(pages["home_bytes"])]
        else:
            cells += ["", "", "", ""]
        cells.append({"PASS": "pass", "FAIL": "**fail**", "SKIP": "not run"}[outcome.verdict])
        lines.append("| " + " | ".join(cells) + " |")
    verdicts = [outcome.verdict for outcome in outcomes]
    lines += ["", f"{verdicts.count('PASS')} passed, {verdicts.count('FAIL')} failed, "
              f"{verdicts.count('SKIP')} not run."]
    return "\n".join(lines) + "\n"


class Places:
    """So many places, of which a row takes one or more at once."""

    def __init__(self, count):
        self._free = count
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, count):
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


def weight(row):
    """Rows that take long begin first."""
    return int(row[4]) * 2 + {"256M": 0, "1G": 1, "6G": 6}[row[6]]


def main():
    parser = argparse.ArgumentParser(
        description="Resumes Linux on a covering set of QEMU, OVMF, kernel, CPU model, number of "
                    "vCPUs, machine and RAM: each value meets each value of every other factor. "
                    "cmake/setup-next.sh brings what Debian 12 does not have.")
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW",
                        help="only these rows (numbers of --list)")
    parser.add_argument("--list", action="store_true", help="print the rows")
    parser.add_argument("--subset", action="store_true",
                        help="only a few rows, in which each value occurs")
    parser.add_argument("--write", metavar="FILE", help="write the table of results, in Markdown")
    parser.add_argument("--method", choices=("resume", "plain"), default="resume",
                        help="plain: QEMU's own migration, a control without libresume")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"),
                        help="where resumectl and resume.efi were built (default: build/dev)")
    parser.add_argument("--guest", default=os.path.join(ROOT, "build/guest"),
                        help="where the guest was built (default: build/guest)")
    parser.add_argument("--guest-next", default=os.path.join(ROOT, "build/guest-next"),
                        help="and with the next release's kernel (default: build/guest-next)")
    parser.add_argument("--next", default=os.path.join(ROOT, "build/cache/next"),
                        help="what cmake/setup-next.sh has unpacked (default: build/cache/next)")
    parser.add_argument("--logs", default=os.path.join(ROOT, "build/qemu-logs/matrix"),
                        help="where the logs go (default: build/qemu-logs/matrix)")
    parser.add_argument("--seed", type=int, default=None,
                        help="repeat the random instants of an earlier run")
    parser.add_argument("--jobs", type=int, default=1, help="rows at a time (default: 1)")
    parser.add_argument("--patience", type=float, default=3.0,
                        help="multiply all limits (default: 3, for 8 vCPUs on few processors)")
    arguments = parser.parse_args()

    rows = covering_rows(FACTORS)
    missing = uncovered(FACTORS, rows)
    if missing:
        print(f"matrix.py: rows: {len(missing)} pairs are not covered", file=sys.stderr)
        return 1
    if arguments.list:
        for number, row in enumerate(rows, 1):
            print(f"{number:2}  {name_of(row)}")
        return 0
    if any(not 1 <= number <= len(rows) for number in arguments.rows):
        print(f"matrix.py: rows: there are 1 to {len(rows)} (see --list)", file=sys.stderr)
        return 2
    chosen = [rows[number - 1] for number in arguments.rows] or rows
    if arguments.subset:
        chosen = each_value(FACTORS, rows)

    Patience.factor = arguments.patience
    Settings.resumectl = os.path.join(arguments.build, "tools/resumectl")
    Settings.resume_efi = os.path.join(arguments.build, "efi/resume.efi")
    Settings.guest = arguments.guest
    Settings.logs = arguments.logs
    os.makedirs(arguments.logs, exist_ok=True)
    versions = Versions(arguments.next, arguments.guest, arguments.guest_next)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"{len(chosen)} of {len(rows)} rows, seed {seed} (repeat with --seed {seed}), logs in "
          f"{arguments.logs}", flush=True)

    from run import Report, guarded
    report = Report(len(chosen))
    outcomes = {row: Outcome(row) for row in chosen}

    def one(row):
        outcome = outcomes[row]

        def function():
            try:
                outcome.text = run_row(outcome, seed, arguments.method)
                outcome.verdict = "PASS"
                return outcome.text
            except Skip:
                raise
            except Exception:
                outcome.verdict = "FAIL"
                raise
        guarded(report, name_of(row), function)

    # A VM of many CPUs takes the places of several: else they would all be starved.
    places = Places(arguments.jobs)

    def placed(row):
        taken = min(arguments.jobs, (int(row[4]) + 3) // 4)
        with places.taken(taken):
            one(row)

    with concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        for row in sorted(chosen, key=weight, reverse=True):
            pool.submit(placed, row)
    if arguments.write:
        with open(arguments.write, "w", encoding="utf-8") as file:
            file.write(document([outcomes[row] for row in chosen], versions))
    return report.summary()


if __name__ == "__main__":
    sys.exit(main())
