# SPDX-License-Identifier: BSD-2-Clause-Patent
"""resumectl diff: its verdicts, and exit codes like those of diff(1)."""
import re

from tool import ELF, KVM, LISTING, Case, main, samples

DUMP_LACKS = {"efer", "dr0", "dr6", "dr7", "mp_state", "smm", "fcw", "st0", "xmm15", "ymm_high0"}


class Diff(Case):
    def changed_listing(self, *changes):
        """The listing with other values: (name, vCPU, old, new)."""
        text = LISTING.read_text(encoding="ascii")
        parts = re.split(r"(?=^CPU#\d)", text, flags=re.M)
        parts = [part for part in parts if part.strip()]
        for pattern, vcpu, new in changes:
            parts[vcpu], count = re.subn(pattern, new, parts[vcpu], count=1)
            self.assertEqual(count, 1, pattern)
        path = self.work / "listing"
        path.write_text("".join(parts), encoding="ascii")
        return path

    def test_two_formats_of_one_machine_are_the_same(self):
        value = self.json("diff", ELF, LISTING)
        self.assertTrue(value["same"])
        self.assertEqual([value["a"]["format"], value["b"]["format"]], ["elf-dump", "registers"])
        self.assertEqual(len(value["vcpus"]), 2)
        for vcpu in value["vcpus"]:
            self.assertEqual(vcpu["different"], [])
            # 18 general ones, 8 segments of 4 parts and 2 of 2, CR0, CR2, CR3, CR4
            self.assertEqual(vcpu["same"], 18 + 8 * 4 + 2 * 2 + 4)
            self.assertEqual(vcpu["only_a"], ["msr_c0000102"])
            self.assertLessEqual(DUMP_LACKS, set(vcpu["only_b"]))
            self.assertLessEqual({"cr8", "xss", "apic_id"}, set(vcpu["neither"]))
        text = self.tool("diff", ELF, LISTING).out
        self.assertIn("vCPU 1: 58 fields the same, 0 different\n", text)
        self.assertIn("  not carried by B (1):\n    msr_c0000102\n", text)
        turned = self.json("diff", LISTING, ELF)
        self.assertEqual(turned["vcpus"][0]["only_b"], ["msr_c0000102"])

    def test_every_change_is_found_and_nothing_else(self):
        path = self.changed_listing((r"RBX=\w{8}", 0, "RBX=00000001"),
                                    (r"CR4=\w+", 1, "CR4=001506b0"),
                                    (r"(?m)(?<=^GS =)0000", 1, "0001"))
        value = self.json("diff", LISTING, path, code=1)
        self.assertFalse(value["same"])
        names = [[entry["name"] for entry in vcpu["different"]] for vcpu in value["vcpus"]]
        self.assertEqual(names[0], ["rbx"])
        self.assertEqual(names[1], ["gs.selector", "cr4"])
        entry = value["vcpus"][1]["different"][names[1].index("cr4")]
        self.assertEqual((entry["group"], entry["b"]), ("control", "0x1506b0"))
        self.assertIn("PSE PAE", entry["b_text"])
        text = self.tool("diff", LISTING, path, code=1).out
        self.assertRegex(text, r"\n  rbx\n    A 0x\w+\n    B 0x1\w+\n")

    def test_vectors_are_compared_too(self):
        # High parts come first in the listing.
        path = self.changed_listing((r"YMM15=\w{16}", 1, "YMM15=0123456789abcdef"),
                                    (r"(?<=YMM02=)(\w{16} \w{16} \w{16}) \w{16}", 0,
                                     r"\1 00000000000000ff"))
        value = self.json("diff", LISTING, path, code=1)
        self.assertEqual([[entry["name"] for entry in vcpu["different"]]
                          for vcpu in value["vcpus"]], [["xmm2"], ["ymm_high15"]])
        entry = value["vcpus"][1]["different"][0]
        self.assertEqual(entry["b"], "0x0123456789abcdef" + 16 * "0")

    def test_one_vcpu_only(self):
        path = self.changed_listing((r"RBX=\w{8}", 0, "RBX=00000001"))
        self.tool("diff", LISTING, path, "--vcpu", 0, code=1)
        self.tool("diff", LISTING, path, "--vcpu", 1)
        self.refused("diff", LISTING, path, "--vcpu", 2, code=2, words=["no vCPU 2"])

    def test_another_number_of_vcpus_is_a_difference(self):
        one = self.work / "one"
        text = LISTING.read_text(encoding="ascii")
        one.write_text(text[:text.index("CPU#1")], encoding="ascii")
        self.assertIn("A has 2 vCPUs, B has 1\n", self.tool("diff", LISTING, one, code=1).out)
        self.tool("diff", LISTING, one, "--vcpu", 0)
        self.assertEqual(len(self.json("diff", LISTING, one, code=1)["vcpus"]), 1)

    def test_quiet(self):
        path = self.changed_listing((r"RBX=\w{8}", 0, "RBX=00000001"))
        for arguments, code in (((LISTING, path), 1), ((LISTING, ELF), 0)):
            result = self.tool("diff", "--quiet", *arguments, code=code)
            self.assertEqual((result.out, result.err), ("", ""))

    def test_everything_is_the_same_as_itself(self):
        for path in samples():
            value = self.json("diff", path, path)
            for vcpu in value["vcpus"]:
                self.assertEqual((vcpu["different"], vcpu["only_a"], vcpu["only_b"]),
                                 ([], [], []), path)

    def test_trouble(self):
        self.refused("diff", LISTING, self.work / "none", code=2, words=["no such file"])
        damaged = self.work / "damaged"
        damaged.write_bytes(ELF.read_bytes()[:1000])
        self.refused("diff", damaged, LISTING, code=2, words=[str(damaged)])
        self.refused("diff", LISTING, ELF, "--format-b", "kvm", code=2, words=[str(ELF)])
        self.tool("diff", LISTING, ELF, "--format-a", "registers", "--format-b", "elf-dump")
        for arguments in ([], [LISTING], [LISTING, ELF, KVM], [LISTING, ELF, "--no-such"],
                          [LISTING, ELF, "--format-a", "no-such"]):
            self.tool("diff", *arguments, code=2)


if __name__ == "__main__":
    main()
