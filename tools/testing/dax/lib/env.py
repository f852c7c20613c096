# SPDX-License-Identifier: GPL-2.0
"""The kernel under test and the build directory, from the environment that make sets."""

import os
import subprocess
from pathlib import Path

import lab as lab_module

HERE = Path(__file__).resolve().parents[1]
PROJECT = lab_module.PROJECT
BUILD = Path(os.environ.get("BUILD") or PROJECT / "build").resolve()
LAB = lab_module.Lab(BUILD)
# The kernel under test; see FRAGMENTS in lab.py.
KERNEL = os.environ.get("KERNEL") or "rust"
IN_C = lab_module.in_c(KERNEL)
ARCH = lab_module.arch_of(KERNEL)
# The bugs of upstream's C that it does not have.
C_FIXED = lab_module.fixed_in(KERNEL)
# Time limits are multiplied by this: these kernels are slow, and so can a machine be.
PACE = {"debug": 8, "kcsan": 8, "arm64-4K": 2, "arm64-64K": 2}.get(KERNEL, 1) * int(os.environ.get("PACE") or 1)
# The number of machines that run at the same time; each has two processors. A test on the host that
# boots machines itself may run this many in addition.
JOBS = int(os.environ.get("JOBS") or 2)


def command(*arguments):
    """Run a command on the host; returns its status and output."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          env={**os.environ, "BUILD": str(BUILD)})
    return done.returncode, done.stdout


def inside(*arguments, impl=None):
    """Run a command in the toolchain tree; returns its status and output."""
    return command(*LAB.inside(list(arguments), impl))


def in_rust(*arguments):
    """Call host/run, which builds and runs Rust programs; returns its status and output."""
    return inside("env", "BUILD=/build/host-tests", "CRATES=/build/crates",
                  "/project/tools/testing/dax/host/run", *arguments)


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])
