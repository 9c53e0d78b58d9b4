#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The covering set of the matrix, against a count that shares no code with what makes it."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from covering import covering_rows, each_value, uncovered  # noqa: E402
from matrix import FACTORS  # noqa: E402


def meetings(rows):
    """How many different pairs of values from two columns occur."""
    columns = len(FACTORS)
    return sum(len({(row[i], row[j]) for row in rows})
               for i in range(columns) for j in range(columns) if i < j)


class Covering(unittest.TestCase):
    def setUp(self):
        self.rows = covering_rows(FACTORS)

    def test_every_pair_is_there(self):
        # QEMU, OVMF, kernel and machine have 2 values, CPU and vCPUs 4, RAM 3: 2 * 2 for six pairs of
        # factors, 2 * 4 for eight, 2 * 3 for four, 4 * 4 for one, 4 * 3 for two.
        self.assertEqual(meetings(self.rows), 24 + 64 + 24 + 16 + 24)
        self.assertEqual(uncovered(FACTORS, self.rows), [])

    def test_a_row_that_is_missing_is_noticed(self):
        # CPU and vCPUs have 16 pairs: with 16 rows there is none too many.
        self.assertEqual(len(self.rows), 16)
        for number in range(16):
            self.assertTrue(uncovered(FACTORS, self.rows[:number] + self.rows[number + 1:]))

    def test_a_pair_that_is_missing_is_named(self):
        rows = [row for row in self.rows if not (row[3] == "EPYC" and row[4] == "8")]
        self.assertIn((3, "EPYC", 4, "8"), uncovered(FACTORS, rows))

    def test_the_same_each_time(self):
        self.assertEqual(covering_rows(FACTORS), self.rows)

    def test_the_subset_has_each_value(self):
        subset = each_value(FACTORS, self.rows)
        self.assertLessEqual(len(subset), 5)
        for column, (_, values) in enumerate(FACTORS):
            self.assertEqual({row[column] for row in subset}, set(values))
        self.assertTrue(set(subset) <= set(self.rows))


if __name__ == "__main__":
    unittest.main()
