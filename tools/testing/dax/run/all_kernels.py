#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the tests on several kernels, and print one table of the results.

  all_kernels.py all    every test on every kernel, including the tests that take long
  all_kernels.py matrix Rust modules on the C core, C modules on the Rust core, and on each core
                        every module with every other one in both languages; writes
                        Documentation/driver-api/dax/interoperability.rst

The status is 0 if nothing failed. Missing kernels are built first. After an interruption, the same
command continues with the tests that have not passed yet; their results are in $BUILD/results
until the run is over. If the code or the tests changed meanwhile, it starts over.
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

import check_docs  # noqa: E402
import lab as lab_module  # noqa: E402
import overlay  # noqa: E402
import selftests  # noqa: E402
from env import BUILD, JOBS, PROJECT  # noqa: E402
from report import grid  # noqa: E402

DOCUMENT = PROJECT / "Documentation/driver-api/dax/interoperability.rst"

# The kernels that mix C and Rust.
MATRIX = {"c-modules": "Rust core, C modules", "c-core": "C core, Rust modules"}
# On these kernels the test "pairs" combines any two modules, each in C and in Rust.
PAIRS = {"rust": "Rust core", "c-core": "C core"}
# The module that a test is about, by the start of its name; other tests are about device_dax.
ABOUT = {"pmem_": "dax_pmem", "kmem": "kmem", "hmem": "dax_hmem", "cxl": "dax_cxl",
         "fsdev": "fsdev_dax", "region": "device_dax, dynamic regions",
         "sysfs": "the bus", "drivers": "the bus", "sample": "the bus",
         "fsdax": "nd_pmem, virtio_pmem", "virtio": "nd_pmem, virtio_pmem"}
# The tests for the KCSAN kernel: faults that race with the removal of the memory.
RACES = ["unbind", "rebind", "region_race", "split", "share", "class_unbind", "kmem_state", "fsdev",
         "region_stress"]
# The kernels by other compilers.
COMPILERS = [f"rust-{name}" for name in ("gcc", *lab_module.TOOLCHAINS)]
# The tests that need what the kernel "programs" has and "rust" has not.
PROGRAMS = ["prog_kvm", "prog_kvm_failure", "prog_kdump", "kmem_pressure", "prog_stress"]
# The tests for arm64: KUnit, mappings and regions. The second list divides memory into pieces that are
# smaller than an entry of 512 MiB, which pages of 64 KiB have.
ARM64_ANY = """
    nvdimm/kunit nvdimm/mmap nvdimm/mmap_refused nvdimm/mmap_address nvdimm/split nvdimm/unbind nvdimm/share
    nvdimm/dontfork nvdimm/file nvdimm/raw nvdimm/pmem_modes nvdimm/fault_around_huge nvdimm/kmem hmem/region_align
    hmem/hmem hmem/held hmem/kmem
    """.split()
ARM64_FINE = """
    nvdimm/rebind nvdimm/stats nvdimm/fault_around nvdimm/kmem_state
    nvdimm/held nvdimm/provider_gone nvdimm/region_overlap nvdimm/fsdev nvdimm/sample
    hmem/fault_around hmem/provider_gone hmem/region hmem/region_refused hmem/region_race hmem/region_overlap
    hmem/grow hmem/fsdev hmem/kmem_grow
    """.split()
ARM64 = {"arm64-4K": ARM64_ANY + ARM64_FINE, "arm64-64K": ARM64_ANY}


def on_fixed():
    """The selftests that name a bug of upstream which the kernel c-fixed does not have."""
    marked = check_docs.marks()
    named = {name for bug in lab_module.fixed_in("c-fixed") for name in marked.get(bug, ())}
    return sorted({test.script for test in selftests.selftests().values()
                   if test.script in named and test.tier != "all"})


def state_of_code():
    """A digest of all files that can change the result of a test."""
    files = ["Makefile", *overlay.config_files(),
             *(name for name in overlay.project_files() if not name.startswith("Documentation/"))]
    return lab_module.digest(*(part for name in files
                               for part in (name, (PROJECT / name).read_bytes())))[:16]


def kept(what):
    """The directory for the results of this run. It keeps the results of an interrupted run."""
    directory = BUILD / "results" / what / state_of_code()
    for other in directory.parent.glob("*"):
        if other != directory:
            shutil.rmtree(other)
    directory.mkdir(parents=True, exist_ok=True)

    have = 0
    for record in directory.glob("*.json"):
        # Short tests on the host run again: they also check documents, which state_of_code() ignores.
        results = [test for test in read(record).values()
                   if not test["failed"] and (test["system"] or test["tier"] == "all")]
        record.write_text("".join(json.dumps(test) + "\n" for test in results))
        have += len(results)
    if have:
        print(f"continuing: {have} tests passed before the interruption; to start over, remove "
              f"{directory}", flush=True)
    return directory


def read(record):
    """The results in a record, by name of the test."""
    results = {}
    for line in record.read_text().splitlines() if record.exists() else ():
        test = json.loads(line)
        first = results.get(test["name"])
        if first:
            # The test has a second entry because its teardown failed.
            test["failed"] += first["failed"]
            test = {**first, "failed": test["failed"]}
        results[test["name"]] = test
    return results


def run(directory, kernel, names=(), everything=False):
    """Run tests on a kernel; returns the results, by name of the test."""
    record = directory / f"{kernel}.json"
    print(f"\n==== {kernel} kernel", flush=True)
    status = subprocess.run([HERE / "machine/lab", "kernel", kernel], check=False).returncode
    status = status or subprocess.run(
        [sys.executable, "-m", "pytest", HERE, "-n", str(JOBS), f"--results={record}",
         f"--test={' '.join(names)}", *["--all"] * everything],
        check=False, env={**os.environ, "KERNEL": kernel}).returncode
    results = read(record)
    # 5: pytest had nothing to run, because the record has all results.
    if status not in (0, 5) and not any(test["failed"] for test in results.values()):
        # The build failed, or pytest did not finish.
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
    """A row for each provider and consumer in each language, with the number of cases that passed."""
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

Kconfig can build the core of DAX and each module from Rust or from upstream's C (see
drivers/dax/Kconfig). Any module works on either core. ``make test-matrix`` writes this
table: it builds the kernels from one source tree, boots each in the reference machines
and runs the selftests there.

{table}

A number counts cases that passed. "Known" cases fail because of a bug in upstream's C.
The test names the module with the bug and the reason; with that module in Rust the case
must pass. Some tests and cases need a module in Rust, because C would crash the machine.
They do not run where that module is C, so the numbers of a row differ.

nd_pmem, virtio_pmem and the CXL core are always C. Their row shows how file systems fare
on each core.

Any two modules
===============

A kernel can also load modules that were built for it in the other language. The test
``pairs`` loads each module in either language together with each other module in either
language. Each device moves from one consumer to the next, and is unbound while a process
has it mapped. The test runs all combinations of consumers, so each consumer also gets a
device from a consumer in the other language.

{pairs}

A number counts successful runs of everything that the consumer does. ``refused`` means
that the pair is impossible:

- dax_pmem_compat exists in Rust only. A C core cannot load it ("Unknown symbol
  dax_class_driver_get"). Together with dax_pmem in C it refuses each namespace and logs
  that, because nothing could tell which of the two owns the namespace. Kconfig offers
  neither combination.
- A device with 1 GiB entries whose namespace does not begin at a multiple of 1 GiB works
  if dax_pmem or device_dax is Rust; see Documentation/admin-guide/device-dax.rst.
"""


def write_matrix(results):
    DOCUMENT.write_text(TEXT.format(table=matrix_table(results), pairs=pairs_table(results)))
    print(f"\n{matrix_table(results)}\n\n{pairs_table(results)}\n\n{DOCUMENT.relative_to(PROJECT)} is written")


# ---- all ----

def rows(title, tests):
    """One row for the daily tests, and one for each test that takes long."""
    def row(what, some):
        counts = {}
        for test in some:
            for thing, number in test["counts"].items():
                counts[thing] = counts.get(thing, 0) + number
        return [what, ", ".join(f"{number:,} {thing}" for thing, number in counts.items()),
                str(sum(test["passed"] for test in some)), str(sum(test["failed"] for test in some)),
                str(sum(test["skipped"] for test in some)),
                f"{sum(test['seconds'] for test in some) / 60:.1f}"]

    for what, wanted in (("on the host", False), ("in the machines", True)):
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
    directory = kept(what)
    names = [test.name for test in selftests.selftests().values() if test.tier != "all" or test.script == "pairs"]
    if what == "matrix":
        results = {kernel: run(directory, kernel, names) for kernel in MATRIX}
        results["rust"] = run(directory, "rust", ["pairs"])
    else:
        results = {"rust": run(directory, "rust", everything=True), "c": run(directory, "c"),
                   "c-fixed": run(directory, "c-fixed", on_fixed()),
                   **{kernel: run(directory, kernel, names) for kernel in MATRIX},
                   "debug": run(directory, "debug", everything=True), "kcsan": run(directory, "kcsan", RACES),
                   **{kernel: run(directory, kernel, PROGRAMS) for kernel in ("programs", "programs-c")},
                   **{kernel: run(directory, kernel, [*names, "nvdimm/kunit"]) for kernel in COMPILERS},
                   **{kernel: run(directory, kernel, tests) for kernel, tests in ARM64.items()}}
    shutil.rmtree(directory)
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
