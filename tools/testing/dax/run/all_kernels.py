#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the tests on several kernels, and print one table of what came of it.

  all_kernels.py all    every test, also those that take long, on every kernel
  all_kernels.py matrix the modules in Rust on the core in C, those in C on the core in Rust, and
                        on each core every module with every other, in either language; writes
                        Documentation/driver-api/dax/interoperability.rst

The status is 0 when nothing failed. Kernels that are missing are built first. A run that is
interrupted goes on where it was when the same is run again, unless the code or the tests were
changed meanwhile: each test that has passed is kept in $BUILD/results until the run is over.
"""

import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE / name) for name in ("", "lib", "machine", "bench")]

import lab as lab_module  # noqa: E402
import overlay  # noqa: E402
import selftests  # noqa: E402
from env import BUILD, JOBS, PROJECT  # noqa: E402
from report import grid  # noqa: E402

DOCUMENT = PROJECT / "Documentation/driver-api/dax/interoperability.rst"

# The kernels that mix.
MATRIX = {"c-modules": "Rust core, C modules", "c-core": "C core, Rust modules"}
# On these any two modules meet, each in either language.
PAIRS = {"rust": "Rust core", "c-core": "C core"}
# What a test of this name is about; others are about device_dax.
ABOUT = {"pmem_": "dax_pmem", "kmem": "kmem", "hmem": "dax_hmem", "cxl": "dax_cxl",
         "fsdev": "fsdev_dax", "region": "device_dax, dynamic regions",
         "sysfs": "the bus", "drivers": "the bus", "sample": "the bus",
         "fsdax": "nd_pmem, virtio_pmem", "virtio": "nd_pmem, virtio_pmem"}
# What data races are looked for in: faults against whatever takes the memory away.
RACES = ["unbind", "rebind", "region_race", "split", "share", "class_unbind", "kmem_state", "fsdev",
         "region_stress"]


def state_of_code():
    """A number that changes with anything that decides how a test ends."""
    files = ["Makefile", *overlay.config_files(),
             *(name for name in overlay.project_files() if not name.startswith("Documentation/"))]
    return lab_module.digest(*(part for name in files
                               for part in (name, (PROJECT / name).read_bytes())))[:16]


def kept(what):
    """The folder for the results of this run, with what is left of one that was interrupted."""
    folder = BUILD / "results" / what / state_of_code()
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)

    have = 0
    for record in folder.glob("*.json"):
        # What takes no time is run again: it also looks at documents, say.
        results = [test for test in read(record).values()
                   if not test["failed"] and (test["system"] or test["tier"] == "all")]
        record.write_text("".join(json.dumps(test) + "\n" for test in results))
        have += len(results)
    if have:
        print(f"goes on: {have} tests passed before it was interrupted; to start over, remove "
              f"{folder}", flush=True)
    return folder


def read(record):
    """What came of each test."""
    results = {}
    for line in record.read_text().splitlines() if record.exists() else ():
        test = json.loads(line)
        first = results.get(test["name"])
        if first:
            # It also failed when its machine was powered off.
            test["failed"] += first["failed"]
            test = {**first, "failed": test["failed"]}
        results[test["name"]] = test
    return results


def run(folder, kernel, names=(), everything=False):
    """What pytest says of each test."""
    record = folder / f"{kernel}.json"
    print(f"\n==== {kernel} kernel", flush=True)
    status = subprocess.run([HERE / "machine/lab", "kernel", kernel], check=False).returncode
    status = status or subprocess.run(
        [sys.executable, "-m", "pytest", HERE, "-n", str(JOBS), f"--results={record}",
         f"--test={' '.join(names)}", *["--all"] * everything],
        check=False, env={**os.environ, "KERNEL": kernel}).returncode
    results = read(record)
    # 5: all of them are in the record.
    if status not in (0, 5) and not any(test["failed"] for test in results.values()):
        # It was not built, or the run did not come to its end.
        results["the run"] = {"tier": "", "passed": 0, "failed": 1, "skipped": 0, "known": 0,
                              "counts": {}, "pairs": [], "seconds": 0, "system": True}
    return results


# ---- the matrix ----

def about(name):
    script = name.split("/")[-1]
    return next((module for start, module in ABOUT.items() if script.startswith(start)), "device_dax")


def cell(tests):
    passed = sum(test["passed"] for test in tests)
    known = sum(test["known"] for test in tests)
    failed = sum(test["failed"] for test in tests)
    words = [f"{passed} passed"] * bool(passed) + [f"{known} known"] * bool(known)
    return ", ".join(words + [f"{failed} FAILED"] * bool(failed)) or "none"


def matrix_table(results):
    names = [test.name for test in selftests.selftests().values() if test.tier != "all"
             and not all(test.unfit(kernel) for kernel in MATRIX)]
    rows = [[module] + [cell([results[kernel][name] for name in names
                              if about(name) == module and name in results[kernel]])
                        for kernel in MATRIX]
            for module in sorted(set(map(about, names)))]
    return grid(["Tests of", *MATRIX.values()], rows)


def pairs_table(results):
    """A row for each provider and consumer, by their languages; how many cases were about them."""
    found = {kernel: collections.Counter(pair for test in results[kernel].values()
                                         for pair in test.get("pairs", ())) for kernel in PAIRS}
    rows = []
    for pair in sorted(set().union(*found.values())):
        provider, language, consumer, other = pair.split("|")
        rows.append([f"{provider} in {language}", f"{consumer} in {other}",
                     *(str(found[kernel][pair] or "refused") for kernel in PAIRS)])
    return grid(["Provider", "Consumer", *PAIRS.values()], rows)


TEXT = """\
.. SPDX-License-Identifier: GPL-2.0
.. Written by "make test-matrix"; do not edit.

=============================
Rust with C, in each pairing
=============================

The core of DAX and each module can be built from Rust or from upstream's C, one
by one (see drivers/dax/Kconfig), and any module works on either core. This table
is written by ``make test-matrix``, which builds kernels from one tree, boots each in
the reference machines and runs the system tests there.

{table}

A number is how many cases passed. "Known" ones fail because of a fault of
upstream's C; the test says which part has it and why, and where that part is
Rust they have to pass. Tests and cases that need a part in Rust, because C would
take the machine down, do not run where it is C: so the numbers of a row differ.

nd_pmem, virtio_pmem and the CXL core are always C; their row shows what file systems
find on each core.

Any two modules
===============

The file of a module fits a kernel whose other modules are in the other language, so
a test (``pairs``) loads each module in either language beside each other one. A
device goes from one consumer to the next, and is taken away while it is mapped. The
consumers differ from each other in all combinations, so that each takes a device from
one of the other language, too.

{pairs}

A number is how often all that the consumer does worked, ``refused`` that the pair is
not possible:

- dax_pmem_compat exists in Rust only. On a core in C the kernel does not load it
  ("Unknown symbol dax_class_driver_get"). Beside dax_pmem in C it refuses each
  namespace, with a line in the log, since nothing could tell which of the two has it.
  Kconfig has neither.
- A device of 1 GiB entries whose namespace does not begin at a whole GiB works if one
  of dax_pmem and device_dax is Rust; see Documentation/admin-guide/device-dax.rst.
"""


def write_matrix(results):
    DOCUMENT.write_text(TEXT.format(table=matrix_table(results), pairs=pairs_table(results)))
    print(f"\n{matrix_table(results)}\n\n{pairs_table(results)}\n\n{DOCUMENT.relative_to(PROJECT)} is written")


# ---- all ----

def rows(title, tests):
    """One for what is run every day, and one for each of what takes long."""
    def row(what, some):
        counts = {}
        for test in some:
            for thing, number in test["counts"].items():
                counts[thing] = counts.get(thing, 0) + number
        return [what, ", ".join(f"{number:,} {thing}" for thing, number in counts.items()),
                str(sum(test["passed"] for test in some)), str(sum(test["failed"] for test in some)),
                str(sum(test["skipped"] for test in some)),
                f"{sum(test['seconds'] for test in some) / 60:.1f}"]

    for what, wanted in (("on this machine", False), ("in the machines", True)):
        some = [test for test in tests.values() if test["tier"] != "all" and test["system"] == wanted]
        if some:
            yield row(f"{title}, {what}", some)
    for name, test in tests.items():
        if test["tier"] == "all":
            yield row(f"{title}, {name}", [test])


def table(results):
    lines = [["What", "How often", "Passed", "Failed", "Skipped", "Minutes"]]
    for kernel, tests in results.items():
        lines += rows(kernel, tests)
    width = [max(len(line[i]) for line in lines) for i in range(6)]
    return "\n".join("  ".join([line[0].ljust(width[0]), line[1].ljust(width[1]),
                                *(text.rjust(w) for text, w in zip(line[2:], width[2:]))])
                     for line in lines)


def main(argv):
    what = argv[1] if len(argv) == 2 else ""
    if what not in ("all", "matrix"):
        print(__doc__, file=sys.stderr)
        return 2
    folder = kept(what)
    names = [test.name for test in selftests.selftests().values() if test.tier != "all" or test.script == "pairs"]
    if what == "matrix":
        results = {kernel: run(folder, kernel, names) for kernel in MATRIX}
        results["rust"] = run(folder, "rust", ["pairs"])
    else:
        results = {"rust": run(folder, "rust", everything=True), "c": run(folder, "c"),
                   **{kernel: run(folder, kernel, names) for kernel in MATRIX},
                   "debug": run(folder, "debug", everything=True), "kcsan": run(folder, "kcsan", RACES)}
    shutil.rmtree(folder)
    write_matrix(results)
    print("\n" + table(results) + "\n")
    passed = sum(test["passed"] for tests in results.values() for test in tests.values())
    failed = sum(test["failed"] for tests in results.values() for test in tests.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
