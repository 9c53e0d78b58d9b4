#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Stops a Linux guest in user and in kernel mode, with 1, 2 and 4 vCPUs, and has the same instant
written as a migration stream, a snapshot in a qcow2 image, a save file as libvirt makes it, an ELF
dump (with and without paging), a kdump and a listing of `info registers`. What two of them carry
must agree, field by field. Two more guests are run by libvirt itself, and saved by it
(virsh_agree.py). See --help."""

import argparse
import configparser
import os
import random
import struct
import subprocess
import sys
import time
import zlib

import virsh_agree
from fields import compare
from guests import guest_of
from harness import Failure, Machine, Patience, Settings, Skip, limit
from moments import Moment, reach

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# What a format must carry at least, so that a comparison of nothing does not pass: fields per vCPU.
LEAST = {"qcow2": 140, "libvirt": 140, "elf": 59, "elf-paging": 59, "kdump": 59, "registers": 93}


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


def run(name, case, moment, seed, program):
    machine = Machine("import-" + name, case)
    try:
        guest = guest_of(machine)
        machine.start()
        guest.wait_up()
        reach(machine, guest, random.Random(seed), Moment(moment))
        paths, image = write_all(machine, random.Random(f"{name} {seed}"))
        try:
            counts = compare(program, paths["stream"], {key: paths[key] for key in LEAST},
                             LEAST, int(case["smp"]))
        except Failure as failure:
            raise Failure(f"{failure} (qcow2: {image})") from None
        for path in paths.values():
            os.unlink(path)
        return counts, f"; qcow2 with {image}"
    finally:
        machine.close()


def cases():
    """Name, how to run it, settings, moment."""
    found = []
    for smp, cpu in (("1", "qemu64"), ("2", "Haswell"), ("4", "qemu64")):
        for mode in ("user", "kernel"):
            found.append((f"{mode}-{smp}", run, {"smp": smp, "cpu": cpu}, mode))
    for machine, smp, cpu, mode, formats in (("q35", "2", "Haswell", "user", "gzip xz"),
                                             ("pc", "4", "qemu64", "kernel", "bzip2 lzop")):
        found.append((f"virsh-{machine}-{mode}-{smp}", virsh_agree.run,
                      {"smp": smp, "cpu": cpu, "machine": machine, "formats": formats}, mode))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these (see --list)")
    parser.add_argument("--list", action="store_true", help="the names of all cases")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    parser.add_argument("--guest", default=os.path.join(ROOT, "build/guest"))
    parser.add_argument("--logs", default=os.path.join(ROOT, "build/qemu-logs"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--patience", type=float, default=1.0,
                        help="multiply all limits, on slow machines")
    arguments = parser.parse_args()
    known = [case[0] for case in cases()]
    if arguments.list:
        print("\n".join(known))
        return 0
    for name in arguments.cases:
        if name not in known:
            parser.error(f"{name}: no such case (see --list)")
    Patience.factor = arguments.patience
    Settings.resumectl = os.path.join(arguments.build, "tools/resumectl")
    Settings.guest = arguments.guest
    Settings.logs = arguments.logs
    os.makedirs(arguments.logs, exist_ok=True)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    conf = configparser.ConfigParser()
    with open(os.path.join(HERE, "cases.conf"), encoding="utf-8") as file:
        conf.read_file(file)
    results = {"PASS": 0, "FAIL": 0, "SKIP": 0}
    program = os.path.join(arguments.build, "tests/unit/import_fields")
    for name, function, settings, mode in cases():
        if arguments.cases and name not in arguments.cases:
            continue
        conf[name] = {"guest": "linux", "ram": "256M", "disk": "no", **settings}
        try:
            counts, more = function(name, conf[name], mode, seed, program)
            result, text = "PASS", f"{sum(counts.values())} comparisons: " + ", ".join(
                f"{key} {value}" for key, value in counts.items()) + more
        except Failure as failure:
            result, text = "FAIL", f"(seed {seed}): {failure}"
        except Skip as skip:
            result, text = "SKIP", str(skip)
        results[result] += 1
        print(f"{result} {name}: {text}", flush=True)
    print(f"SUMMARY: {results['PASS']} passed, {results['FAIL']} failed, {results['SKIP']} skipped")
    return results["FAIL"] != 0


if __name__ == "__main__":
    sys.exit(main())
