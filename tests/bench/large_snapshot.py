# SPDX-License-Identifier: BSD-2-Clause-Patent
"""large_snapshot.py SNAPSHOT DIRECTORY BYTES EVERY: a snapshot with more memory than it was taken with.

How much memory tools take is measured with it."""
import ctypes
import json
import os
import shutil
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from image_oracle import Hash128, PAGE, XXHASH, pages_of  # noqa: E402

BLOCK = b"pc.ram"
FOUR_GIB = 4 << 30


class Writer:
    """A file, with its XXH3-128."""

    def __init__(self, path):
        self.file = open(path, "wb", buffering=0)  # pylint: disable=consider-using-with
        for name, arguments in (("XXH3_128bits_reset", [ctypes.c_void_p]),
                                ("XXH3_128bits_update",
                                 [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
                                ("XXH3_128bits_digest", [ctypes.c_void_p]),
                                ("XXH3_freeState", [ctypes.c_void_p])):
            getattr(XXHASH, name).argtypes = arguments
        XXHASH.XXH3_createState.restype = ctypes.c_void_p
        XXHASH.XXH3_128bits_digest.restype = Hash128
        self.state = XXHASH.XXH3_createState()
        XXHASH.XXH3_128bits_reset(self.state)

    def put(self, data):
        XXHASH.XXH3_128bits_update(self.state, data, len(data))
        self.file.write(data)

    def close(self):
        value = XXHASH.XXH3_128bits_digest(self.state)
        XXHASH.XXH3_freeState(self.state)
        self.file.close()
        return f"{value.high:016x}{value.low:016x}"


def block_list(stream):
    """Where the list of RAM blocks begins and ends, and the list."""
    at = stream.index(b"\x03ram") + 4 + 8
    begin, total, blocks = at, 0, []
    whole = struct.unpack_from(">Q", stream, at)[0] & ~0xfff
    at += 8
    while total < whole:
        name = stream[at + 1:at + 1 + stream[at]]
        length = struct.unpack_from(">Q", stream, at + 1 + len(name))[0]
        blocks.append((name, length))
        total += length
        at += 1 + len(name) + 8
    return begin, at, blocks


def entries(begin, end, every):
    """Entries for pages from `begin` to `end` of the block, of which one in `every` is not zero."""
    parts = [struct.pack(">QB", begin | 0x02, len(BLOCK)) + BLOCK + b"\0"]
    for page in range(begin + PAGE, end, PAGE):
        if page // PAGE % every:
            parts.append(struct.pack(">QB", page | 0x22, 0))
        else:
            text = struct.pack("<Q", page) + os.urandom(1024)
            parts.append(struct.pack(">Q", page | 0x28) + text * 3 + bytes(PAGE - 3 * len(text)))
        if len(parts) == 4096:
            yield b"".join(parts)
            parts = []
    yield b"".join(parts)


def make(snapshot, directory, size, every):
    """Copies the snapshot to `directory`, with `size` bytes of RAM. No page of the new ones that has
    content is beside another one."""
    os.mkdir(directory)
    for name in os.listdir(snapshot):
        if name not in ("stream", "manifest.json"):
            shutil.copy(os.path.join(snapshot, name), directory)
    with open(os.path.join(snapshot, "stream"), "rb") as file:
        stream = file.read()
    begin, end, blocks = block_list(stream)
    old = dict(blocks)[BLOCK]
    blocks = [(name, size if name == BLOCK else length) for name, length in blocks]
    # Before the word that ends the last section of the RAM, and the section's footer.
    last = pages_of(stream)[2] - 5 - 8
    writer = Writer(os.path.join(directory, "stream"))
    writer.put(stream[:begin] + struct.pack(">Q", sum(length for _, length in blocks) | 0x04))
    writer.put(b"".join(bytes([len(name)]) + name + struct.pack(">Q", length)
                        for name, length in blocks))
    writer.put(stream[end:last])
    for data in entries(old, size, every):
        writer.put(data)
    writer.put(stream[last:])
    checksum = writer.close()
    with open(os.path.join(snapshot, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    manifest["machine"]["memory_size"] = hex(size)
    ranges = manifest["machine"]["memory_map"]
    ranges.append({"base": hex(FOUR_GIB), "length": hex(size - old), "kind": "ram",
                   "block": BLOCK.decode(), "offset": hex(old)})
    ranges.sort(key=lambda entry: int(entry["base"], 16))
    for entry in manifest["files"]:
        if entry["name"] == "stream":
            entry["size"] = os.path.getsize(os.path.join(directory, "stream"))
            entry["xxh3_128"] = checksum
    with open(os.path.join(directory, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump(manifest, file)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    make(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
