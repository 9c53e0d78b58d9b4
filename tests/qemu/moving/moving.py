#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""moving.py --qemu QEMU --firmware ELF --inputs PROGRAM [NAME...]: has a firmware put a made-up guest's
memory back itself, and compares all of the machine's memory with what the guest should have. What every
page should hold is said here, and nothing of the plan is used."""

import argparse
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import Failure, Qmp, limit  # noqa: E402

PAGE = 4096
FRAMES = 0x4000  # 64 MiB
HIGH = 0x100000  # 4 GiB: where the memory is that is not below
OWN = (0x100, 0x400)  # where the firmware is
SPINNER = 8  # the frame in which it has other processors spin
FREE, FIRMWARE = 1, 2
HOME = 0x2345
HOME_PAGES_MAX = 64
CONTENT_MARK, GARBAGE_MARK = 0xc0de << 48, 0xdead << 48
# Of struct resume_control, docs/HANDOFF.md
CONTROL = "<QIIIIII"
PARKED, MOVING, CONTROL_MAGIC = 0x68, 0x7c, 0x4c4f52544e4f434d
SECONDS = 120

# name: vCPUs, the dormant one, share of pages with content (None: all FREE ones, but for a few here and
# there), frames beyond the guest's RAM, frames below 4 GiB, levels of the guest's page tables, and
# whether the other processors are busy in memory that is overwritten
CASES = {
    "one": (1, -1, 0.4, 0, FRAMES, 4, False),
    "two": (2, -1, 0.4, 0, FRAMES, 4, True),
    "first-dormant": (2, 0, 0.4, 0, FRAMES, 4, True),
    "second-dormant": (2, 1, 0.4, 0, FRAMES, 4, True),
    "beyond": (2, -1, 0.5, 0x800, FRAMES, 4, True),
    "scattered": (4, -1, None, 0, FRAMES, 4, True),
    "empty": (1, -1, 0.0, 0, FRAMES, 4, False),
    "high": (2, -1, 0.5, 0, 0x2000, 4, True),
    "five-levels": (2, -1, 0.4, 0, 0x2000, 5, True),
}


def runs_of(values, number):
    """[(first, count, value)] of what is not None in a list; number: of the frame at a place in it."""
    runs = []
    for at, value in enumerate(values):
        if value is None:
            continue
        if runs and runs[-1][2] == value and runs[-1][0] + runs[-1][1] == number(at):
            runs[-1][1] += 1
        else:
            runs.append([number(at), 1, value])
    return runs


class Machine:
    """Who has which frame, and what the guest has in which page. Lists have one entry for each frame of
    memory, whether it is above 4 GiB or below."""

    def __init__(self, name, share, beyond, low):
        draw = random.Random(name)
        self.low = low
        self.kinds = [None] * FRAMES
        at = OWN[1]
        while at < FRAMES:
            length = draw.choice((1, 3, 20, 100, 400, 600))
            kind = draw.choices((FREE, FIRMWARE, None), (70, 28, 2))[0]
            if kind is None:
                length = min(length, 5)
            self.kinds[at:at + length] = [kind] * length
            at += length
        del self.kinds[FRAMES:]
        for at in range(1, 0xa0):
            self.kinds[at] = draw.choice((FREE, FIRMWARE))
        for at in (0, SPINNER, 0x9f, *range(*OWN)):
            self.kinds[at] = FIRMWARE
        for at in range(HOME, HOME + HOME_PAGES_MAX):
            self.kinds[at] = self.kinds[at] or FREE
        for at in range(FRAMES - beyond, FRAMES):
            self.kinds[at] = self.kinds[at] and FREE
        self.ram = [kind and 1 for kind in self.kinds]
        self.ram[FRAMES - beyond:] = [None] * beyond
        self.content = [None] * FRAMES
        at = 0
        while at < FRAMES:
            length = draw.choice((1, 2, 30, 200))
            if share is not None and draw.random() < share:
                self.content[at:at + length] = [1] * length
            at += length
        if share is None:
            self.content = [1 if kind == FREE and at % 40 >= 4 else None
                            for at, kind in enumerate(self.kinds)]
        self.content = [ram and content for ram, content in zip(self.ram, self.content)]

    def number(self, at):
        """Of the frame at that place."""
        return at if at < self.low else at - self.low + HIGH

    def ranges(self, spinning):
        """What the firmware is told."""
        lists = [runs_of(values, self.number) for values in (self.kinds, self.ram, self.content)]
        words = [len(entries) for entries in lists] + [int(spinning)]
        words += [word for run in lists[0] for word in run]
        words += [word for runs in lists[1:] for run in runs for word in run[:2]]
        return struct.pack(f"<{len(words)}Q", *words)

    def compare(self, memory, home_pages):
        """Complaints about the memory as it is in the end."""
        wrong = []
        for at, kind in enumerate(self.kinds):
            if kind is None or HOME <= at < HOME + home_pages:
                continue
            found = memory[at * PAGE:(at + 1) * PAGE]
            wanted = [marked(CONTENT_MARK, self.number(at)) if self.content[at] else bytes(PAGE)]
            if not self.ram[at]:
                wanted.append(marked(GARBAGE_MARK, self.number(at)))
            if found not in wanted:
                words = struct.unpack("<512Q", found)
                wrong.append(f"page {at:#x}: {words[0]:#x} ... {words[-1]:#x}, wanted "
                             f"{'its content' if self.content[at] else 'zeroes'}")
        return wrong


def marked(mark, page):
    """A page as the firmware fills it."""
    value = mark | page
    return struct.pack("<Q", value) * 511 + struct.pack("<Q", value ^ 0xffffffffffffffff)


def check_home(memory, vcpus, active):
    """Complaints about the home."""
    home = memory[HOME * PAGE:]
    magic, _version, _size, go, count, wanted, _block = struct.unpack_from(CONTROL, home)
    parked, = struct.unpack_from("<I", home, PARKED)
    moving, = struct.unpack_from("<I", home, MOVING)
    found = (magic, go, count, wanted, parked, moving)
    right = (CONTROL_MAGIC, 0, vcpus, active, active, 0)
    return [] if found == right else [f"home: {found}, wanted {right}"]


def run_until_parked(command, low, log, name):
    """The memory of the machine when it has parked."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        watch = threading.Timer(limit(SECONDS), process.kill)
        watch.start()
        said = []
        try:
            for line in process.stdout:
                said.append(line.strip())
                if re.match("libresume: (parked|refused|fault)", line):
                    break
            else:
                raise Failure(f"the machine ended, or did nothing for {limit(SECONDS):.0f} s; last: "
                              f"{said[-3:]}")
            if said[-1] != "libresume: parked":
                raise Failure(said[-1])
            monitor = Qmp(os.path.join(log, name + ".qmp"))
            monitor("stop")
            path = os.path.join(log, name + ".memory")
            monitor("pmemsave", val=0, size=low * PAGE, filename=path)
            if low < FRAMES:
                monitor("pmemsave", val=HIGH * PAGE, size=(FRAMES - low) * PAGE,
                        filename=path + "-high")
            monitor.close()
        finally:
            watch.cancel()
            process.kill()
    memory = b""
    for part in (path, path + "-high")[:1 + (low < FRAMES)]:
        with open(part, "rb") as file:
            memory += file.read()
    return memory, said


def run(options, work, name):
    vcpus, dormant, share, beyond, low, levels, spinning = CASES[name]
    machine = Machine(name, share, beyond, low)
    state, plan, ranges = (os.path.join(work, f"{name}.{kind}")
                           for kind in ("state", "plan", "ranges"))
    with open(ranges, "wb") as file:
        file.write(machine.ranges(spinning))
    made = subprocess.run([options.inputs, str(vcpus), str(dormant), str(levels),
                           hex(machine.number(HOME) * PAGE), state, plan],
                          check=True, capture_output=True, text=True)
    home_pages = int(made.stdout) // PAGE
    if home_pages > HOME_PAGES_MAX:
        raise Failure(f"a home of {home_pages} pages")
    command = [options.qemu, "-machine", f"q35,max-ram-below-4g={low * PAGE >> 20}M",
               "-accel", "tcg", "-cpu",
               "Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm,+la57", "-nodefaults",
               "-display", "none", "-no-reboot", "-m", f"{FRAMES * PAGE >> 20}M", "-smp", str(vcpus),
               "-kernel", options.firmware, "-debugcon", "stdio",
               "-global", "isa-debugcon.iobase=0x402",
               "-qmp", f"unix:{os.path.join(work, name + '.qmp')},server=on,wait=off"]
    for file, path in (("state", state), ("plan", plan), ("ranges", ranges)):
        command += ["-fw_cfg", f"name=opt/org.libresume/{file},file={path}"]
    if options.trace:
        command += ["-d", "int,cpu_reset", "-D", os.path.join(work, name + ".log")]
    memory, said = run_until_parked(command, low, work, name)
    wrong = check_home(memory, vcpus, vcpus - (dormant >= 0)) + machine.compare(memory, home_pages)
    if wrong:
        raise Failure(f"{len(wrong)} wrong: " + "; ".join(wrong[:4]))
    return next(line for line in said if " steps, " in line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qemu", required=True)
    parser.add_argument("--firmware", required=True)
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--keep", help="a directory for everything that was made")
    parser.add_argument("--trace", action="store_true", help="with QEMU's log of exceptions")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        for name in options.names or CASES:
            try:
                print(f"{name}: {run(options, options.keep or work, name)}", flush=True)
            except Failure as error:
                print(f"{name}: FAILED: {error}", flush=True)
                failed = 1
    sys.exit(failed)


main()
