# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Resumes from snapshot images, for cases with the key `seal`: each snapshot is sealed, the image is
verified, taken apart again and compared with the snapshot, which is then removed; what is resumed comes
from the image."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import image_park
from harness import Failure, Settings, Skip, limit
from image_sources import IDENTITY_GUID, KEY_GUID, secret_table

ORACLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support/image_oracle.py")
DIFFERENT = 4  # exit status
SECRET = "opt/org.libresume.test/secret"


def images_of(case):
    """For each image of a case, one after the other, what is said of it: none, lz4 or zstd, "key" if it is
    sealed, and "aes" if by AES-256-GCM, where the default is the other cipher. When there are more resumes
    they come again."""
    return [text.split() for text in case.get("seal", "").split(";") if text.strip()]


def prepare(machine):
    """What the case needs before its VM is started."""
    if not images_of(machine.case):
        return
    unseal = os.path.join(Settings.unit_tests, "unseal_stream")
    for path in (unseal, os.path.join(Settings.secret_applications, "launch-secret-resume.efi")):
        if not os.path.exists(path):
            raise Skip(f"{path}: not built")
    with open(machine.path("key"), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(os.urandom(32))
    if machine.case.getboolean("secret"):
        write_secret(machine, bytes(32))
        inject(machine)


def write_secret(machine, identity):
    """The table of launch secrets, with the key and the only image that may be resumed."""
    with open(machine.path("key"), "rb") as file:
        key = file.read()
    with open(machine.path("secret"), "wb") as file:
        file.write(secret_table((KEY_GUID, key), (IDENTITY_GUID, identity)))


def inject(machine):
    """Give the secret to every VM of the case, whatever its command line: that is the host's part."""
    program = machine.path("qemu")
    with open(program, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexec " + shlex.quote(machine.qemu.program) + ' "$@" -fw_cfg '
                   + shlex.quote(f"name={SECRET},file={machine.path('secret')}") + "\n")
    os.chmod(program, 0o700)
    machine.qemu = machine.qemu._replace(program=program)


def run(command, what):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=limit(120), check=False)
    text = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        raise Failure(f"{what}: exit status {done.returncode}: {text[-300:]}")
    return text


def seal(machine, snapshot, turn):
    """Make an image of a snapshot and remove the snapshot. Returns the image's path, options for the
    resume, and what to say of it."""
    words = images_of(machine.case)
    words = words[(turn - 1) % len(words)]
    image = machine.path(f"vm-{turn}.rsm")
    key = ["--key", machine.path("key")] if "key" in words else []
    cipher = ["--cipher", "aes-256-gcm"] if "aes" in words else []
    code, text, errors = machine.tool("seal", snapshot, *key, *cipher, "--compress", words[0], "-o",
                                      image)
    if code != 0:
        raise Failure(f"resumectl seal: exit status {code}: {errors.strip()[-300:]}")
    if ("integrity only" in errors) == bool(key):
        raise Failure(f"resumectl seal: what it says of the protection is wrong: {errors[-300:]}")
    identity = text.removeprefix("identity ").strip()
    code, text, errors = machine.tool("open", image, *key, "--expect-identity", identity)
    if code != 0:
        raise Failure(f"resumectl open: exit status {code}: {errors.strip()[-300:]}")
    said = f"{' '.join(words)}: {os.path.getsize(image) >> 20} MiB"
    if turn == 1:
        rebuilt = machine.path("rebuilt")
        run([os.path.join(Settings.unit_tests, "unseal_stream"), image,
             key[1] if key else "-", rebuilt], "unseal_stream")
        said += ", rebuilt " + run([sys.executable, "-B", ORACLE, "same",
                                    os.path.join(snapshot, "stream"), rebuilt],
                                   "the rebuilt stream is another")
        os.unlink(rebuilt)
    shutil.rmtree(snapshot)
    if machine.case.get("less") and turn == 1:
        said += ", " + refused(machine, image, bool(key))
    if machine.case.getboolean("secret"):
        write_secret(machine, bytes.fromhex(identity))
        # The firmware has the key from the table; the host's tools have none.
        key = ["--efi", os.path.join(Settings.secret_applications, "launch-secret-resume.efi")]
    elif turn == 1:
        key = [*key, "--expect-identity", identity]
    if machine.case.get("spoil") and turn == 1:
        said += ", " + spoiled(machine, image, key)
    return image, key, said


def spoiled(machine, image, options):
    """Resume with a wrong byte planted in the guest's memory: --verify has to find it, and nothing else."""
    wish = machine.case["spoil"]
    ledger = machine.path("spoiled.json")
    code, _, errors = machine.tool("resume", image, *options, "--verify", "--json", ledger,
                                   "--inject", "ram:" + wish, "--", *machine.command(), seconds=240,
                                   name="spoiled")
    if code != DIFFERENT:
        raise Failure(f"{wish} was planted: exit status {code}: {errors.strip()[-300:]}")
    with open(ledger, encoding="utf-8") as file:
        found = json.load(file)
    if [found[key]["unexpected"] for key in ("cpu_fields", "device_fields", "pages")] != [0, 0, 1]:
        raise Failure(f"{wish} was planted, the verification found something else: {ledger}")
    machine.console.wait_closed(10, "the spoiled VM's console")
    return f"{wish} found"


def refused(machine, image, sealed):
    """Start the firmware with less RAM than the guest had: it has to refuse with the first address that it
    lacks. Returns what it says."""
    ram = machine.case["less"]
    scene = image_park.Scene(key=sealed, target={"ram": ram})
    lacks = int(ram.removesuffix("M")) << 20
    machine.spawn(image_park.target_command(machine, scene, image), "less")
    image_park.wait_said(machine, 120, "libresume: refused: this machine: the physical address is not "
                         f"reachable: RAM of this machine at {lacks:#x} ",
                         r"libresume: (parked|fault|back to).*\n")
    machine.process.terminate()
    machine.ended(30, "the machine with less RAM")
    machine.console.wait_closed(10, "its console")
    return f"refused with {ram}"


def check_said(machine, turn):
    """resumectl resume has to say when an image was not sealed."""
    words = images_of(machine.case)
    sealed = "key" in words[(turn - 1) % len(words)]
    with open(machine.process_log, encoding="utf-8", errors="replace") as file:
        text = file.read()
    if ("integrity only" in text) == sealed:
        raise Failure(f"resumectl resume: what it says of the protection is wrong: {text[-500:]!r}")
