#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the tests, all or some.

  run_tests.py [NAME...]     each NAME is a test or part of a test's name; T= does the same
  run_tests.py --list        what there is

KERNEL=c runs the system tests on upstream's C kernel instead: what they expect is what C
does, but for what a test marks as known to be wrong there. Others are listed in lab.py.

A test whose head says "tier: all" takes long: it runs with TIER=all, or when it is named.

The last line is "N passed, N failed"; the status is 0 when none failed. A system test is
a script in tests/ (see tests/lib.sh) and counts for as many as it has cases. Several run
in one boot. Whatever one says, it fails when the kernel reports a bug meanwhile, when it
leaves devices behind, or when it takes too long.
"""

import atexit
import concurrent.futures
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
sys.path[:0] = [str(HERE / "machine"), str(HERE / "bench"), str(HERE)]

import bench  # noqa: E402
import lab as lab_module  # noqa: E402
import overlay  # noqa: E402
import powercut  # noqa: E402
import sysfs_compare  # noqa: E402
import vm  # noqa: E402

BUILD = Path(os.environ.get("BUILD") or PROJECT / "build").resolve()
# Which one; see lab.py.
KERNEL = os.environ.get("KERNEL") or "rust"
# These need more time for everything.
PACE = {"debug": 8, "kcsan": 8}.get(KERNEL, 1)
LAB = lab_module.Lab(BUILD)
# In the toolchain tree, by their names there.
SELFTESTS = HERE.parent / "selftests/dax"
# At the same time; each has two processors. A test on this machine that boots some has as many
# of its own, beside those that the other tests have meanwhile.
MACHINES = int(os.environ.get("JOBS") or 2)
# Tests that restart after a crash took the machine with it.
MAX_RESTARTS = 3

screen = threading.Lock()


def say(text):
    with screen:
        print(text, flush=True)


@dataclass
class Outcome:
    """What came of a test: how many cases did what, and what is to be said of them."""

    passed: int = 0
    skipped: int = 0
    wrong: list = field(default_factory=list)    # of each failed case, what happened
    known: list = field(default_factory=list)    # failed as the test says C does
    counts: dict = field(default_factory=dict)   # what it says that it did, and how often
    pairs: list = field(default_factory=list)    # of each case about two modules, these
    seconds: float = 0

    def count(self, text):
        """Take in the lines "# count: N WHAT" of a test's output."""
        for number, what in re.findall(r"^# count: (\d+) (.+)", text, re.M):
            self.add({what: int(number)})

        self.pairs += re.findall(r"^# pair: (.+)", text, re.M)

    def add(self, counts):
        for what, number in counts.items():
            self.counts[what] = self.counts.get(what, 0) + number

    def line(self, name):
        words = [f"{self.passed} passed"] if self.passed or not self.skipped else []
        if self.wrong:
            words.append(f"{len(self.wrong)} FAILED")
        if self.skipped:
            words.append(f"{self.skipped} skipped")
        if self.known:
            words.append(f"{len(self.known)} known wrong in C")
        text = f"  {name:<28} {', '.join(words):<30} {self.seconds:6.1f} s"
        return "\n".join([text, *(f"      {number:,} {what}" for what, number in self.counts.items()),
                          *(f"      {line}" for why in self.wrong for line in why.splitlines())])


# ---- tests on this machine ----

def command(*arguments, env=None):
    """Run it; status and output."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          env={**os.environ, "BUILD": str(BUILD), **(env or {})})
    return done.returncode, done.stdout


def inside(*arguments, impl=None):
    """The same in the toolchain tree."""
    return command(*LAB.inside(list(arguments), impl))


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])


def counted(status, output):
    """Of a program that ends with "N passed, N failed"."""
    outcome = Outcome()
    outcome.count(output)
    found = re.findall(r"^(\d+) passed, (\d+) failed", output, re.M)
    if not found:
        outcome.wrong.append(f"ended with status {status}:\n{tail(output)}")
        return outcome
    outcome.passed, failed = int(found[-1][0]), int(found[-1][1])
    if failed or status:
        outcome.wrong = [tail(output)] + ["see above"] * (failed - 1)
    return outcome


def in_rust(*arguments):
    """Do something with the tests' programs in Rust; status and output."""
    return inside("env", "BUILD=/build/host-tests", "CRATES=/build/crates",
                  "/project/tools/testing/dax/host/run", *arguments)


def host():
    """The logic of regions, compiled for this machine."""
    return counted(*in_rust("test"))


def fuzz():
    """The same logic with what libFuzzer thinks up."""
    return counted(*in_rust("fuzz"))


def docs():
    """What the documents quote is what the code says."""
    return counted(*inside("python3", "/project/tools/testing/dax/check_docs.py"))


def overlay_step():
    """The step that puts the overlay into a Linux tree."""
    status, output = command(sys.executable, str(HERE / "test_overlay.py"))
    ran = re.search(r"^Ran (\d+) tests?", output, re.M)
    bad = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", output)))
    if not ran or (status and not bad):
        return Outcome(wrong=[tail(output)])
    return Outcome(passed=int(ran[1]) - bad,
                   wrong=[tail(output)] * bool(bad) + ["see above"] * (bad - 1))


def static(which):
    def check():
        status, output = command(str(HERE / "machine/lab"), "check", which)
        return Outcome(wrong=[tail(output)]) if status else Outcome(passed=1)
    check.__doc__ = f"make check-{which}"
    return check


def cases(found):
    """An outcome of (description, complaint or nothing)."""
    outcome = Outcome()
    for what, complaint in found:
        if complaint:
            outcome.wrong.append(f"{what}: {complaint}")
        else:
            outcome.passed += 1
    return outcome


def source():
    """What holds for every source file."""
    files = [Path(name) for name in overlay.project_files()]
    files += [*map(Path, overlay.config_files()), Path("Makefile")]
    no_licence, unsafe = [], []
    for name in files:
        text = (PROJECT / name).read_text(errors="replace")
        # Files in ABI/ are made of entries, and of nothing else.
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


# Functions that only upstream's C has: file -> names.
ONLY_IN_C = {
    "super.c": ["dax_init_fs_context", "dax_destroy_inode", "dax_fs_init"],
    "bus.c": ["trim_dev_dax_range", "adjust_dev_dax_range", "do_id_store", "dax_mapping_release"],
    "device.c": ["__dev_dax_pmd_fault", "dev_dax_huge_fault", "dax_mmap_prepare"],
    "pmem.c": ["__dax_pmem_probe"],
    "fsdev.c": ["fsdev_dax_probe", "__fsdev_dax_direct_access", "fsdev_clear_folio_state"],
    "kmem.c": ["dev_dax_kmem_probe", "dax_kmem_do_hotplug", "dax_kmem_init_resources"],
    "hmem/device.c": ["__hmem_register_resource", "hmem_init"],
    "hmem/hmem.c": ["__hmem_register_device", "dax_hmem_platform_probe", "process_defer_work"],
    "cxl.c": ["cxl_dax_region_probe", "cxl_dax_region_driver_register"],
}
MODULES = {"device_dax": "dax:t0*", "dax_pmem": "nd:t7*", "kmem": "dax:t0*",
           "fsdev_dax": "dax:t0*", "dax_hmem": "platform:hmem*", "dax_cxl": "cxl:t8*"}


def symbols(path, *options):
    status, output = inside("llvm-nm", *options, path)
    if status:
        raise RuntimeError(f"nm {path}: {output.strip()}")
    return [line.split()[-1] for line in output.splitlines() if line.split()]


def kernel():
    """What the kernel image and the modules are made of."""
    ko = {name: f"/build/kernel-rust/modules/{path.relative_to(BUILD / 'kernel-rust/modules')}"
          for name in MODULES
          for path in (BUILD / "kernel-rust/modules").rglob(f"{name}.ko")}
    image = set(symbols("/build/kernel-rust/vmlinux"))
    module = {name: set(symbols(path)) for name, path in ko.items()}
    everywhere = image.union(*module.values())
    for file, names in ONLY_IN_C.items():
        yield f"nothing of {file} is in the kernel", ", ".join(everywhere.intersection(names))
    _, members = inside("llvm-ar", "t", "/out/drivers/dax/built-in.a", impl="rust")
    yield ("the built-in part of drivers/dax is not upstream's",
           ", ".join(re.findall(r"\b(?:super|bus)\.o", members)))
    core = [name for name in image if name.startswith("_R") and "8dax_core" in name]
    yield "the core in the kernel image is Rust", "" if core else "it has no symbol of dax_core"
    for name, alias in MODULES.items():
        if name not in ko:
            yield f"{name} is built", "there is no such module"
            continue
        rust = [symbol for symbol in module[name] if symbol.startswith("_R")]
        yield f"{name} is Rust", "" if rust else "it has no Rust symbol"
        fields = {key: inside("modinfo", "-F", key, ko[name])[1].split("\n")[0]
                  for key in ("name", "license", "description", "author", "alias")}
        yield f"modinfo names {name}", "" if fields["name"] == name else fields["name"]
        yield (f"{name} has licence, author and description",
               "" if fields["license"].startswith("GPL") and fields["author"] and fields["description"]
               else str(fields))
        yield f"{name} is loaded for {alias}", "" if fields["alias"] == alias else fields["alias"]


def panics():
    """No code of ours refers to Rust's panics."""
    for where, panic in LAB.panics("rust"):
        yield f"{where} refers to nothing in core::panicking", panic


# How Kbuild compiles this module is how the programs in compile_fail are compiled.
LIKE = "drivers/dax/dax_pmem"


def errors(name, rustc):
    """What the compiler has against a program of compile_fail."""
    _, output = inside("sh", "-c", f"cd /out && RUSTC_BOOTSTRAP=1 {rustc} --error-format=json --emit=metadata --out-dir /tmp "
                       f"/project/tools/testing/dax/compile_fail/{name}", impl="rust")
    said = []
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            # Not of the compiler, which was not found perhaps.
            said.append({"level": "error", "code": None, "rendered": line})
            continue
        if message.get("level", "").startswith("error") and "aborting due to" not in message["message"]:
            said.append(message)
    return said


def compile_fail():
    """Programs that use our safe API as nobody may do not compile; see the README there."""
    kept = (LAB.out("rust") / f"{LIKE.replace('dax/', 'dax/.')}.o.cmd").read_text()
    command = re.search(r":= (.*? RUST_MODFILE=\S+ rustc .*? --sysroot=\S+) ", kept)[1]
    programs = sorted((HERE / "compile_fail").glob("*.rs"))
    expected = {}
    for path in programs:
        head = re.search(r"^// (?:(compiles)|fails: (E\d{4}|none) (.+))$", path.read_text(), re.M)
        yield f"{path.name} says what comes of it", "" if head else "no line \"// fails: CODE TEXT\""
        expected[path.name] = head and head.groups()
    controls = [name for name, head in expected.items() if head and head[0]]
    yield "one program compiles, so that the others could", "" if controls else "there is none"

    with concurrent.futures.ThreadPoolExecutor(MACHINES) as pool:
        found = dict(zip(expected, pool.map(
            lambda name: errors(name, command.replace(LIKE, f"compile_fail/{name}")), expected)))
    for name, said in found.items():
        if not expected[name]:
            continue
        control, code, text = expected[name]
        rendered = "\n".join(message["rendered"] for message in said)
        if control:
            yield f"{name} compiles", rendered
            continue
        # Errors about lifetimes have no number.
        right = all((message["code"] or {}).get("code", "none") == code
                    and text in " ".join(message["rendered"].split()) for message in said)
        lines = {span["line_start"] for message in said for span in message.get("spans", ())
                 if span["is_primary"]}
        right = right and len(lines) == 1
        yield f"{name} fails with {code}: {text}", "" if right else rendered or "it compiles"


# What Linux exports to no module, and our part of the kernel crate uses nevertheless: symbol -> why.
NOT_EXPORTED = {}


def exports():
    """A module in Rust gets by with what Linux exports to modules in C. Our part of the kernel crate is
    in the kernel image, but is called by modules, and inlined into them."""
    for where, symbols in LAB.unexported("rust"):
        yield (f"{where} refers to nothing that is not exported",
               ", ".join(symbol for symbol in symbols if symbol not in NOT_EXPORTED))


def sysfs():
    """What is seen in /sys is what upstream's C shows, in the same machines set up alike."""
    with LAB.locked():
        LAB.make_kernel("c")
    with concurrent.futures.ThreadPoolExecutor(MACHINES) as pool:
        for found in pool.map(lambda machine: list(sysfs_compare.compare(BUILD, machine)),
                              sysfs_compare.MACHINES):
            yield from found


def power(cuts):
    """What was reported as durable lives through cuts of the power; SEED chooses the moments."""
    seed = os.environ.get("SEED") or random.randrange(1 << 32)
    found, counts = powercut.run(BUILD, prepare_stage(), cuts, MACHINES, seed)
    outcome = cases(found)
    outcome.add(counts)
    return outcome


def cost():
    """No operation takes more instructions than the last "make bench" recorded."""
    try:
        return cases(bench.compare(LAB))
    except bench.OtherKernel as why:
        say(f"cost: skipped: {why}")
        return Outcome(skipped=1)


HOST_TESTS = {
    "host": host,
    "fuzz": fuzz,
    "overlay": overlay_step,
    "docs": docs,
    "source": lambda: cases(source()),
    **{which: static(which) for which in lab_module.CHECKS},
    "kernel": lambda: cases(kernel()),
    "panics": lambda: cases(panics()),
    "compile_fail": lambda: cases(compile_fail()),
    "exports": lambda: cases(exports()),
    "sysfs": lambda: cases(sysfs()),
    "cost": cost,
    "powercut": lambda: power(4),
    "powercuts": lambda: power(100),
}
# Of these the ones that take long.
HOST_TIER_ALL = ("fuzz", "powercuts")


# ---- tests in the reference machines ----

@dataclass
class System:
    """A script of tests/ on a machine."""

    machine: str
    script: str
    boots: int
    limit: int
    only: str       # rust, the parts that have to be, and why; empty for any
    splat: str      # what the kernel may say meanwhile
    append: str     # for the kernel's command line; tests with the same share a boot
    tier: str       # all: not for every day
    kernels: list   # that it is for; empty for all

    @property
    def name(self):
        return f"{self.machine}/{self.script}"

    def is_for(self, kernel):
        c = lab_module.in_c(kernel)
        parts = self.only.split(" - ")[0].split()[1:] or c
        return not (self.only and set(parts) & set(c)) and kernel in (self.kernels or [kernel])


def header(text, key, default):
    found = re.search(rf"^# {key}: *(.+)", text, re.M)
    return found[1].strip() if found else default


def system_tests():
    found = []
    for path in sorted(SELFTESTS.glob("*.sh")):
        if path.stem in ("lib", "machine"):
            continue
        text = path.read_text()
        for machine in header(text, "machines", "nvdimm").split():
            found.append(System(machine, path.stem, int(header(text, "boots", "1")),
                                PACE * int(header(text, "limit", "120")), header(text, "impl", ""),
                                header(text, "splat", ""), header(text, "append", ""),
                                header(text, "tier", ""), header(text, "kernel", "").split()))
    return found


class Running:
    """Follows the lines of a session.sh."""

    def __init__(self, tests, finished):
        self.tests = {test.script: test for test in tests}
        self.finished = finished
        self.name, self.lines, self.rest = None, [], ""
        self.done = {}

    def feed(self, piece):
        *lines, self.rest = (self.rest + piece).split("\n")
        for line in lines:
            self.line(line)

    def line(self, line):
        mark = re.match(r"## (\w+) (\S+)(?: (\d+) ([\d.]+))?", line)
        if not mark:
            self.lines.append(line)
        elif mark[1] == "begin":
            self.name, self.lines = mark[2], []
        elif mark[1] == "left":
            self.lines.append("## left")
        elif mark[1] == "end" and mark[2] == self.name:
            outcome = judge(self.lines, int(mark[3]), self.tests[self.name].limit)
            outcome.seconds = float(mark[4])
            self.done[self.name] = outcome
            self.name = None
            self.finished()


def judge(lines, status, limit):
    """The outcome of one test, from its KTAP."""
    outcome = Outcome()
    outcome.count("\n".join(lines))
    plan, seen, detail = None, 0, None
    left = []
    for line in lines:
        case = re.match(r"(not )?ok (\d+)(?: -)? (.*)", line)
        if case:
            seen += 1
            detail = None
            what = case[3]
            if "# SKIP" in what:
                outcome.skipped += 1
            elif "# XFAIL" in what:
                outcome.known.append(what)
            elif case[1]:
                detail = [f"not ok: {what}"]
                outcome.wrong.append(detail)
            else:
                outcome.passed += 1
        elif re.match(r"1\.\.\d+$", line):
            plan, detail = int(line[3:]), left
        elif line.startswith("Bail out!"):
            outcome.wrong.append([line])
            plan = seen
        elif line == "## left":
            outcome.wrong.append(["it left something behind, or took something away:", *left])
        elif detail is not None and len(detail) < 30:
            detail.append(line)
    if status == 124 or status == 137:
        outcome.wrong.append([f"it took longer than its limit of {limit} s", *lines[-10:]])
    elif plan != seen:
        outcome.wrong.append([f"it ended early, with status {status}:", *lines[-15:]])
    outcome.wrong = ["\n".join(why) for why in outcome.wrong]
    return outcome


RACE = re.compile(r"^[^\n]*={20,}\n[^\n]*BUG: KCSAN: .*?={20,}$", re.M | re.S)
# What kmemleak says of an object: its lines are indented.
LEAK = re.compile(r"^\[ *[\d.]+\] unreferenced object .*\n(?:\[ *[\d.]+\]  .*(?:\n|\Z))*", re.M)
LEAKS = re.compile(r"^.*kmemleak: \d+ new suspected.*$", re.M)
# A driver that is registered while its device is still being added is told to try later. The
# driver core of Linux 7.3 keeps that as text, and frees it with no device but those that wait.
KEPT_BY_THE_CORE = "device_set_deferred_probe_reason+0x"
# Lines that are shown of a report of the kernel.
REPORT_LINES = 30
# A function of the core or of a module, in a stack.
OWN = re.compile(r"dax\w*\+0x|\[(kmem|\w*dax\w*)\]")


def known_leaks(console):
    """The log without the objects that the driver core loses, and how many they are."""
    leaks = [found[0] for found in LEAK.finditer(console)]
    known = [report for report in leaks if KEPT_BY_THE_CORE in report]
    for report in known:
        console = console.replace(report, "")
    if known and len(known) == len(leaks):
        console = LEAKS.sub("", console)
    return console, len(known)


def blame(console, tests, results):
    """What the kernel reported, to whoever was running then."""
    script = None
    scripts = {test.script: test for test in tests}
    reports = {}
    # The rest of the kernel has data races, too.
    others = [found[0] for found in RACE.finditer(console) if not OWN.search(found[0])]
    for report in others:
        console = console.replace(report, "")
    if others and results:
        next(iter(results.values())).add({"data races without a function of DAX": len(others)})
    console, lost = known_leaks(console)
    if lost and results:
        next(iter(results.values())).add({"texts lost by the driver core": lost})
    follow = 0
    for line in console.splitlines():
        mark = re.search(r"dax-test: \S+ (\S+) (begins|ended)", line)
        if mark:
            script = mark[1] if mark[2] == "begins" else None
            follow = 0
        elif vm.SPLAT.search(line):
            test = scripts.get(script)
            if not (test and test.splat and re.search(test.splat, line)):
                reports.setdefault(script, []).append(line.strip())
                follow = REPORT_LINES
        elif follow:
            # What it is about, the stack for instance.
            reports[script].append(line.strip())
            follow -= 1
    for script, lines in reports.items():
        # Between two tests: the next one to be told is as good as any.
        owner = script if script in results else next(iter(results), None)
        if owner:
            results[owner].wrong.append("the kernel reports a bug:\n" + "\n".join(lines[:2 * REPORT_LINES]))


class Group:
    """Tests that run on one machine, one after the other, in as few boots as they need."""

    def __init__(self, tests, stage):
        self.tests = tests
        self.stage = stage
        self.machine = tests[0].machine
        self.boots = max(test.boots for test in tests)
        self.weight = sum(test.limit * test.boots for test in tests)

    def run(self, report):
        tests, restarts = self.tests, 0
        while tests:
            results, whole = self.once(tests)
            for test in tests:
                if test.script in results:
                    report(test, results[test.script])
            tests = [test for test in tests if test.script not in results]
            if whole or not tests:
                break
            restarts += 1
            if restarts > MAX_RESTARTS:
                break
        for test in tests:
            report(test, Outcome(wrong=["it did not run: the machine did not live so long"]))

    def once(self, tests):
        """Run them in one machine's life. The results, and whether all ran."""
        results = {}
        with vm.Machine(BUILD, self.machine, impl=KERNEL,
                        append=self.tests[0].append, pace=PACE,
                        shares={"tests": self.stage}) as machine:
            persist = machine.backing / "persist"
            persist.mkdir(parents=True)
            machine.shares["persist"] = persist
            for boot in range(1, self.boots + 1):
                now = [test for test in tests if test.boots >= boot]
                running = Running(now, lambda: None)
                result = machine.run(
                    f"IN_C='{' '.join(lab_module.in_c(KERNEL))}' PACE={PACE} "
                    f"MACHINE={self.machine} BOOT={boot} PERSIST=/mnt/persist "
                    f"bash /mnt/tests/session.sh {' '.join(test.script for test in now)}",
                    limit=PACE * 120 + sum(test.limit + 20 for test in now), show=running.feed)
                if result.status is None or running.name:
                    culprit = running.name or next(
                        (test.script for test in now if test.script not in running.done), None)
                    log = tail(result.console, 60)
                    if culprit:
                        running.done[culprit] = Outcome(seconds=result.seconds, wrong=[
                            f"{result.why() or 'the session ended'} during this test:\n"
                            f"{tail(chr(10).join(running.lines), 15)}\nthe kernel's log:\n{log}"])
                blame(result.console, now, running.done)
                for script, outcome in running.done.items():
                    if script in results:
                        first = results[script]
                        outcome.passed += first.passed
                        outcome.skipped += first.skipped
                        outcome.wrong = first.wrong + outcome.wrong
                        outcome.known = first.known + outcome.known
                        outcome.add(first.counts)
                        outcome.seconds += first.seconds
                    results[script] = outcome
                if result.status is None or running.name:
                    if boot > 1:
                        continue
                    return results, False
        missing = [test for test in tests if test.script not in results]
        return results, not missing


def rust_programs():
    """Their names: what is in host/ for the booted machine."""
    return re.findall(r'^name = "(\w+)"\npath', (HERE / "host/Cargo.toml").read_text(), re.M)


def add_rust_programs(tests, stage):
    """Put them there if one of TESTS has use for them."""
    in_use = re.compile(rf"\b({'|'.join(rust_programs())})\b")
    if any(in_use.search((SELFTESTS / f"{test.script}.sh").read_text()) for test in tests):
        status, output = in_rust("build")
        if status:
            sys.exit(f"the programs in Rust do not compile:\n{output}")
        shutil.copytree(BUILD / "host-tests/host/bin", stage / "dax", dirs_exist_ok=True)


def add_upstream(tests, stage):
    """Put upstream's C modules there if one of TESTS has use for them."""
    if any("./upstream/" in (SELFTESTS / f"{test.script}.sh").read_text() for test in tests):
        modules = LAB.upstream_modules(KERNEL)
        (stage / "dax/upstream").mkdir()
        # And the module that is for a core in Rust only.
        compat = LAB.out("rust") / "drivers/dax/dax_pmem_compat.ko"
        for path in [*modules.glob("*.ko"), *([compat] if compat.is_file() else [])]:
            shutil.copy(path, stage / "dax/upstream")


@functools.cache
def prepare_stage():
    """What the guest sees: the scripts, the programs that they use, the kernel's own selftests."""
    (BUILD / "run").mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix="tests-", dir=BUILD / "run"))
    atexit.register(shutil.rmtree, stage, ignore_errors=True)
    shutil.copytree(BUILD / "linux/tools/testing/selftests/kselftest", stage / "kselftest")
    tests = stage / "dax"
    shutil.copytree(BUILD / "linux/tools/testing/selftests/dax", tests)
    shutil.copytree(SELFTESTS, tests, dirs_exist_ok=True)
    shutil.copy(HERE / "guest/session.sh", stage)
    status, output = inside("make", "-C", "/linux/tools/testing/selftests/dax", "USERLDFLAGS=-static",
                            "USERCFLAGS=-Werror", f"OUTPUT=/build/run/{stage.name}/dax")
    if status:
        sys.exit(f"the tests' programs do not compile:\n{output}")
    status, output = inside("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static",
                            "-o", f"/build/run/{stage.name}/dax/powercut",
                            "/project/tools/testing/dax/guest/powercut.c")
    if status:
        sys.exit(f"powercut.c does not compile:\n{output}")
    if "CONFIG_FAIL_FUNCTION=y\n" in (BUILD / f"kernel-{KERNEL}/config").read_text():
        status, output = inside(*lab_module.MAKE, "M=/project/tools/testing/dax/fallible",
                                f"MO=/build/run/{stage.name}/fallible", "modules", impl=KERNEL)
        if status:
            sys.exit(f"fallible.c does not compile:\n{output}")
        shutil.move(stage / "fallible/fallible.ko", tests)
        shutil.rmtree(stage / "fallible")
    return stage


def groups(tests, stage):
    """Few boots, but enough of them to keep all processors busy."""
    found = []
    for boot in dict.fromkeys((test.machine, test.append) for test in tests):
        here = [test for test in tests if (test.machine, test.append) == boot]
        once = sorted((test for test in here if test.boots == 1), key=lambda t: -t.limit)
        twice = [test for test in here if test.boots > 1]
        parts = 2 if sum(test.limit for test in once) > 1200 else 1
        found += [part for part in ([*once[i::parts]] for i in range(parts)) if part]
        if twice and parts == 1 and once:
            found[-1] += twice
        elif twice:
            found.append(twice)
    return sorted((Group(part, stage) for part in found), key=lambda group: -group.weight)


# ---- all of it ----

def chosen(names, wanted):
    """Of NAMES those that are meant: by the whole name if there is one, or by a part."""
    if not wanted:
        return names
    found = []
    for word in wanted:
        exact = [name for name in names if word in (name, name.split("/")[-1])]
        part = [name for name in names if word in name]
        if not exact and not part:
            sys.exit(f"there is no test named like {word}; there are:\n  " + "\n  ".join(names))
        found += exact or part
    return [name for name in names if name in found]


def main(argv):
    systems = {test.name: test for test in system_tests()}
    names = [*(HOST_TESTS if KERNEL == "rust" else ()), *systems]
    if "--list" in argv:
        print("\n".join(names))
        return 0
    if KERNEL not in lab_module.KERNELS:
        sys.exit(f"there is no kernel {KERNEL}; there are {', '.join(lab_module.KERNELS)}")
    wanted = argv[1:] or os.environ.get("T", "").split()
    if not wanted and os.environ.get("TIER") != "all":
        names = [name for name in names if name not in HOST_TIER_ALL
                 and (name not in systems or systems[name].tier != "all")]
    names = chosen(names, wanted)
    start = time.monotonic()
    total = Outcome()
    failed = []
    # For test_all.py: what it has of this run already.
    record = Path(os.environ["RESULTS"]) if os.environ.get("RESULTS") else None
    results = json.loads(record.read_text()) if record and record.exists() else {}
    names = [name for name in names if name not in results]

    def report(name, outcome):
        with screen:
            print(outcome.line(name), flush=True)
            total.passed += outcome.passed
            total.skipped += outcome.skipped
            total.wrong += outcome.wrong
            total.known += outcome.known
            total.add(outcome.counts)
            if outcome.wrong:
                failed.append(f"{name}: {' '.join(outcome.wrong[0].split())[:300]}")
            long = name in HOST_TIER_ALL or (name in systems and systems[name].tier == "all")
            results[name] = {**vars(outcome), "failed": len(outcome.wrong),
                             "tier": "all" if long else "", "system": name in systems}
            if record:
                # It is there whole or not at all, whenever this is interrupted.
                written = record.with_suffix(".new")
                written.write_text(json.dumps(results))
                written.replace(record)

    def on_this_machine():
        for name in names:
            if name not in HOST_TESTS:
                continue
            begin = time.monotonic()
            try:
                outcome = HOST_TESTS[name]()
            except Exception as why:  # A test that breaks has failed; the others go on.
                outcome = Outcome(wrong=[f"{type(why).__name__}: {why}"])
            outcome.seconds = time.monotonic() - begin
            report(name, outcome)

    tests = [systems[name] for name in names if name in systems]
    other = [test for test in tests if not test.is_for(KERNEL)]
    for test in other:
        report(test.name, Outcome(skipped=1))
    tests = [test for test in tests if test not in other]
    todo = []
    if tests:
        kernel_folder = BUILD / f"kernel-{KERNEL}"
        if not (kernel_folder / "bzImage").is_file():
            sys.exit(f"there is no kernel in {kernel_folder}; run 'make kernel KERNEL={KERNEL}' first")
        stage = prepare_stage()
        add_rust_programs(tests, stage)
        add_upstream(tests, stage)
        todo = [functools.partial(group.run, lambda test, outcome: report(test.name, outcome))
                for group in groups(tests, stage)]
    # Many of those on this machine keep only one processor busy.
    with concurrent.futures.ThreadPoolExecutor(MACHINES) as pool:
        done = [pool.submit(job) for job in (on_this_machine, *todo)]
        for future in concurrent.futures.as_completed(done):
            future.result()

    seconds = int(time.monotonic() - start)
    print(f"\n{KERNEL} kernel, {seconds // 60} min {seconds % 60} s")
    for what, number in total.counts.items():
        print(f"{number:,} {what}")
    for stall in vm.stalls:
        print(f"started again, since it did not come up: {stall}")
    for line in total.known:
        print(f"known wrong in C: {line}")
    for what in failed:
        print(f"FAILED: {what}")
    print(f"{total.passed} passed, {len(total.wrong)} failed"
          + (f", {total.skipped} skipped" if total.skipped else ""))
    return 1 if total.wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
