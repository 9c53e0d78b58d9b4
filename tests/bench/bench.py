#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Measures the splice, the tool's memory, the steps of a resume and the trampoline. What depends on
the machine is a ratio of two figures of the same run."""

import argparse
import configparser
import glob
import json
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/qemu"))
import inspections  # noqa: E402
import instructions  # noqa: E402
import loads  # noqa: E402
import seals  # noqa: E402
from guests import guest_of  # noqa: E402
from harness import Failure, Machine, Patience, Qmp, Settings, limit  # noqa: E402
from snapshots import inspect  # noqa: E402

SPLICE_RATIO_WANTED = 0.8
MEMORY_WANTED = 32 << 20
WHOLE_WANTED = 1.3
INSTRUCTIONS_WANTED = 1500
CPU_TRACED = "Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm"


def case_of(**keys):
    parser = configparser.ConfigParser()
    parser.read_dict({"case": keys})
    return parser["case"]


def high_water(pid):
    """Peak resident memory of a process so far, in bytes; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            found = re.search(r"VmHWM:\s*(\d+) kB", file.read())
            return int(found.group(1)) * 1024 if found else 0
    except (FileNotFoundError, ProcessLookupError):
        return 0


def through_pipe(command):
    """Run a program that writes to a pipe, read the pipe to its end as cat would. Returns seconds,
    bytes, and the peak of the program's memory."""
    began = time.monotonic()
    peak = total = 0
    buffer = bytearray(1 << 17)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0) as process:
        looks = 0
        while True:
            length = process.stdout.readinto(buffer)
            if not length:
                break
            total += length
            looks += 1
            # A high-water mark only needs looking at now and then, and near the end.
            if looks % 64 == 0:
                peak = max(peak, high_water(process.pid))
        peak = max(peak, high_water(process.pid))
        errors = process.stderr.read()
        if process.wait() != 0:
            raise Failure(f"{command[0]}: exit status {process.returncode}: {errors[-300:]!r}")
    return time.monotonic() - began, total, peak


def prepare(name, **keys):
    """A snapshot, and a capture of its parked target. Returns machine, snapshot, capture, steps."""
    machine = Machine(name, case_of(**keys))
    machine.start()
    guest_of(machine).wait_up()
    snapshot = machine.snapshot()
    parked = machine.path("parked")
    code, _, errors = machine.tool("resume", snapshot, "--save-parked", parked, "--splice-to",
                                   "/dev/null", "--", *machine.command(), seconds=240)
    if code != 0:
        raise Failure(f"parking failed: {errors.strip()[-300:]}")
    return machine, snapshot, parked


def bench_splice(rounds):
    print("Splice: the stream of a Linux guest from a file into a pipe, best of "
          f"{rounds} rounds taken in turn with cat", flush=True)
    worst = None
    ok = True
    for ram in ("512M", "5G"):
        machine, snapshot, parked = prepare("bench-splice-" + ram, guest="linux", cpu="Haswell",
                                            ram=ram)
        stream = os.path.join(snapshot, "stream")
        timing = machine.path("timing.json")
        splice = [Settings.resumectl, "resume", snapshot, "--parked", parked, "--splice-to", "-",
                  "--timing", timing]
        peaks, cat, whole, step = [], [], [], []
        size = os.path.getsize(stream)
        for _ in range(rounds):
            cat.append(through_pipe(["cat", stream])[0])
            seconds, _, peak = through_pipe(splice)
            whole.append(seconds)
            peaks.append(peak)
            with open(timing, encoding="utf-8") as file:
                step += [entry["ns"] / 1e9 for entry in json.load(file)["steps"]
                         if entry["name"].startswith("splice")]
        ratio = min(cat) / min(step)
        worst = ratio if worst is None else min(worst, ratio)
        print(f"  RAM {ram:>4}: stream {size / 2**20:.0f} MiB; cat {size / min(cat) / 2**20:.0f} "
              f"MiB/s, splice {size / min(step) / 2**20:.0f} MiB/s; ratio {ratio:.2f} "
              f"(wanted {SPLICE_RATIO_WANTED}); with start and reading the parked target's capture "
              f"{min(cat) / min(whole):.2f}")
        print(f"            peak memory of resumectl {max(peaks) / 2**20:.1f} MiB "
              f"(wanted less than {MEMORY_WANTED >> 20})", flush=True)
        ok = ok and ratio >= SPLICE_RATIO_WANTED and max(peaks) < MEMORY_WANTED
        yield machine, snapshot
        machine.close()
    print(f"  {'ok' if ok else 'NOT ENOUGH'}: ratio {worst:.2f}")


def monitor(machine, began):
    """The monitor of a QEMU that has just been started, as soon as it is there."""
    while not os.path.exists(machine.qmp_path):
        machine.alive()
        if time.monotonic() - began > limit(60):
            raise Failure("QEMU's monitor: not there")
        time.sleep(0.001)  # between two looks; a socket file gives no event
    return machine.qmp()


def plain_incoming(machine, snapshot):
    """Seconds that QEMU alone takes from its start until it has loaded the snapshot's stream."""
    stream = os.path.join(snapshot, "stream")
    began = time.monotonic()
    machine.spawn(machine.command() + ["-S", "-incoming", "exec:cat " + stream], "incoming")
    qmp = monitor(machine, began)
    while qmp("query-status")["status"] == "inmigrate":
        if time.monotonic() - began > limit(60):
            raise Failure("plain -incoming: not done")
        time.sleep(0.001)  # between two looks
    plain = time.monotonic() - began
    qmp("quit")
    qmp.close()
    machine.ended(20, "plain QEMU")
    return plain


def bench_resume(machine, snapshot):
    """The steps of a resume, beside QEMU alone."""
    plain = plain_incoming(machine, snapshot)
    timing = machine.path("resume-timing.json")
    began = time.monotonic()
    machine.spawn([Settings.resumectl, "resume", snapshot, "--timing", timing, "--",
                   *machine.command()], "resume")
    guest = guest_of(machine)
    before = machine.console.position()
    guest.wait_on(before, 120)
    with open(timing, encoding="utf-8") as file:
        steps = json.load(file)
    guest.end()
    print(f"Resume: plain qemu -incoming of the same stream takes {plain:.2f} s")
    for entry in steps["steps"]:
        seconds = entry["ns"] / 1e9
        print(f"  {entry['name']:<52} {seconds:6.2f} s  {seconds / plain:6.2f} times plain")
    total = steps["total_ns"] / 1e9
    print(f"  {'in all':<52} {total:6.2f} s  {total / plain:6.2f} times plain", flush=True)


def resumed_steps(machine, snapshot, firmware):
    """One resume, whose VM is ended as soon as the guest runs. {step: seconds}. The steps are those of
    the main thread; "parked" and "captured" are the target's own, beside them."""
    timing = machine.path("firmware-timing.json")
    began = time.monotonic()
    code, _, errors = machine.tool("resume", snapshot, "--detach", "--firmware", firmware,
                                   "--timing", timing, "--", *machine.command(), seconds=240)
    whole = time.monotonic() - began
    if code != 0:
        raise Failure(f"resume through {firmware}: exit status {code}: {errors.strip()[-300:]}")
    qmp = Qmp(machine.qmp_path)
    qmp("quit")
    qmp.close()
    machine.console.wait_closed(30, "the resumed VM's console")
    with open(timing, encoding="utf-8") as file:
        timing = json.load(file)
    steps = {entry["name"]: entry["ns"] / 1e9 for entry in timing["steps"]}
    steps[PARKED] = timing["parked_ns"] / 1e9
    steps["target: captured"] = timing["captured_ns"] / 1e9
    steps[WHOLE] = whole
    return steps


PARKED = "target: parked"
WHOLE = "whole resume, to resumectl's end"


def bench_firmware(rounds):
    """Parking through UEFI and without it, and the whole beside QEMU alone; medians of the rounds,
    in each of which all are taken once."""
    for smp in ("1", "4"):
        machine, snapshot, _ = prepare("bench-firmware-" + smp, guest="linux", cpu="Haswell",
                                            smp=smp)
        taken = {"efi": [], "pvh": []}
        plain, start = [], []
        for _ in range(rounds):
            plain.append(plain_incoming(machine, snapshot))
            for firmware, found in taken.items():
                found.append(resumed_steps(machine, snapshot, firmware))
            began = time.monotonic()
            machine.spawn(machine.command() + ["-S"], "start")
            qmp = monitor(machine, began)
            start.append(time.monotonic() - began)
            qmp("quit")
            qmp.close()
            machine.ended(20, "a VM that was only started")
        machine.close()
        base = statistics.median(plain)
        print(f"Firmware, {smp} vCPU(s), medians of {rounds} rounds: plain qemu -incoming of the same "
              f"stream {base:.2f} s, of which {statistics.median(start):.2f} s until QEMU's monitor "
              "answers")
        print(f"  {'':<36} {'efi':>8} {'pvh':>8}  pvh, times plain")
        middle = {firmware: {step: statistics.median(steps[step] for steps in found)
                             for step in found[0]} for firmware, found in taken.items()}
        for step, efi in middle["efi"].items():
            pvh = middle["pvh"][step]
            print(f"  {step:<36} {efi:6.2f} s {pvh:6.2f} s  {pvh / base:5.2f}")
        ratio = middle["pvh"][PARKED] / middle["efi"][PARKED]
        whole = {firmware: statistics.median(steps[WHOLE] / one for steps, one in zip(found, plain))
                 for firmware, found in taken.items()}
        print(f"  parked in {ratio:.3f} of the UEFI time (wanted less than 0.1: "
              f"{'yes' if ratio < 0.1 else 'NO'})")
        print(f"  whole resume, times plain -incoming, medians of the rounds' ratios: efi "
              f"{whole['efi']:.2f}, pvh {whole['pvh']:.2f} (wanted at most {WHOLE_WANTED}: "
              f"{'yes' if whole['pvh'] <= WHOLE_WANTED else 'NO'})", flush=True)


def bench_trampoline(build):
    """Bytes, and instructions from the loaded stream to the guest's first one. Under -icount QEMU
    counts instructions itself, and the count is part of the devices' state."""
    for path in sorted(glob.glob(os.path.join(build, "trampoline/*.bin"))):
        print(f"Trampoline: {os.path.getsize(path)} bytes ({os.path.basename(path)})")
    machine = Machine("bench-trampoline", case_of(guest="probe", variant="user", cpu="Haswell",
                                                  extra="-icount shift=0,sleep=off"))
    try:
        machine.start()
        guest_of(machine).wait_up()
        snapshot = machine.snapshot()
        ledger = machine.path("ledger.json")
        counts = []
        for _ in range(2):
            # It is stopped at its first instruction and compared; that the count itself differs may
            # or may not pass as a difference, and the VM is not needed further.
            code, _, errors = machine.tool("resume", snapshot, "--detach", "--verify", "--json",
                                           ledger, "--", *machine.command(), seconds=240)
            if code not in (0, 4):
                raise Failure(f"resume: exit status {code}: {errors.strip()[-300:]}")
            if code == 0:
                qmp = Qmp(machine.qmp_path)
                qmp("quit")
                qmp.close()
            with open(ledger, encoding="utf-8") as file:
                fields = json.load(file)["fields_that_differ"]
            found = [field for field in fields if field["path"] == "timer/icount/qemu_icount"]
            if not found:
                raise Failure("the count of instructions is not among the fields that differ")
            counts.append(int(found[0]["resumed"], 0) - int(found[0]["source"], 0))
        print(f"Trampoline: {statistics.median_low(counts)} instructions from the loaded stream to "
              f"the guest's first; the same each time: {'yes' if len(set(counts)) == 1 else 'no'}")
    finally:
        machine.close()


def traced(build, name, **keys):
    """Instructions of each vCPU from "go" to the guest: {vCPU: Count}. One thread runs all vCPUs, so
    that the log is whole."""
    machine = Machine(name, case_of(guest="linux", cpu=CPU_TRACED, **keys))
    try:
        machine.start()
        guest_of(machine).wait_up()
        snapshot = machine.snapshot()
        spliced, log = machine.path("spliced"), machine.path("trace.log")
        code, _, errors = machine.tool("resume", snapshot, "--splice-to", spliced, "--",
                                       *machine.command(), seconds=240)
        if code != 0:
            raise Failure(f"parking failed: {errors.strip()[-300:]}")
        found = inspect(machine, snapshot)["home"]
        home = {"va": int(found["va"], 0), "length": found["length"],
                "landings": found["layout"]["landings"]}
        command = ["tcg,thread=single" if word == "tcg" else word for word in machine.command()]
        machine.spawn(command + ["-incoming", "exec:cat " + spliced, "-singlestep",
                                 "-d", "exec,nochain", "-D", log,
                                 "-dfilter", f"{home['va']:#x}+{home['length']:#x}"], "traced")
        qmp = machine.qmp()
        while qmp("query-status")["status"] == "inmigrate":
            time.sleep(0.005)  # between two looks
        before = machine.console.position()
        qmp("cont")
        guest_of(machine).wait_on(before, 240)
        qmp("quit")
        qmp.close()
        machine.ended(20, "the traced VM")
        return instructions.count(log, home, os.path.join(build, "trampoline/restore.lst"))
    finally:
        machine.close()


def bench_instructions(build):
    """Each vCPU, of one and of eight, beside the steps of the demo that this project started from."""
    alone = traced(build, "bench-instructions-1", smp="1")[0]
    many = traced(build, "bench-instructions-8", smp="8")
    slowest = max(count.instructions for count in many.values())
    reference = instructions.reference(os.path.join(HERE, "reference.nasm"), Settings.logs)
    print("Instructions from go to the guest, of each vCPU, what is read back included; beside them "
          "the bytes\nthat REP instructions moved (console, comparison of the extended state, refill "
          "of the home)")
    for title, counts in (("1 vCPU", {0: alone}), ("8 vCPUs", many)):
        for number, count in sorted(counts.items()):
            print(f"  {title:>7}, vCPU {number}: {count.instructions:5} instructions, "
                  f"{count.bytes_moved:6} bytes (waiting for the others: {count.waited})")
    print(f"  wanted: less than {INSTRUCTIONS_WANTED}: "
          f"{'yes' if max(slowest, alone.instructions) < INSTRUCTIONS_WANTED else 'NO'}; "
          f"slowest of 8 to the only one: {slowest / alone.instructions:.2f} (wanted at most 1.5)")
    print(f"  the reference demo's steps, as written down in reference.nasm: {reference} "
          "instructions, one vCPU", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the splice (default 5)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/release"))
    parser.add_argument("--guest", default=os.path.join(ROOT, "build/guest"))
    parser.add_argument("--logs", default=os.path.join(ROOT, "build/bench"))
    parser.add_argument("--application", metavar="FILE", help="reads an image, and starts resume.efi",
                        default=os.path.join(ROOT, "build/dev/tests/qemu/secret/"
                                             "launch-secret-resume.efi"))
    parser.add_argument("--only", default=None,
                        choices=("splice", "firmware", "load", "trampoline", "instructions", "inspect"))
    parser.add_argument("--analyze-migration", metavar="FILE",
                        help="QEMU's script of this name, to compare inspect with")
    arguments = parser.parse_args()
    Patience.factor = 3  # counting instructions makes QEMU slow
    Settings.resumectl = os.path.join(arguments.build, "tools/resumectl")
    Settings.resume_efi = os.path.join(arguments.build, "efi/resume.efi")
    Settings.guest = arguments.guest
    Settings.logs = arguments.logs
    try:
        if arguments.only in (None, "splice"):
            for number, (machine, snapshot) in enumerate(bench_splice(arguments.rounds)):
                if number == 0:
                    bench_resume(machine, snapshot)
                    seals.bench_seal(Settings.resumectl, snapshot, arguments.rounds, Settings.logs)
        if arguments.only in (None, "firmware"):
            bench_firmware(arguments.rounds)
        if arguments.only in (None, "load"):
            loads.bench_loads(case_of, arguments.application, arguments.rounds)
        if arguments.only in (None, "trampoline"):
            bench_trampoline(arguments.build)
        if arguments.only in (None, "instructions"):
            bench_instructions(arguments.build)
        if arguments.only in (None, "inspect"):
            inspections.bench_inspect(Settings.resumectl, arguments.analyze_migration,
                                      arguments.rounds, arguments.logs)
    except (Failure, seals.Bad) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
