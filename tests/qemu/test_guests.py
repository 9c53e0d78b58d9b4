#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The checks of guests.py, on console output with one defect each."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guests import check_kernel, check_probe, check_workload  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
