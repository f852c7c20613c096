# SPDX-License-Identifier: GPL-2.0
"""What is tested, and with what: from the environment, as make sets it."""

import os
import subprocess
from pathlib import Path

import lab as lab_module

HERE = Path(__file__).resolve().parents[1]
PROJECT = lab_module.PROJECT
BUILD = Path(os.environ.get("BUILD") or PROJECT / "build").resolve()
LAB = lab_module.Lab(BUILD)
# Which kernel; see lab.py.
KERNEL = os.environ.get("KERNEL") or "rust"
IN_C = lab_module.in_c(KERNEL)
# These need more time for everything.
PACE = {"debug": 8, "kcsan": 8}.get(KERNEL, 1)
# Machines at the same time; each has two processors. A test of this machine that boots some has as
# many of its own, beside those that the other tests have meanwhile.
JOBS = int(os.environ.get("JOBS") or 2)


def command(*arguments):
    """Run it on this machine; status and output."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          env={**os.environ, "BUILD": str(BUILD)})
    return done.returncode, done.stdout


def inside(*arguments, impl=None):
    """The same in the toolchain tree."""
    return command(*LAB.inside(list(arguments), impl))


def in_rust(*arguments):
    """Do something with the tests' programs in Rust, see host/run; status and output."""
    return inside("env", "BUILD=/build/host-tests", "CRATES=/build/crates",
                  "/project/tools/testing/dax/host/run", *arguments)


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])
