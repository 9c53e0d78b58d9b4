# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Pieces of state that are dropped on purpose (resumectl resume --inject), one after the other from
the same snapshot: the guest has to notice each, by itself, since nothing is verified from outside.

A case's key drops has one of them in each line: "NAME@VCPU^MASK PATTERN", where PATTERN is what the
failure, or the guest, has to say."""

import re
import subprocess

from harness import Failure, Settings


def drops_of(case):
    return [line.split(None, 1) for line in case.get("drops").splitlines() if line.strip()]


def resume_without(machine, guest, snapshot, wish, pattern, finish):
    """One resume; returns what was said about the piece that it lacked."""
    before = machine.console.position()
    machine.spawn([Settings.resumectl, "resume", snapshot, "--inject", "reg:" + wish, "--",
                   *machine.command()], "drop")
    try:
        finish(machine, guest, before, 60)
        said = "nothing"
    except Failure as failure:
        said = str(failure) + "\n" + machine.console.text(before)
    finally:
        if machine.process.poll() is None:
            machine.process.terminate()
        try:
            machine.process.wait(30)
        except subprocess.TimeoutExpired:
            machine.process.kill()
            machine.process.wait()
    machine.console.wait_closed(30, "the console of the resumed VM")
    found = re.search(pattern, said, re.M)
    if not found:
        raise Failure(f"{wish} was not missed; wanted {pattern!r}, got {said[:200]!r}")
    return f"{wish}: {found.group(0)}"
