# SPDX-License-Identifier: GPL-2.0
"""Hooks and fixtures for all tests: selection and order, the booted machines, and the count of cases.

Each selftest on each machine is one item of pytest. Items with the same machine and kernel command
line share a boot: the fixture "machine" boots it for the first one. With -n 2, which needs
pytest-xdist, two processes run tests. All tests of a boot go to one process; a boot whose tests take
longer than LARGE is divided between both.
"""

import collections
import json
import os
import re
from pathlib import Path

import guest
import outcome
import pytest
import selftests
import vm
from env import JOBS, KERNEL

# Files whose tests on this machine take as long as those of a boot, and run in one process.
LONG = ("test_stock.py", "test_deb_kernel.py")
# A boot is divided if the limits of its tests add up to more than this, in seconds.
LARGE = 1200


def name_of(nodeid):
    """The short name of a test: nvdimm/mmap in a machine, docs or check[lint] on the host."""
    inside = re.search(r"\[([\w-]+/\w+)\]$", nodeid)
    return inside[1] if inside else nodeid.split("::")[-1].removeprefix("test_")


def boot_of(name):
    """The boot that a test needs; None for a test on the host."""
    if "/" not in name:
        return None
    test = selftests.selftests().get(name)
    return test.boot if test else selftests.boot(name.split("/")[0])


# ---- selection and order of the tests ----

def pytest_addoption(parser):
    group = parser.getgroup("dax")
    group.addoption("--test", default="", metavar="NAMES",
                    help="run these tests. A name that no test has selects the tests that contain it")
    group.addoption("--all", action="store_true", help="also run the tests that take long")
    group.addoption("--results", type=Path, metavar="FILE",
                    help="write the result of each test to FILE, and skip the tests that it lists")


def pytest_configure(config):
    for machine in vm.KINDS:
        config.addinivalue_line("markers", f"{machine}: runs in this machine")


def pytest_itemcollected(item):
    if not boot_of(name_of(item.nodeid)):
        item.add_marker("host")


def words(item):
    """The names by which T= selects exactly this test."""
    name = name_of(item.nodeid)
    return {name, name.split("/")[-1], item.path.stem.removeprefix("test_"),
            *re.findall(r"\w+", name) * ("/" not in name)}


def named(items, wanted):
    found = []
    for word in wanted:
        exact = [item for item in items if word in words(item)]
        part = [item for item in items if word in name_of(item.nodeid)]
        if not exact and not part:
            raise pytest.UsageError(f"there is no test named like {word}; --collect-only lists them")
        found += exact or part
    return found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    here = [item for item in items if KERNEL == "rust" or not item.get_closest_marker("host")]
    wanted = config.option.test.split()
    if wanted:
        try:
            here = named(here, wanted)
        except pytest.UsageError as why:
            if not is_worker(config):
                raise
            config.workeroutput["unknown"] = str(why)
            here = []
    elif not config.option.all and "tier_all" not in config.option.markexpr:
        here = [item for item in here if not item.get_closest_marker("tier_all")]
    done = results(config)
    here = {item.nodeid: item for item in here if name_of(item.nodeid) not in done}

    # Tests on the host keep only one processor busy, so they come first. Then come the boots, the
    # longest first.
    tests = selftests.selftests()
    limits = collections.Counter()
    for nodeid in here:
        test = tests.get(name_of(nodeid))
        limits[boot_of(name_of(nodeid))] += test.limit * test.boots if test else 60

    def place(item):
        name = name_of(item.nodeid)
        test = tests.get(name)
        boot = boot_of(name)
        return (boot is not None, -limits[boot], str(boot),
                # A test that reboots comes last: the other tests then get a freshly booted machine.
                test.boots if test else 1, -test.limit if test else 0)

    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in here])
    items[:] = sorted(here.values(), key=place)


def results(config):
    """The results that an interrupted run left in --results, by name."""
    file = config.option.results
    if not file or not file.is_file():
        return {}
    return {line["name"]: line for line in map(json.loads, file.read_text().splitlines())}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByBoot(LoadScopeScheduling):
        """Give all tests of a boot to one process, in order."""

        def _split_scope(self, nodeid):
            tests, name = selftests.selftests(), name_of(nodeid)
            if nodeid.split("::")[0].endswith(LONG):
                return nodeid.split("::")[0]
            boot = boot_of(name)
            fellows = [other for other in map(name_of, self.collection) if boot_of(other) == boot]
            limit = sum(tests[other].limit for other in fellows if other in tests)
            parts = JOBS if boot and limit > LARGE else 1
            return f"{boot} {fellows.index(name) % parts if boot else ''}"

    return ByBoot(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    unknown = getattr(node, "workeroutput", {}).get("unknown")
    if unknown:
        COUNT.unknown = unknown


def pytest_sessionfinish(session):
    if COUNT.unknown:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


# ---- fixtures ----

@pytest.fixture(scope="session")
def machine(request):
    """The machine, booted as the parameter describes."""
    it = guest.Session(request.param)
    yield it
    at_the_end = it.close()
    assert not at_the_end.wrong, "\n".join(at_the_end.wrong)


@pytest.fixture
def report(request):
    """A function with which a test that consists of cases reports their results."""
    def done(found):
        found = found if isinstance(found, outcome.Outcome) else outcome.cases(found)
        node = request.node
        node.user_properties += found.properties()
        node.user_properties += [("stall", stall) for stall in vm.stalls]
        vm.stalls.clear()
        if found.wrong:
            pytest.fail("\n".join(found.wrong), pytrace=False)
        if found.known:
            reasons = dict.fromkeys(re.sub(r".*\((C: known wrong: .*?)\) # XFAIL.*", r"\1", case)
                                    for case in found.known)
            pytest.xfail(f"{len(found.known)} cases: {'; '.join(reasons)}")
        if found.skipped and not found.passed:
            pytest.skip("all of its cases were skipped")
    return done


# ---- the count of cases ----

class Count:
    """The counts of a whole run. Only the process that prints has one."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.counts = collections.Counter()
        self.stalls, self.wrong, self.unknown = [], [], ""

    def take(self, report):
        had = outcome.of_report(report)
        self.passed += had["passed"]
        self.failed += had["failed"]
        self.skipped += had["skipped"]
        self.counts.update(had["counts"])
        if report.failed:
            why = re.sub(r"^\[gw\d+\] .*\n", "", report.longreprtext)
            self.wrong.append(f"{name_of(report.nodeid)}: {' '.join(why.split())[:300]}")
        if report.when == "call":
            self.stalls += [value for key, value in report.user_properties if key == "stall"]
        return had

    def line(self):
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


COUNT = Count()


def is_worker(config):
    return hasattr(config, "workerinput")


def pytest_report_teststatus(report):
    had = dict(report.user_properties)
    if report.when != "call" or report.skipped or "passed" not in had:
        return None
    words = ", ".join(f"{had[what]} {what}" for what in ("passed", "failed", "skipped") if had[what])
    return report.outcome, report.outcome[0].upper().replace("P", "."), (
        f"{report.outcome.upper()} ({words}; {report.duration:.1f} s)")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    had = COUNT.take(report)
    file = CONFIG.option.results
    if file and (report.when == "call" or report.failed or report.skipped):
        name = name_of(report.nodeid)
        with open(file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"name": name, **had, "seconds": report.duration, "system": "/" in name,
                                  "tier": "all" if "tier_all" in report.keywords else ""}) + "\n")


def pytest_sessionstart(session):
    global CONFIG
    CONFIG = session.config


def pytest_terminal_summary(terminalreporter):
    for what, number in COUNT.counts.items():
        terminalreporter.write_line(f"{number:,} {what}")
    for stall in COUNT.stalls:
        terminalreporter.write_line(f"restarted a machine that did not come up: {stall}")
    for wrong in COUNT.wrong:
        terminalreporter.write_line(f"FAILED: {wrong}")
    if COUNT.unknown:
        terminalreporter.write_line(COUNT.unknown)


def pytest_unconfigure(config):
    # This line comes after all output of pytest.
    if not is_worker(config) and not config.option.collectonly and not config.option.help:
        print(COUNT.line(), flush=True)
