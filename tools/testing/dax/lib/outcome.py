# SPDX-License-Identifier: GPL-2.0
"""What came of a test, and how a pytest report carries it."""

import re
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How many cases did what, and what is to be said of them."""

    passed: int = 0
    skipped: int = 0
    wrong: list = field(default_factory=list)    # of each failed case, what happened
    known: list = field(default_factory=list)    # failed as the test says C does
    counts: dict = field(default_factory=dict)   # what it says that it did, and how often
    pairs: list = field(default_factory=list)    # of each case about two modules, these

    def count(self, text):
        """Take in the lines "# count: N WHAT" and "# pair: WHICH" of a test's output."""
        for number, what in re.findall(r"^# count: (\d+) (.+)", text, re.M):
            self.add({what: int(number)})
        self.pairs += re.findall(r"^# pair: (.+)", text, re.M)

    def add(self, counts):
        for what, number in counts.items():
            self.counts[what] = self.counts.get(what, 0) + number

    def merge(self, other):
        self.passed += other.passed
        self.skipped += other.skipped
        self.wrong += other.wrong
        self.known += other.known
        self.pairs += other.pairs
        self.add(other.counts)

    def properties(self):
        """The same for "user_properties" of a report: they go into its JUnit form, too."""
        return [("passed", self.passed), ("failed", len(self.wrong)), ("skipped", self.skipped),
                ("known", len(self.known)), *((f"count {what}", number) for what, number in self.counts.items()),
                *(("pair", pair) for pair in self.pairs)]


def cases(found):
    """An outcome of (description, complaint or nothing)."""
    outcome = Outcome()
    for what, complaint in found:
        if complaint:
            outcome.wrong.append(f"{what}: {complaint}")
        else:
            outcome.passed += 1
    return outcome


def counted(status, output):
    """Of a program that ends with "N passed, N failed"."""
    outcome = Outcome()
    outcome.count(output)
    last = "\n".join(output.splitlines()[-40:])
    found = re.findall(r"^(\d+) passed, (\d+) failed", output, re.M)
    if not found:
        outcome.wrong.append(f"ended with status {status}:\n{last}")
        return outcome
    outcome.passed, failed = int(found[-1][0]), int(found[-1][1])
    if failed or status:
        outcome.wrong = [last] + ["see above"] * (failed - 1)
    return outcome


def of_report(report):
    """What a report of pytest says in cases; one without properties is a single one."""
    if report.when != "call":
        # Skipped before it began, or something failed before or after it.
        return {"passed": 0, "failed": int(report.failed), "skipped": int(report.skipped),
                "known": 0, "counts": {}, "pairs": []}
    had = dict(report.user_properties)
    return {"passed": had.get("passed", int(report.passed)),
            "failed": had.get("failed") or int(report.failed),
            "skipped": had.get("skipped", int(report.skipped)),
            "known": had.get("known", 0),
            "counts": {name.removeprefix("count "): number for name, number in had.items()
                       if name.startswith("count ")},
            "pairs": [value for name, value in report.user_properties if name == "pair"]}
