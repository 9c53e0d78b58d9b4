# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a snapshot says of its vCPUs, by resumectl inspect."""

import json

from harness import Failure

MODES = ("user", "kernel", "idle", "dormant")


def inspect(machine, snapshot):
    """The JSON of resumectl inspect, memory left out."""
    code, text, errors = machine.tool("inspect", "--json", "--registers", snapshot)
    if code != 0:
        raise Failure(f"resumectl inspect --json: exit status {code}: {errors.strip()[-300:]}")
    return json.loads(text)


def mode_of(vcpu):
    """user, kernel, idle (halted by the guest) or dormant (never started by it)."""
    long_mode = vcpu["mode"] in ("64-bit mode", "compatibility mode")
    state = vcpu["run"]["state"]
    if state not in ("running", "halted") or not long_mode:
        return "dormant"
    if state == "halted":
        return "idle"
    return "user" if vcpu["cpl"] == 3 else "kernel"


def modes_of(inspected):
    return [mode_of(vcpu) for vcpu in inspected["vcpus"]]


def paging_levels(inspected):
    """Levels of paging of the guest: of its first vCPU that runs it."""
    for vcpu in inspected["vcpus"]:
        if mode_of(vcpu) != "dormant":
            return vcpu["paging"]["levels"]
    return 0
