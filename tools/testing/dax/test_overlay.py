#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of overlay.py, on a Linux tree of a few lines."""

import subprocess
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
    "rust/kernel/lib.rs": "//! Linux.\n\npub mod cpu;\npub mod debugfs;\npub mod device;\n\n// End.\n",
}
PROJECT = {
    "drivers/dax/Kconfig": "config DAX\nconfig DAX_RUST\n",
    "drivers/dax/core/core.rs": "// core\n",
    "rust/kernel/dax.rs": "// dax\n",
}
REPLACE = ["drivers/dax/Kconfig"]


def patch(*hunks):
    return "Why.\n\ndiff --git a/rust/kernel/lib.rs b/rust/kernel/lib.rs\n" \
        "--- a/rust/kernel/lib.rs\n+++ b/rust/kernel/lib.rs\n" + "".join(hunks)


# Each on top of the one before.
PATCHES = {
    "dax": patch("@@ -3,3 +3,5 @@\n pub mod cpu;\n+#[cfg]\n+pub mod dax;\n pub mod debugfs;\n"
                 " pub mod device;\n"),
    "more": patch("@@ -5,4 +5,6 @@\n pub mod dax;\n+pub mod dax2;\n pub mod debugfs;\n"
                  " pub mod device;\n+pub mod dax3;\n \n"),
}
OTHER = {"other": patch("@@ -3,3 +3,4 @@\n pub mod cpu;\n+pub mod other;\n pub mod debugfs;\n"
                        " pub mod device;\n")}


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
        self.set_patches(PATCHES)

    def set_patches(self, patches):
        folder = self.project / "patches"
        if folder.exists():
            overlay.shutil.rmtree(folder)
        folder.mkdir()
        for name, text in patches.items():
            (folder / f"{name}.patch").write_text(text)
        (self.project / "overlay.toml").write_text(
            f"version = '7.3'\nreplace = {REPLACE}\npatches = {list(patches)}\n")

    def tree(self):
        return overlay.Tree(self.linux, overlay.load_config(self.project), self.project)

    def without_record(self):
        return {path: what for path, what in content(self.linux).items()
                if Path(path).parts[0] != overlay.STATE}

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
                         "//! Linux.\n\npub mod cpu;\n#[cfg]\npub mod dax;\npub mod dax2;\n"
                         "pub mod debugfs;\npub mod device;\npub mod dax3;\n\n// End.\n")

    def test_apply_twice_changes_nothing(self):
        self.tree().apply()
        once = self.without_record()
        times = {p: p.stat().st_mtime_ns for p in self.linux.rglob("*") if overlay.STATE not in p.parts}
        self.tree().apply()
        self.assertEqual(self.without_record(), once)
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
        self.set_patches(OTHER)
        self.tree().apply()
        self.assertEqual((self.linux / "rust/kernel/lib.rs").read_text(),
                         "//! Linux.\n\npub mod cpu;\npub mod other;\npub mod debugfs;\n"
                         "pub mod device;\n\n// End.\n")
        self.assertFalse((self.linux / "drivers/dax/core").exists())
        self.set_patches({})
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

    def test_patch_does_not_fit(self):
        fill(self.linux, {"rust/kernel/lib.rs": "pub mod cpu;\npub mod mine;\npub mod debugfs;\n"})
        self.assert_refused(self.tree().apply,
                            "patches/dax.patch does not fit the tree .*rust/kernel/lib.rs:3.*adapt the patch")

    def test_second_patch_does_not_fit(self):
        self.set_patches({"more": PATCHES["more"], "dax": PATCHES["dax"]})
        self.assert_refused(self.tree().apply, "patches/more.patch does not fit")

    def test_edited_patch(self):
        """A line can be added to a patch without correcting the counts of its hunk."""
        more = PATCHES["more"].replace("+pub mod dax3;\n", "+pub mod dax3;\n+pub mod dax4;\n")
        self.set_patches({"dax": PATCHES["dax"], "more": more})
        self.tree().apply()
        self.assertIn("pub mod dax3;\npub mod dax4;\n\n// End.\n", (self.linux / "rust/kernel/lib.rs").read_text())

    def test_patches_not_listed(self):
        (self.project / "patches/stray.patch").write_text("")
        self.assert_refused(self.tree, "stray")
        (self.project / "patches/stray.patch").unlink()
        (self.project / "patches/dax.patch").unlink()
        self.assert_refused(self.tree, "dax")

    def test_in_a_repository(self):
        """Inside a repository, and with git told to look at another, git apply would skip files."""
        subprocess.run(["git", "init", "-q", self.linux.parent], check=True)
        subprocess.run(["git", "init", "-q", self.linux], check=True)
        with mock.patch.dict(overlay.os.environ, {"GIT_DIR": str(self.linux / ".git"),
                                                  "TMPDIR": str(self.linux.parent)}):
            overlay.tempfile.tempdir = None
            self.addCleanup(setattr, overlay.tempfile, "tempdir", None)
            pristine = content(self.linux)
            self.tree().apply()
            self.assertIn("dax3", (self.linux / "rust/kernel/lib.rs").read_text())
            self.tree().remove()
        self.assertEqual(content(self.linux), pristine)

    def test_no_git(self):
        with mock.patch.dict(overlay.os.environ, {"PATH": ""}):
            self.assert_refused(self.tree().apply, "git is not installed; install it")

    def test_older_record(self):
        fill(self.linux, {f"{overlay.STATE}/manifest.json": "{}"})
        self.assert_refused(self.tree, "an older version")

    def test_missing_files(self):
        (self.linux / "rust/kernel/lib.rs").unlink()
        self.assert_refused(self.tree().apply, "not in the tree, but the overlay patches it")
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
        lib.write_text("// mine\n" + lib.read_text() + "// mine\n")
        self.tree().apply()
        self.assertIn("pub mod dax2;\n", lib.read_text())
        self.tree().remove()
        self.assertEqual(lib.read_text(), "// mine\n" + LINUX["rust/kernel/lib.rs"] + "// mine\n")

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
        def update():
            self.set_patches(OTHER)
            fill(self.project, {"drivers/dax/Kconfig": "new\n", "rust/kernel/dax.rs": "// new\n"})
            self.tree().apply()

        def back():
            self.set_patches(PATCHES)
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
        self.assertGreater(self.interrupt_everywhere(lambda: self.tree().remove(), again), 4)


if __name__ == "__main__":
    unittest.main()
