# SPDX-License-Identifier: GPL-2.0
"""A booted machine that runs one test after the other.

A test that takes the machine down, or hangs in it, has failed; the next one gets a new machine.
"""

import queue
import threading
import time

import kernel_log
import ktap
import selftests
import vm
from env import BUILD, IN_C, KERNEL, PACE, tail
from outcome import Outcome

# Machines that may go down in one run of the tests of one boot.
MAX_CRASHES = 3
# Seconds after which a machine is stopped that does not answer: while it boots, and beyond the limit of
# a test. It says by itself that a test hangs, so these are long enough for a busy host.
BOOTING, HANGING = 600 * PACE, 240 * PACE
# Of an order that is no test.
ORDER = 120 * PACE


class Down(Exception):
    """The machine went down: why."""


class Guest:
    def __init__(self, boot):
        self.boot = boot
        self.crashes = 0
        self.machine = self.thread = None

    # ---- what there is to be done ----

    def test(self, test):
        """The outcome of a selftest, in as many boots as it has."""
        selftests.prepare(test)
        outcome = self._once(test, 1)
        for boot in range(2, test.boots + 1):
            if outcome.wrong:
                break
            outcome.merge(self.end())
            outcome.merge(self._once(test, boot))
        return outcome

    def _once(self, test, boot):
        return self._judged(f"test {test.script} {boot}", test.limit, test.splat,
                            lambda lines, status: ktap.judge(lines, status, test.limit))

    def script(self, text, judge):
        """The outcome of a script, which JUDGE tells from its lines and its status."""
        try:
            self._up()
        except Down as why:
            return Outcome(wrong=[str(why)])
        (self.session / "script").write_text(text)
        return self._judged("script script", ORDER, "", judge)

    def end(self):
        """Power off; the outcome says what the machine lost, and what was reported of that. The next test
        finds the same persistent memory."""
        outcome = Outcome()
        if not self.thread:
            return outcome
        if "CONFIG_DEBUG_KMEMLEAK=y\n" in (BUILD / f"kernel-{KERNEL}/config").read_text():
            outcome = self._judged("leaks", ORDER, self.expected, lambda lines, status: Outcome())
        if self.thread:
            self.spent, self.allowed = 0, BOOTING
            self._order("end")
            self.thread.join()
            self.thread = None
        return outcome

    def close(self):
        """The same, for the last time."""
        if self.thread and self.allowed is not None:
            # Whoever waited for a test was interrupted.
            self.allowed = 0
            self.thread.join()
            self.thread = None
        outcome = self.end()
        if self.machine:
            self.machine.close()
        self.machine = None
        return outcome

    # ---- how ----

    def _up(self):
        """Boot it, if it is not up."""
        if self.thread:
            return
        if self.crashes > MAX_CRASHES:
            raise Down(f"it did not run: its machine went down {self.crashes} times")
        if not self.machine:
            self.machine = vm.Machine(BUILD, self.boot.machine, impl=KERNEL, append=self.boot.append,
                                      pace=PACE, shares={"tests": selftests.stage()})
            for name in ("session", "persist"):
                folder = self.machine.backing / name
                folder.mkdir(parents=True)
                self.machine.shares[name] = folder
        self.session = self.machine.shares["session"]
        (self.session / "order").unlink(missing_ok=True)
        self.lines, self.rest = queue.Queue(), ""
        self.seen, self.console = 0, None
        self.expected = ""
        self.spent, self.last, self.allowed = 0, time.monotonic(), BOOTING
        self.result = None
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()
        self._read_until("ready")
        self.allowed = None

    def _live(self):
        try:
            self.result = self.machine.run(
                f"export IN_C='{' '.join(IN_C)}' PACE={PACE} MACHINE={self.boot.machine} PERSIST=/mnt/persist\n"
                "bash /mnt/tests/guest/session.sh", limit=float("inf"), show=self._feed, cut=self._cut)
        finally:
            self.lines.put(None)

    def _feed(self, piece):
        *lines, self.rest = (self.rest + piece).split("\n")
        for line in lines:
            self.lines.put(line)

    def _cut(self):
        """Whether its time is over. The time in which the host itself stood still does not count."""
        now = time.monotonic()
        self.spent, self.last = self.spent + min(now - self.last, 2), now
        if self.console is not self.machine.console:
            # It was started again, as the kernel did not come up.
            self.console, self.seen, self.spent = self.machine.console, 0, 0
        return self.allowed is not None and self.spent > self.allowed

    def _order(self, order):
        new = self.session / "order.new"
        new.write_text(order + "\n")
        new.replace(self.session / "order")

    def _read_until(self, mark):
        """The lines of its output before "## MARK", and what stands behind that."""
        found = []
        while True:
            try:
                line = self.lines.get(timeout=1)
            except queue.Empty:
                continue
            if line is None:
                raise self._down(found)
            if line.startswith(f"## {mark}"):
                return found, line.removeprefix(f"## {mark}").strip()
            found.append(line)

    def _down(self, lines):
        """Why it went down; the next one will be a new one."""
        self.thread.join()
        self.thread = None
        self.crashes += 1
        if not self.result:
            why = "the machine could not be started"
        elif self.allowed is not None and self.spent > self.allowed:
            why = "the machine was stopped, as it did not answer any more,"
        elif self.result.timed_out:
            why = "the kernel did not come up"
        else:
            why = "the machine went down"
        log = tail(self._rest_of_log(), 60)
        self.machine.close()
        self.machine = None
        return Down(f"{why} during this test:\n{tail(chr(10).join(lines), 15)}\nthe kernel's log:\n{log}")

    def _log(self, last):
        """What the kernel said since this was called before, up to the line LAST."""
        deadline = time.monotonic() + 10 * PACE
        while True:
            end = len(self.console)
            text = b"".join(self.console[self.seen:end]).decode(errors="replace").replace("\r", "")
            if (last in text and not kernel_log.unfinished(text)) or time.monotonic() > deadline:
                self.seen = end
                return text
            time.sleep(0.02)

    def _judged(self, order, limit, expected, judge):
        """Carry out an order, and see what came of it: what JUDGE says, and the kernel."""
        try:
            self._up()
            self.expected = expected
            self.spent, self.allowed = 0, limit + HANGING
            self._order(order)
            self._read_until("begin")
            lines, status = self._read_until("end")
            self.allowed = None
            outcome = judge(lines, int(status))
            log = self._log(f"{order} ended")
        except Down as why:
            outcome = Outcome(wrong=[str(why)])
            log = self._rest_of_log()
        reports, counts = kernel_log.blame(log, expected)
        outcome.add(counts)
        if reports:
            outcome.wrong.append(f"the kernel reports a bug:\n{reports}")
        return outcome

    def _rest_of_log(self):
        """After it went down."""
        text = self.result.console if self.result else ""
        return "\n".join(text.splitlines()[self.seen:])
