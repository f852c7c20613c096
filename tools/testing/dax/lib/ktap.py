# SPDX-License-Identifier: GPL-2.0
"""The outcome of a kselftest, from its KTAP."""

import re

from outcome import Outcome


def judge(lines, status, limit):
    """Returns the outcome. LINES is the output, STATUS the exit status, LIMIT the time limit in seconds."""
    outcome = Outcome()
    outcome.count("\n".join(lines))
    plan, seen, detail = None, 0, None
    for line in lines:
        case = re.match(r"(not )?ok \d+(?: -)? (.*)", line)
        if case:
            seen += plan is None
            detail = None
            what = case[2].strip()
            if "# SKIP" in what:
                outcome.skipped += 1
            elif "# XFAIL" in what:
                outcome.known.append(what)
            elif case[1]:
                detail = [f"not ok: {what}"]
                outcome.wrong.append(detail)
            else:
                outcome.passed += 1
        elif re.match(r"1\.\.0 # SKIP", line):
            outcome.skipped += 1
            return outcome
        elif re.match(r"1\.\.\d+$", line):
            plan, detail = int(line[3:]), None
        elif line.startswith("Bail out!"):
            outcome.wrong.append([line])
            plan = seen
        elif detail is not None and len(detail) < 30:
            detail.append(line)
    if status in (124, 137):
        outcome.wrong.append([f"it took longer than its limit of {limit} s", *lines[-10:]])
    elif plan != seen:
        outcome.wrong.append([f"it ended early, with status {status}:", *lines[-15:]])
    outcome.wrong = ["\n".join(why) for why in outcome.wrong]
    return outcome
