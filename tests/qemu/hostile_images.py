# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Images of a guest that was really stopped, wrong in every way that a host can think of. They are made
by tests/support/image_oracle.py from what `resumectl seal` has made: with the right key where that is
needed, and small, since most of the guest's pages are left out."""

import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import image_oracle as oracle  # noqa: E402

PAGE = oracle.PAGE
CHUNK_PAGES = 4
RUNS, RUN = 12, 4
KEY, OTHER_KEY = random.Random(5).randbytes(32), random.Random(6).randbytes(32)
# Nowhere else in a machine's memory. Sealed images have it in a page, and behind the memory's pages
# nobody may find it once the resume has been refused.
MARK = random.Random(7).randbytes(64)


def runs_of(pages):
    """Ascending numbers as (first, count), each of at most RUN, and not touching."""
    runs = []
    for page in pages:
        if runs and page == runs[-1][0] + runs[-1][1]:
            if runs[-1][1] < RUN:
                runs[-1][1] += 1
        else:
            runs.append([page, 1])
    return [tuple(run) for run in runs]


class Parts:
    """What a real image has, taken apart."""

    def __init__(self, path, key):
        with open(path, "rb") as file:
            data = file.read()
        self.vcpus = struct.unpack_from("<I", data, 36)[0]
        pages, parts = oracle.read(data, key)
        _, _, self.state, self.plan, self.map, _ = parts
        runs = runs_of(sorted(pages))
        self.runs = runs[:RUNS // 2] + runs[-RUNS // 2:]
        self.pages = {page: pages[page] for first, count in self.runs
                      for page in range(first, first + count)}
        marked = self.runs[1][0]
        self.pages[marked] = MARK * (PAGE // len(MARK))
        rng = random.Random(9)
        # Some that do not compress, so that chunks are stored in both ways.
        for page in range(self.runs[2][0], self.runs[2][0] + self.runs[2][1]):
            self.pages[page] = rng.randbytes(PAGE)

    def image(self, key=KEY, compression=oracle.LZ4, salt=bytes(range(32)), change=None, **more):
        """An oracle's image of it; change: what is done to it before it is built."""
        image = oracle.Image(key, compression, CHUNK_PAGES, salt, **more)
        image.map, image.runs, image.vcpus = self.map, self.runs, self.vcpus
        image.state, image.plan = self.state, self.plan
        # What is the host's own is long, and firmware does not read it.
        image.changes = []
        if change:
            change(image)
        image.page_of = self.pages.__getitem__
        return bytes(image.build())


def edges(data):
    """{name: offset} of where things begin."""
    word = lambda at: struct.unpack_from("<Q", data, at)[0]
    found = {"facts": word(112), "device part": word(160), "structures": word(208), "data": word(224)}
    for i, name in enumerate(("state", "plan", "map", "runs", "index", "changes")):
        found[name] = word(208) + word(240 + 16 * i)
    return found


def flipped(data, at, mask=0x20):
    out = bytearray(data)
    out[at] ^= mask
    return bytes(out)


def chunks(data, key):
    """(offset, stored bytes) of every chunk."""
    header = data[:oracle.HEADER]
    at, length = struct.unpack_from("<QQ", header, 208)
    keys = oracle.keys_of(1, key, header[64:96])
    plain = oracle.unprotect(keys[0], 1, 0, header, data[at:at + length - 16],
                             data[at + length - 16:at + length])
    begin, size = struct.unpack_from("<QQ", header, 240 + 16 * 4)
    return [entry[:2] for entry in struct.iter_unpack("<QII16s", plain[begin:begin + size])]


def replaced(data, at, what):
    return data[:at] + what + data[at + len(what):]


def files(parts):
    """[(what a host does, the words that have to be said, image)]: all sealed under KEY, but one."""
    good = parts.image()
    other = parts.image(salt=bytes(range(7, 39)))
    stored = parts.image(compression=oracle.NONE)
    stored_other = parts.image(compression=oracle.NONE, salt=bytes(range(7, 39)))
    place, count = edges(good), len(chunks(good, KEY))
    out = []

    def add(what, words, *images):
        out.extend((what, words, image) for image in images)

    add("a byte of the header changed", "image", *(flipped(good, at) for at in (
        0, 8, 12, 14, 16, 24, 28, 32, 36, 40, 48, 60, 64, 100, 112, 130, 170, 190, 208, 216, 224, 232,
        250, 300, 400, 511)))
    add("a byte of the structures or their tag changed", "image header and structures",
        *(flipped(good, at) for at in (
            place["state"], place["plan"], place["map"], place["runs"], place["index"],
            place["changes"], place["data"] - 17, place["data"] - 1)))
    add("a byte of a chunk changed: each chunk", "chunk",
        *(flipped(good, offset + length // 2) for offset, length in chunks(good, KEY)))
    add("cut where a structure begins or ends", "image", *(good[:at] for at in sorted(
        set(place.values()) | {1, 511, 512, len(good) - 1})))
    add("something behind it", "image", good + b"\0", good + bytes(PAGE))
    size = CHUNK_PAGES * PAGE
    data = place_of_data = edges(stored)["data"]
    swapped = replaced(stored, data, stored[data + size:data + 2 * size])
    add("two chunks change places", "chunk", replaced(swapped, data + size, stored[data:data + size]))
    add("a chunk is repeated", "chunk", swapped)
    add("a chunk is that of another image of the VM, under the same key", "chunk",
        *(replaced(stored, place_of_data + n * size,
                   stored_other[place_of_data + n * size:place_of_data + (n + 1) * size])
          for n in (0, count // 2, count - 1)))
    add("header or structures are another image's", "image",
        replaced(good, 0, other[:512]),
        replaced(good, place["structures"], other[place["structures"]:place["data"]]))
    add("sealed under another key", "another key", parts.image(OTHER_KEY))
    add("not sealed", "not sealed", parts.image(None))
    for name, change, _, where in oracle.BAD + oracle.BAD_ZSTD:
        kind = oracle.ZSTD if name.startswith("zstd-") else oracle.LZ4
        if name in ("cut", "longer"):
            continue
        if where == "chunk":
            group = ("right tags: tags exchanged" if name == "tags-swapped" else
                     "right tags: a chunk gives more than its pages, less, or is rubbish")
            add(group, "chunk", parts.image(compression=kind, change=change))
            continue
        group = {"image header": "a field of the header is impossible", "image":
                 "a field of the header is impossible"}.get(
                     where, "map, runs, index or changes are impossible")
        # Of the guest that the oracle makes up: it is refused before anybody looks at that.
        image = oracle.Image(KEY, kind)
        change(image)
        add("right tags: " + group, "image" if where.startswith("image") else where,
            bytes(image.build()))
    return out
