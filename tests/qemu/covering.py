# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Covering sets: few rows in which each value of every factor meets each value of every other one.

A factor is (name, values). A row is a tuple of values in the order of the factors. The same factors
always give the same rows."""

import itertools
import random

ATTEMPTS = 400  # random orders that are tried; the shortest set is taken


def pairs_of(row):
    """All pairs of a row: (factor, value, factor, value), the factors by number."""
    return {(i, row[i], j, row[j]) for i, j in itertools.combinations(range(len(row)), 2)}


def all_pairs(factors):
    return {(i, a, j, b)
            for i, j in itertools.combinations(range(len(factors)), 2)
            for a in factors[i][1] for b in factors[j][1]}


def uncovered(factors, rows):
    """The pairs that no row has, in order."""
    return sorted(all_pairs(factors).difference(*(pairs_of(row) for row in rows)),
                  key=lambda pair: (pair[0], pair[2], str(pair)))


def attempt(factors, rng, most):
    """Rows one by one, each begun with a pair that is still to be covered and filled with what
    covers most. None when it takes more than most rows."""
    left = all_pairs(factors)
    order = sorted(left, key=str)
    rng.shuffle(order)
    rows = []
    while left:
        if len(rows) == most:
            return None
        i, a, j, b = next(pair for pair in order if pair in left)
        row = {i: a, j: b}
        free = [number for number in range(len(factors)) if number not in row]
        rng.shuffle(free)
        for number in free:
            def gain(value):
                return sum((*first, *second) in left
                           for other in row
                           for first, second in [sorted([(number, value), (other, row[other])])])
            values = list(factors[number][1])
            rng.shuffle(values)
            row[number] = max(values, key=gain)
        rows.append(tuple(row[number] for number in range(len(factors))))
        left -= pairs_of(rows[-1])
    return rows


def covering_rows(factors):
    """A set of rows that covers every pair, sorted by the order of the values."""
    best = None
    for seed in range(ATTEMPTS):
        rows = attempt(factors, random.Random(seed), len(best) - 1 if best else 1000)
        best = rows or best
    missing = uncovered(factors, best)
    if missing:
        raise AssertionError(f"not covered: {missing}")
    return sorted(best, key=lambda row: [values.index(value)
                                         for (_, values), value in zip(factors, row)])


def each_value(factors, rows):
    """Few of the rows in which each value of every factor occurs."""
    left = {(i, value) for i, (_, values) in enumerate(factors) for value in values}
    chosen = []
    while left:
        row = max(rows, key=lambda row: len(left & set(enumerate(row))))
        chosen.append(row)
        left -= set(enumerate(row))
    return chosen
