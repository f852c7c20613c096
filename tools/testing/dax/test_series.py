#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of how series.py cuts files that several commits share, and of series/."""

import sys
import textwrap
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "machine")]

import series  # noqa: E402


def text(indented):
    return textwrap.dedent(indented).lstrip("\n").replace("    ", "\t")


LINUX_KCONFIG = text("""
    # SPDX
    config DAX
        tristate "DAX"

    if DAX

    config DEV_DAX
        tristate "Device"

    endif
    """)
OUR_KCONFIG = text("""
    # SPDX, ours
    config DAX
        tristate "DAX, in other words"

    if DAX

    config DEV_DAX
        tristate "Device, in other words"

    choice
        prompt "Which"

    config DEV_DAX_RUST
        bool "Rust"

    config DEV_DAX_C
        bool "C"

    endchoice

    config MORE
        tristate "More"

    endif
    """)
LINUX_MAKEFILE = """# SPDX
obj-$(CONFIG_DEV_DAX) += device_dax.o
device_dax-y := device.o
"""
OUR_MAKEFILE = """# SPDX
obj-$(CONFIG_DEV_DAX) += device_dax.o
obj-$(CONFIG_MORE) += more.o

# Fires.
ifeq ($(CONFIG_RUST)$(CONFIG_DAX),yy)
obj-y += trace.o
endif

# Which.
ifdef CONFIG_DEV_DAX_RUST
device_dax-y := rust/dax.o
else
device_dax-y := device.o
endif
"""
ALL = {"DEV_DAX_RUST", "DEV_DAX_C", "MORE"}


class Cutting(unittest.TestCase):
    def test_kconfig(self):
        def cut(absent, linux=LINUX_KCONFIG):
            return series.cut_kconfig(linux, OUR_KCONFIG, absent)

        self.assertEqual(cut(ALL), LINUX_KCONFIG)
        with_choice = cut({"MORE"})
        self.assertIn("DEV_DAX_C\n", with_choice)
        self.assertIn("endchoice\n", with_choice)
        self.assertNotIn("other words", with_choice)
        self.assertNotIn("MORE", with_choice)
        self.assertEqual(cut(set(), linux=""), OUR_KCONFIG)

    def test_makefile(self):
        def cut(absent, missing=()):
            return series.cut_makefile(LINUX_MAKEFILE, LINUX_MAKEFILE, OUR_MAKEFILE, absent, missing)

        self.assertEqual(cut(ALL, {"trace.o", "more.o"}), LINUX_MAKEFILE)
        self.assertEqual(cut(set()), OUR_MAKEFILE)
        with_trace = cut(ALL)
        self.assertIn("# Fires.\nifeq ($(CONFIG_RUST)$(CONFIG_DAX),yy)\nobj-y += trace.o\nendif\n", with_trace)
        self.assertNotIn("Which", with_trace)
        self.assertIn("\ndevice_dax-y := device.o\n", with_trace)
        self.assertNotIn("else", with_trace)

    def test_lines(self):
        self.assertEqual(series.cut_lines("a\nb x\nc\n", ["x"]), "a\nc\n")
        self.assertEqual(series.cut_lines("int a()\n{\n}\n\nint b()\n{\n\tx();\n}\n", ["x()"]), "int a()\n{\n}")


class Project(unittest.TestCase):
    def test_manifest(self):
        """Each file of the overlay is in one commit."""
        series.Manifest()

    def test_messages(self):
        for path in series.PLACE.glob("*.txt"):
            lines = path.read_text().splitlines()
            self.assertEqual([line for line in lines if len(line) > 76], [], path)
            self.assertTrue(len(lines) > 3 and not lines[1], path)

    def test_fixes(self):
        self.assertGreaterEqual(len(series.fixes()), 20)


if __name__ == "__main__":
    unittest.main()
