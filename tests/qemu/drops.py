# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Pieces of state that are dropped on purpose (resumectl resume --inject), one after the other from
the same snapshot: the guest has to notice each, by itself, since nothing is verified from outside.

A case's key drops has one of them in each line: "NAME@VCPU^MASK PATTERN", where PATTERN is what the
failure, or the guest, has to say."""

import re
import subprocess

from harness import Failure, Settings

# Snapshots, each of another instant. A guest that happens to be about to switch to another program,
# before it needs the piece, gets it back from its kernel: with every resume of that snapshot. With six
# programs on two processors that is 4 of 10 instants, since timers are overdue when it goes on.
SNAPSHOTS = 8


def drops_of(case):
    return [line.split(None, 1) for line in case.get("drops").splitlines() if line.strip()]


def resume_without(machine, guest, snapshot, wish, pattern, finish):
    """Resume without one piece; returns what was said about that."""
    said = one_try(machine, guest, snapshot, wish, finish, pattern)
    found = re.search(pattern, said, re.M)
    if not found:
        raise Failure(f"{wish} was not missed; wanted {pattern!r}, got {said[:200]!r}")
    return f"{wish}: {found.group(0)}"


def one_try(machine, guest, snapshot, wish, finish, pattern):
    """One resume; returns all that was said by the checks and the guest, which is then forgotten."""
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
    said = failure + "\n" + machine.console.text(before)
    machine.console.forget(before)
    return said
