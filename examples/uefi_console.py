#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""uefi_console.py DIRECTORY PID: shows what the firmware of the target that resumectl parks writes on its
console, while it loads an image. DIRECTORY is resumectl's TMPDIR, PID its process. A progress bar moves on a
terminal, and is a line for each tenth elsewhere. Ends when the firmware has been left, or with PID."""

import glob
import os
import re
import sys
import time

BAR = re.compile(r"\[#*\.*\] +(\d+) %")
ESCAPE = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]")


class Shown:
    def __init__(self):
        self.terminal = sys.stdout.isatty()
        self.bar = self.tenth = None

    def line(self, text):
        bar = BAR.search(text)
        if bar and self.terminal:
            self.bar = text
            print(f"\r      UEFI | {text}", end="", flush=True)
        elif bar:
            if int(bar.group(1)) // 10 != self.tenth:
                print(f"      UEFI | {text}", flush=True)
            self.tenth = int(bar.group(1)) // 10
        elif text.startswith("libresume: "):
            print(("\n" if self.bar else "") + "      UEFI | " + text.removeprefix("libresume: "), flush=True)
            self.bar = None


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main():
    directory, pid = sys.argv[1], int(sys.argv[2])
    shown, log, rest = Shown(), None, ""
    while True:
        last = not running(pid)
        if log is None:
            found = glob.glob(os.path.join(directory, "*", "target-console.log"))
            log = open(found[0], encoding="latin-1", newline="") if found else None
        # Up to the last end of a line: the firmware may be in the middle of one.
        *lines, rest = re.split("[\r\n]+", rest + (log.read() if log else ""))
        for text in lines:
            text = ESCAPE.sub("", text).rstrip()
            shown.line(text)
            if re.match("libresume: (leaving|refused|back to)", text):
                return
        if last:
            return
        time.sleep(0.05)  # between two looks


if __name__ == "__main__":
    main()
