#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""cut_stream.py STREAM OUT: cuts a QEMU migration stream of a stopped VM with 4-level paging and less
than 2 GiB down to the pages on the way to vCPU 0's RIP. Its head, the list of RAM blocks, all device
sections and their description are kept as they are; so are page tables. The page that runs is
replaced by a pattern. Prints the translation, for the test that walks there."""
import json
import struct
import sys

from way_to_rip import way_to_rip

PAGE = 4096
ZERO, SIZES, DATA, END, SAME = 0x02, 0x04, 0x08, 0x10, 0x20


class Stream:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0]

    def name(self):
        length = self.take("B")
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def head(self):
        """To the end of the list of blocks. Returns the RAM section's id."""
        self.at = 8
        if self.take("B") == 7:
            length = self.take("I")
            self.at += length
        else:
            self.at -= 1
        while (kind := self.take("B")) == 8:
            self.at += 4
        section = self.take("I")
        if kind != 1 or self.name() != "ram":
            raise SystemExit("not a plain stream")
        self.at += 8
        total = self.take("Q") & -PAGE
        while total:
            self.name()
            total -= self.take("Q")
        return section

    def pages(self):
        """Where the pages of pc.ram are, up to the first device section."""
        found, block = {}, None
        while True:
            word = self.take("Q")
            if word & END:
                self.at += 5  # footer
                while (kind := self.take("B")) == 8:
                    self.at += 4
                if kind == 4:
                    self.at -= 1
                    return found
                self.at += 4  # PART or END: its id
                continue
            if not word & SAME:
                block = self.name()
            size = PAGE if word & DATA else 1
            if block == "pc.ram":
                found[word & -PAGE] = (self.at, size)
            self.at += size


def payload_length(device):
    def of(fields, subsections):
        return (sum(field["size"] * field.get("array_len", 1) for field in fields)
                + sum(6 + len(sub["vmsd_name"]) + of(sub["fields"], sub.get("subsections", []))
                      for sub in subsections))
    return of(device["fields"], device.get("subsections", []))


def cpu_values(stream, devices):
    """RIP and CR3 of the first vCPU, by the description."""
    description = json.loads(stream.data[stream.data.rindex(b"\x06") + 5:])
    at = devices
    for device in description["devices"]:
        at += 6 + len(device["name"]) + 8
        if device["name"] == "cpu":
            break
        at += payload_length(device) + 5
    values = {}
    for field in device["fields"]:
        values[field["name"]] = struct.unpack_from(">Q", stream.data, at)[0]
        at += field["size"] * field.get("array_len", 1)
    return values["env.eip"], values["env.cr[3]"]


def page_at(stream, pages, address):
    where, size = pages[address]
    raw = stream.data[where:where + size]
    return raw if size == PAGE else raw * PAGE


def main():
    stream = Stream(sys.argv[1])
    section = stream.head()
    head = stream.data[:stream.at]
    pages = stream.pages()
    devices = stream.at
    kept = way_to_rip(lambda table: page_at(stream, pages, table), *cpu_values(stream, devices))
    end = struct.pack(">QBI", END, 0x7E, section)
    out = head + end + struct.pack(">BI", 3, section)
    for number, address in enumerate(sorted(kept)):
        flags = DATA | (SAME if number else 0)
        out += struct.pack(">Q", address | flags) + (b"" if number else b"\x06pc.ram")
        out += kept[address]
    # One page of a single byte, as most are.
    free = next(address for address in sorted(pages) if pages[address][1] == 1)
    out += struct.pack(">QB", free | ZERO | SAME, 0) + end
    print(f"zero page at {free:#x}, devices at {len(out):#x}")
    with open(sys.argv[2], "wb") as file:
        file.write(out + stream.data[devices:])


if __name__ == "__main__":
    main()
