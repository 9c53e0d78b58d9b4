#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Snapshots and resumes a loaded Linux of several CPUs again and again. See --help."""

import argparse
import collections
import configparser
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
import traceback
from typing import NamedTuple

from guests import guest_of
from harness import Failure, Machine, Patience, Settings
from matrix import Versions, check_source, slow_host
from run import check_ledger, finish
from snapshots import MODES, inspect, modes_of

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GIVE_UP = 10  # failures after which going on tells nothing new
HASWELL = "Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm"  # less what TCG does not have


class Style(NamedTuple):
    """A kind of VM and load; the chains take turns in them. LAST stands for the last CPU's number,
    FEWER for the number of CPUs less one."""

    name: str
    machine: str
    cpu: str
    programs: str = "cpus threads"
    append: str = ""
    before: str = ""
    after: str = ""


STYLES = (
    Style("busy", "q35", "Skylake-Client", append="pti=on"),
    Style("threads", "pc", "EPYC", programs="threads"),
    Style("idle", "q35", "max", programs="cpus", append="work=idle"),
    Style("offline", "pc", HASWELL, before="offline LAST", after="online LAST"),
    Style("mixed", "q35", "qemu64", append="work=idle"),
    Style("dormant", "q35", HASWELL, append="maxcpus=FEWER", after="online LAST"),
)


class Soak:
    """The whole run: so many resumes, handed out in chains, and what became of each."""

    def __init__(self, arguments, seed):
        self.arguments = arguments
        self.seed = seed
        self.lock = threading.Lock()
        self.left = arguments.count
        self.chains = 0
        self.links = []  # one record for each resume
        self.failures = []
        self.snapshots = []  # modes at each
        self.styles = [style for style in STYLES
                       if (arguments.smp > 1 or style.name not in ("offline", "dormant"))
                       and (not arguments.styles or style.name in arguments.styles)]

    def take(self):
        """The next chain: its number and how many links it may have; (0, 0) when all is done."""
        with self.lock:
            if self.left == 0 or len(self.failures) >= GIVE_UP:
                return 0, 0
            links = min(self.left, self.arguments.chain)
            self.left -= links
            self.chains += 1
            return self.chains, links

    def case(self, style):
        last = str(self.arguments.smp - 1)
        fill = lambda text: text.replace("LAST", last).replace("FEWER", last)
        parser = configparser.ConfigParser()
        parser.read_dict({"chain": {
            "guest": "linux", "method": "resume", "moment": "any", "firmware": "bios",
            "qemu": self.arguments.qemu, "ovmf": self.arguments.ovmf,
            "kernel": self.arguments.kernel,
            "machine": style.machine, "cpu": style.cpu, "ram": self.arguments.ram,
            "smp": str(self.arguments.smp), "programs": style.programs,
            "append": f"{slow_host(self.arguments.smp)} {fill(style.append)}".strip(),
            "before": fill(style.before), "after": fill(style.after)}})
        return parser["chain"]

    def done(self, record):
        """One resume has ended, well or not."""
        with self.lock:
            self.links.append(record)
            number, total = self.resumes(), self.arguments.count
            print(f"[{number}/{total}] {'PASS' if record['ok'] else 'FAIL'} chain {record['chain']} "
                  f"({record['style']}) link {record['link']}: {' '.join(record['modes']) or '-'}; "
                  + (f"snapshot {record['snapshot_s']:.1f} s, on after {record['resume_s']:.1f} s"
                     if record["ok"] else record["problem"].splitlines()[-1]), flush=True)
            if not record["ok"]:
                self.failures.append(record)

    def resumes(self):
        """How many there were; a chain that did not get that far has link 0."""
        return sum(record["link"] > 0 for record in self.links)

    def give_back(self, links):
        with self.lock:
            self.left += links

    def worker(self):
        while True:
            number, links = self.take()
            if not links:
                return
            style = self.styles[(number - 1) % len(self.styles)]
            try:
                self.chain(number, links, style)
            except Exception:  # a mistake in here must not end the soak unseen
                self.done({"ok": False, "chain": number, "link": 0, "style": style.name, "modes": [],
                           "problem": traceback.format_exc()})

    def chain(self, number, links, style):
        """Boots a VM and resumes it links times, each from a snapshot of the one before."""
        rng = random.Random(f"{self.seed}-{number}")
        machine = Machine(f"chain-{number:03}", self.case(style))
        made = 0
        good = False
        record = {}
        try:
            guest = guest_of(machine)
            machine.start()
            guest.wait_up()
            for link in range(1, links + 1):
                record = {"ok": False, "chain": number, "link": link, "style": style.name,
                          "modes": [], "problem": ""}
                self.one(machine, guest, rng, record)
                record["ok"] = True
                if link == links:  # what comes after the last one belongs to it
                    record["ok"] = False
                    guest.afterwards()
                    code = guest.end()
                    if code != 0:
                        raise Failure(f"the last resume: exit status {code}: "
                                      f"{machine.last_output()}")
                    record["ok"] = True
                made += 1
                self.done(record)
            good = True
        except Exception as problem:
            if not record:
                record = {"chain": number, "link": 0, "style": style.name, "modes": []}
            record["ok"] = False
            record["problem"] = (str(problem) if isinstance(problem, Failure)
                                 else traceback.format_exc())
            record["directory"] = machine.directory
            made += record["link"] != 0
            self.keep(machine, record)
            self.done(record)
            self.give_back(links - made)
        finally:
            machine.close()
            if good and not self.arguments.keep:
                shutil.rmtree(machine.directory)

    def one(self, machine, guest, rng, record):
        """One link: run on, snapshot, resume, check. The snapshot and the disk as it was then are
        there until it has ended well."""
        delay = rng.uniform(0, self.arguments.delay)
        record["after_s"] = round(delay, 3)
        time.sleep(delay)  # not in place of an event: the instant itself is what is drawn
        resumed = record["link"] > 1
        if not resumed:
            check_source(machine, guest)
        began = time.monotonic()
        snapshot = machine.snapshot(f"snapshot-{record['link']}")
        record["snapshot_s"] = round(time.monotonic() - began, 3)
        if resumed and machine.process.returncode != 0:
            raise Failure(f"the resume before: exit status {machine.process.returncode}: "
                          f"{machine.last_output()}")
        disk = machine.path(f"disk-{record['link']}.img")
        subprocess.run(["cp", "--sparse=always", machine.path("disk.img"), disk], check=True)
        record["modes"] = modes_of(inspect(machine, snapshot))
        with self.lock:
            self.snapshots.append(record["modes"])
            taken = len(self.snapshots)

        verify = self.arguments.verify and taken % self.arguments.verify == 0
        before = machine.console.position()
        timing = machine.path("timing.json")
        ledger = machine.path("ledger.json")
        options = ["--timing", timing] + (["--verify", "--json", ledger] if verify else [])
        began = time.monotonic()
        machine.spawn([Settings.resumectl, "resume", snapshot, *options, "--", *machine.command()],
                      "resume")
        machine.console.wait_for(r"\n", 240, "first line after the resume", start=before,
                                 alive=machine.alive)
        record["resume_s"] = round(time.monotonic() - began, 3)
        finish(machine, guest, before, 240)
        record["on_s"] = round(time.monotonic() - began, 3)
        if verify:
            check_ledger(ledger)
        record["verified"] = bool(verify)
        shutil.rmtree(snapshot)
        os.unlink(disk)

    @staticmethod
    def keep(machine, record):
        """What the VM is doing now, for whoever looks at the failure; the directory stays."""
        with open(machine.path("failure.json"), "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
        if machine.process is None or machine.process.poll() is not None:
            return
        try:
            qmp = machine.qmp()
            with open(machine.path("failure-state.txt"), "w", encoding="utf-8") as file:
                for command in ("info status", "info registers -a", "info registers -a",
                                "info lapic 0", "info pic", "info cpus"):
                    file.write(f"---- {command}\n{qmp.human(command)}\n")
            qmp.close()
        except (Failure, OSError) as problem:
            machine.note(f"no look at the VM: {problem}")

    def summary(self, seconds):
        vcpus = collections.Counter(mode for modes in self.snapshots for mode in modes)
        together = collections.Counter(
            ", ".join(f"{modes.count(mode)} {mode}" for mode in MODES if mode in modes)
            for modes in self.snapshots)
        times = {}
        for key in ("snapshot_s", "resume_s", "on_s"):
            values = [record[key] for record in self.links if record["ok"]]
            if values:
                times[key] = {"median": round(statistics.median(values), 3), "max": max(values)}
        return {
            "resumes": self.resumes(), "failures": len(self.failures), "seed": self.seed,
            "wanted": self.arguments.count, "chains": self.chains, "chain": self.arguments.chain,
            "vcpus": self.arguments.smp, "ram": self.arguments.ram, "jobs": self.arguments.jobs,
            "verified": sum(record.get("verified", False) for record in self.links),
            "seconds": round(seconds, 1), "times": times,
            "modes": {mode: vcpus[mode] for mode in MODES},
            "modes_together": dict(together.most_common()),
            "failed": self.failures, "links": self.links,
        }


def show(summary, path):
    print()
    print(f"Resumes      {summary['resumes']} of {summary['wanted']}, in {summary['chains']} chains, "
          f"{summary['verified']} of them also compared from outside")
    print(f"Failures     {summary['failures']}")
    names = {"snapshot_s": "Snapshot", "resume_s": "Resume", "on_s": "All CPUs on"}
    for key, times in summary["times"].items():
        print(f"{names[key]:12} median {times['median']:.1f} s, longest {times['max']:.1f} s")
    modes = ", ".join(f"{count} {mode}" for mode, count in summary["modes"].items())
    print(f"vCPUs        at the snapshots: {modes}")
    for together, count in summary["modes_together"].items():
        print(f"             {count:4} x {together}")
    print(f"Seed         {summary['seed']}; took {summary['seconds']:.0f} s; all of it: {path}")
    for record in summary["failed"]:
        print(f"FAILED       chain {record['chain']} link {record['link']} ({record['style']}): "
              f"{record['problem'].splitlines()[-1][:300]} (kept: {record.get('directory', '-')})")


def main():
    parser = argparse.ArgumentParser(
        prog="tests/soak.sh",
        description="Snapshots a loaded Linux of several CPUs at random instants and resumes it, N "
                    "times in all, in chains: boot, then again and again run, snapshot, resume. The "
                    "chains take turns in kinds of VM and load (--list). After each resume every CPU "
                    "has to go on; no line of the guest may be lost, doubled or wrong, and its kernel "
                    "may not complain.",
        epilog="Exit status: 0 no failure, 1 failures, 2 wrong usage. Of a failure all is kept in its "
               "chain's directory: the snapshot, the disk as it was then, the console, all commands, "
               "the state of the VM's CPUs.")
    parser.add_argument("count", nargs="?", type=int, default=200, metavar="N",
                        help="resumes (default: 200)")
    parser.add_argument("--smp", type=int, default=4, help="vCPUs (default: 4)")
    parser.add_argument("--chain", type=int, default=10, metavar="K",
                        help="resumes of a VM before the next one is booted (default: 10)")
    parser.add_argument("--jobs", type=int, default=2, help="VMs at a time (default: 2)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the instants of an earlier run")
    parser.add_argument("--ram", default="512M", help="RAM of the VMs (default: 512M)")
    parser.add_argument("--delay", type=float, default=1.5, metavar="SECONDS",
                        help="longest run between two snapshots (default: 1.5)")
    parser.add_argument("--verify", type=int, default=10, metavar="M",
                        help="compare each M-th resume from outside too; 0 none (default: 10)")
    parser.add_argument("--styles", nargs="+", choices=[style.name for style in STYLES],
                        help="only these kinds of VM and load")
    parser.add_argument("--list", action="store_true", help="print the kinds of VM and load")
    parser.add_argument("--qemu", default="default", help="another QEMU: 10.0 (cmake/setup-next.sh)")
    parser.add_argument("--ovmf", default="default", help="other firmware: 2025.02")
    parser.add_argument("--kernel", default="default", help="another kernel: 6.12")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/release"),
                        help="where resumectl and resume.efi were built (default: build/release)")
    parser.add_argument("--guest", default=os.path.join(ROOT, "build/guest"),
                        help="where the guest was built (default: build/guest)")
    parser.add_argument("--logs", default=os.path.join(ROOT, "build/soak"),
                        help="where logs and summary.json go (default: build/soak)")
    parser.add_argument("--keep", action="store_true", help="keep the logs of good chains too")
    parser.add_argument("--patience", type=float, default=3.0,
                        help="multiply all limits (default: 3)")
    arguments = parser.parse_args()
    if arguments.list:
        for style in STYLES:
            print(f"{style.name:8} {style.machine:4} {style.cpu.split(',')[0]:15} "
                  f"programs: {style.programs}; {style.append} {style.before} {style.after}".rstrip())
        return 0
    if min(arguments.count, arguments.smp, arguments.chain, arguments.jobs) < 1:
        parser.error("N, --smp, --chain and --jobs are at least 1")

    Patience.factor = arguments.patience
    Settings.resumectl = os.path.join(arguments.build, "tools/resumectl")
    Settings.resume_efi = os.path.join(arguments.build, "efi/resume.efi")
    Settings.guest = arguments.guest
    Settings.logs = arguments.logs
    Versions(os.path.join(ROOT, "build/cache/next"), arguments.guest, arguments.guest + "-next")
    for path in (Settings.resumectl, Settings.resume_efi,
                 os.path.join(arguments.guest, "initramfs.gz")):
        if not os.path.exists(path):
            print(f"soak.py: {path}: not there (tests/soak.sh builds it)", file=sys.stderr)
            return 1
    os.makedirs(arguments.logs, exist_ok=True)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"{arguments.count} resumes of {arguments.smp} vCPUs, seed {seed}, logs in {arguments.logs}",
          flush=True)

    soak = Soak(arguments, seed)
    began = time.monotonic()
    workers = [threading.Thread(target=soak.worker) for _ in range(arguments.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    summary = soak.summary(time.monotonic() - began)
    path = os.path.join(arguments.logs, "summary.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(summary, file, indent=1)
    show(summary, path)
    return 1 if soak.failures or soak.resumes() < arguments.count else 0


if __name__ == "__main__":
    sys.exit(main())
