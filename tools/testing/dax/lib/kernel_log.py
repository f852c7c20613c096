# SPDX-License-Identifier: GPL-2.0
"""Find the bugs that the kernel reported in its log while a test ran; each one is a failure."""

import re

import vm

RULE = re.compile(r"={20,}")
RACE = re.compile(r"^[^\n]*={20,}\n[^\n]*BUG: KCSAN: .*?={20,}$", re.M | re.S)
# kmemleak's report of one object; its lines are indented.
LEAK = re.compile(r"^\[ *[\d.]+\] unreferenced object .*\n(?:\[ *[\d.]+\]  .*(?:\n|\Z))*", re.M)
LEAKS = re.compile(r"^.*kmemleak: \d+ new suspected.*$", re.M)
# If a driver is registered while its device is still being added, the driver core defers the probe
# and stores a text as the reason. Linux 7.3 frees that text only for devices on the deferred list;
# see upstream-bugs/deferred-reason.
KEPT_BY_THE_CORE = "device_set_deferred_probe_reason+0x"
# The page allocator names its caller when a node has no page, for instance for migrate_pages(); see
# upstream-bugs/migrate-empty-node. That matters only if a function of the core or of a module asked.
NO_PAGE = re.compile(r"^.*page allocation failure: order:.*\n(?:.*\n)*?.*</TASK>.*$", re.M)
# A report of the kernel is cut after this many lines.
REPORT_LINES = 30
# A function of the core or of a module, in a stack.
OWN = re.compile(r"dax\w*\+0x|\[(kmem|\w*dax\w*)\]")


def unfinished(log):
    """Whether the log ends within a report of KCSAN."""
    return len(RULE.findall(log)) % 2 == 1


def known_leaks(log):
    """Returns the log without the objects that the driver core leaks, and their number."""
    leaks = [found[0] for found in LEAK.finditer(log)]
    known = [report for report in leaks if KEPT_BY_THE_CORE in report]
    for report in known:
        log = log.replace(report, "")
    if known and len(known) == len(leaks):
        log = LEAKS.sub("", log)
    return log, len(known)


def blame(log, expected):
    """Returns the bug reports in LOG as one text, which is empty if there are none, and a count of
    the reports that are tolerated. EXPECTED is a pattern of lines that the test may cause."""
    counts = {}
    # The rest of the kernel also has data races, and asks for pages.
    for pattern, name in ((RACE, "data races"), (NO_PAGE, "page allocations that failed")):
        others = [found[0] for found in pattern.finditer(log) if not OWN.search(found[0])]
        for report in others:
            log = log.replace(report, "")
        if others:
            counts[f"{name} without a function of DAX"] = len(others)
    log, lost = known_leaks(log)
    if lost:
        counts["texts lost by the driver core"] = lost

    reports, follow = [], 0
    for line in log.splitlines():
        if vm.SPLAT.search(line):
            if not (expected and re.search(expected, line)):
                reports.append(line.strip())
                follow = REPORT_LINES
        elif follow:
            # The details of the report, such as the stack.
            reports.append(line.strip())
            follow -= 1
    return "\n".join(reports[:2 * REPORT_LINES]), counts
