# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Pieces of state that are dropped on purpose (resumectl resume --inject), one after the other from
the same snapshot: the guest has to notice each, by itself, since nothing is verified from outside.

A case's key drops has one of them in each line: "NAME@VCPU^MASK PATTERN", where PATTERN is what the
failure, or the guest, has to say."""

import re
import subprocess

from harness import Failure, Settings

TRIES = 3


def drops_of(case):
    return [line.split(None, 1) for line in case.get("drops").splitlines() if line.strip()]


def resume_without(machine, guest, snapshot, wish, pattern, finish):
    """Resume without one piece; returns what was said about that. More than one try: a guest that
    happens to switch to another program before it needs the piece gets it back from its kernel."""
    said = ""
    for _ in range(TRIES):
        said = one_try(machine, guest, snapshot, wish, pattern, finish)
        found = re.search(pattern, said, re.M)
        if found:
            return f"{wish}: {found.group(0)}"
    raise Failure(f"{wish} was not missed; wanted {pattern!r}, got {said[:200]!r}")


def one_try(machine, guest, snapshot, wish, pattern, finish):
    """One resume; returns all that was said by the checks and the guest."""
    before = machine.console.position()
    machine.spawn([Settings.resumectl, "resume", snapshot, "--inject", "reg:" + wish, "--",
                   *machine.command()], "drop")
    failure = "nothing was wrong"
    try:
        finish(machine, guest, before, 60)
    except Failure as found:
        failure = str(found)
        try:
            # What stopped the wait may be a line's beginning, or something that followed from it.
            machine.console.wait_for(pattern, 5, "complaint", start=before, alive=machine.alive)
        except Failure:
            pass
    finally:
        if machine.process.poll() is None:
            machine.process.terminate()
        try:
            machine.process.wait(30)
        except subprocess.TimeoutExpired:
            machine.process.kill()
            machine.process.wait()
    machine.console.wait_closed(30, "the console of the resumed VM")
    return failure + "\n" + machine.console.text(before)
