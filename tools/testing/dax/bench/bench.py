#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What operations on device DAX cost, in C and in Rust, in instructions.

  bench.py [--quick] [--c FOLDER] [--rust FOLDER] [--part PART] [--follow] [--output FOLDER]

Boots the kernel of upstream's C and the one of Rust, made from the same source and
configuration, counts in each (see bench.c), prints both side by side, and writes
Documentation/performance/ and the baseline of the test "cost". A row that misses its
goal is marked with "!".

QUICK=1 in the environment is --quick: fewer repetitions, and nothing is written.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[3]
sys.path[:0] = [str(HERE), str(HERE.parent / "machine")]

import curves  # noqa: E402
import follow  # noqa: E402
import lab as lab_module  # noqa: E402
import objects  # noqa: E402
import report  # noqa: E402
from vm import Machine  # noqa: E402

ROUNDS, FEW_ROUNDS = 101, 15
# Seconds of wall-clock time for one boot; it takes a tenth of that on an idle machine.
LIMIT = 1800
# Counting makes a machine slower.
PACE = 4


@dataclass
class Part:
    """What is measured in one boot."""

    machine: str
    append: str = ""
    stops: tuple = ()           # numbers of devices
    few_stops: tuple = ()       # the same when it has to be quick
    impls: tuple = ("c", "rust")
    program: str = ""           # what bench.c calls it, if not by the same name
    follow: bool = False

    def follows(self, quick):
        # Requests to a region take many times what faults do.
        return self.follow and not (quick and self.stops)


# kmem would take the soft-reserved memory for itself at boot; what is not there
# cannot be asked whether it wants a device, either.
NO_OTHERS = "module_blacklist=kmem,fsdev_dax,cxl_acpi"
PARTS = {
    "mapping": Part("nvdimm", follow=True),
    "ranges": Part("hmem", NO_OTHERS),
    "devices": Part("hmem", NO_OTHERS, (10, 100, 200, 500, 1000, 1500, 2000), (10, 2000),
                    follow=True),
    "lifecycle": Part("hmem", "module_blacklist=fsdev_dax,cxl_acpi"),
    # What takes C ever longer.
    "many": Part("hmem-large", NO_OTHERS, (10, 100, 1000, 2000, 5000, 10000), (10, 10000),
                 ("rust",), "devices"),
}
GUARD = Part("hmem", NO_OTHERS)
BASELINE = HERE / "baseline.toml"
# At most so many for the test "cost".
BOOTS = 8
# By how much an operation may grow before the test "cost" fails.
TOLERANCE = 0.02


class Failed(Exception):
    """Why there is no table: one sentence."""


class OtherKernel(Exception):
    """Why there is nothing to compare with: one sentence."""


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
    followed: dict      # of each followed operation, a Counter of follow.Symbol


def compile_program(lab):
    """bench.c for the guest."""
    lab.logs.mkdir(exist_ok=True)
    program = lab.build / "bench" / "bench"
    program.parent.mkdir(exist_ok=True)
    source = "/project/" + str((HERE / "bench.c").relative_to(PROJECT))
    command = lab.inside(["clang-19", "-O2", "-static", "-Wall", "-Wextra", "-Werror",
                          "-o", f"/build/{program.relative_to(lab.build)}", source])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"bench.c does not compile:\n{done.stderr}")
    return program


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


def boot(lab, impl, kernel, name, program, quick):
    """Boot one kernel for one part of the benchmark."""
    part = PARTS.get(name, GUARD)
    folder = Path(tempfile.mkdtemp(prefix=f"{impl}-{name}-", dir=program.parent))
    follower = None
    arguments = []
    environment = f"BENCH_ROUNDS={FEW_ROUNDS if quick else ROUNDS}"
    stops = " ".join(map(str, part.few_stops if quick else part.stops))
    try:
        shutil.copy(program, folder)
        shutil.copy(HERE / "guest.sh", folder)
        # A socket's path has room for 107 characters.
        with tempfile.TemporaryDirectory(prefix="dax-") as run:
            if part.follows(quick):
                follower = follow.Follower(f"{run}/gdb", address_of(lab, program, "marked"))
                arguments = ["-gdb", f"unix:{run}/gdb,server=on,wait=off"]
                environment += " BENCH_FOLLOW=1"
            with Machine(lab.build, part.machine, kernel=kernel, icount=True,
                         shares={"bench": folder}, append=f"nokaslr {part.append}",
                         args=arguments, pace=PACE) as machine:
                if follower:
                    follower.start()
                result = machine.run(f"uname -r; {environment} bash /mnt/bench/guest.sh "
                                     f"{part.program or name} {stops}", LIMIT)
        (lab.logs / f"bench-{impl}-{name}.log").write_text(result.output + result.console)
        if not result.ok:
            raise Failed(f"{impl} kernel, {name}: {result.why()} (what it printed: "
                         f"{lab.logs}/bench-{impl}-{name}.log)")
        followed = {}
        if follower:
            follower.join(timeout=10)
            keys = re.findall(r"^followed (\S+)", result.output, re.M)
            if len(follower.traces) != len(keys):
                raise Failed(f"{impl} kernel, {name}: {len(follower.traces)} of {len(keys)} "
                             f"operations could be followed: {follower.error}")
            owners = follow.Owners((folder / "kallsyms").read_text(),
                                   follow.areas(lambda command: lab.inside(command, impl)))
            followed = {key: owners.of(trace) for key, trace in zip(keys, follower.traces)}
        counts = parse(result.output)
        if part.program:
            counts = {f"{name}/{key}": count for key, count in counts.items()}
        return Boot(counts, result.output.split("\n", 1)[0], followed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(lab, kernels, parts, quick):
    """Boot all; Boot by (implementation, part)."""
    program = compile_program(lab)
    jobs = {}
    boots = {}
    # Counting does not mind who else is running.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for part in parts:
            for impl in PARTS[part].impls:
                jobs[pool.submit(boot, lab, impl, kernels[impl], part, program, quick)] = impl, part
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


def few(lab):
    """What the test "cost" counts in the kernel of Rust: its version, and medians by key."""
    one = boot(lab, "rust", lab.kernel("rust"), "guard", compile_program(lab), True)
    return one.version, {key: count.median for key, count in one.counts.items()
                         if count.median is not None}


def least(lab, enough):
    """The same, of as many boots as it takes to be enough, the least of each. In some boots the
    allocators have little at hand, and an operation takes more than in all others."""
    version, counts = few(lab)
    for _ in range(BOOTS - 1):
        if enough(counts):
            break
        for key, count in few(lab)[1].items():
            counts[key] = min(count, counts.get(key, count))
    return version, counts


def compare(lab):
    """For each operation of the baseline: what is expected, and a complaint if it is not so."""
    baseline = tomllib.loads(BASELINE.read_text())
    before = baseline["instructions"]

    def fits(key, counts):
        return key in counts and counts[key] <= before[key] * (1 + TOLERANCE)

    version, counts = least(lab, lambda counts: all(fits(key, counts) for key in before))
    if version != baseline["kernel"]:
        raise OtherKernel(f"the baseline is of Linux {baseline['kernel']}, this is {version}; "
                          "'make bench' records a new one")
    for key, count in before.items():
        what = f"{key} takes no more than {TOLERANCE:.0%} above {count} instructions"
        if key not in counts:
            yield what, "it was not counted"
        else:
            yield what, "" if fits(key, counts) else f"{counts[key]}, {counts[key] / count - 1:+.1%}"


def record(lab):
    """Write the baseline."""
    version, counts = least(lab, lambda counts: False)
    BASELINE.write_text("\n".join([
        "# SPDX-License-Identifier: GPL-2.0",
        '# Written by "make bench": what the test "cost" compares with.',
        f'kernel = "{version}"', "", "[instructions]",
        *(f"{key} = {count}" for key, count in counts.items()), ""]))


def arguments():
    parser = argparse.ArgumentParser(description="Count what C and Rust take, side by side.")
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("QUICK")),
                        help="fewer repetitions; writes nothing")
    parser.add_argument("--c", type=Path, metavar="FOLDER", help="another kernel of C")
    parser.add_argument("--rust", type=Path, metavar="FOLDER", help="another kernel of Rust")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part")
    parser.add_argument("--follow", action="store_true",
                        help="print whose instructions they are, function by function")
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help="of the document (default Documentation/performance)")
    return parser.parse_args()


def main():
    a = arguments()
    lab = lab_module.Lab(os.environ.get("BUILD") or PROJECT / "build")
    kernels = {"c": a.c or lab.kernel("c"), "rust": a.rust or lab.kernel("rust")}
    parts = a.part or list(PARTS)
    for impl, kernel in kernels.items():
        if not (kernel / "bzImage").is_file():
            raise Failed(f"there is no {impl} kernel in {kernel}; run 'make kernel IMPL={impl}'")
    boots = measure(lab, kernels, parts, a.quick)
    counts = {impl: {} for impl in kernels}
    followed = {impl: {} for impl in kernels}
    divided = {}
    for (impl, _), one in boots.items():
        counts[impl].update(one.counts)
        followed[impl].update(one.followed)
    if not a.part:
        for impl, kernel in kernels.items():
            found = objects.sizes(lab, impl, kernel).items()
            counts[impl].update((key, Count(size)) for key, size in found)
            divided[impl] = objects.divide(lab, impl, kernel)
    table = report.Table(counts["c"], counts["rust"])
    print()
    print(table.text())
    if any(followed.values()):
        print(report.shares(followed, table))
        if a.follow:
            print(report.functions(followed, lambda names: follow.demangle(names, lab.inside)))
    if divided:
        print(report.texts(divided))
    versions = {one.version for one in boots.values()}
    if len(versions) > 1:
        raise Failed(f"the kernels are of different versions, {' and '.join(sorted(versions))}; "
                     "their numbers cannot be compared")
    if a.output or not (a.quick or a.part):
        output = a.output or PROJECT / "Documentation" / "performance"
        output.mkdir(exist_ok=True)
        pictures = curves.draw(lab, counts, output)
        (output / "index.rst").write_text(
            report.document(table, followed, divided, versions.pop(), pictures))
        record(lab)
        lab_module.say(f"written to {output}, and the baseline of the test \"cost\"")


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        print(f"dax: {why}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
