#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The checks of guests.py, on console output with one defect each, and those of moments.py."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guests import check_kernel, check_probe, check_workload  # noqa: E402
from harness import Failure  # noqa: E402
from moments import Moment, cpus_of  # noqa: E402


def lines(*numbers, state="ok", step=25):
    return "".join(f"workload: line {n} sse={state} avx=none disk=ok ticks={n * step}\n"
                   for n in numbers)


class Workload(unittest.TestCase):
    def one(self, text, word):
        problems = check_workload(text)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(word, problems[0])

    def test_good(self):
        self.assertEqual(check_workload("firmware\nguest: disk\n" + lines(1, 2, 3)), [])

    def test_escape_sequences_before_the_first_line(self):
        self.assertEqual(check_workload("\x1b[2J" + lines(1, 2)), [])

    def test_other_lines_between(self):
        self.assertEqual(check_workload(lines(1) + "kernel: 6 hello\n" + lines(2)), [])

    def test_last_line_incomplete(self):
        self.assertEqual(check_workload(lines(1, 2) + "workload: line 3 ss"), [])

    def test_line_cut_in_two_by_a_resume(self):
        text = lines(1, 2, 3)
        self.assertEqual(check_workload(text[:60] + text[60:]), [])

    def test_lost(self):
        self.one(lines(1, 2, 4, 5), "lost")

    def test_doubled(self):
        problems = check_workload(lines(1, 2, 2, 3))
        self.assertTrue(any("doubled" in problem for problem in problems))

    def test_first_lost(self):
        self.one(lines(2, 3), "lost")

    def test_character_lost(self):
        self.one(lines(1) + lines(2).replace("sse", "se") + lines(2, 3), "garbled")

    def test_character_doubled(self):
        self.one(lines(1) + "w" + lines(2) + lines(2, 3), "garbled")

    def test_newline_lost(self):
        self.assertTrue(check_workload(lines(1, 2).replace("\n", "", 1) + lines(3)))

    def test_wrong(self):
        self.one(lines(1) + "workload: WRONG sse sum line 2 want 0x1 got 0x2\n" + lines(2),
                 "WRONG")

    def test_bad(self):
        self.one(lines(1) + lines(2, state="bad"), "bad")

    def test_ticks_back(self):
        self.one(lines(1, 2) + lines(3, step=1), "ticks")

    def test_silence(self):
        self.one("nothing\n", "not one")


class Kernel(unittest.TestCase):
    def test_harmless(self):
        self.assertEqual(check_kernel("kernel: 6 guest: mark 1\n" + lines(1)), [])

    def test_busy_host(self):
        late = ("kernel: 4 clocksource: Long readout interval, skipping watchdog check: "
                "cs_nsec: 1016284216 wd_nsec: {}\n")
        self.assertEqual(check_kernel(late.format(1016270440)), [])
        self.assertEqual(len(check_kernel(late.format(1018270440))), 1)
        self.assertEqual(len(check_kernel(late.format(0))), 1)
        self.assertEqual(check_kernel("kernel: 4 hrtimer: interrupt took 8772870 ns\n"), [])
        self.assertEqual(check_kernel(
            "kernel: 4 clocksource: timekeeping watchdog on CPU1: hpet wd-wd read-back delay of 4159300ns\n"
            "kernel: 4 clocksource: wd-tsc-wd read-back delay of 200550ns, clock-skew test skipped!\n"),
            [])
        self.assertEqual(len(check_kernel(
            "kernel: 4 clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable "
            "because the skew is too large:\n")), 1)

    def test_interrupt_for_a_cpu_that_comes_online(self):
        none = ",".join(["00000000"] * 8)
        stale = "kernel: 4 APIC: Stale IRR: {} ISR: {}\n"
        self.assertEqual(check_kernel(stale.format("10000000" + none[8:], none)), [])
        for irr, isr in (("10000000" + none[8:], "10000000" + none[8:]),
                         ("00000001" + none[8:], none), (none[:-1] + "1", none)):
            self.assertEqual(len(check_kernel(stale.format(irr, isr))), 1, (irr, isr))

    def test_complaints(self):
        for text in ("kernel: 6 rcu: INFO: rcu_sched detected stalls on CPUs/tasks:\n",
                     "kernel: 4 something of level warning\n",
                     "kernel: 6 clocksource: Switched to clocksource hpet\n",
                     "kernel: 6 Marking TSC unstable due to check\n",
                     "[   27.463445] BUG: unable to handle page fault\n",
                     "[   27.463445] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n"):
            self.assertEqual(len(check_kernel(text)), 1, text)


class Probe(unittest.TestCase):
    def test_good(self):
        self.assertEqual(check_probe("probe: ready\nprobe: pass 1\nprobe: pass 2\nprobe: pa"), [])

    def test_bad(self):
        for text in ("probe: pass 1\nprobe: FAIL cr4 want 0x1 got 0x2\n",
                     "probe: pass 1\nprobe: pass 3\n", "probe: pass 1\nprobe: pass 1\n",
                     "probe: pass 1\nprobe: stopped\n", "probe: ready\n"):
            self.assertEqual(len(check_probe(text)), 1, text)

    def test_each_cpu(self):
        text = "probe: pass 1\nprobe1: pass 1\nprobe: pass 2\nprobe1: pass 3\n"
        self.assertEqual(check_probe(text), [])
        self.assertEqual(len(check_probe(text, name="probe1")), 1)
        self.assertEqual(len(check_probe(text, name="probe2")), 1)
        for name in ("probe", "probe1"):
            self.assertEqual(len(check_probe("probe: pass 1\nprobe1: pass 1\n"
                                             "probe1: FAIL cr4 want 0x1 got 0x2\n", name=name)), 1)


class Pieces(unittest.TestCase):
    """Programs of one piece of state each, and the workload on each CPU."""

    text = ("guest: started ldt\nldt: line 1 gs=ok\ncompat-ldt: line 1 registers=ok\n"
            "guest: ac says alignment is not checked here\nldt: line 2 gs=ok\n")

    def test_good(self):
        self.assertEqual(check_workload(self.text, name="ldt"), [])
        self.assertEqual(check_workload(self.text, name="compat-ldt"), [])

    def test_bad(self):
        for text in ("ldt: WRONG gs want 0x1 got 0x2\n", "ldt: line 4 gs=ok\n", "ldt: lin 3\n",
                     "ldt: line 2 gs=ok\n"):
            self.assertEqual(len(check_workload(self.text + text, name="ldt")), 1, text)
            self.assertEqual(check_workload(self.text + text, name="compat-ldt"), [])

    def test_silence(self):
        self.assertEqual(len(check_workload(self.text, name="compat")), 1)

    def test_cpus(self):
        text = lines(1, 2).replace("workload", "cpu1") + lines(1, 2, 3).replace("workload", "cpu11")
        self.assertEqual(check_workload(text, name="cpu1"), [])
        self.assertEqual(check_workload(text, name="cpu11"), [])
        self.assertEqual(len(check_workload(text + lines(5).replace("workload", "cpu11"),
                                            name="cpu11")), 1)


CPUS = """CPU#0
RAX=0000000000000000
RIP=ffffffff81000010 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT
CR0=80050033 CR2=0 CR3=0000000001234000 CR4=000006f0
DR6=00000000ffff0ff0 DR7=0000000000000400

CPU#1
EAX=00000000
EIP=08048000 EFL=00040346 [---Z-P-] CPL=3 II=1 A20=1 SMM=0 HLT=0
CS =001f 00010000 ffffffff 00cffb00 DPL=3 CS32 [-RA]
LDT=0040 ffff8000 00000fff 00008200 DPL=0 LDT
CR0=80050033 CR2=0 CR3=01235000 CR4=000016f0
DR6=ffff0ff0 DR7=00000403
"""


class Moments(unittest.TestCase):
    class Guest:
        def inside(self, what, address):
            return what == "spin" and address == 0x8048000

    def now(self, text, programs=""):
        return Moment(text, programs).is_now(cpus_of(CPUS), self.Guest())

    def test_states(self):
        self.assertEqual([cpu.mode for cpu in cpus_of(CPUS)], ["idle", "user"])
        for text in ("idle", "0:idle", "1:user", "idle user", "compat", "ldt", "ldt-code", "tf", "ac",
                     "breakpoint", "shadow", "spin", "1:spin", "1:la57"):
            self.assertTrue(self.now(text), text)
        for text in ("kernel", "1:idle", "all:user", "0:user", "0:ldt", "2:user", "idle kernel",
                     "0:breakpoint", "0:shadow", "0:la57"):
            self.assertFalse(self.now(text), text)

    def test_programs(self):
        self.assertTrue(self.now("singlestep", "singlestep@1 pkey@1"))
        self.assertTrue(self.now("pkey compat-ldt", "compat-ldt@1 pkey@1"))
        self.assertFalse(self.now("pkey", "pkey@0"))

    def test_unknown(self):
        with self.assertRaises(Failure):
            Moment("usr")


if __name__ == "__main__":
    unittest.main()
