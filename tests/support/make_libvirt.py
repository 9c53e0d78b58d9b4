#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""make_libvirt.py OUTPUT: has libvirt save the same small machine as make_containers.py (isapc,
16 MiB, firmware that only halts), once it has halted, packed with gzip. OUTPUT is as libvirt wrote
it, with the path of a temporary directory in its XML."""
import configparser
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "qemu"))
from harness import Settings  # noqa: E402
from virsh import Domain, find  # noqa: E402

PATIENCE = 30  # seconds
XML = """<domain type='qemu'>
  <name>sample</name>
  <uuid>00000000-0000-4000-8000-000000000001</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='isapc'>hvm</type>
    <loader type='rom'>{firmware}</loader>
  </os>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <video><model type='none'/></video>
  </devices>
</domain>
"""


class Sample(Domain):
    def describe(self):
        with open(self.file("firmware"), "wb") as file:
            file.write(bytes(0xfff0) + b"\xf4\xeb\xfd" + bytes(13))  # hlt, again
        return XML.format(firmware=self.file("firmware"), emulator=find(self.qemu.program))


def run(output):
    cases = configparser.ConfigParser()
    cases["sample"] = {"domain": "sample"}
    machine = Sample("sample", cases["sample"])
    try:
        machine.start()
        until = time.monotonic() + PATIENCE
        while "HLT=1" not in machine.virsh("qemu-monitor-command", "sample", "--hmp",
                                           "info registers"):
            if time.monotonic() > until:
                raise SystemExit(f"halted: not within {PATIENCE} s")
            time.sleep(0.05)  # between two looks
        machine.virsh("suspend", "sample")
        machine.virsh("save", "sample", machine.file("raw"))
        machine.serve("gzip")
        machine.virsh("restore", machine.file("raw"), "--paused")
        machine.virsh("save", "sample", machine.file("gzip"))
        shutil.copyfile(machine.file("gzip"), output)
    finally:
        machine.close()


def main():
    (output,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as logs:
        Settings.logs = logs
        run(output)


main()
