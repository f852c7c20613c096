#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Builds of rust/ and drivers/dax with other compilers, configurations and architectures.

  builds.py some     those that break most easily
  builds.py all      all of them; writes Documentation/driver-api/dax/builds.rst
  builds.py NAME...  these

A build passes if it ends without a warning about a file of this project. A note in $BUILD/builds/passed
keeps it from being built again, until the code or the configuration changes.
"""

import os
import random
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / name) for name in ("", "lib", "bench"))]

import checks  # noqa: E402
import lab as lab_module  # noqa: E402
import overlay  # noqa: E402
import stock  # noqa: E402
from archive import Stop  # noqa: E402
from lab import PARTS, PROJECT, Progress, Steps, digest, read, say  # noqa: E402
from report import grid  # noqa: E402

DOCUMENT = PROJECT / "Documentation/driver-api/dax/builds.rst"
RANDOM = 50
# The arguments of make for each compiler and architecture.
COMPILERS = {"clang 19": lab_module.CLANG, "gcc 14": lab_module.GCC,
             **dict.fromkeys(lab_module.TOOLCHAINS, lab_module.NEWER)}
KERNEL_ARCH = {"x86_64": "x86", "arm64": "arm64", "riscv64": "riscv"}
# Where nothing else is asked for: an architecture's own default, and what the drivers need.
NEEDED = """
    RUST=y MODULES=y ZONE_DEVICE=y MEMORY_HOTPLUG=y MEMORY_HOTREMOVE=y TRANSPARENT_HUGEPAGE=y MEMORY_FAILURE=y
    NUMA=y LIBNVDIMM=y PCI=y ACPI=y EFI=y EFI_SOFT_RESERVE=y CXL_BUS=y CXL_ACPI=y CXL_MEM=y CXL_REGION=y FS_DAX=y
    EXT4_FS=y XFS_FS=y KUNIT=y DAX=y DEV_DAX=m DEV_DAX_PMEM=m DEV_DAX_KMEM=m DEV_DAX_HMEM=m DEV_DAX_CXL=m
    DEV_DAX_FSDEV=m DAXFILE=m SWAP=y
    """.split()
# A build of one configuration without debugging information takes minutes, with it a quarter of an hour.
QUICK = {"DEBUG_INFO_NONE": "y", "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT": "n", "DEBUG_INFO_BTF": "n",
         "MODULE_SIG_ALL": "n", "MODULE_SIG_KEY": '""', "SYSTEM_TRUSTED_KEYS": '""', "WERROR": "n"}
# Why Linux allows no Rust in a configuration; drivers/dax is all C there.
NO_RUST = "KASAN needs clang"
# The options of a random configuration, each with the values to choose from. Kconfig has the last word: something
# else may select an option, or a dependency may be off.
CHOSEN = {
    "DAX": "yyyyymn",
    **dict.fromkeys(["DEV_DAX", "DEV_DAX_PMEM", "DEV_DAX_KMEM", "DEV_DAX_HMEM", "DEV_DAX_CXL",
                     "DEV_DAX_FSDEV", "DAXFILE", "LIBNVDIMM", "CXL_BUS", "KUNIT"], "yymmmn"),
    # Without one of these, the core or a module in Rust cannot be chosen, or all else depends on it.
    **dict.fromkeys(["ZONE_DEVICE", "MEMORY_HOTPLUG", "MEMORY_HOTREMOVE", "TRANSPARENT_HUGEPAGE", "MODULES", "SYSFS",
                     "BLOCK"], "yyyyyyyn"),
    **dict.fromkeys(["MEMORY_FAILURE", "NUMA", "SMP", "ACPI_HMAT", "CXL_REGION", "FS_DAX", "FTRACE", "PRINTK",
                     "NVDIMM_DAX", "EFI_SOFT_RESERVE", "MHP_MEMMAP_ON_MEMORY", "DEBUG_FS", "USERFAULTFD",
                     "RUST_OVERFLOW_CHECKS", "MODULE_UNLOAD", "COMPAT", "MEMCG"], "yyyn"),
    **dict.fromkeys(["RUST_DEBUG_ASSERTIONS", "PROVE_LOCKING", "FAULT_INJECTION", "DEBUG_VM", "PREEMPT_RT",
                     "DYNAMIC_DEBUG", "CC_OPTIMIZE_FOR_SIZE", "RUST_INLINE_HELPERS", "EXPERT"], "yn"),
    # Linux allows gcc and KASAN only without Rust.
    "KASAN": "ynnn",
}


class Row(NamedTuple):
    name: str
    compiler: str = "clang 19"
    arch: str = "x86_64"
    # "reference": the machine's; "debian": Debian's; otherwise a target of make.
    base: str = "reference"
    options: dict = {}
    samples: bool = False


def chosen(seed):
    """The options of a random configuration."""
    dice = random.Random(seed)
    options = {name: dice.choice(values) for name, values in CHOSEN.items()}
    for part in PARTS:
        language = dice.choice(("RUST", "RUST", "C"))
        options[f"{part}_{language}"] = "y"
    return options


def rows():
    needed = dict(option.split("=") for option in NEEDED)
    yield Row("reference")
    yield Row("reference-gcc", "gcc 14", samples=True)
    for suite in lab_module.TOOLCHAINS:
        yield Row(f"reference-{suite}", suite, samples=True)
    yield Row("built-in", options={name: "y" for name in PARTS})
    yield Row("no-modules", options={"MODULES": "n"})
    yield Row("little", options=dict.fromkeys(
        "FTRACE ACPI_HMAT MEMORY_FAILURE NUMA FS_DAX SMP DEBUG_FS KUNIT USERFAULTFD LIBNVDIMM".split(), "n"))
    yield Row("no-hotremove", options={"MEMORY_HOTREMOVE": "n"})
    yield Row("no-device-memory", options={"ZONE_DEVICE": "n", "TRANSPARENT_HUGEPAGE": "n"})
    yield Row("no-huge-pages", options={"TRANSPARENT_HUGEPAGE": "n"})
    yield Row("debugging", options=dict.fromkeys(
        "RUST_DEBUG_ASSERTIONS RUST_OVERFLOW_CHECKS PROVE_LOCKING KASAN DEBUG_VM FAULT_INJECTION".split(), "y"))
    for flavour in ("amd64", "cloud-amd64"):
        yield Row(f"debian-{flavour}", "gcc 14", base=f"debian {flavour}")
    for pages in ("4K", "16K", "64K"):
        yield Row(f"arm64-{pages}", arch="arm64", base="defconfig", options={
            **needed, **{f"ARM64_{size}_PAGES": "y" if size == pages else "n" for size in ("4K", "16K", "64K")}})
    yield Row("riscv64", arch="riscv64", base="defconfig", options=needed)
    for seed in range(1, RANDOM + 1):
        yield Row(f"random-{seed}", ("clang 19", "gcc 14")[seed % 2], base="debian cloud-amd64", options=chosen(seed))


# For each day: these broke before.
SOME = ("little", "no-huge-pages", "arm64-64K")


class Builds(stock.Stock):
    """IMPL is the directory of the objects of an architecture and a compiler; one build after the other uses it."""

    def out(self, impl):
        return self.build / "builds" / impl

    def make(self, row, *arguments):
        return self.inside(["make", "-C", "/linux", "O=/out", f"ARCH={KERNEL_ARCH[row.arch]}",
                            *COMPILERS[row.compiler], f"-j{os.cpu_count()}", *arguments], self.name(row))

    @staticmethod
    def name(row):
        return f"{row.arch}-{row.compiler.replace(' ', '-')}"

    def base(self, row):
        """The configuration that the options are put on."""
        kind, _, flavour = row.base.partition(" ")
        if kind == "debian":
            release = self.archive.newest(flavour)
            self.take_headers(release)
            return read(self.headers(release) / ".config")
        if kind == "reference":
            return read(HERE / "kernel.config")
        return ""

    def configure_row(self, row):
        out, name = self.out(self.name(row)), self.name(row)
        out.mkdir(parents=True, exist_ok=True)
        ours = {f"CONFIG_{key}": value for key, value in {**QUICK, **row.options}.items()}
        kept = [line for line in self.base(row).splitlines() if line.split("=")[0] not in ours]
        text = "\n".join(kept + [f"{key}={value}" for key, value in ours.items()]) + "\n"
        (self.build / "builds/asked.config").write_text(text)
        merge = "scripts/kconfig/merge_config.sh -m -O /out {} /build/builds/asked.config"
        make = " ".join(self.make(row)[self.make(row).index("make"):])
        steps = {"reference": f"{make} allnoconfig; cd /linux; {merge.format('/out/.config')}",
                 "debian": "cp /build/builds/asked.config /out/.config"}.get(
                     row.base.split()[0], f"{make} {row.base}; cd /linux; {merge.format('/out/.config')}")
        status, _ = self.logged(f"builds-{name}-config.log", self.inside(
            ["sh", "-ec", f"{steps}; {make} olddefconfig"], name))
        if status:
            raise Stop(f"{row.name} could not be configured; read {self.logs}/builds-{name}-config.log")
        if not self.has_rust(row) and not ("gcc" in name and "CONFIG_KASAN=y\n" in read(out / ".config")):
            raise Stop(f"{row.name}: Rust is not in the configuration; an option excludes it")

    def has_rust(self, row):
        return "CONFIG_RUST=y\n" in read(self.out(self.name(row)) / ".config")

    def made(self, row):
        """What was built, for the table: the compilers, and the parts of drivers/dax by language."""
        config = read(self.out(self.name(row)) / ".config")
        found = re.search(r'^CONFIG_CC_VERSION_TEXT=".*?(clang|gcc).* (\d[\d.]+)', config, re.M)
        rust = re.search(r'^CONFIG_RUSTC_VERSION_TEXT="rustc ([\d.]+)', config, re.M)
        languages = {"Rust": [], "C": []}
        for part, name in {**PARTS, "DAXFILE": "daxfile"}.items():
            if on := re.search(rf"^CONFIG_{part}=([ym])$", config, re.M):
                built_in = " (y)" if on[1] == "y" and part != "DAX" else ""
                in_rust = part == "DAXFILE" or f"CONFIG_{part}_RUST=y" in config
                languages["Rust" if in_rust else "C"].append(name + built_in)
        parts = "; ".join(f"{language}: {', '.join(names)}" for language, names in languages.items() if names)
        return f"{found[1]} {found[2]}, {f'rustc {rust[1]}' if rust else NO_RUST}\n{parts or 'nothing'}\n"

    def run(self, row):
        """Build; returns the complaints."""
        name = self.name(row)
        self.make_compilers(name)
        files = checks.ours(".rs", ".c", ".h", "Kconfig", "Makefile")
        self.configure_row(row)
        steps = Steps()
        with Progress(f"build: {row.name}", lambda: f"step {steps.number}, {steps.last}"):
            status, log = self.logged(f"builds-{name}.log", self.make(
                row, "W=1", "prepare", *["rust/"] * self.has_rust(row), "drivers/dax/",
                *["samples/"] * row.samples), steps)
        found = checks.complaints(log, files)
        if status:
            wrong = [line for line in log.splitlines() if re.search(r"error|Error \d|undefined|No space", line)]
            found = found or wrong[:30] or log.splitlines()[-30:]
        if found:
            # make would not say it again.
            for path in ("rust/kernel.o", "rust/helpers/helpers.o", "drivers/dax"):
                self.remove(self.out(name) / path)
        return found

    def note(self, row):
        sources = [path for path in overlay.project_files()
                   if path.split("/")[0] not in ("Documentation", "tools")]
        return self.build / "builds/passed" / digest(
            *row, QUICK, read(HERE / "kernel.config"), read(self.compilers(self.name(row)) / ".made-of"),
            self.source_version(),
            *(PROJECT.joinpath(path).read_bytes() for path in [*sources, *overlay.config_files()]))[:24]


def build(builds, names):
    """Build rows: each row, and the complaints about it."""
    (builds.build / "builds/passed").mkdir(parents=True, exist_ok=True)
    for row in rows():
        if names and row.name not in names:
            continue
        if builds.note(row).exists():
            say(f"build: {row.name}: passed before")
            yield row, []
            continue
        try:
            found = builds.run(row)
        except Stop as why:
            found = [f"{why}"]
        print("\n".join(found[:40]))
        say(f"build: {row.name}: {'does not pass' if found else 'passed'}")
        if not found:
            # The compilers may have been fetched for this row.
            builds.note(row).write_text(builds.made(row))
        yield row, found


TEXT = """\
.. SPDX-License-Identifier: GPL-2.0
.. Written by "make test-builds"; do not edit.

===========================================
Compilers, configurations and architectures
===========================================

``make test-builds`` builds rust/ and drivers/dax with each of these compilers, architectures and
configurations, with W=1, and writes this table. A build passes if nothing warns about a file of
these drivers. A random configuration is Debian's with about fifty options chosen by chance. The
seed of the choice is its number. "KASAN needs clang" stands where Linux allows no Rust; drivers/dax
is C there.

{table}

``make test-all`` also boots kernels by each of these compilers, and of arm64 with pages of 4 and
64 KiB, and runs the tests that run/all_kernels.py names; see Documentation/testing.rst.
"""


def write_document(builds, failed):
    """Write the table. An interrupted run leaves rows out."""
    lines, missing = [], []
    for row in rows():
        compilers, _, parts = read(builds.note(row)).strip().partition("\n")
        if parts or row.name in failed:
            lines.append([row.name, compilers or row.compiler, row.arch, parts,
                          "builds" if parts else "does not build"])
        else:
            missing.append(row.name)
    table = grid(["Configuration", "Compilers", "Architecture", "Of drivers/dax", "Result"], lines)
    left = textwrap.fill(f"Not built yet: {', '.join(missing)}.", 100, break_on_hyphens=False) if missing else ""
    DOCUMENT.write_text(TEXT.format(table=table) + (f"\n{left}\n" if left else ""))


def main(argv):
    names = argv[1:]
    if not names or names[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    builds = Builds(os.environ.get("BUILD") or PROJECT / "build")
    everything = names == ["all"]
    names = [] if everything else SOME if names == ["some"] else names
    unknown = set(names) - {row.name for row in rows()}
    if unknown:
        raise Stop(f"there is no build {min(unknown)!r}; there are {', '.join(row.name for row in rows())}")
    with builds.locked():
        builds.make_toolchain()
        builds.make_source()
        if any(row.base.startswith("debian") for row in rows() if not names or row.name in names):
            builds.update()
        passed, failed = 0, []
        for row, found in build(builds, names):
            passed += not found
            failed += [row.name] * bool(found)
            if everything:
                write_document(builds, failed)
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    lab_module.command(main)
