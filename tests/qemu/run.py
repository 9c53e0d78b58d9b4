#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs the QEMU tests: the cases of cases.conf, those of bad input, and those of where images are read
from. See --help."""

import argparse
import concurrent.futures
import configparser
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import traceback

import bad_input
import hostile
import image_park
import image_sources
import sealed
from drops import SNAPSHOTS, drops_of, resume_without
from guests import guest_of
from harness import Failure, Gdb, Machine, Ovmf, Patience, Qemu, Settings, Skip, limit
from moments import Moment, cpus_of, modes, reach

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Of RAM, left different by the landing of one vCPU: the longest one there is (docs/ARCHITECTURE.md,
# "What remains, and why"). That they are the landing's and nothing else is what resumectl compares.
LANDING_BYTES_MAX = 37
DF_FLAG = 0x400  # in the probe's RFLAGS only while all its patterns are loaded


def random_instant(machine, guest, rng, turn=1):
    """Let the guest run until an instant that nobody chose; then, if the case wants one, until the
    CPUs are where they should be. Returns what to say about it."""
    delay = rng.uniform(0, 2)
    time.sleep(delay)  # not in place of an event: the instant itself is what is drawn
    wanted = moments_of(machine.case)
    text = wanted[(turn - 1) % len(wanted)]
    if text == "any":
        return f"after {delay:.3f} s"
    looks = reach(machine, guest, rng, Moment(text, machine.case.get("programs", "")))
    return (f"after {delay:.3f} s, {text}, at the {looks}. look"
            + (f" ({modes(machine.registers)})" if len(cpus_of(machine.registers)) > 1 else ""))


def moments_of(case):
    """The moments of a case, one for each resume; when there are more resumes they come again."""
    return [text.strip() for text in case.get("moment").split(";")]


def finish(machine, guest, resumed_at, seconds):
    """Wait for a resumed guest to have gone on, and check all that it said."""
    guest.wait_on(resumed_at, seconds)
    problems = guest.check(resumed_at)
    if problems:
        raise Failure("; ".join(problems[:5]))


def check_inspect(machine, snapshot):
    """What resumectl inspect reads out of a snapshot, against what QEMU's monitor printed at the
    same stop (when the case made one)."""
    code, text, errors = machine.tool("inspect", snapshot)
    if code != 0 or "RIP" not in text:
        raise Failure(f"resumectl inspect: exit status {code}: {errors.strip()[-300:]}")
    code, text, errors = machine.tool("inspect", "--json", "--registers", snapshot)
    if code != 0:
        raise Failure(f"resumectl inspect --json: exit status {code}: {errors.strip()[-300:]}")
    vcpus = json.loads(text)["vcpus"]
    if not machine.registers:
        return
    cpus = cpus_of(machine.registers)
    if len(cpus) != len(vcpus):
        raise Failure(f"inspect shows {len(vcpus)} vCPUs, the monitor {len(cpus)}")
    for number, (vcpu, cpu) in enumerate(zip(vcpus, cpus)):
        check_inspected(number, vcpu, cpu.text)


def check_inspected(cpu_number, vcpu, text):
    """One vCPU of inspect's JSON against the monitor's text."""
    number = lambda value: int(value["value"] if isinstance(value, dict) else value, 0)
    found = {name: number(value) for name, value in vcpu["registers"].items()}
    found.update({name: number(value) for name, value in vcpu["control"].items()
                  if name in ("cr0", "cr2", "cr3", "cr4", "efer")})
    found.update({name: number(value) for name, value in vcpu["debug"].items()
                  if name in ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7")})
    found.update({name + ".base": number(value["base"])
                  for name, value in vcpu["segments"].items()})
    # A 32-bit code segment is printed with 32-bit names and widths: compare what is printed.
    printed = {}
    for name, value in re.findall(r"\b(R[0-9A-Z]+|E[A-DIS][XIP]|EBP|EFL|CR\d|DR\d|EFER)\s*="
                                  r"([0-9a-f]{8,16})\b", text):
        name = name.lower()
        name = "r" + name[1:] if re.fullmatch("e[a-dis][xip]|ebp|efl", name) else name
        printed["rflags" if name == "rfl" else name] = value
    for name, base in re.findall(r"^([C-GS]S) *=[0-9a-f]{4} ([0-9a-f]{8,16}) ", text, re.M):
        printed[name.lower() + ".base"] = base
    wrong = [f"{name}: inspect {found.get(name, -1):#x}, monitor {value}"
             for name, value in printed.items()
             if found.get(name, -1) % 16 ** len(value) != int(value, 16)]
    if wrong or len(printed) < 24:
        raise Failure(f"inspect and monitor disagree on CPU {cpu_number} ({len(printed)} compared): "
                      + "; ".join(wrong[:4]))


def check_ledger(path):
    """The verification's own account. Returns what to say about it."""
    with open(path, encoding="utf-8") as file:
        ledger = json.load(file)
    cpu, devices, pages = (ledger[key] for key in ("cpu_fields", "device_fields", "pages"))
    if cpu["unexpected"] or devices["unexpected"] or pages["unexpected"]:
        raise Failure(f"the verification found differences: {path}")
    if cpu["identical"] < 100 or devices["identical"] < 100 or pages["identical"] < 1000:
        raise Failure(f"the verification has compared next to nothing: {path}")
    landings = [landing["bytes"] for landing in ledger["landings"]]
    if not landings or max(landings) > LANDING_BYTES_MAX:
        raise Failure(f"the landings leave {landings} bytes, some more than {LANDING_BYTES_MAX}")
    if pages["home_bytes"] != sum(landings):
        raise Failure(f"{pages['home_bytes']} bytes of the home differ; the landings leave {landings}")
    return (f"{cpu['identical']} CPU fields identical, {cpu['explained']} explained; "
            f"{devices['identical']} device fields identical, {devices['explained']} explained; "
            f"{pages['home_bytes']} bytes of RAM differ")


def check_parking(log, wanted):
    """What the parked target has said on its debug console, in this order. Returns what to say of
    it."""
    with log:
        text = log.read()
    position = 0
    for line in wanted.split("; "):
        found = text.find(line, position)
        if found < 0:
            raise Failure(f"while parking: {line!r} was not said in its turn, but {text[:1000]!r}")
        position = found + len(line)
    return f"while parking: {wanted}"


def turns(case):
    """How often a case's guest is stopped and goes on: once for each moment at least, and once only
    when it is about something that is under way but once."""
    return 1 if case.get("events") else max(case.getint("count"), len(moments_of(case)),
                                            len(sealed.images_of(case)))


def method_resume(machine, guest, rng):
    case = machine.case
    sealed.prepare(machine)
    machine.start()
    guest.wait_up()
    said = []
    for turn in range(1, turns(case) + 1):
        said.append(random_instant(machine, guest, rng, turn))
        snapshot = machine.snapshot(f"snapshot-{turn}")
        check_inspect(machine, snapshot)
        options = []
        if case.get("seal"):
            snapshot, options, words = sealed.seal(machine, snapshot, turn)
            said.append(words)
        before = machine.console.position()
        parking = machine.resume(snapshot, options, verify=case.getboolean("verify"))
        finish(machine, guest, before, 240)
        if case.get("seal"):
            sealed.check_said(machine, turn)
        if parking:
            said.append(check_parking(parking, case["parking"]))
        if case.getboolean("verify"):
            said.append(check_ledger(machine.ledger))
        if turn < turns(case):
            remove(snapshot)
    guest.afterwards()
    code = guest.end()
    if code != 0:
        raise Failure(f"resumectl resume: exit status {code}: {machine.last_output()}")
    remove(snapshot)
    return ", ".join(said)


def remove(snapshot):
    """A snapshot, or an image of one."""
    if os.path.isdir(snapshot):
        shutil.rmtree(snapshot)
    else:
        os.unlink(snapshot)


def migrate(machine, stream):
    """Have QEMU write the VM to a file, by itself, and end it."""
    qmp = machine.qmp()
    qmp("migrate", uri="exec:cat > " + shlex.quote(stream))
    until = time.monotonic() + limit(60)
    while qmp("query-migrate").get("status") != "completed":
        if time.monotonic() > until:
            raise Failure("plain migration: not done")
        time.sleep(0.05)  # between two looks
    qmp("quit")
    qmp.close()
    machine.ended(20, "the source")
    machine.console.wait_closed(10, "the source's console")


def method_plain(machine, guest, rng):
    """QEMU's own migration to a file and back."""
    machine.start()
    guest.wait_up()
    said = []
    stream = machine.path("stream")
    for turn in range(1, turns(machine.case) + 1):
        said.append(random_instant(machine, guest, rng, turn))
        migrate(machine, stream)
        before = machine.console.position()
        machine.spawn(machine.command() + ["-incoming", "exec:cat " + shlex.quote(stream)],
                      "incoming")
        qmp = machine.qmp()
        if moments_of(machine.case) != ["any"]:
            # It was stopped when it was written, and comes back so.
            until = time.monotonic() + limit(60)
            while qmp("query-status")["status"] == "inmigrate":
                if time.monotonic() > until:
                    raise Failure("plain migration: still coming in")
                time.sleep(0.05)  # between two looks
            qmp("cont")
        qmp.close()
        finish(machine, guest, before, 120)
    guest.afterwards()
    guest.end()
    os.unlink(stream)
    return ", ".join(said)


def method_plant(machine, guest, rng):
    """A wrong value is planted while the guest runs. The checks have to find it."""
    machine.start(["-gdb", f"unix:{machine.gdb_path},server=on,wait=off"])
    guest.wait_up()
    plant = machine.case.get("plant")
    before = machine.console.position()
    if plant == "kernel":
        machine.console.send("plant\n")
        machine.console.wait_for("kernel: 2 BUG: planted", 30, "planted message", start=before)
        problems = guest.check(before)
        wanted = "planted"
    else:
        register, value = plant.split("=")
        for _ in range(50):
            gdb = Gdb(machine.gdb_path)
            flags = int.from_bytes(bytes.fromhex(gdb.read("eflags")), "little")
            if flags & DF_FLAG:
                gdb.write(register, value)
                gdb.close()
                break
            gdb.close()
        else:
            raise Failure("plant: the probe was never found with its patterns loaded")
        machine.console.wait_for(r"probe: stopped", 30, "end of the probe", start=before)
        problems = guest.check(before)
        wanted = {"xmm9": "fxsave", "k_gs_base": "kernel-gs-base",
                  "rbx": "register that was zero"}.get(register, register)
    if not any(wanted in problem for problem in problems):
        raise Failure(f"the planted {plant} was not found; found instead: {problems}")
    return "found: " + next(problem for problem in problems if wanted in problem)


def method_drop(machine, guest, rng):
    """Resume one snapshot again and again, each time without one piece of its state. What is not
    missed is tried again with another snapshot."""
    said = []
    drops = drops_of(machine.case)
    for turn in range(1, SNAPSHOTS + 1):
        machine.start()
        guest.wait_up()
        said.append(random_instant(machine, guest, rng, turn))
        snapshot = machine.snapshot(f"snapshot-{turn}")
        failures = []
        for wish, pattern in drops[:]:
            try:
                said.append(resume_without(machine, guest, snapshot, wish, pattern, finish))
                drops.remove([wish, pattern])
            except Failure as failure:
                failures.append(str(failure))
        shutil.rmtree(snapshot)
        if not drops:
            return ", ".join(said)
        machine.console.forget(0)
        guest = guest_of(machine)
    raise Failure("; ".join(failures))


METHODS = {"resume": method_resume, "plain": method_plain, "plant": method_plant,
           "drop": method_drop}


def run_case(name, case, seed):
    """One case. Returns (verdict, text)."""
    method = case.get("method")
    if method in ("resume", "drop"):
        for path in (Settings.resumectl, Settings.resume_efi):
            if not path or not os.path.exists(path):
                raise Skip(f"{path}: not built")
    machine = Machine(name, case)
    try:
        return METHODS[method](machine, guest_of(machine), random.Random(f"{seed}-{name}"))
    finally:
        machine.close()


def firmware_boots():
    """Is there a QEMU that starts OVMF? Returns the reason why not, or None."""
    qemu, ovmf = Settings.qemus["default"], Settings.ovmfs["default"]
    if not os.path.exists(ovmf.bios):
        return f"{ovmf.bios}: no firmware there (is the package ovmf installed?)"
    if not shutil.which(qemu.program):
        return f"{qemu.program}: not found (is the package qemu-system-x86 installed?)"
    parser = configparser.ConfigParser()
    parser.read_dict({"boot": {"ram": "256M"}})
    machine = Machine("firmware", parser["boot"])
    try:
        machine.start()
        machine.console.wait_for(r"\x1b\[", 90, "first sign of life of the firmware",
                                 alive=machine.alive)
    except Failure as failure:
        return str(failure)
    finally:
        machine.close()
    return None


class Report:
    """PASS, FAIL and SKIP lines as they come, and the SUMMARY."""

    def __init__(self, total):
        self.total = total
        self.counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
        self._lock = threading.Lock()
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._colours = {"PASS": "\033[32m", "FAIL": "\033[31m", "SKIP": "\033[33m"} \
            if colour else {}

    def add(self, verdict, name, seconds, text):
        with self._lock:
            self.counts[verdict] += 1
            done = sum(self.counts.values())
            colour = self._colours.get(verdict, "")
            plain = "\033[0m" if colour else ""
            print(f"[{done}/{self.total}] {colour}{verdict}{plain} {name} ({seconds:.1f} s)"
                  + (f": {text}" if text else ""), flush=True)

    def summary(self):
        counts = self.counts
        print(f"SUMMARY: {counts['PASS']} passed, {counts['FAIL']} failed, "
              f"{counts['SKIP']} skipped")
        return 1 if counts["FAIL"] else 0


def guarded(report, name, function):
    began = time.monotonic()
    try:
        text = function()
        verdict = "PASS"
    except Skip as skip:
        verdict, text = "SKIP", str(skip)
    except Failure as failure:
        verdict, text = "FAIL", str(failure)
    except Exception:  # a mistake in the harness is a failure too, not the end of the run
        verdict, text = "FAIL", traceback.format_exc()
    report.add(verdict, name, time.monotonic() - began, text)


def enter(table, words, kind):
    """NAME=VALUE,... of the command line into one of the tables of Settings."""
    for word in words:
        name, _, values = word.partition("=")
        try:
            table[name] = kind(*values.split(","))
        except TypeError:
            raise SystemExit(f"run.py: arguments: {word}: not of that form (see --help)") from None


def next_release(directory, guest):
    """What cmake/setup-next.sh has unpacked, and the guest with that kernel, by their versions."""
    versions = os.path.join(directory, "versions")
    if not os.path.exists(versions):
        return
    with open(versions, encoding="ascii") as file:
        found = dict(line.split() for line in file)
    short = lambda name: ".".join(re.findall(r"\d+", found[name])[:2])
    Settings.qemus.setdefault(short("qemu"), Qemu(os.path.join(directory, "bin/qemu-system-x86_64")))
    Settings.ovmfs.setdefault(short("ovmf"), Ovmf(*(os.path.join(directory, name) for name in (
        "OVMF.fd", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"))))
    if os.path.exists(os.path.join(guest, "initramfs.gz")):
        Settings.kernels.setdefault(short("kernel"), guest)


def main():
    parser = argparse.ArgumentParser(
        description="Starts VMs under QEMU, snapshots them at random instants, resumes them with "
                    "resumectl, and checks that they go on as if nothing had happened.")
    parser.add_argument("cases", nargs="*", metavar="CASE",
                        help="only these cases (names, or beginnings of names)")
    parser.add_argument("--list", action="store_true", help="print the names of all cases")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"),
                        help="where resumectl and resume.efi were built (default: build/dev)")
    parser.add_argument("--guest", default=os.path.join(ROOT, "build/guest"),
                        help="where the guests were built (default: build/guest)")
    parser.add_argument("--logs", default=os.path.join(ROOT, "build/qemu-logs"),
                        help="where the logs go (default: build/qemu-logs)")
    parser.add_argument("--qemu", action="append", default=[], metavar="NAME=PROGRAM[,DATA]",
                        help="another QEMU and the directory of its ROMs, for cases that name it; "
                             "the name default stands for all others")
    parser.add_argument("--ovmf", action="append", default=[], metavar="NAME=BIOS,CODE,VARS",
                        help="other firmware, likewise")
    parser.add_argument("--kernel", action="append", default=[], metavar="NAME=DIRECTORY",
                        help="another kernel's vmlinuz and initramfs.gz, likewise")
    parser.add_argument("--method", choices=("resume", "plain"), default=None,
                        help="resume by this method in all cases that resume at all")
    parser.add_argument("--seed", type=int, default=None,
                        help="repeat the random instants of an earlier run")
    parser.add_argument("--count", type=int, default=None,
                        help="resumes in a row in each case, in place of the case's own count")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time (default: 1)")
    parser.add_argument("--patience", type=float, default=1.0,
                        help="multiply all limits, on slow machines")
    arguments = parser.parse_args()

    conf = configparser.ConfigParser()
    with open(os.path.join(HERE, "cases.conf"), encoding="utf-8") as file:
        conf.read_file(file)
    names = (conf.sections() + bad_input.names() + image_sources.names()
             + image_park.names() + hostile.names())
    if arguments.list:
        print("\n".join(names))
        return 0
    if arguments.cases:
        unknown = [wanted for wanted in arguments.cases
                   if not any(name.startswith(wanted) for name in names)]
        if unknown:
            print(f"run.py: cases: {unknown[0]}: no such case (see --list)", file=sys.stderr)
            return 2
        names = [name for name in names if any(name.startswith(wanted)
                                               for wanted in arguments.cases)]
    for name in conf.sections():
        if arguments.count is not None:
            conf[name]["count"] = str(arguments.count)
        if arguments.method and conf[name]["method"] == "resume":
            conf[name]["method"] = arguments.method

    Patience.factor = arguments.patience
    Settings.resumectl = os.path.join(arguments.build, "tools/resumectl")
    Settings.resume_efi = os.path.join(arguments.build, "efi/resume.efi")
    Settings.secret_applications = os.path.join(arguments.build, "tests/qemu/secret")
    Settings.unit_tests = os.path.join(arguments.build, "tests/unit")
    Settings.guest = arguments.guest
    enter(Settings.qemus, arguments.qemu, Qemu)
    enter(Settings.ovmfs, arguments.ovmf, Ovmf)
    enter(Settings.kernels, arguments.kernel, str)
    next_release(os.path.join(ROOT, "build/cache/next"), arguments.guest + "-next")
    Settings.qemu = Settings.qemus["default"].program
    Settings.bios = Settings.ovmfs["default"].bios
    Settings.logs = arguments.logs
    os.makedirs(arguments.logs, exist_ok=True)
    os.makedirs(arguments.guest, exist_ok=True)
    subprocess.run([os.path.join(HERE, "probe/build.sh"), arguments.guest], check=True)
    if os.path.exists(Settings.resume_efi):
        subprocess.run([os.path.join(HERE, "levels/build.sh"), arguments.guest,
                        Settings.resume_efi], check=True)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"{len(names)} cases, seed {seed} (repeat with --seed {seed}), logs in {arguments.logs}",
          flush=True)

    report = Report(len(names))
    reason = firmware_boots()
    if reason:
        for name in names:
            report.add("SKIP", name, 0, "no working QEMU: " + reason)
        return report.summary()
    with concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        for name in names:
            if name in conf:
                pool.submit(guarded, report, name,
                            lambda name=name: run_case(name, conf[name], seed))
        for name, function in (image_sources.functions(names) + image_park.functions(names)
                               + hostile.functions(names)):
            pool.submit(guarded, report, name, function)
        bad = bad_input.Runner([name for name in bad_input.names() if name in names])
        for name, function in bad.functions():
            pool.submit(guarded, report, name, function)
    bad.close()
    return report.summary()


if __name__ == "__main__":
    sys.exit(main())
