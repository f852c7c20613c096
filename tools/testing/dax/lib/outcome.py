# SPDX-License-Identifier: GPL-2.0
"""The outcome of a test, and how a pytest report carries it."""

import re
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The numbers of cases that passed and were skipped, and details of the others."""

    passed: int = 0
    skipped: int = 0
    wrong: list = field(default_factory=list)    # for each failed case, a description of the failure
    known: list = field(default_factory=list)    # cases that failed as expected for upstream's C
    counts: dict = field(default_factory=dict)   # things that the test did -> how often
    pairs: list = field(default_factory=list)    # for each case about two modules, the two

    def count(self, text):
        """Add the lines "# count: N WHAT" and "# pair: WHICH" of a test's output."""
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
        """The outcome as "user_properties" of a pytest report; the JUnit file has them, too."""
        return [("passed", self.passed), ("failed", len(self.wrong)), ("skipped", self.skipped),
                ("known", len(self.known)), *((f"count {what}", number) for what, number in self.counts.items()),
                *(("pair", pair) for pair in self.pairs)]


def cases(found):
    """An outcome from pairs (description, complaint); the complaint of a passed case is empty."""
    outcome = Outcome()
    for what, complaint in found:
        if complaint:
            outcome.wrong.append(f"{what}: {complaint}")
        else:
            outcome.passed += 1
    return outcome


def counted(status, output):
    """The outcome of a program that prints "N passed, N failed" last."""
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
    """The cases in a report of pytest; a report without properties is a single case."""
    if report.when != "call":
        # The test was skipped before it began, or its setup or teardown failed.
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
