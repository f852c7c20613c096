# SPDX-License-Identifier: GPL-2.0
"""Static checks of the source and of the documents."""

import re
from pathlib import Path

import lab
import overlay
import pytest
from env import HERE, PROJECT, command, inside, tail
from outcome import Outcome, counted


@pytest.mark.parametrize("which", lab.CHECKS)
def test_check(which, report):
    """make check-WHICH"""
    status, output = command(str(HERE / "machine/lab"), "check", which)
    report(Outcome(wrong=[tail(output)]) if status else Outcome(passed=1))


def test_docs(report):
    """The documents agree with the code; see lib/check_docs.py."""
    report(counted(*inside("python3", "/project/tools/testing/dax/lib/check_docs.py")))


def source():
    """Rules for every source file."""
    files = [Path(name) for name in overlay.project_files()]
    files += [*map(Path, overlay.config_files()), Path("Makefile")]
    no_licence, unsafe = [], []
    for name in files:
        text = (PROJECT / name).read_text(errors="replace")
        # Files in ABI/ may contain only entries.
        bare = name.suffix in (".config", ".svg") or name.parts[:2] == ("Documentation", "ABI")
        if not bare and not name.name.startswith("."):
            if "SPDX-License-Identifier: GPL-2.0" not in "\n".join(text.splitlines()[:3]):
                no_licence.append(str(name))
        if name.suffix == ".rs" and name.parts[:2] == ("drivers", "dax") and "ffi" not in name.parts:
            code = re.sub(r"//.*|\"(\\.|[^\"\\])*\"", "", text)
            if re.search(r"\bunsafe\b", code):
                unsafe.append(str(name))
    yield "each file has its licence", ", ".join(no_licence)
    yield "unsafe is only in the core's C entry points", ", ".join(unsafe)


def test_source(report):
    report(source())
