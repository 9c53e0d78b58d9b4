# SPDX-License-Identifier: BSD-2-Clause-Patent
"""resumectl inspect: every format, JSON by its schema, what is not carried, what a resume refuses."""
import re

from tool import ELF, GOLDEN, IMPORT, KVM, LISTING, Case, main, samples


class Inspect(Case):
    def test_every_sample_in_text_and_json(self):
        seen = set()
        for path in samples():
            value = self.json("inspect", path)
            text = self.tool("inspect", path).out
            seen.add(value["input"]["format"])
            self.assertEqual(text.count("\nvCPU "), len(value["vcpus"]), path)
            self.assertIn(value["input"]["title"], text)
            registers = self.json("inspect", "--registers", path)
            self.assertEqual(registers["vcpus"], value["vcpus"])
            self.json("inspect", "--format", value["input"]["format"], path)
        self.assertLessEqual({"elf-dump", "kdump", "registers", "kvm", "vmsa", "igvm", "xen",
                              "firecracker", "cloud-hypervisor", "state", "qemu-stream"}, seen)

    def test_what_is_not_carried_is_not_made_up(self):
        vcpu = self.json("inspect", ELF)["vcpus"][0]
        self.assertIsNone(vcpu["control"]["efer"])
        self.assertIsNone(vcpu["control"]["cr8"])
        self.assertIsNone(vcpu["debug"]["dr7"])
        self.assertIsNone(vcpu["fpu"])
        self.assertIsNone(vcpu["run"]["state"])
        self.assertEqual(vcpu["run"]["carried"], [])
        self.assertIn("efer", vcpu["missing"])
        self.assertFalse(vcpu["consistent"]["ok"])
        # Long mode shows in the segments, and is marked as told from them.
        self.assertEqual((vcpu["mode"], vcpu["paging"]["mode"]), ("64-bit mode", "4-level paging"))
        self.assertTrue(vcpu["paging"]["efer_assumed"])
        text = self.tool("inspect", ELF).out
        self.assertIn("  EFER   not carried\n", text)
        self.assertIn("run state not carried\n", text)
        self.assertIn("  it lacks what a resume needs: cr8, efer, dr0", text)
        self.assertNotIn("unknown", text)

    def test_values_are_those_of_the_listing(self):
        text = LISTING.read_text(encoding="ascii")
        printed = dict(re.findall(r"\b(R(?!FL)[A-Z0-9]{1,2}|CR[0-4])\s*=\s*([0-9a-f]+)",
                                  text[:text.index("CPU#1")]))
        vcpu = self.json("inspect", LISTING, "--vcpu", 0)["vcpus"][0]
        found = {**vcpu["registers"], **vcpu["control"]}
        self.assertGreater(len(printed), 18)
        for name, value in printed.items():
            ours = found[name.lower()]
            ours = ours["value"] if isinstance(ours, dict) else ours
            self.assertEqual(int(ours, 16), int(value, 16), name)

    def test_complete_inputs_miss_nothing(self):
        for path in (KVM, IMPORT / "firecracker/1.14.vmstate"):
            for vcpu in self.json("inspect", path)["vcpus"]:
                self.assertEqual(vcpu["missing"], [], path)

    def test_one_vcpu(self):
        value = self.json("inspect", KVM, "--vcpu", 1)
        self.assertEqual([vcpu["index"] for vcpu in value["vcpus"]], [1])
        self.refused("inspect", KVM, "--vcpu", 2, code=2, words=["no vCPU 2"])
        self.tool("inspect", KVM, "--vcpu", "x", code=2)

    def test_memory_of_a_dump(self):
        value = self.json("inspect", GOLDEN / "paging/four-levels")
        memory = value["memory"]
        self.assertEqual(memory["source"], "input")
        # All tables but one hang together under the root; each counts once.
        self.assertEqual(memory["page_table_pages"], 12)
        self.assertEqual(memory["next_instructions"][0]["vcpu"], 0)

    def test_lists_formats(self):
        out = self.tool("inspect", "--format", "help").out
        names = [line.split()[0] for line in out.splitlines()]
        self.assertIn("elf-dump", names)
        self.assertIn("snapshot", names)
        self.assertNotIn("vmware", names)
        self.tool("inspect", "--format", "no-such", ELF, code=2)

    def test_refuses_by_name(self):
        plan = self.work / "plan"
        plan.write_bytes(b"RSMPLAN\0" + bytes(100))
        self.refused("inspect", plan, words=["plan", "snapshot directory"])
        self.refused("inspect", self.work / "none", words=["no such file"])
        self.refused("inspect", self.work, words=[str(self.work)])
        vmware = self.work / "vmware"
        vmware.write_bytes(bytes.fromhex("d2bed2be") + bytes(4096))
        self.refused("inspect", vmware, words=["VMware"])
        self.refused("inspect", "--format", "kvm", ELF, words=["KVM"])
        self.tool("inspect", code=2)

    def test_a_resume_names_what_is_missing(self):
        self.refused_resume(ELF, "QEMU ELF dump", "efer", "lstar", "xsave")
        self.refused_resume(LISTING, "cr8", "pat", "kernel_gs_base")
        self.refused_resume(KVM, "snapshot directory")

    def refused_resume(self, path, *words):
        result = self.tool("resume", path, "--", "qemu-system-x86_64", code=1)
        for word in words:
            self.assertIn(word, result.err)


if __name__ == "__main__":
    main()
