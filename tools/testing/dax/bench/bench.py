#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What operations on device DAX cost, in C and in Rust, in instructions.

  bench.py [--quick] [--c FOLDER] [--rust FOLDER] [--part PART] [--follow] [--output FILE]

Boots the kernel of upstream's C and the one of Rust, made from the same source and
configuration, counts in each (see bench.c), prints both side by side, and writes
Documentation/performance.rst. A row that misses its goal is marked with "!".

QUICK=1 in the environment is --quick: fewer repetitions, and no document.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[3]
sys.path[:0] = [str(HERE), str(HERE.parent / "machine")]

import follow  # noqa: E402
import lab as lab_module  # noqa: E402
import report  # noqa: E402
from vm import Machine  # noqa: E402

ROUNDS = {False: 101, True: 31}
# Seconds of wall-clock time for one boot; it takes a tenth of that on an idle machine.
LIMIT = 900


@dataclass
class Part:
    """What is measured in one boot."""

    machine: str
    append: str = ""


# kmem would take the soft-reserved memory for itself at boot; what is not there
# cannot be asked whether it wants a device, either.
HMEM = Part("hmem", "module_blacklist=kmem,fsdev_dax,cxl_acpi")
PARTS = {"mapping": Part("nvdimm"), "ranges": HMEM, "sizing": HMEM}


class Failed(Exception):
    """Why there is no table: one sentence."""


@dataclass
class Count:
    """What the program in the guest says about one row."""

    median: int | None
    why: str = ""       # there is no median


@dataclass
class Boot:
    """What came of one boot."""

    counts: dict        # of each row, by its key
    version: str        # of the kernel
    followed: list      # of each followed fault, a Counter of (symbol, module)


def compile_program(lab, folder):
    source = "/project/" + str((HERE / "bench.c").relative_to(PROJECT))
    command = lab.inside(["clang-19", "-O2", "-static", "-Wall", "-Wextra", "-Werror",
                          "-o", f"/build/{folder.relative_to(lab.build)}/bench", source])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"bench.c does not compile:\n{done.stderr}")


def address_of(lab, program, name):
    command = lab.inside(["llvm-nm-19", f"/build/{program.relative_to(lab.build)}"])
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^([0-9a-f]+) \w {name}$", out, re.M).group(1), 16)


def parse(output):
    counts = {}
    for line in output.splitlines():
        words = line.split(" ", 2)
        if len(words) == 3 and words[1] == "-":
            counts[words[0]] = Count(None, words[2])
        elif re.fullmatch(r"\S+ \d+ \d+ \d+ \d+", line):
            counts[words[0]] = Count(int(words[1]))
    return counts


def boot(lab, impl, kernel, part, program, rounds):
    """Boot one kernel for one part of the benchmark."""
    folder = Path(tempfile.mkdtemp(prefix=f"{impl}-{part}-", dir=program.parent))
    follower = None
    arguments = []
    try:
        shutil.copy(program, folder)
        shutil.copy(HERE / "guest.sh", folder)
        # A socket's path has room for 107 characters.
        with tempfile.TemporaryDirectory(prefix="dax-") as run:
            if part == "mapping":
                follower = follow.Follower(f"{run}/gdb", address_of(lab, program, "marked"),
                                           len(report.FOLLOWED))
                arguments = ["-gdb", f"unix:{run}/gdb,server=on,wait=off"]
            with Machine(lab.build, PARTS[part].machine, kernel=kernel, icount=True,
                         shares={"bench": folder}, append=f"nokaslr {PARTS[part].append}",
                         args=arguments) as machine:
                if follower:
                    follower.start()
                result = machine.run(
                    f"uname -r; BENCH_ROUNDS={rounds} bash /mnt/bench/guest.sh {part}", LIMIT)
        (lab.logs / f"bench-{impl}-{part}.log").write_text(result.output + result.console)
        if not result.ok:
            raise Failed(f"{impl} kernel, {part}: {result.why()} (what it printed: "
                         f"{lab.logs}/bench-{impl}-{part}.log)")
        followed = []
        if follower:
            follower.join(timeout=10)
            if len(follower.traces) != len(report.FOLLOWED):
                raise Failed(f"{impl} kernel: a fault could not be followed: "
                             f"{follower.error or 'it never came'}")
            kallsyms = (folder / "kallsyms").read_text()
            followed = [follow.attribute(trace, kallsyms) for trace in follower.traces]
        return Boot(parse(result.output), result.output.split("\n", 1)[0], followed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(lab, kernels, parts, rounds):
    """Boot all; Boot by (implementation, part)."""
    lab.logs.mkdir(exist_ok=True)
    program = lab.build / "bench" / "bench"
    program.parent.mkdir(exist_ok=True)
    compile_program(lab, program.parent)
    jobs = {}
    boots = {}
    # Counting does not mind who else is running.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for part in parts:
            for impl, kernel in kernels.items():
                jobs[pool.submit(boot, lab, impl, kernel, part, program, rounds)] = impl, part
        try:
            for done in concurrent.futures.as_completed(jobs):
                impl, part = jobs[done]
                boots[impl, part] = done.result()
                lab_module.say(f"bench: {impl} kernel, {part}: done "
                               f"({len(boots)} of {len(jobs)})")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return boots


def arguments():
    parser = argparse.ArgumentParser(description="Count what C and Rust take, side by side.")
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("QUICK")),
                        help="fewer repetitions; writes no document")
    parser.add_argument("--c", type=Path, metavar="FOLDER", help="another kernel of C")
    parser.add_argument("--rust", type=Path, metavar="FOLDER", help="another kernel of Rust")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part")
    parser.add_argument("--follow", action="store_true",
                        help="print whose instructions a fault takes, function by function")
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="the document (default Documentation/performance.rst)")
    return parser.parse_args()


def main():
    a = arguments()
    lab = lab_module.Lab(os.environ.get("BUILD") or PROJECT / "build")
    kernels = {"c": a.c or lab.kernel("c"), "rust": a.rust or lab.kernel("rust")}
    parts = a.part or list(PARTS)
    for impl, kernel in kernels.items():
        if not (kernel / "bzImage").is_file():
            raise Failed(f"there is no {impl} kernel in {kernel}; run 'make kernel IMPL={impl}'")
    boots = measure(lab, kernels, parts, ROUNDS[a.quick])
    counts = {impl: {} for impl in kernels}
    followed = {}
    for (impl, _), one in boots.items():
        counts[impl].update(one.counts)
        if one.followed:
            followed[impl] = one.followed
    table = report.Table(counts["c"], counts["rust"])
    print()
    print(table.text())
    if followed:
        print(report.shares(followed))
    if a.follow and followed:
        print(report.functions(followed, lambda names: follow.demangle(names, lab.inside)))
    versions = {one.version for one in boots.values()}
    if len(versions) > 1:
        raise Failed(f"the kernels are of different versions, {' and '.join(sorted(versions))}; "
                     "their numbers cannot be compared")
    if a.output or not (a.quick or a.part):
        output = a.output or PROJECT / "Documentation" / "performance.rst"
        output.parent.mkdir(exist_ok=True)
        output.write_text(report.document(table, followed, versions.pop()))
        lab_module.say(f"written to {output}")
    return 1 if table.missed() else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as why:
        print(f"dax: {why}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
