# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two guests: how to tell that one is up, and that all it said is as it must be."""

import re

from harness import Failure

LINE = re.compile(r"(?P<name>workload|cpu[\d.]+): line (?P<number>\d+) sse=(?P<sse>\w+) "
                  r"avx=(?P<avx>\w+) disk=(?P<disk>\w+) ticks=(?P<ticks>\d+)$")
PIECE_LINE = re.compile(r"(?P<name>[a-z][\w-]*): line (?P<number>\d+)(?: [a-z-]+=\w+)*$")
KERNEL = re.compile(r"kernel: (\d) (.*)$")
# Said when a CPU goes offline on which a program wants to stay; once, when timers were due faster
# than they were handled, as happens to more CPUs than the host has (seen under QEMU's own migration
# too); when a CPU that comes online has got an interrupt that the kernel sends to all CPUs at once,
# the offline ones included, vectors 0xfb to 0xfd (seen in 3 of 100 times that a CPU of a guest that
# was never stopped came online).
HARMLESS = re.compile(r"process \d+ \(\S+\) no longer affine to cpu\d+$|"
                      r"hrtimer: interrupt took \d+ ns$|"
                      r"APIC: Stale IRR: [0-3][08]0{6}(,0{8}){7} ISR: 0{8}(,0{8}){7}$|"
                      r"clocksource: timekeeping watchdog on CPU\d+: \w+ wd-wd read-back delay of \d+ns$|"
                      r"clocksource: wd-\w+-wd read-back delay of \d+ns, clock-skew test skipped!$")
# Said when the kernel compares its clocks later than it wanted, as on a busy host.
LATE_LOOK = re.compile(r"clocksource: Long readout interval, skipping watchdog check: "
                       r"cs_nsec: (\d+) wd_nsec: (\d+)$")
COMPLAINT = re.compile(r"BUG|WARNING|Oops|[Ss]tall|clocksource|unstable|soft lockup|hung|"
                       r"timekeeping|went backwards|Call Trace|I/O error|lost")
WARNING_LEVEL = 4  # of a kernel message; 0 to 4 are warnings and worse


def check_workload(text, first=1, last_before=None, name="workload"):
    """All problems in what a numbered program of the Linux guest has said: lines lost, doubled,
    garbled or wrong. The numbers must run from first on. last_before: where the resume took place,
    for the messages."""
    problems = []
    expected = first
    ticks_before = 0
    pattern = LINE if re.match(r"workload|cpu\d", name) else PIECE_LINE
    mine = re.compile(rf"(?<!-){re.escape(name)}:")
    for line in text.split("\n")[:-1]:  # what follows the last newline is not yet complete
        if not mine.search(line) or KERNEL.search(line):
            continue
        if "WRONG" in line:
            problems.append(line.strip())
            continue
        match = pattern.search(line)
        # The firmware's escape sequences may precede the first line of all.
        if (not match or match["name"] != name
                or (line != match.group(0) and expected != first)):
            problems.append(f"garbled line, {expected} was due: {line!r}")
            continue
        number = int(match["number"])
        if number != expected:
            what = "doubled" if number < expected else "lost"
            problems.append(f"line {what}: {number} of {name} came where {expected} was due"
                            + (f" (snapshot after {last_before})" if last_before else ""))
        expected = number + 1
        if pattern is not LINE:
            continue
        if "bad" in match.group("sse", "avx", "disk"):
            problems.append(line)
        ticks = int(match["ticks"])
        if ticks < ticks_before:
            problems.append(f"ticks went back: {line}")
        ticks_before = ticks
    if expected == first:
        problems.append(f"not one line of {name}")
    return problems


def harmless(message):
    """Is a message of the kernel nothing to complain about?"""
    late = LATE_LOOK.match(message)
    if late:  # but the clocks have to agree, to a thousandth
        clock, watchdog = int(late.group(1)), int(late.group(2))
        return abs(clock - watchdog) * 1000 < watchdog
    return bool(HARMLESS.match(message))


def check_kernel(text):
    """The kernel's complaints among the messages in text."""
    problems = []
    for line in text.split("\n"):
        match = KERNEL.search(line)
        if match:
            if harmless(match.group(2)):
                continue
            if int(match.group(1)) <= WARNING_LEVEL or COMPLAINT.search(match.group(2)):
                problems.append("kernel message: " + match.group(2))
        elif re.match(r"\[ *\d+\.\d+\] ", line) and COMPLAINT.search(line):
            problems.append("kernel console: " + line)
    return problems


def check_probe(text, first=1, name="probe"):
    """All problems in what the probe has said; one CPU of it by its name, any by the name probe."""
    problems = re.findall(r"probe\d?: FAIL.*", text)
    expected = first
    for number in re.findall(rf"^{name}: pass (\d+)\n", text, re.M):
        if int(number) != expected:
            problems.append(f"pass {number} of {name} came where {expected} was due")
        expected = int(number) + 1
    if expected == first:
        problems.append(f"not one pass of {name}")
    if re.search(r"probe\d?: stopped", text):
        problems.append("the probe has stopped")
    return problems


class Linux:
    """A stock Debian kernel with the workload and the case's programs, each a source of lines."""

    boot_seconds = 120
    wrong = (r"[a-z][\w.-]*: WRONG.*|Kernel panic.*|Attempted to kill init.*|"
             r"segfault at .*|general protection.*")

    def __init__(self, machine):
        self.machine = machine
        self.mark = 0
        self.first_resume = None  # from there on the kernel has nothing to complain about
        self.ranges = {}  # of addresses, by what a CPU does there

    def inside(self, what, address):
        """Is an address in one of the ranges that the guest has named?"""
        if not self.ranges:
            for name, low, high in re.findall(r"^guest: range ([\w-]+) ([0-9a-f]+) ([0-9a-f]+)\n",
                                              self.machine.console.text(), re.M):
                self.ranges.setdefault(name, []).append((int(low, 16), int(high, 16)))
        if what not in self.ranges:
            raise Failure(f"case: moment: the guest has not said where it does {what}")
        return any(low <= address < high for low, high in self.ranges[what])

    def sources(self):
        """The names of all that print numbered lines now."""
        names = ["workload"]
        for verb, name in re.findall(r"^guest: (started|ended) (\S+)\n",
                                     self.machine.console.text(), re.M):
            if verb == "started":
                names.append(name)
            elif name in names:
                names.remove(name)
        return names

    def wait_lines(self, count, start, seconds, what, source="workload"):
        return self.machine.console.wait_for(rf"^{re.escape(source)}: line (\d+)( \S+)*\n", seconds,
                                             f"{what} of {source}", start=start, count=count,
                                             alive=self.machine.alive, never=self.wrong)

    def wait_up(self):
        self.machine.console.wait_for(r"^guest: up\n", self.boot_seconds, "word that it is up",
                                      alive=self.machine.alive, never=self.wrong)
        for command in self.commands("before"):
            self.do(command)
        self.wait_lines(4, 0, self.boot_seconds, "fourth line")
        for source in self.sources()[1:]:
            self.wait_lines(2, 0, self.boot_seconds, "second line", source)

    def wait_on(self, start, seconds):
        """Wait until the guest has gone on since start. The first line may be cut by the
        snapshot, so it is looked for in the whole text."""
        self.wait_lines(8, start, seconds, "eighth line after the resume")
        for source in self.sources()[1:]:
            count = 8 if source.startswith("cpu") else 4  # the former notice a timer that is gone
            self.wait_lines(count, start, seconds, f"{count}. line after the resume", source)

    def last(self, text):
        found = re.findall(r"workload: line (\d+) ", text)
        return int(found[-1]) if found else 0

    def commands(self, key):
        """The commands of a case's key (before or after)."""
        return [word.strip() for word in self.machine.case.get(key, "").split(";") if word.strip()]

    def do(self, command):
        """Have the guest obey a command, and wait until it says that it has: "online N",
        "offline N"; an online CPU has to show that it works."""
        console = self.machine.console
        before = console.position()
        console.send(command + "\n")
        console.wait_for(rf"^guest: done {re.escape(command)}\n", 120,
                         f"word that {command!r} is done", start=before,
                         alive=self.machine.alive, never=self.wrong)
        verb, _, number = command.partition(" ")
        if verb == "online":
            source = [name for name in self.sources()
                      if re.fullmatch(rf"cpu{number}(\.\d+)?", name)]
            if not source:
                raise Failure(f"{command}: no program runs on that CPU afterwards")
            self.wait_lines(3, before, 120, "third line after it came online", source[-1])

    def afterwards(self):
        """What the case wants done after its last resume; nothing may be wrong after it either."""
        before = self.machine.console.position()
        for command in self.commands("after"):
            self.do(command)
        if self.commands("after"):
            self.wait_on(before, 120)
            problems = self.check(before)
            if problems:
                raise Failure("afterwards: " + "; ".join(problems[:5]))

    def check(self, resumed_at):
        console = self.machine.console
        self.mark += 1
        if self.first_resume is None:
            self.first_resume = resumed_at
        console.send(f"mark {self.mark}\n")
        console.wait_for(f"kernel: 6 guest: mark {self.mark}\n", 30, "mark in the kernel log",
                         start=resumed_at, alive=self.machine.alive, never=self.wrong)
        text = console.text()
        problems = []
        for source in self.sources():
            problems += check_workload(text, name=source,
                                       last_before=self.last(console.text()[:resumed_at]))
        return problems + check_kernel(console.text(self.first_resume))

    def end(self):
        """Power the guest off; returns the exit status of the VM's process."""
        self.machine.console.send("quit\n")
        return self.machine.ended(60, "the VM, after it was told to power off")


class Probe:
    """The bare-metal guest that checks its registers."""

    wrong = r"probe\d?: FAIL.*|probe\d?: stopped"

    def __init__(self, machine):
        self.machine = machine
        self.names = ["probe"]
        if machine.case.get("variant", "").startswith("smp"):
            self.names += [f"probe{number}" for number in range(1, machine.case.getint("smp"))]

    def inside(self, what, address):
        raise Failure(f"case: moment: the probe does not say where it does {what}")

    def wait_for(self, pattern, seconds, what, start=0, count=1):
        return self.machine.console.wait_for(pattern, seconds, what, start=start, count=count,
                                             alive=self.machine.alive, never=self.wrong)

    def wait_up(self):
        for name in self.names:
            self.wait_for(rf"^{name}: pass 3\n", 90, f"third pass of {name}")

    def wait_on(self, start, seconds):
        for name in self.names:
            self.wait_for(rf"^{name}: pass (\d+)\n", seconds,
                          f"fourth pass of {name} after the resume", start, 4)

    def last(self, text):
        found = re.findall(r"probe: pass (\d+)\n", text)
        return int(found[-1]) if found else 0

    def check(self, resumed_at):
        text = self.machine.console.text()
        problems = []
        for name in self.names:
            problems += [problem for problem in check_probe(text, name=name)
                         if problem not in problems]
        return problems

    def afterwards(self):
        """Nothing: the probe obeys nobody."""

    def end(self):
        qmp = self.machine.qmp()
        qmp("quit")
        qmp.close()
        return self.machine.ended(30, "the VM, after it was told to quit")


class Events(Probe):
    """The probe's variant that does what it is told, about interrupts (probe/events.nasm). The case's
    key events names what is under way when it is stopped: nmi, nmi-pending or irq."""

    def ask(self, byte, answer, what):
        """Send one byte and wait for its answer."""
        start = self.machine.console.position()
        self.machine.console.send(byte)
        self.wait_for(answer, 60, what, start)

    def nmi(self):
        qmp = self.machine.qmp()
        qmp("inject-nmi")
        qmp.close()

    def wait_up(self):
        self.wait_for(r"^probe: ready\n", 90, "word that it is up")
        for _ in range(3):
            self.ask("p", r"^probe: pass \d+\n", "pass")
        self.begin()

    def begin(self):
        """Get under way what the case wants to be stopped in."""
        kind = self.machine.case.get("events")
        start = self.machine.console.position()
        if kind == "irq":
            self.ask("i", r"^probe: irq waits\n", "interrupt handler")
            return
        self.nmi()
        self.wait_for(r"^probe: nmi 1 begins\n", 60, "handler of the NMI", start)
        if kind == "nmi-pending":
            self.nmi()
            self.still("nmi 1", self.machine.console.position())

    def still(self, what, start):
        """The guest says now and then that it is still in a handler. The first such line may be of
        before what has just been done to it, or cut."""
        self.wait_for(rf"^probe: {what} still\n", 240, f"word that it is still in {what}", start, 3)

    def wait_on(self, start, seconds):
        """After the resume: what was under way goes on, and what was waiting comes when it may."""
        kind = self.machine.case.get("events")
        if kind == "irq":
            self.still("irq", start)
            self.ask("e", r"^probe: irq done\n", "end of the interrupts")
        else:
            self.still("nmi 1", start)
            if kind == "nmi":
                self.nmi()
                self.still("nmi 1", self.machine.console.position())
            self.ask("e", r"^probe: nmi 2 begins\n", "NMI that waited for the end of the handler")
            self.ask("e", r"^probe: nmi 2 ends\n", "end of the second NMI")
        for _ in range(3):
            self.ask("p", r"^probe: pass \d+\n", "pass")


def guest_of(machine):
    kind = machine.case.get("guest")
    if kind == "linux":
        return Linux(machine)
    if kind == "probe":
        return Events(machine) if machine.case.get("events") else Probe(machine)
    raise Failure(f"case: guest: unknown: {kind}")
