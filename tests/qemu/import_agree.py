#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Stops a Linux guest in user and in kernel mode, with 1, 2 and 4 vCPUs, and has the same instant
written as a migration stream, a snapshot in a qcow2 image, a save file as libvirt makes it, an ELF dump (with
and without paging), a kdump and a listing of `info registers`. What two of them carry must agree, field by
field. See --help."""

import argparse
import collections
import configparser
import os
import random
import struct
import subprocess
import sys
import time
import zlib

from guests import guest_of
from harness import Failure, Machine, Patience, Settings, limit
from moments import Moment, reach

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# What a format must carry at least, so that a comparison of nothing does not pass: fields per vCPU.
LEAST = {"qcow2": 140, "libvirt": 140, "elf": 59, "elf-paging": 59, "kdump": 59, "registers": 93}
# Halted, or waiting for its first start: the listing says the same of both.
COARSE = {"mp_state"}


def fields_of(program, path):
    """The fields of an input, by vCPU and name."""
    done = subprocess.run([program, path], capture_output=True, text=True, check=False,
                          timeout=limit(120))
    if done.returncode != 0:
        raise Failure(f"{os.path.basename(path)}: {done.stderr.strip()}")
    found = {}
    for line in done.stdout.splitlines():
        vcpu, name, value = line.split()
        found[int(vcpu), name] = int(value, 16)
    return found


def finish_job(qmp, job, seconds):
    until = time.monotonic() + limit(seconds)
    while True:
        found = next(known for known in qmp("query-jobs") if known["id"] == job)
        if found["status"] == "concluded":
            break
        if time.monotonic() > until:
            raise Failure(f"QMP job {job}: {found['status']} after {limit(seconds):.0f} s")
        time.sleep(0.05)  # between two looks
    qmp("job-dismiss", id=job)
    if "error" in found:
        raise Failure(f"QMP job {job}: {found['error']}")


def save_in_image(qmp, path, chance):
    """What savevm does, into an image of some geometry that no device uses. The same twice:
    clusters of the first are shared, and it is the newest that is read."""
    cluster = 1 << chance.randrange(12, 22)
    extended = cluster >= 1 << 14 and chance.random() < 0.5
    with open(path, "wb"):
        pass
    qmp("blockdev-add", **{"driver": "file", "node-name": "agree-file", "filename": path})
    options = {"driver": "qcow2", "file": "agree-file", "size": 1 << 20, "cluster-size": cluster,
               "extended-l2": extended}
    qmp("blockdev-create", **{"job-id": "create", "options": options})
    finish_job(qmp, "create", 20)
    qmp("blockdev-add", **{"driver": "qcow2", "node-name": "agree", "file": "agree-file"})
    for tag in ("older", "newer"):
        qmp("snapshot-save", **{"job-id": tag, "tag": tag, "vmstate": "agree", "devices": ["agree"]})
        finish_job(qmp, tag, 120)
    return f"clusters of {cluster}" + (" with subclusters" if extended else "")


def wrap_as_libvirt(stream, path):
    """libvirt's header, by its source, and the stream as gzip packs it."""
    text = b"<domain type='qemu'>\n  <name>agree</name>\n</domain>\n\0" + bytes(65536)
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    with open(stream, "rb") as source, open(path, "wb") as out:
        out.write(b"LibvirtQemudSave" + struct.pack("=5I", 2, len(text), 0, 1, 0) + bytes(56) + text)
        while part := source.read(1 << 20):
            out.write(packer.compress(part))
        out.write(packer.flush())


def write_all(machine, chance):
    """The stopped machine in all formats. Returns their paths, by name, and what image it was."""
    paths = {name: machine.path(name) for name in ("stream", *LEAST)}
    qmp = machine.qmp()
    with open(paths["registers"], "w", encoding="ascii") as file:
        file.write(qmp.human("info registers -a"))
    for name, options in (("elf", {"paging": False}), ("elf-paging", {"paging": True}),
                          ("kdump", {"paging": False, "format": "kdump-zlib"})):
        qmp("dump-guest-memory", protocol="file:" + paths[name], **options)
    image = save_in_image(qmp, paths["qcow2"], chance)
    qmp("migrate", uri="exec:cat > " + paths["stream"])
    until = time.monotonic() + limit(60)
    while qmp("query-migrate").get("status") != "completed":
        if time.monotonic() > until:
            raise Failure("the migration to a file: not done")
        time.sleep(0.05)  # between two looks
    qmp("quit")
    qmp.close()
    machine.ended(20, "the VM")
    wrap_as_libvirt(paths["stream"], paths["libvirt"])
    return paths, image


def compare(program, paths, vcpus):
    """Returns the number of comparisons made with the stream, by format."""
    stream = fields_of(program, paths["stream"])
    if {vcpu for vcpu, _ in stream} != set(range(vcpus)):
        raise Failure("the stream has not as many vCPUs as the VM")
    counts = collections.Counter()
    wrong = []
    for name, least in LEAST.items():
        fields = fields_of(program, paths[name])
        for key, value in fields.items():
            if key not in stream or key[1] in COARSE:
                continue
            counts[name] += 1
            if stream[key] != value:
                wrong.append(f"{name}: vCPU {key[0]}: {key[1]}: {value:#x}, "
                             f"the stream has {stream[key]:#x}")
        if counts[name] < least * vcpus:
            wrong.append(f"{name}: only {counts[name]} fields could be compared, "
                         f"expected {least * vcpus}")
    if wrong:
        raise Failure("; ".join(wrong[:6]) + f" ({len(wrong)} in all)")
    return counts


def run(name, case, moment, seed, program):
    machine = Machine("import-" + name, case)
    try:
        guest = guest_of(machine)
        machine.start()
        guest.wait_up()
        reach(machine, guest, random.Random(seed), Moment(moment))
        paths, image = write_all(machine, random.Random(f"{name} {seed}"))
        try:
            counts = compare(program, paths, int(case["smp"]))
        except Failure as failure:
            raise Failure(f"{failure} (qcow2: {image})") from None
        for path in paths.values():
            os.unlink(path)
        return counts, image
    finally:
        machine.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    parser.add_argument("--guest", default=os.path.join(ROOT, "build/guest"))
    parser.add_argument("--logs", default=os.path.join(ROOT, "build/qemu-logs"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--patience", type=float, default=1.0,
                        help="multiply all limits, on slow machines")
    arguments = parser.parse_args()
    Patience.factor = arguments.patience
    Settings.guest = arguments.guest
    Settings.logs = arguments.logs
    os.makedirs(arguments.logs, exist_ok=True)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    conf = configparser.ConfigParser()
    with open(os.path.join(HERE, "cases.conf"), encoding="utf-8") as file:
        conf.read_file(file)
    failed = 0
    program = os.path.join(arguments.build, "tests/unit/import_fields")
    for smp, cpu in (("1", "qemu64"), ("2", "Haswell"), ("4", "qemu64")):
        for mode in ("user", "kernel"):
            name = f"{mode}-{smp}"
            conf[name] = {"guest": "linux", "smp": smp, "cpu": cpu, "ram": "256M", "disk": "no"}
            try:
                counts, image = run(name, conf[name], mode, seed, program)
                print(f"PASS {name}: {sum(counts.values())} comparisons: "
                      + ", ".join(f"{key} {value}" for key, value in counts.items())
                      + f"; qcow2 with {image}", flush=True)
            except Failure as failure:
                failed += 1
                print(f"FAIL {name} (seed {seed}): {failure}", flush=True)
    print(f"SUMMARY: {6 - failed} passed, {failed} failed, 0 skipped")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
