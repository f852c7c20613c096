# SPDX-License-Identifier: GPL-2.0
"""The tests of tools/testing/selftests/dax: their headers, and the files that a machine needs to run them."""

import atexit
import functools
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import lab as lab_module
import vm
from env import ARCH, BUILD, HERE, IN_C, KERNEL, LAB, PACE, in_rust, inside

DIRECTORY = HERE.parent / "selftests/dax"
# The tests source these; they are not tests.
SHARED = ("lib", "machine", "qemu")


@dataclass(frozen=True)
class Boot:
    """Tests with an equal Boot share a booted machine."""

    machine: str
    append: str = ""
    image: str = "guest"


@functools.cache
def boot(machine, append="", image="guest"):
    """Always returns the same object, because pytest compares the parameters of a fixture by identity."""
    return Boot(machine, append, image)


@dataclass(frozen=True)
class Selftest:
    """A script on a machine."""

    machine: str
    script: str
    boots: int
    limit: int
    impl: str       # "rust", the modules that must be in Rust, and the reason; empty: any kernel
    bugs: tuple     # or the bugs of the modules in C that a kernel must not have
    splat: str      # a pattern of kernel messages that the test may cause
    append: str     # for the kernel's command line; tests with the same text share a boot
    image: str      # the guest's image, of IMAGES in lab.py
    tier: str       # "all": the test takes long and is not run every day
    kernels: tuple  # the kernels that the test runs on; empty: all
    kexec: tuple    # what comes between the boots: a kernel that takes over, "crash", or "off" for a power off

    @property
    def name(self):
        return f"{self.machine}/{self.script}"

    @property
    def boot(self):
        return boot(self.machine, self.append, self.image)

    def unfit(self, kernel=KERNEL):
        """The reason why the test cannot run on this kernel; empty if it can."""
        c = lab_module.in_c(kernel)
        parts = self.impl.split(" - ")[0].split()[1:] or c
        fixed = self.bugs and set(self.bugs) <= set(lab_module.fixed_in(kernel))
        if self.impl and set(parts) & set(c) and not fixed:
            return self.impl
        if kernel not in (self.kernels or [kernel]):
            return f"it is for {', '.join(self.kernels)}"
        arch = lab_module.arch_of(kernel)
        if self.machine not in vm.ARCHES[arch].kinds:
            return f"{arch} has no machine {self.machine}"
        return ""


def head(text, key, default=""):
    found = re.search(rf"^# {key}: *(.+)", text, re.M)
    return found[1].strip() if found else default


def splat(text):
    """The pattern of the warnings that a test may cause on this kernel."""
    keys = ["splat"] + ["splat-in-c"] * ("device_dax" in IN_C)
    return "|".join(filter(None, (head(text, key) for key in keys)))


@functools.cache
def selftests():
    found = []
    for path in sorted(DIRECTORY.glob("*.sh")):
        if path.stem in SHARED:
            continue
        text = path.read_text()
        for machine in head(text, "machines", "nvdimm").split():
            found.append(Selftest(
                machine, path.stem, int(head(text, "boots", "1")), PACE * int(head(text, "limit", "120")),
                head(text, "impl"), tuple(head(text, "bug").split()), splat(text), head(text, "append"),
                head(text, "image", "guest"), head(text, "tier"),
                tuple(head(text, "kernel").split()), tuple(head(text, "kexec").split())))
    return {test.name: test for test in found}


class Unbuilt(Exception):
    """A file that a machine needs to run tests cannot be built; the text says why."""


def make(what, *arguments, impl=None):
    status, output = inside(*arguments, impl=impl)
    if status:
        raise Unbuilt(f"{what} cannot be built:\n{output}")


@functools.cache
def stage():
    """A directory with all files that a machine needs: the scripts, the kernel's helpers, the programs."""
    (BUILD / "run").mkdir(parents=True, exist_ok=True)
    top = Path(tempfile.mkdtemp(prefix="tests-", dir=BUILD / "run"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    there = f"/build/run/{top.name}"
    kselftest = BUILD / "linux/tools/testing/selftests"
    for directory in ("kselftest", "dax"):
        shutil.copytree(kselftest / directory, top / directory)
    for name in ("lib.mk", "kselftest.h", "kselftest_harness.h"):
        shutil.copy(kselftest / name, top)
    # Take today's scripts; the copies in the kernel tree are as old as the kernel.
    shutil.copytree(DIRECTORY, top / "dax", dirs_exist_ok=True)
    shutil.copytree(HERE / "guest", top / "guest")
    cc = LAB.cc(KERNEL)
    make("the tests' programs", "make", "-C", f"{there}/dax", f"ARCH={ARCH}", f"CC={' '.join(cc)}",
         "USERLDFLAGS=-static", "USERCFLAGS=-Werror")
    # These flush the caches by instructions of x86.
    if ARCH == "x86":
        make("powercut.c", *cc, "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", f"{there}/guest/powercut",
             "/project/tools/testing/dax/guest/powercut.c")
        make("daxfile", "make", "-C", f"{there}/dax", "-f", "/project/tools/dax/Makefile", f"CC={' '.join(cc)}",
             "CFLAGS=-O2 -Wall -Wextra -Werror", "LDFLAGS=-static", "daxfile", "daxfile-example")
    if "CONFIG_FAIL_FUNCTION=y\n" in (BUILD / f"kernel-{KERNEL}/config").read_text():
        make("fallible.c", *LAB.make_command(KERNEL), "M=/project/tools/testing/dax/fallible", f"MO={there}/fallible",
             "modules", impl=KERNEL)
        shutil.copy(top / "fallible/fallible.ko", top / "dax")
    return top


@functools.cache
def rust_programs():
    """Build the Rust programs that run in the machine."""
    status, output = in_rust("build")
    if status:
        raise Unbuilt(f"the programs in Rust cannot be built:\n{output}")
    shutil.copytree(BUILD / "host-tests/host/bin", stage() / "dax", dirs_exist_ok=True)


@functools.cache
def modules_in_c():
    """Put upstream's C modules into the stage."""
    place = stage() / "dax/upstream"
    # Another worker of pytest may build them, too.
    with LAB.locked():
        modules = LAB.upstream_modules(KERNEL)
    place.mkdir()
    # Also add the module that exists only in Rust.
    compat = LAB.out("rust") / "drivers/dax/dax_pmem_compat.ko"
    for path in [*modules.glob("*.ko"), *([compat] if compat.is_file() else [])]:
        shutil.copy(path, place)


@functools.cache
def kernel_for_kexec(kernel):
    """Put a kernel and its modules into the stage."""
    place = stage() / "kexec" / kernel
    with LAB.locked():
        LAB.make_kernel(kernel)
    shutil.copytree(LAB.kernel(kernel) / "modules/lib/modules", place / "modules", symlinks=True)
    shutil.copy(LAB.kernel(kernel) / "bzImage", place)
    (place / "env").write_text(f"export IN_C='{' '.join(lab_module.in_c(kernel))}' C_FIXED=\n")


def prepare(test):
    """Build the files that only some tests need, if TEST is one of them."""
    text = (DIRECTORY / f"{test.script}.sh").read_text()
    if {"daxstress", "regionmodel", "daxfile-example-rs"} & set(head(text, "needs").split()):
        rust_programs()
    if "./upstream/" in text:
        modules_in_c()
    if test.image != "guest":
        # It is made for the first of these tests, which takes some minutes.
        with LAB.locked():
            LAB.make_image(test.image)
    for kernel in set(test.kexec) - {"crash", "off"}:
        kernel_for_kexec(kernel)
    if "nested-init" in text:
        # The kernel of a guest within the guest.
        shutil.copy(BUILD / f"kernel-{KERNEL}/bzImage", stage() / "dax/nested-kernel")
    if "crash" in test.kexec:
        shutil.copy(BUILD / f"kernel-{KERNEL}/vmlinux", stage() / "dax")
