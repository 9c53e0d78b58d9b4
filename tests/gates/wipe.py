#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""wipe.py CC SOURCE: resume_sealed_wipe overwrites memory that is not used any more, also when the compiler
optimizes across files and sees that. That this can fail shows with an ordinary memset, which is dropped."""
import pathlib
import subprocess
import sys
import tempfile

LEVELS = ("-O1", "-O2", "-O3", "-Os")


def left(cc, source, program, *options):
    """Bytes of the secret that are still there."""
    seal = source / "lib/seal"
    subprocess.run([cc, "-std=c11", "-flto", *options, "-I", str(seal / "include"), "-I",
                    str(source / "lib/include"), "-I", str(source / "lib/src"),
                    str(source / "tests/gates/wipe.c"), str(seal / "src/wipe.c"), "-o", program], check=True)
    return int(subprocess.run([program, "x"], check=False, capture_output=True, text=True).stdout)


def main():
    cc, source = sys.argv[1], pathlib.Path(sys.argv[2])
    bad, dropped = 0, 0
    with tempfile.TemporaryDirectory() as work:
        program = str(pathlib.Path(work) / "wipe")
        probe = subprocess.run([cc, "-flto", "-x", "c", "-", "-o", program], input="int main(void) {}",
                               check=False, capture_output=True, text=True)
        if probe.returncode != 0:
            print(f"gate: {cc} cannot -flto here: not tried")
            sys.exit(0)
        for level in LEVELS:
            bytes_left = left(cc, source, program, level)
            if bytes_left != 0:
                print(f"gate: {level} -flto: {bytes_left} bytes of the secret are left")
                bad = 1
            dropped += left(cc, source, program, level, "-DWIPE=forget") > 0
    if dropped == 0:
        print("gate: no memset was dropped either: this gate sees nothing")
        bad = 1
    sys.exit(bad)


main()
