# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the importers read out of two files of the same instant has to agree, field by field."""

import collections
import os
import subprocess

from harness import Failure, limit

# Halted, or waiting for its first start: the listing of registers says the same of both.
COARSE = {"mp_state"}


def fields_of(program, path):
    """The fields of an input, by vCPU and name. program: tests/unit/import_fields."""
    done = subprocess.run([program, path], capture_output=True, text=True, check=False,
                          timeout=limit(120))
    if done.returncode != 0:
        raise Failure(f"{os.path.basename(path)}: {done.stderr.strip()}")
    found = {}
    for line in done.stdout.splitlines():
        vcpu, name, value = line.split()
        found[int(vcpu), name] = int(value, 16)
    return found


def compare(program, reference, paths, least, vcpus):
    """Compares files with the one that has all fields. paths: the others, by name; least: how many
    fields of each vCPU must be comparable, by name, so that a comparison of nothing does not pass.
    Returns the number of comparisons by name."""
    expected = fields_of(program, reference)
    if {vcpu for vcpu, _ in expected} != set(range(vcpus)):
        raise Failure(f"{os.path.basename(reference)} has not as many vCPUs as the VM")
    counts = collections.Counter()
    wrong = []
    for name, path in paths.items():
        for key, value in fields_of(program, path).items():
            if key not in expected or key[1] in COARSE:
                continue
            counts[name] += 1
            if expected[key] != value:
                wrong.append(f"{name}: vCPU {key[0]}: {key[1]}: {value:#x}, "
                             f"{os.path.basename(reference)} has {expected[key]:#x}")
        if counts[name] < least[name] * vcpus:
            wrong.append(f"{name}: only {counts[name]} fields could be compared, "
                         f"expected {least[name] * vcpus}")
    if wrong:
        raise Failure("; ".join(wrong[:6]) + f" ({len(wrong)} in all)")
    return counts
