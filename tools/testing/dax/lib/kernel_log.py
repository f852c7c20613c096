# SPDX-License-Identifier: GPL-2.0
"""What the kernel reported of itself while a test ran: each such report is a failure."""

import re

import vm

RULE = re.compile(r"={20,}")
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


def unfinished(log):
    """It ends within a report of KCSAN."""
    return len(RULE.findall(log)) % 2 == 1


def known_leaks(log):
    """The log without the objects that the driver core loses, and how many they are."""
    leaks = [found[0] for found in LEAK.finditer(log)]
    known = [report for report in leaks if KEPT_BY_THE_CORE in report]
    for report in known:
        log = log.replace(report, "")
    if known and len(known) == len(leaks):
        log = LEAKS.sub("", log)
    return log, len(known)


def blame(log, expected):
    """Of a part of the log: the reports in it as one text, empty when there is none, and how often there
    was what is not taken for one. EXPECTED is a pattern for what may stand there."""
    counts = {}
    # The rest of the kernel has data races, too.
    others = [found[0] for found in RACE.finditer(log) if not OWN.search(found[0])]
    for report in others:
        log = log.replace(report, "")
    if others:
        counts["data races without a function of DAX"] = len(others)
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
            # What it is about, the stack for instance.
            reports.append(line.strip())
            follow -= 1
    return "\n".join(reports[:2 * REPORT_LINES]), counts
