#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of overlay.py, on a Linux tree of a few lines."""

import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

import overlay  # noqa: E402

LINUX = {
    "Makefile": "# SPDX\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n",
    "Kbuild": "",
    "drivers/dax/Kconfig": "config DAX\n",
    "drivers/dax/super.c": "int c;\n",
    "rust/kernel/lib.rs": "pub mod cpu;\npub mod debugfs;\npub mod device;\n",
}
PROJECT = {
    "drivers/dax/Kconfig": "config DAX\nconfig DAX_RUST\n",
    "drivers/dax/core/core.rs": "// core\n",
    "rust/kernel/dax.rs": "// dax\n",
}
CONFIG = {
    "version": "7.3",
    "replace": ["drivers/dax/Kconfig"],
    "edit": [
        {"file": "rust/kernel/lib.rs", "before": "pub mod debugfs;", "insert": ["#[cfg]", "pub mod dax;"]},
        {"file": "rust/kernel/lib.rs", "before": "pub mod debugfs;", "insert": ["pub mod dax2;"]},
        {"file": "rust/kernel/lib.rs", "after": "pub mod device;", "insert": ["pub mod dax3;"]},
    ],
}


def fill(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def content(folder):
    """Each file and folder below, with content and mode."""
    return {str(p.relative_to(folder)): (p.read_bytes() if p.is_file() else None, p.stat().st_mode)
            for p in folder.rglob("*")}


class Interrupted(BaseException):
    pass


class OverlayTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.linux = Path(scratch.name) / "linux"
        self.project = Path(scratch.name) / "project"
        fill(self.linux, LINUX)
        fill(self.project, PROJECT)
        (self.linux / "drivers/dax/Kconfig").chmod(0o640)
        self.pristine = content(self.linux)
        self.config = {**CONFIG, "edit": list(CONFIG["edit"])}

    def tree(self):
        return overlay.Tree(self.linux, self.config, self.project)

    def assert_refused(self, action, reason):
        before = content(self.linux)
        with self.assertRaisesRegex(overlay.Refused, reason):
            action()
        self.assertEqual(content(self.linux), before)

    def interrupt_everywhere(self, action, then):
        """Interrupt ACTION at its first write, its second ... and call THEN after each."""
        replace, unlink = Path.replace, Path.unlink
        for writes in range(1000):
            left = [writes]

            def step(real):
                def call(*args, **kwargs):
                    if not left[0]:
                        raise Interrupted
                    left[0] -= 1
                    return real(*args, **kwargs)
                return call

            with mock.patch.object(Path, "replace", step(replace)), \
                    mock.patch.object(Path, "unlink", step(unlink)):
                try:
                    action()
                    return writes
                except Interrupted:
                    pass
            then()
        self.fail("never ended")

    def test_apply(self):
        self.tree().apply()
        for path, text in PROJECT.items():
            self.assertEqual((self.linux / path).read_text(), text)
        self.assertEqual((self.linux / "rust/kernel/lib.rs").read_text(),
                         "pub mod cpu;\n#[cfg]\npub mod dax;\npub mod dax2;\npub mod debugfs;\n"
                         "pub mod device;\npub mod dax3;\n")

    def test_apply_twice_changes_nothing(self):
        self.tree().apply()
        once = content(self.linux)
        times = {p: p.stat().st_mtime_ns for p in self.linux.rglob("*") if overlay.STATE not in p.parts}
        self.tree().apply()
        self.assertEqual(content(self.linux), once)
        self.assertEqual({p: p.stat().st_mtime_ns for p in times if p.is_file()},
                         {p: t for p, t in times.items() if p.is_file()})

    def test_remove_restores(self):
        self.tree().apply()
        self.tree().apply()
        self.tree().remove()
        self.assertEqual(content(self.linux), self.pristine)

    def test_remove_without_apply(self):
        self.assert_refused(self.tree().remove, "not applied")

    def test_overlay_changes_between(self):
        self.tree().apply()
        (self.project / "drivers/dax/core/core.rs").unlink()
        fill(self.project, {"rust/kernel/dax.rs": "// new\n", "rust/kernel/more.rs": ""})
        self.config["edit"] = [CONFIG["edit"][2], {**CONFIG["edit"][0], "insert": ["pub mod other;"]}]
        self.tree().apply()
        self.assertEqual((self.linux / "rust/kernel/lib.rs").read_text(),
                         "pub mod cpu;\npub mod other;\npub mod debugfs;\npub mod device;\npub mod dax3;\n")
        self.assertFalse((self.linux / "drivers/dax/core").exists())
        self.config["edit"] = []
        self.tree().apply()
        self.assertEqual((self.linux / "rust/kernel/lib.rs").read_text(), LINUX["rust/kernel/lib.rs"])
        self.tree().remove()
        self.assertEqual(content(self.linux), self.pristine)

    def test_other_version(self):
        fill(self.linux, {"Makefile": LINUX["Makefile"].replace("= 3", "= 4")})
        self.assert_refused(lambda: overlay.check_version(self.linux, "7.3"), "is Linux 7.4")

    def test_not_linux(self):
        (self.linux / "Kbuild").unlink()
        self.assert_refused(lambda: overlay.check_version(self.linux, "7.3"), "not a Linux source tree")

    def test_missing_anchor(self):
        fill(self.linux, {"rust/kernel/lib.rs": "pub mod cpu;\npub mod debugfs;\n"})
        self.assert_refused(self.tree().apply, "stands there 0 times")

    def test_missing_files(self):
        (self.linux / "rust/kernel/lib.rs").unlink()
        self.assert_refused(self.tree().apply, "not in the tree, but the overlay edits it")
        fill(self.linux, LINUX)
        (self.linux / "drivers/dax/Kconfig").unlink()
        self.assert_refused(self.tree().apply, "not in the tree, but the overlay replaces it")

    def test_foreign_file(self):
        fill(self.linux, {"rust/kernel/dax.rs": "// somebody else's\n"})
        self.assert_refused(self.tree().apply, "a file of its own")

    def test_changed_by_hand(self):
        self.tree().apply()
        for path in ("rust/kernel/dax.rs", "drivers/dax/Kconfig"):
            fill(self.linux, {path: "mine\n"})
            self.assert_refused(self.tree().apply, "changed by hand")
            self.assert_refused(self.tree().remove, "changed by hand")
            fill(self.linux, {path: PROJECT[path]})
        lib = self.linux / "rust/kernel/lib.rs"
        good = lib.read_text()
        lib.write_text(good.replace("pub mod dax2;", "pub mod mine;"))
        self.assert_refused(self.tree().apply, "changed by hand")
        self.assert_refused(self.tree().remove, "changed by hand")
        lib.write_text(good)
        self.tree().remove()

    def test_own_lines_in_an_edited_file_stay(self):
        self.tree().apply()
        lib = self.linux / "rust/kernel/lib.rs"
        lib.write_text(lib.read_text() + "pub mod mine;\n")
        self.tree().apply()
        self.assertIn("pub mod dax2;\n", lib.read_text())
        self.tree().remove()
        self.assertEqual(lib.read_text(), LINUX["rust/kernel/lib.rs"] + "pub mod mine;\n")

    def test_lost_record(self):
        self.tree().apply()
        overlay.shutil.rmtree(self.linux / overlay.STATE)
        self.assert_refused(self.tree().apply, "the record of it in .dax-overlay is missing|of its own")

    def test_interrupted_apply(self):
        def again():
            self.tree().apply()
            self.assertEqual((self.linux / "rust/kernel/lib.rs").read_text().count("dax"), 3)
            self.tree().remove()
            self.assertEqual(content(self.linux), self.pristine)

        self.assertGreater(self.interrupt_everywhere(lambda: self.tree().apply(), again), 5)

    def test_interrupted_apply_then_remove(self):
        def remove():
            if (self.linux / overlay.STATE).exists():
                self.tree().remove()
            self.assertEqual(content(self.linux), self.pristine)

        self.interrupt_everywhere(lambda: self.tree().apply(), remove)

    def test_interrupted_update(self):
        self.tree().apply()
        old = self.config["edit"]
        new = [{**CONFIG["edit"][0], "insert": ["pub mod other;"]}]

        def update():
            self.config["edit"] = new
            fill(self.project, {"drivers/dax/Kconfig": "new\n", "rust/kernel/dax.rs": "// new\n"})
            self.tree().apply()

        def back():
            self.config["edit"] = old
            fill(self.project, PROJECT)
            self.tree().apply()
            self.assertEqual((self.linux / "drivers/dax/Kconfig").read_text(), PROJECT["drivers/dax/Kconfig"])

        self.interrupt_everywhere(update, back)
        self.tree().remove()
        self.assertEqual(content(self.linux), self.pristine)

    def test_interrupted_remove(self):
        def again():
            if (self.linux / overlay.STATE).exists():
                self.tree().remove()
            self.assertEqual(content(self.linux), self.pristine)
            self.tree().apply()

        self.tree().apply()
        self.assertGreater(self.interrupt_everywhere(lambda: self.tree().remove(), again), 5)


if __name__ == "__main__":
    unittest.main()
