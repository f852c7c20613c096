#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Count the instructions that operations on device DAX take, in C and in Rust.

  bench.py [--quick] [--c DIRECTORY] [--rust DIRECTORY] [--part PART] [--follow] [--output DIRECTORY]

Boots a kernel with upstream's C and a kernel with Rust, built from the same source and
configuration, and counts in each (see bench.c). Prints both side by side, and writes
Documentation/performance/ and the baseline of the test "cost". A row that misses its
goal is marked with "!".

QUICK=1 in the environment has the effect of --quick: fewer repetitions, and no files
are written.

CLOCK=time in the environment measures time instead, in cycles of the TSC. It is meant for
ACCEL=kvm, but works without. The two kernels boot in pairs, one after the other, PAIRS
times (default 5). The result is the median over the pairs of the ratio, with the smallest
and the largest. No files are written.
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
import stores  # noqa: E402
from vm import Machine  # noqa: E402

ROUNDS, FEW_ROUNDS = 101, 15
# The time limit of one boot, in seconds of wall-clock time. An idle host needs a tenth of it.
LIMIT = 1800
# The size of the per-CPU area of a processor is at most this.
PERCPU = 2 << 20
# Counting slows a machine down by about this factor.
PACE = 4


@dataclass
class Part:
    """The measurements of one boot."""

    machine: str
    append: str = ""
    stops: tuple = ()           # numbers of devices
    few_stops: tuple = ()       # the same with --quick
    impls: tuple = ("c", "rust")
    program: str = ""           # the name in bench.c, if it is another one
    prefix: bool = False        # whether the keys of its rows start with its name
    follow: bool = False
    over: tuple = ()            # functions that are not followed
    stores: bool = False        # whether to find locked instructions and stores, too

    def follows(self, quick):
        # Following requests to a region takes much longer than following faults.
        return self.follow and not (quick and self.stops)


# kmem would bind to the soft-reserved memory at boot. The other modules would be asked to match
# each new device, which costs instructions.
NO_OTHERS = "module_blacklist=kmem,fsdev_dax,cxl_acpi"
# The functions of mm that add and remove memory.
HOTPLUG = ("__add_memory_driver_managed", "add_memory_driver_managed", "remove_memory",
           "offline_and_remove_memory", "offline_and_remove_memory_ranges")
PARTS = {
    "mapping": Part("nvdimm", follow=True, stores=True),
    "ranges": Part("hmem", NO_OTHERS),
    "devices": Part("hmem-large", NO_OTHERS, (10, 100, 200, 500, 1000, 2000, 5000, 10000),
                    (10, 2000, 10000), follow=True),
    "lifecycle": Part("hmem", "module_blacklist=fsdev_dax,cxl_acpi", follow=True, over=HOTPLUG),
    "bare": Part("hmem", NO_OTHERS),
    "whole": Part("hmem", NO_OTHERS, follow=True),
    "huge": Part("hmem-large", NO_OTHERS, follow=True),
    "files": Part("nvdimm", follow=True),
    "large": Part("hmem-huge", NO_OTHERS, impls=("rust",), program="bare", prefix=True),
    "load1": Part("nvdimm", stops=(1,), few_stops=(1,), program="load"),
    "load64": Part("nvdimm", stops=(64,), few_stops=(64,), program="load"),
    "all": Part("hmem-large", NO_OTHERS, (1, 100, 10000), (1, 100, 10000)),
}
GUARD = Part("hmem", NO_OTHERS)
BASELINE = HERE / "baseline.toml"
# The test "cost" boots at most this often.
BOOTS = 8
# The test "cost" fails if an operation grows by more than this.
TOLERANCE = 0.02


class Failed(Exception):
    """The measurement failed; the text is one sentence that says why."""


class OtherKernel(Exception):
    """The baseline is of another kernel version; the text is one sentence that says so."""


@dataclass
class Count:
    """The result that bench.c prints for one row."""

    median: int | None
    why: str = ""       # the reason if there is no median


@dataclass
class Boot:
    """The results of one boot."""

    counts: dict        # key of a row -> Count
    version: str        # version of the kernel
    followed: dict      # key of a followed operation -> Counter of follow.Symbol
    writes: dict        # key of a followed operation -> stores.Writes


def compile_program(lab):
    """Compile the C files here for the guest; returns the program's path."""
    lab.logs.mkdir(exist_ok=True)
    program = lab.build / "bench" / "bench"
    program.parent.mkdir(exist_ok=True)
    sources = [f"/project/{path.relative_to(PROJECT)}" for path in sorted(HERE.glob("*.c"))]
    command = lab.inside(["clang-19", "-O2", "-static", "-pthread", "-Wall", "-Wextra", "-Werror",
                          "-idirafter", "/project/include/uapi",
                          "-o", f"/build/{program.relative_to(lab.build)}", *sources])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"the program does not compile:\n{done.stderr}")
    return program


def address_of(lab, program, name):
    command = lab.inside(["llvm-nm-19", f"/build/{program.relative_to(lab.build)}"])
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^([0-9a-f]+) \w {name}$", out, re.M).group(1), 16)


def symbols_of(kernel):
    """A dictionary from the symbols of a kernel to their addresses without randomisation."""
    lines = (kernel / "System.map").read_text().splitlines()
    return {name: int(address, 16) for address, _, name in map(str.split, lines)}


def parse(output):
    counts = {}
    for line in output.splitlines():
        words = line.split(" ", 2)
        if len(words) == 3 and words[1] == "-":
            counts[words[0]] = Count(None, words[2])
        elif re.fullmatch(r"\S+ \d+ \d+ \d+ \d+", line):
            counts[words[0]] = Count(int(words[1]))
    return counts


def boot(lab, impl, kernel, name, program, quick, timed=False):
    """Boot one kernel for one part of the benchmark; if TIMED, to measure time."""
    part = PARTS.get(name, GUARD)
    directory = Path(tempfile.mkdtemp(prefix=f"{impl}-{name}-", dir=program.parent))
    follower = None
    arguments = []
    environment = f"BENCH_ROUNDS={FEW_ROUNDS if quick else ROUNDS}"
    stops = " ".join(map(str, part.few_stops if quick else part.stops))
    try:
        shutil.copy(program, directory)
        shutil.copy(HERE / "guest.sh", directory)
        # The path of a socket has at most 107 characters.
        with tempfile.TemporaryDirectory(prefix="dax-") as run:
            if part.follows(quick) and not timed:
                symbols = symbols_of(kernel)
                follower = follow.Follower(
                    f"{run}/gdb", address_of(lab, program, "marked"),
                    [symbols[name] for name in part.over if name in symbols], part.stores)
                arguments = ["-gdb", f"unix:{run}/gdb,server=on,wait=off"]
                environment += " BENCH_FOLLOW=1"
            with Machine(lab.build, part.machine, kernel=kernel, icount=not timed, cpus=1,
                         shares={"bench": directory}, append=f"nokaslr {part.append}",
                         args=arguments, pace=PACE) as machine:
                if follower:
                    follower.start()
                result = machine.run(f"uname -r; {environment} bash /mnt/bench/guest.sh "
                                     f"{part.program or name} {stops}", LIMIT)
        (lab.logs / f"bench-{impl}-{name}.log").write_text(result.output + result.console)
        if not result.ok:
            raise Failed(f"{impl} kernel, {name}: {result.why()} (read "
                         f"{lab.logs}/bench-{impl}-{name}.log)")
        followed, writes = {}, {}
        if follower:
            follower.join(timeout=10)
            keys = re.findall(r"^followed (\S+)", result.output, re.M)
            if len(follower.traces) != len(keys):
                raise Failed(f"{impl} kernel, {name}: {len(follower.traces)} of {len(keys)} "
                             f"operations could be followed: {follower.error}")
            owners = follow.Owners((directory / "kallsyms").read_text(),
                                   follow.areas(lambda command: lab.inside(command, impl)))
            followed = {key: owners.of(trace) for key, trace in zip(keys, follower.traces)}
            if part.stores:
                area = symbols["__per_cpu_start"], PERCPU
                texts = stores.disassemble(follower.code, lambda command: lab.inside(command, impl))
                writes = {key: stores.of(trace, registers, follower.code, texts, owners, area)
                          for key, trace, registers in zip(keys, follower.traces, follower.registers)}
        counts = parse(result.output)
        if part.prefix:
            counts = {f"{name}/{key}": count for key, count in counts.items()}
        return Boot(counts, result.output.split("\n", 1)[0], followed, writes)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(lab, kernels, parts, quick):
    """Run all parts; returns a Boot for each (implementation, part)."""
    program = compile_program(lab)
    jobs = {}
    boots = {}
    # Other load on the host does not change the counts, so boots can run in parallel.
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


def time_pairs(lab, kernels, parts, quick):
    """Measure time; returns for each row the pairs of counts, C and Rust, in the order of the boots."""
    program = compile_program(lab)
    pairs = {}
    count = int(os.environ.get("PAIRS") or (3 if quick else 5))
    parts = [part for part in parts if PARTS[part].impls == ("c", "rust")]
    for part in parts:
        for i in range(count):
            # Every other pair starts with the other kernel.
            order = ("c", "rust") if i % 2 else ("rust", "c")
            found = {impl: boot(lab, impl, kernels[impl], part, program, quick, True).counts
                     for impl in order}
            for key, c in found["c"].items():
                rust = found["rust"].get(key)
                if rust and c.median and rust.median:
                    pairs.setdefault(key, []).append((c.median, rust.median))
            lab_module.say(f"bench: {part}: pair {i + 1} of {count} done")
    return pairs


def few(lab):
    """Count the operations of the test "cost" in one boot of the Rust kernel; returns the kernel's
    version and the medians by key."""
    one = boot(lab, "rust", lab.kernel("rust"), "guard", compile_program(lab), True)
    return one.version, {key: count.median for key, count in one.counts.items()
                         if count.median is not None}


def least(lab, enough):
    """The same over several boots, with the minimum for each key, until ENOUGH(counts) is true. In
    some boots the allocators have few free objects, and an operation takes more instructions."""
    version, counts = few(lab)
    for _ in range(BOOTS - 1):
        if enough(counts):
            break
        for key, count in few(lab)[1].items():
            counts[key] = min(count, counts.get(key, count))
    return version, counts


def compare(lab):
    """Yields for each operation of the baseline a description and a complaint, empty if it passed."""
    baseline = tomllib.loads(BASELINE.read_text())
    before = baseline["instructions"]

    def fits(key, counts):
        return key in counts and counts[key] <= before[key] * (1 + TOLERANCE)

    version, counts = least(lab, lambda counts: all(fits(key, counts) for key in before))
    if version != baseline["kernel"]:
        raise OtherKernel(f"the baseline is from Linux {baseline['kernel']}, but this is {version}; "
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
        '# Written by "make bench". The test "cost" compares with these numbers.',
        f'kernel = "{version}"', "", "[instructions]",
        *(f"{key} = {count}" for key, count in counts.items()), ""]))


def derived(followed, writes):
    """The rows that are found by following an operation."""
    found = {}
    kmem = [followed.get(f"kmem-{name}") for name in ("bind", "unplug", "online", "unbind")]
    if all(kmem):
        found["kmem-own"] = Count(sum(sum(count.values()) for count in kmem))
    for size in ("4k", "2m"):
        if f"read-{size}" not in writes:
            continue
        alone = writes[f"read-{size}"]
        found[f"locked-alone-{size}"] = Count(sum(alone.locked.values()))
        for who in ("process", "thread"):
            one, two = (writes[f"{who}-{letter}-{size}"] for letter in "ab")
            found[f"locked-{who}-{size}"] = Count(sum(two.locked.values()))
            found[f"lines-{who}-{size}"] = Count(len(two.both(one)))
    return found


def arguments():
    parser = argparse.ArgumentParser(description="Count instructions of C and Rust, side by side.")
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("QUICK")),
                        help="fewer repetitions; writes nothing")
    parser.add_argument("--c", type=Path, metavar="DIRECTORY", help="use this C kernel")
    parser.add_argument("--rust", type=Path, metavar="DIRECTORY", help="use this Rust kernel")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part")
    parser.add_argument("--follow", action="store_true",
                        help="print the instructions of each function")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY",
                        help="write the document there (default Documentation/performance)")
    return parser.parse_args()


def main():
    a = arguments()
    lab = lab_module.Lab(os.environ.get("BUILD") or PROJECT / "build")
    kernels = {"c": a.c or lab.kernel("c"), "rust": a.rust or lab.kernel("rust")}
    parts = a.part or list(PARTS)
    for impl, kernel in kernels.items():
        if not (kernel / "bzImage").is_file():
            raise Failed(f"there is no {impl} kernel in {kernel}; run 'make kernel IMPL={impl}'")
    clock = os.environ.get("CLOCK") or "instructions"
    if clock == "time":
        print("\n" + report.times(time_pairs(lab, kernels, parts, a.quick)))
        return
    if clock != "instructions":
        raise Failed(f"CLOCK={clock} is neither time nor instructions")
    boots = measure(lab, kernels, parts, a.quick)
    counts = {impl: {} for impl in kernels}
    followed = {impl: {} for impl in kernels}
    writes = {impl: {} for impl in kernels}
    divided = {}
    for (impl, _), one in boots.items():
        counts[impl].update(one.counts)
        followed[impl].update(one.followed)
        writes[impl].update(one.writes)
    for impl, kernel in kernels.items():
        if not a.part:
            found = objects.sizes(lab, impl, kernel).items()
            counts[impl].update((key, Count(size)) for key, size in found)
            divided[impl] = objects.divide(lab, impl, kernel)
        counts[impl].update(derived(followed[impl], writes[impl]))
    table = report.Table(counts["c"], counts["rust"])
    print()
    print(table.text())
    if any(followed.values()):
        print(report.shares(followed, table))
        if a.follow:
            print(report.functions(followed, lambda names: follow.demangle(names, lab.inside)))
            print(report.sharing(writes, lambda names: follow.demangle(names, lab.inside)))
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
    print("\n".join(report.summary(table)))


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        print(f"dax: {why}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
