#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""make_sealed_seeds.py DIRECTORY: small snapshot images that are not sealed, for fuzz_sealed."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from image_oracle import LZ4, NONE, ZSTD, Image  # noqa: E402


def small(kind, runs):
    image = Image(None, kind)
    image.map, image.runs = [(0, 160), (256, 768)], runs
    image.state, image.plan, image.host, image.devices = b"a state blob", b"a plan", b"{}", b"part"
    image.changes = [(0, 1, b"c")]
    return image.build()


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    for name, kind, runs in (("none", NONE, [(4, 1)]),
                             ("lz4", LZ4, [(4, 2), (7, 2), (256, 1), (1021, 2)]),
                             ("zstd", ZSTD, [(1, 2), (10, 2), (256, 2), (1021, 2)])):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(small(kind, runs))


if __name__ == "__main__":
    main()
