# SPDX-License-Identifier: BSD-2-Clause-Patent
"""resumectl convert: the blob holds what the input carries, and appears as a whole or not at all."""
import os
import stat

from tool import ELF, KVM, Case, main, samples


class Convert(Case):
    def test_the_blob_has_what_the_input_carries(self):
        for path in samples():
            out = self.work / "state.rsm"
            self.tool("convert", "--force", path, out)
            value = self.json("diff", path, out)
            self.assertEqual(value["b"]["format"], "state")
            # A blob has the x87 as a whole: of a listing, which lacks these three, as zeroes. And a
            # listing's "halted" in real mode counts for nothing.
            lacks = {"fop", "fip", "fdp", "mp_state"} if value["a"]["format"] == "registers" else set()
            for vcpu in value["vcpus"]:
                self.assertEqual(vcpu["only_a"], [], path)
                self.assertLessEqual(set(vcpu["only_b"]), lacks, path)
            self.assertIn("written by resumectl ", value["b"]["detail"])

    def test_says_what_is_missing(self):
        result = self.tool("convert", ELF, self.work / "state.rsm")
        lines = result.err.splitlines()
        self.assertEqual(len(lines), 2)
        for number, line in enumerate(lines):
            self.assertTrue(line.startswith(f"resumectl: vCPU {number} lacks what a resume needs: "))
            # A dump has none of these; it has all general registers and segments.
            for name in ("efer", "cr8", "dr7", "xcr0", "pat", "lstar", "xsave"):
                self.assertRegex(line, rf"\b{name}\b")
            for name in ("rax", "cs", "cr3", "kernel_gs_base"):
                self.assertNotRegex(line, rf"\b{name}\b")
        self.assertEqual(self.tool("convert", KVM, self.work / "other.rsm").err, "")

    def test_replaces_nothing_unless_forced(self):
        out = self.work / "state.rsm"
        out.write_text("mine")
        self.refused("convert", ELF, out, words=["--force", str(out)])
        self.assertEqual(out.read_text(), "mine")
        self.assertEqual(os.listdir(self.work), ["state.rsm"])
        self.tool("convert", "--force", ELF, out)
        self.assertEqual(out.read_bytes()[:8], b"RSMSTATE")
        self.assertEqual(os.listdir(self.work), ["state.rsm"])

    def test_is_readable_as_other_new_files_are(self):
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        self.tool("convert", ELF, self.work / "state.rsm")
        self.assertEqual(stat.S_IMODE(os.stat(self.work / "state.rsm").st_mode), 0o640)

    def test_leaves_nothing_when_it_fails(self):
        damaged = self.work / "damaged"
        damaged.write_bytes(ELF.read_bytes()[:3000])
        self.refused("convert", damaged, self.work / "state.rsm", words=[str(damaged)])
        self.refused("convert", ELF, self.work / "none/state.rsm", code=3)
        self.assertEqual(os.listdir(self.work), ["damaged"])
        # A full disk: nothing of it appears.
        self.refused("convert", ELF, "/dev/full/state.rsm", code=3)

    def test_usage(self):
        for arguments in ([], [ELF], [ELF, self.work / "a", self.work / "b"], ["--format", "x", ELF]):
            self.tool("convert", *arguments, code=2)
        self.refused("convert", "--format", "kvm", ELF, self.work / "a", words=[str(ELF)])


if __name__ == "__main__":
    main()
