# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where the CPUs are when a VM is stopped. A case's moment is a list of terms, all of which have to
hold at once, each "STATE" (on some CPU), "N:STATE" (on CPU N) or "all:STATE":

  user, kernel, idle   CPL 3; CPL 0 and not halted; halted
  compat               in a 32-bit code segment, CPL 3
  ldt                  an LDT is loaded, CPL 3
  ldt-code             the code segment is one of the LDT, CPL 3
  tf, ac               that flag of RFLAGS is set, CPL 3
  breakpoint           DR7 enables a breakpoint, CPL 3
  la57, pti            on five levels of tables; at CPL 3 on the tables that user code has with pti
  shadow               in the shadow of an STI or a load of SS
  spin, kernel-spin    in a loop that waits for a lock: in the guest's program, in its kernel
  a program's name     the CPU that it is bound to (programs = NAME@N) is at CPL 3, or as above where
                       that says more
"""

import re
import time

from harness import Failure

LOOKS = 3000  # at a VM, before a moment is said never to come
TF_FLAG, IF_FLAG, AC_FLAG = 1 << 8, 1 << 9, 1 << 18
CR4_LA57 = 1 << 12


class Cpu:
    """One CPU of `info registers -a`."""

    def __init__(self, text):
        number = lambda pattern: int(found.group(1), 16) if (found := re.search(pattern, text)) else 0
        self.text = text
        self.rip = number(r"\b[RE]IP=([0-9a-f]+)")
        self.rflags = number(r"\b(?:RFL|EFL)=([0-9a-f]+)")
        self.cpl = number(r"\bCPL=(\d)")
        self.halted = bool(number(r"\bHLT=(\d)"))
        self.shadow = bool(number(r"\bII=(\d)"))
        self.cs = number(r"(?m)^CS *=([0-9a-f]+)")
        self.ldtr = number(r"(?m)^LDT *=([0-9a-f]+)")
        self.cr3 = number(r"\bCR3=([0-9a-f]+)")
        self.cr4 = number(r"\bCR4=([0-9a-f]+)")
        self.dr7 = number(r"\bDR7=([0-9a-f]+)")
        self.compat = bool(re.search(r"(?m)^CS .*\bCS32\b", text))

    @property
    def mode(self):
        return "idle" if self.halted else "user" if self.cpl == 3 else "kernel"


def cpus_of(text):
    """The CPUs of what `info registers -a` printed, in their order."""
    parts = re.split(r"(?m)^CPU#\d+\r?\n", text)
    return [Cpu(part) for part in parts if "CPL=" in part]


STATES = {
    "user": lambda cpu, guest: cpu.mode == "user",
    "kernel": lambda cpu, guest: cpu.mode == "kernel",
    "idle": lambda cpu, guest: cpu.mode == "idle",
    "compat": lambda cpu, guest: cpu.mode == "user" and cpu.compat,
    "ldt": lambda cpu, guest: cpu.mode == "user" and cpu.ldtr != 0,
    "ldt-code": lambda cpu, guest: cpu.mode == "user" and bool(cpu.cs & 4),
    "tf": lambda cpu, guest: cpu.mode == "user" and bool(cpu.rflags & TF_FLAG),
    "ac": lambda cpu, guest: cpu.mode == "user" and bool(cpu.rflags & AC_FLAG),
    "breakpoint": lambda cpu, guest: cpu.mode == "user" and bool(cpu.dr7 & 0xff),
    "la57": lambda cpu, guest: bool(cpu.cr4 & CR4_LA57),
    # Linux has the tables of user code in the page behind those of the kernel.
    "pti": lambda cpu, guest: cpu.mode == "user" and bool(cpu.cr3 & 0x1000),
    "shadow": lambda cpu, guest: cpu.shadow,
    "spin": lambda cpu, guest: cpu.mode == "user" and guest.inside("spin", cpu.rip),
    "kernel-spin": lambda cpu, guest: cpu.mode == "kernel"
                                      and guest.inside("kernel-spin", cpu.rip),
}
# Programs of the Linux guest of which the registers say whether it is they that run.
PROGRAM_STATES = {"singlestep": "tf", "compat": "compat", "compat-ldt": "ldt-code"}


class Moment:
    """A case's moment, to be asked whether it is now."""

    def __init__(self, text, programs=""):
        at = dict(word.split("@") for word in programs.split() if "@" in word)
        self.text = text
        self._terms = []
        for term in text.split():
            where, _, state = term.rpartition(":")
            if state in at and state not in ("cpus",):
                where, state = at[state], PROGRAM_STATES.get(
                    state, state if state in STATES else "user")
            elif state not in STATES:
                state = PROGRAM_STATES.get(state, state)
            if state not in STATES or not re.fullmatch(r"\d*|all", where):
                raise Failure(f"case: moment: {term}: unknown")
            self._terms.append((where, STATES[state]))

    def is_now(self, cpus, guest):
        for where, holds in self._terms:
            if where.isdigit():
                good = int(where) < len(cpus) and holds(cpus[int(where)], guest)
            else:
                good = (all if where == "all" else any)(holds(cpu, guest) for cpu in cpus)
            if not good:
                return False
        return True


def reach(machine, guest, rng, moment):
    """Stop the VM again and again until the moment is there; it stays stopped. Keeps what the
    registers were as machine.registers. Returns the number of looks."""
    qmp = machine.qmp()
    try:
        for looks in range(1, LOOKS + 1):
            qmp("stop")
            registers = qmp.human("info registers -a")
            if moment.is_now(cpus_of(registers), guest):
                machine.registers = registers
                return looks
            qmp("cont")
            time.sleep(rng.uniform(0, 0.02))  # the next instant to be looked at
            machine.alive()
        raise Failure(f"the guest was never found in the state {moment.text!r}")
    finally:
        qmp.close()


def modes(registers):
    """The modes of all CPUs in a few letters: u, k or i for each."""
    return "".join(cpu.mode[0] for cpu in cpus_of(registers))
