# SPDX-License-Identifier: BSD-2-Clause-Patent
"""resumectl walk and maps, against what QEMU's monitor said of the same machine, and against a walker
written from Intel's manual that shares nothing with the library."""
import os
import pty
import re
import struct
import subprocess

from tool import GOLDEN, LISTING, TOOL, SECONDS, Case, main

PAGING = GOLDEN / "paging"
LEVELS = {"four-levels": 4, "five-levels": 5}
SIZES = {1: 1 << 12, 2: 1 << 21, 3: 1 << 30}
NX = 1 << 63


class Dump:
    """The sample's memory, and a way to change it. 64-bit ELF; the notes are not looked at."""

    def __init__(self, name):
        self.data = bytearray((PAGING / name).read_bytes())
        self.levels = LEVELS[name]
        self.at = {}
        offset, = struct.unpack_from("<Q", self.data, 32)
        count, = struct.unpack_from("<H", self.data, 56)
        for number in range(count):
            kind, _, place, _, pa, size, _, _ = struct.unpack_from(
                "<IIQQQQQQ", self.data, offset + 56 * number)
            if kind == 1:
                self.at.update({pa + k: place + k for k in range(0, size, 4096)})
        self.root = min(self.at)  # the source puts the root first

    def entry(self, table, index):
        return struct.unpack_from("<Q", self.data, self.at[table] + index * 8)[0]

    def change(self, table, index, value):
        struct.pack_into("<Q", self.data, self.at[table] + index * 8, value)

    def save(self, path):
        path.write_bytes(self.data)
        return path

    def pages(self, table=None, level=None, va=0, write=True, user=True, execute=True):
        """All pages: (va, pa, size, write, execute, user, global)."""
        table = self.root if table is None else table
        level = self.levels if level is None else level
        for index in range(512):
            entry = self.entry(table, index)
            if not entry & 1:
                continue
            here = va | index << (12 + 9 * (level - 1))
            if level == self.levels and index >= 256:
                here |= ~((1 << (12 + 9 * level)) - 1) & (1 << 64) - 1
            rights = (write and bool(entry & 2), execute and not entry & NX,
                      user and bool(entry & 4))
            target = entry & 0x000ffffffffff000
            if level == 1 or entry & 0x80:
                size = SIZES[level]
                yield (here, target & ~(size - 1), size, *rights, bool(entry & 0x100))
            else:
                yield from self.pages(target, level - 1, here, rights[0], rights[2], rights[1])


def merged(pages, key):
    """Neighbours of the same @key as one: [first, end, key]."""
    out = []
    for page in pages:
        if out and out[-1][1] == page[0] and out[-1][2] == key(page):
            out[-1][1] += page[2]
        else:
            out.append([page[0], page[0] + page[2], key(page)])
    return out


def tlb(name):
    """Lines of info tlb: va, pa, flags of the entry that maps the page."""
    text = (PAGING / f"{name}.info-tlb").read_text(encoding="ascii")
    return [(int(va, 16), int(pa, 16), flags) for va, pa, flags in
            re.findall(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([-A-Z]{9})$", text, re.M)]


class Maps(Case):
    def listed(self, *arguments):
        value = self.json("maps", *arguments)
        return value, [(int(m["start"], 16), int(m["last"], 16) + 1,
                        (m["write"], m["execute"], m["user"], m["global"]))
                       for m in value["mappings"]]

    def test_agrees_with_info_mem(self):
        _, mappings = self.listed(PAGING / "four-levels")
        text = (PAGING / "four-levels.info-mem").read_text(encoding="ascii")
        theirs = [[int(first, 16), int(length, 16), rights] for first, length, rights in
                  re.findall(r"^([0-9a-f]+)-[0-9a-f]+ ([0-9a-f]+) ([-urw]{3})$", text, re.M)]
        self.assertEqual(len(theirs), 25)
        ours = merged([(first, None, end - first, rights) for first, end, rights in mappings],
                      lambda page: ("u" if page[3][2] else "-") + "r" +
                      ("w" if page[3][0] else "-"))
        self.assertEqual([[first, end - first, rights] for first, end, rights in ours], theirs)

    def test_agrees_with_the_manual(self):
        for name in LEVELS:
            value, mappings = self.listed(PAGING / name)
            pages = list(Dump(name).pages())
            self.assertEqual(mappings, [tuple(m) for m in merged(pages, lambda page: page[3:])])
            self.assertTrue(value["complete"])
            self.assertEqual(value["missing_tables"], 0)
            self.assertEqual(value["pages"], len(pages))
            self.assertEqual(value["bytes"], sum(page[2] for page in pages))
            self.assertEqual(value["pages"], len(tlb(name)))
            for size in ("4K", "2M", "1G"):
                self.assertEqual(sum(m["pages"][size] for m in value["mappings"]),
                                 sum(page[2] == {"4K": 1 << 12, "2M": 1 << 21, "1G": 1 << 30}[size]
                                     for page in pages))

    def test_shows_them_like_proc(self):
        lines = self.tool("maps", PAGING / "four-levels").out.splitlines()
        self.assertIn("0000000000210000-0000000000211000 r-xu- 000000310000 1x4K", lines)
        self.assertIn("0000000000200000-0000000000210000 rwxu- scattered    16x4K", lines)
        self.assertIn("0000000000600000-0000000000c00000 rwxu- 000000600000 3x2M", lines)
        self.assertIn("ffff800000000000-ffff800000602000 rw--g 000000000000 2x4K 3x2M", lines)
        self.assertEqual(lines[-1], "30 mappings, 71 pages, 3.0 GiB")

    def test_ends_in_tables_that_contain_themselves(self):
        for name in LEVELS:
            dump = Dump(name)
            for index in range(512):
                dump.change(dump.root, index, dump.root | 7)
            path = dump.save(self.work / name)
            result = self.tool("maps", path, "--tables", 1000)
            self.assertIn("more page tables than --tables allows", result.err)
            self.assertLess(len(result.out), 1 << 16)
            value = self.json("maps", path, "--tables", 5000)
            self.assertFalse(value["complete"])
            self.assertLessEqual(value["pages"], 5000 * 512)
            self.assertNotEqual(value["reached"], "0x0")
        # With the limit that it has by default it ends too.
        self.assertIn("--tables", self.tool("maps", self.work / "four-levels").err)

    def test_ends_when_nothing_can_be_merged(self):
        dump = Dump("four-levels")
        for index in range(512):
            dump.change(dump.root, index, dump.root | (7 if index % 2 else 5))
        result = self.tool("maps", dump.save(self.work / "dump"))
        self.assertRegex(result.err, "more (page tables|mappings) than")
        self.assertLessEqual(len(result.out.splitlines()), (1 << 20) + 1)

    def test_says_what_is_not_there(self):
        dump = Dump("four-levels")
        dump.change(dump.root, 5, 0x7ffff000 | 7)
        result = self.tool("maps", dump.save(self.work / "dump"))
        self.assertIn("1 page tables are not in the input", result.err)
        self.assertEqual(self.json("maps", self.work / "dump")["missing_tables"], 1)

    def test_refuses(self):
        self.refused("maps", LISTING, words=["holds no memory"])
        self.refused("maps", self.work / "none", words=["no such file"])
        self.refused("maps", PAGING / "four-levels", "--vcpu", 7, code=2, words=["no vCPU 7"])
        self.tool("maps", code=2)
        self.tool("maps", PAGING / "four-levels", "--tables", 0, code=2)
        real = GOLDEN / "import/registers_text/qemu-7.2-reset"
        self.refused("maps", real, words=["no paging"])


class Walk(Case):
    def test_agrees_with_info_tlb(self):
        for name in LEVELS:
            pages = {page[0]: page for page in Dump(name).pages()}
            for va, pa, flags in tlb(name)[::5] + tlb(name)[-1:]:
                value = self.json("walk", PAGING / name, f"{va + 0x123:x}")
                bits = value["steps"][-1]["bits"]
                self.assertEqual(value["pa"], f"{pa + 0x123:#x}")
                for letter, bit in (("X", "NX"), ("G", "G"), ("P", "PS"), ("D", "D"), ("A", "A"),
                                    ("C", "PCD"), ("T", "PWT"), ("U", "US"), ("W", "RW")):
                    self.assertEqual(letter in flags, bit in bits, (f"{va:x}", letter, bits))
                _, page_pa, size, *rights = pages[va]
                self.assertEqual((page_pa, size), (pa, value["page_size"]))
                self.assertEqual(rights, [value[right] for right in
                                          ("write", "execute", "user", "global")])
                self.assertEqual(len(value["steps"]),
                                 LEVELS[name] + 1 - {1 << 12: 1, 1 << 21: 2, 1 << 30: 3}[size])

    def test_shows_every_level(self):
        dump = Dump("four-levels")
        value = self.json("walk", PAGING / "four-levels", "210fff")
        table = dump.root
        for step in value["steps"]:
            self.assertEqual(int(step["entry_pa"], 16), table + step["index"] * 8)
            self.assertEqual(int(step["entry"], 16), dump.entry(table, step["index"]))
            table = int(step["entry"], 16) & 0xffffffffff000
        self.assertEqual([step["name"] for step in value["steps"]],
                         ["PML4E", "PDPTE", "PDE", "PTE"])
        text = self.tool("walk", PAGING / "four-levels", "0x210fff").out
        self.assertIn("  PTE    16 at ", text)
        self.assertIn("P US PWT", text)
        self.assertIn("physical 000000310fff, in a page of 4 KiB, r-xu-: user, read-only, "
                      "executable\n", text)
        text = self.tool("walk", PAGING / "four-levels", "215000", code=1).out
        self.assertTrue(text.endswith("not mapped: the PTE is not present\n"), text)

    def test_names_keys_and_page_attributes(self):
        value = self.json("walk", PAGING / "four-levels", "216000")
        self.assertEqual(value["steps"][-1]["bits"], ["P", "RW", "US", "G", "PK5", "NX"])
        value = self.json("walk", PAGING / "four-levels", "600000")
        self.assertEqual(value["steps"][-1]["bits"], ["P", "RW", "US", "PS", "PAT"])

    def test_ends_where_a_cpu_would_fault(self):
        # What is not present is shown as it is, and none of it is taken to mean anything.
        value = self.json("walk", PAGING / "four-levels", "ffffff0000000000", code=1)
        self.assertEqual(value["end"], "not present")
        self.assertEqual(value["steps"][-1]["entry"], "0xfedcba9876543210")
        self.assertEqual(value["steps"][-1]["bits"], [])
        for name, va in (("four-levels", "800000000000"), ("four-levels", "ffff7fffffffffff"),
                         ("five-levels", "100000000000000"), ("five-levels", "feffffffffffffff")):
            value = self.json("walk", PAGING / name, va, code=1)
            self.assertEqual((value["end"], value["steps"]), ("not canonical", []))
        dump = Dump("four-levels")
        dump.change(dump.root, 1, dump.root | 0x80 | 7)  # a PML4E maps no page
        dump.change(dump.root, 2, 0x7ffff000 | 7)
        path = dump.save(self.work / "dump")
        value = self.json("walk", path, "8000000000", code=1)
        self.assertEqual(value["end"], "reserved bits")
        self.assertIn("0x80", value["why"])
        value = self.json("walk", path, "10000000000", code=1)
        self.assertEqual(value["end"], "not in the input")
        self.assertIsNone(value["steps"][-1]["entry"])
        self.assertEqual(value["steps"][-1]["name"], "PDPTE")

    def test_bears_tables_that_contain_themselves(self):
        dump = Dump("five-levels")
        dump.change(dump.root, 511, dump.root | 7)
        value = self.json("walk", dump.save(self.work / "dump"), "ffffffffffffffff")
        self.assertEqual(len(value["steps"]), 5)
        self.assertEqual(int(value["page_pa"], 16), dump.root)

    def test_refuses(self):
        self.refused("walk", LISTING, "0", words=["holds no memory"])
        for arguments in (["walk"], ["walk", LISTING], ["walk", LISTING, "no"],
                          ["walk", LISTING, "-1"], ["walk", LISTING, "10000000000000000"],
                          ["walk", LISTING, "0", "0"]):
            self.tool(*arguments, code=2)


class Colour(Case):
    def on_terminal(self, **environment):
        """What is printed on a terminal."""
        ours, theirs = pty.openpty()
        keep = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        with subprocess.Popen([str(TOOL), "walk", str(PAGING / "four-levels"), "210000"],
                              stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                              env={**keep, "TERM": "xterm", **environment}) as process:
            os.close(theirs)
            text = b""
            try:
                while part := os.read(ours, 4096):
                    text += part
            except OSError:
                pass  # the other end is closed
            self.assertEqual(process.wait(SECONDS), 0)
        os.close(ours)
        return text

    def test_only_on_terminals_that_want_it(self):
        self.assertIn(b"\033[", self.on_terminal())
        self.assertIn(b"\033[", self.on_terminal(NO_COLOR=""))
        self.assertNotIn(b"\033[", self.on_terminal(NO_COLOR="1"))
        self.assertNotIn(b"\033[", self.on_terminal(TERM="dumb"))
        for name in ("walk", "maps", "inspect"):
            arguments = [name, PAGING / "four-levels"] + (["0"] if name == "walk" else [])
            self.assertNotIn("\033[", self.tool(*arguments, environment={"TERM": "xterm"}).out)


if __name__ == "__main__":
    main()
