# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How fast resume.efi loads a guest's memory from an image, beside reading the same image from the same
disk in the same machine and doing nothing with it. The firmware's own clock is used; and, because a busy
host changes that, the CPU time of QEMU's vCPUs: the busier one's is what loading takes when both can run."""

import os
import re
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "qemu"))
from guests import guest_of  # noqa: E402
from harness import Failure, Machine, Settings, limit  # noqa: E402

RAW_ROUNDS = 3
SLOW_DISK = 150_000_000  # bytes in a second
RAW_WANTED, CPUS_WANTED = 0.9, 1.6
KEY = bytes(range(200, 232))
# Title, vCPUs, options of seal, sealed, bytes in a second that the disk gives at most.
KINDS = (("as it is, not sealed, 2 CPUs", 2, ("--compress", "none"), False, None),
         ("LZ4, sealed, 2 CPUs", 2, ("--compress", "lz4"), True, None),
         ("LZ4, sealed, 1 CPU", 1, ("--compress", "lz4"), True, None),
         ("as it is, not sealed, 2 CPUs, slow disk", 2, ("--compress", "none"), False, SLOW_DISK),
         ("LZ4, sealed, 2 CPUs, slow disk", 2, ("--compress", "lz4"), True, SLOW_DISK),
         ("Zstandard, sealed, 2 CPUs, slow disk", 2, ("--compress", "zstd"), True, SLOW_DISK))


def write(path, content):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path


def vcpu_times(pid):
    """CPU seconds of each vCPU's thread."""
    times = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as file:
            name, fields = file.read().split("(", 1)[1].rsplit(")", 1)
        if name.startswith("CPU "):
            user, system = fields.split()[11:13]
            times[name] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return times


def wait_said(machine, log, wanted, seconds):
    """Waits for a text, returns what is said by then and the CPU times."""
    until = time.monotonic() + limit(seconds)
    while True:
        with open(log, encoding="latin-1") as file:
            text = file.read()
        if wanted in text:
            return text, vcpu_times(machine.process.pid)
        if "libresume: refused" in text or time.monotonic() > until:
            raise Failure(f"not loaded; the firmware says {text[-400:]!r}")
        machine.alive()
        time.sleep(0.005)  # between two looks


def load_once(machine, application, image, sealed, most):
    """Starts OVMF with the application: rates of reading, then of loading, in bytes in a second: (raw, of
    memory, of the image, of memory by the busier vCPU's time)."""
    log = write(machine.path("debug.log"), b"")
    runs = "raw image=partition\n" * RAW_ROUNDS + "image=partition\n"
    drive = f"if=none,id=image,format=raw,read-only=on,file={image}"
    if most:
        drive += f",throttling.bps-read={most}"
    words = iter(machine.command())
    command = []
    for word in words:
        if word in ("-kernel", "-initrd", "-append"):
            next(words)
        else:
            command.append(word)
    command += ["-name", "load,debug-threads=on", "-kernel", application, "-debugcon", "file:" + log, "-global",
                "isa-debugcon.iobase=0x402", "-drive", drive, "-device", "virtio-blk-pci,drive=image",
                "-fw_cfg", "name=opt/org.libresume.test/runs,file="
                + write(machine.path("runs"), runs.encode())]
    if sealed:
        command += ["-fw_cfg", "name=opt/org.libresume/key,file=" + machine.path("key")]
    machine.spawn(command, "load")
    before = wait_said(machine, log, "libresume: loading: ", 180)[1]
    after = wait_said(machine, log, "libresume: loaded: ", 180)[1]
    text = wait_said(machine, log, "libresume: parked\n", 180)[0]
    busiest = max(after[name] - before[name] for name in after)
    machine.process.kill()
    machine.process.wait()
    raw = [int(size) / int(passed) * 1e6 for size, passed in re.findall(
        r"^libresume: test: raw: (\d+) bytes in (\d+) microseconds", text, re.M)]
    found = re.search(r"^libresume: loaded: (\d+) bytes of memory from (\d+) bytes of the image in "
                      r"(\d+) ms", text, re.M)
    if len(raw) != RAW_ROUNDS or not found:
        raise Failure(f"no figures; the firmware says {text[-400:]!r}")
    memory, stored, passed = map(int, found.groups())
    return (statistics.median(raw), memory / passed * 1e3, stored / passed * 1e3,
            memory / max(busiest, 0.01))


def machine_of(case, vcpus, snapshots):
    """A machine whose snapshot has been taken."""
    machine = Machine(f"bench-load-{vcpus}", case(guest="linux", cpu="Haswell", disk="no",
                                                 smp=str(vcpus)))
    snapshots[vcpus] = (machine, machine.path("snapshot"))
    machine.start()
    guest_of(machine).wait_up()
    machine.snapshot()
    write(machine.path("key"), KEY)


def bench_loads(case, application, rounds):
    """case: makes a case of a machine."""
    snapshots = {}
    rates = {kind[0]: [] for kind in KINDS}
    try:
        for vcpus in (1, 2):
            machine_of(case, vcpus, snapshots)
        print(f"Loading in firmware, MB/s by its clock; medians of {rounds} machines, each of which first reads "
              f"the image\n{RAW_ROUNDS} times without doing anything with it")
        print(f"  {'':42} {'raw':>7} {'image':>7} {'memory':>7} {'of raw':>7} {'by CPU time':>12}")
        for number in range(rounds):
            for title, vcpus, options, sealed, most in KINDS:
                machine, snapshot = snapshots[vcpus]
                image = machine.path("-".join(("vm", options[1], str(int(sealed)))) + ".rsm")
                if number == 0 and not os.path.exists(image):
                    key = ["--key", machine.path("key")] if sealed else []
                    code, _, errors = machine.tool("seal", *options, *key, "-o", image, snapshot)
                    if code != 0:
                        raise Failure(f"seal: exit status {code}: {errors.strip()[-300:]}")
                rates[title].append(load_once(machine, application, image, sealed, most))
        for title, found in rates.items():
            raw, memory, stored, free = (statistics.median(column) / 1e6 for column in zip(*found))
            ratio = statistics.median(rate[1] / rate[0] for rate in found)
            print(f"  {title:42} {raw:7.0f} {stored:7.0f} {memory:7.0f} {ratio:7.2f} {free:12.0f}")
        of_raw = lambda title: statistics.median(rate[1] / rate[0] for rate in rates[title])
        free = lambda title: statistics.median(rate[3] for rate in rates[title])
        plain, fast, one, plain_slow, slow = (kind[0] for kind in KINDS[:5])
        cpus = free(fast) / free(one)
        yes = lambda good: "yes" if good else "NO"
        print(f"  as it is: {of_raw(plain):.2f} of raw reading, {of_raw(plain_slow):.2f} from a disk of "
              f"{SLOW_DISK // 1000000} MB/s (wanted {RAW_WANTED}: "
              f"{yes(of_raw(plain) >= RAW_WANTED)}, {yes(of_raw(plain_slow) >= RAW_WANTED)})")
        print(f"  LZ4, sealed, from that disk: {of_raw(slow):.2f} of raw reading (wanted more than 1: "
              f"{yes(of_raw(slow) > 1)})")
        print(f"  2 CPUs: {cpus:.2f} times 1, by CPU time (wanted {CPUS_WANTED}: {yes(cpus >= CPUS_WANTED)})",
              flush=True)
    finally:
        for machine, _ in snapshots.values():
            machine.close()
