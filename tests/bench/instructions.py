# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How many instructions each vCPU takes from "go" to the guest, out of QEMU's log of what it runs."""

import collections
import os
import re
import subprocess

TRACED = re.compile(r"^Trace (\d+): \S+ \[[0-9a-f]+/([0-9a-f]+)/")
CODE_OFFSET = 0x1000  # RESUME_HOME_CODE
WAIT_PERIOD = 8  # instructions from one PAUSE of a waiting loop to the next, at most


class Count:
    """Of one vCPU: instructions, iterations of its REP instructions (one moves one byte), and
    instructions spent waiting for others."""

    def __init__(self):
        self.instructions = 0
        self.bytes_moved = 0
        self.waited = 0


def pauses(listing):
    """Offsets in the trampoline of its PAUSE instructions: where it waits."""
    found = set()
    with open(listing, encoding="utf-8") as file:
        for line in file:
            match = re.match(r"\s*\d+ ([0-9A-F]{8}) F390\s.*\bpause\b", line)
            if match:
                found.add(int(match.group(1), 16))
    return found


def without_waiting(steps, waits, landings):
    """The steps but for waiting: the way from one PAUSE back to the same one, if it is short."""
    kept, waited, place = [], 0, {}
    for address in steps:
        # The landing's own loop is PAUSE, CMP, JB: its PAUSE is whatever comes back after three.
        waiting = address in waits or (address >= landings and len(kept) >= 3 and
                                       kept[-3] == address)
        if waiting:
            before = place.get(address, len(kept) - 3 if address >= landings else None)
            if before is not None and len(kept) - before <= WAIT_PERIOD:
                waited += len(kept) - before
                del kept[before:]
            place[address] = len(kept)
        kept.append(address)
    return kept, waited


def count(log, home, listing):
    """home: va and length of the home, and the offset of the first landing."""
    va, landings = home["va"], home["va"] + home["landings"]
    waits = {va + CODE_OFFSET + offset for offset in pauses(listing)}
    runs = collections.defaultdict(list)
    counts = collections.defaultdict(Count)
    with open(log, encoding="ascii", errors="replace") as file:
        for line in file:
            match = TRACED.match(line)
            if not match:
                continue
            cpu, address = int(match.group(1)), int(match.group(2), 16)
            if runs[cpu] and runs[cpu][-1] == address:
                counts[cpu].bytes_moved += 1  # the same instruction again: only REP does that
            else:
                runs[cpu].append(address)
    for cpu, steps in runs.items():
        kept, counts[cpu].waited = without_waiting(steps, waits, landings)
        counts[cpu].instructions = len(kept)
    return dict(counts)


def reference(source, directory):
    """Instructions of the steps written down in reference.nasm."""
    listing = os.path.join(directory, "reference.lst")
    subprocess.run(["nasm", "-f", "bin", "-l", listing, "-o", os.devnull, source], check=True)
    total, times = 0, 1
    with open(listing, encoding="utf-8") as file:
        for line in file:
            match = re.search(r"; LOOP (\d+)", line)
            if match:
                times = int(match.group(1))
            if re.match(r"\s*\d+ [0-9A-F]{8} [0-9A-F(<\[]+\S*\s+[a-z]", line) and not re.search(
                    r"\s(dq|dw|times)\s", line):
                total += times
            if "; END" in line:
                times = 1
    return total
