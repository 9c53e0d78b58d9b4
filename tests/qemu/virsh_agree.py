# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A VM that libvirt runs is stopped, listed, dumped and saved by libvirt, restored, and saved again
in other formats: what libresume reads must be the same each time. import_agree.py runs this."""

import json
import os
import random
import shlex
import subprocess

from fields import compare
from guests import guest_of
from harness import Failure, Settings, limit
from moments import Moment, reach
from virsh import Domain, find

# Fields of each vCPU that can be compared: all of a stream, wherever it lies.
STREAM, NOTES, LISTING = 140, 59, 93


def describe(path, run_state, packing):
    """Does inspect say of a save file what was asked of libvirt?"""
    done = subprocess.run([Settings.resumectl, "inspect", "--json", path], capture_output=True,
                          text=True, check=False, timeout=limit(120))
    if done.returncode != 0:
        raise Failure(f"resumectl inspect: {done.stderr.strip()[-300:]}")
    said = json.loads(done.stdout)["input"]
    wanted = f'domain "agree", {run_state}, {packing}, '
    if said["format"] != "libvirt-save" or not said["detail"].startswith(wanted):
        raise Failure(f"resumectl inspect: {os.path.basename(path)}: {said['detail']!r}, "
                      f"expected {wanted!r}")


def follow_hint(path, out):
    """A format that is refused: do what the refusal advises. The result is a stream."""
    done = subprocess.run([Settings.resumectl, "inspect", path], capture_output=True, text=True,
                          check=False, timeout=limit(120))
    hint = done.stderr.strip().rpartition("(unpack it: ")[2].removesuffix(")")
    if done.returncode != 1 or not hint.endswith(">stream"):
        raise Failure(f"resumectl inspect: {os.path.basename(path)}: exit status "
                      f"{done.returncode}, no advice in {done.stderr.strip()[-300:]!r}")
    command = hint.replace("FILE", shlex.quote(path)).removesuffix("stream") + shlex.quote(out)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False,
                          timeout=limit(120))
    if done.returncode != 0:
        raise Failure(f"{command}: {done.stderr.strip()[-300:]}")


def write_all(domain, formats):
    """The stopped VM: listed and dumped, saved without compression, and from there on restored and
    saved by each of the formats, and dumped as a stream, which QEMU does only once to a VM."""
    paths = {}
    least = {}

    def file(name, fields):
        paths[name] = domain.file(name)
        least[name] = fields
        return paths[name]

    def list_registers(name):
        qmp = domain.qmp()
        text = qmp.human("info registers -a")
        qmp.close()
        with open(file(name, LISTING), "w", encoding="ascii") as out:
            out.write(text)

    domain.virsh("suspend", domain.name)  # it is: now libvirt knows, too
    list_registers("registers")
    for name, options in (("elf", ()), ("kdump", ("--format", "kdump-zlib"))):
        domain.virsh("dump", domain.name, file(name, NOTES), "--memory-only", *options)
    raw = domain.file("raw")
    domain.virsh("save", domain.name, raw, "--running")
    describe(raw, "running", "not compressed")
    for packing in formats:
        domain.serve(packing)
        domain.virsh("restore", raw, "--paused")
        saved = domain.file(packing) if packing == "lzop" else file(packing, STREAM)
        list_registers("registers-" + packing)
        domain.virsh("save", domain.name, saved, "--paused", seconds=300)
        if packing == "lzop":
            follow_hint(saved, file("lzop-unpacked", STREAM))
        else:
            describe(saved, "paused", packing)
    domain.virsh("restore", raw, "--paused")
    domain.virsh("dump", domain.name, file("stream", STREAM))
    domain.virsh("destroy", domain.name)
    return raw, paths, least


def run(name, case, moment, seed, program):
    """Returns the number of comparisons by name, and with what."""
    formats = case["formats"].split()
    for packing in formats:
        find(packing)
    domain = Domain("import-" + name, case)
    try:
        guest = guest_of(domain)
        domain.start()
        guest.wait_up()
        reach(domain, guest, random.Random(seed), Moment(moment))
        raw, paths, least = write_all(domain, formats)
        counts = compare(program, raw, paths, least, int(case["smp"]))
        return counts, "; libvirt " + domain.virsh("version", "--daemon").split()[-1]
    finally:
        domain.close()
