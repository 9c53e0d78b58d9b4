# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two guests: how to tell that one is up, and that all it said is as it must be."""

import re

from harness import Failure

LINE = re.compile(r"workload: line (\d+) sse=(\w+) avx=(\w+) disk=(\w+) ticks=(\d+)$")
KERNEL = re.compile(r"kernel: (\d) (.*)$")
COMPLAINT = re.compile(r"BUG|WARNING|Oops|[Ss]tall|clocksource|unstable|soft lockup|hung|"
                       r"timekeeping|went backwards|Call Trace|I/O error|lost")
WARNING_LEVEL = 4  # of a kernel message; 0 to 4 are warnings and worse


def check_workload(text, first=1, last_before=None):
    """All problems in what the Linux guest has said: lines lost, doubled, garbled or wrong. The
    numbers must run from first on. last_before: where the resume took place, for the messages."""
    problems = []
    expected = first
    ticks_before = 0
    for line in text.split("\n")[:-1]:  # what follows the last newline is not yet complete
        if "workload:" not in line:
            continue
        if "WRONG" in line:
            problems.append(line.strip())
            continue
        match = LINE.search(line)
        # The firmware's escape sequences may precede the first line of all.
        if not match or (line != match.group(0) and expected != first):
            problems.append(f"garbled line, {expected} was due: {line!r}")
            continue
        number = int(match.group(1))
        if number != expected:
            what = "doubled" if number < expected else "lost"
            problems.append(f"line {what}: {number} came where {expected} was due"
                            + (f" (snapshot after {last_before})" if last_before else ""))
        expected = number + 1
        if "bad" in match.group(2, 3, 4):
            problems.append(line)
        ticks = int(match.group(5))
        if ticks < ticks_before:
            problems.append(f"ticks went back: {line}")
        ticks_before = ticks
    if expected == first:
        problems.append("not one line of the workload")
    return problems


def check_kernel(text):
    """The kernel's complaints among the messages in text."""
    problems = []
    for line in text.split("\n"):
        match = KERNEL.search(line)
        if match:
            if int(match.group(1)) <= WARNING_LEVEL or COMPLAINT.search(match.group(2)):
                problems.append("kernel message: " + match.group(2))
        elif re.match(r"\[ *\d+\.\d+\] ", line) and COMPLAINT.search(line):
            problems.append("kernel console: " + line)
    return problems


def check_probe(text, first=1):
    """All problems in what the probe has said."""
    problems = re.findall(r"probe: FAIL.*", text)
    expected = first
    for number in re.findall(r"^probe: pass (\d+)\n", text, re.M):
        if int(number) != expected:
            problems.append(f"pass {number} came where {expected} was due")
        expected = int(number) + 1
    if expected == first:
        problems.append("not one pass")
    if "probe: stopped" in text:
        problems.append("the probe has stopped")
    return problems


class Linux:
    """A stock Debian kernel with the workload."""

    boot_seconds = 120
    wrong = r"workload: WRONG.*|Kernel panic.*|guest: WRONG.*|Attempted to kill init.*"

    def __init__(self, machine):
        self.machine = machine
        self.mark = 0
        self.first_resume = None  # from there on the kernel has nothing to complain about

    def wait_lines(self, count, start, seconds, what):
        return self.machine.console.wait_for(r"^workload: line (\d+) .*ticks=\d+\n", seconds, what,
                                             start=start, count=count, alive=self.machine.alive,
                                             never=self.wrong)

    def wait_up(self):
        self.wait_lines(4, 0, self.boot_seconds, "fourth line of the workload")

    def wait_on(self, start, seconds):
        """Wait until the guest has gone on since start. The first line may be cut by the
        snapshot, so it is looked for in the whole text."""
        self.wait_lines(8, start, seconds, "eighth line after the resume")

    def last(self, text):
        found = re.findall(r"workload: line (\d+) ", text)
        return int(found[-1]) if found else 0

    def check(self, resumed_at):
        console = self.machine.console
        self.mark += 1
        if self.first_resume is None:
            self.first_resume = resumed_at
        console.send(f"mark {self.mark}\n")
        console.wait_for(f"kernel: 6 guest: mark {self.mark}\n", 30, "mark in the kernel log",
                         start=resumed_at, alive=self.machine.alive, never=self.wrong)
        text = console.text()
        return (check_workload(text, last_before=self.last(console.text()[:resumed_at]))
                + check_kernel(console.text(self.first_resume)))

    def end(self):
        """Power the guest off; returns the exit status of the VM's process."""
        self.machine.console.send("quit\n")
        return self.machine.ended(60, "the VM, after it was told to power off")


class Probe:
    """The bare-metal guest that checks its registers."""

    wrong = r"probe: FAIL.*|probe: stopped"

    def __init__(self, machine):
        self.machine = machine

    def wait_up(self):
        self.machine.console.wait_for(r"^probe: pass 3\n", 90, "third pass of the probe",
                                      alive=self.machine.alive, never=self.wrong)

    def wait_on(self, start, seconds):
        self.machine.console.wait_for(r"^probe: pass (\d+)\n", seconds,
                                      "fourth pass after the resume", start=start, count=4,
                                      alive=self.machine.alive, never=self.wrong)

    def last(self, text):
        found = re.findall(r"probe: pass (\d+)\n", text)
        return int(found[-1]) if found else 0

    def check(self, resumed_at):
        return check_probe(self.machine.console.text())

    def end(self):
        qmp = self.machine.qmp()
        qmp("quit")
        qmp.close()
        return self.machine.ended(30, "the VM, after it was told to quit")


def guest_of(machine):
    kind = machine.case.get("guest")
    if kind == "linux":
        return Linux(machine)
    if kind == "probe":
        return Probe(machine)
    raise Failure(f"case: guest: unknown: {kind}")
