# SPDX-License-Identifier: GPL-2.0
"""A booted machine that runs one test after the other.

A test fails if it hangs or if the machine goes down. The next test then gets a new machine.
"""

import queue
import threading
import time

import kernel_log
import ktap
import selftests
import vm
from env import ARCH, BUILD, C_FIXED, IN_C, KERNEL, PACE, tail
from outcome import Outcome

# After more crashes than this, the remaining tests of the boot fail without running.
MAX_CRASHES = 3
# A machine that does not answer is stopped after this many seconds: while it boots, and beyond the
# limit of a test. session.sh reports a test that hangs much earlier, so these suit a busy host.
BOOTING, HANGING = 600 * PACE, 240 * PACE
# The same for a kernel that kexec starts.
STARTING = 180 * PACE
# The time limit, in seconds, of an order that is not a test.
ORDER = 120 * PACE


class Down(Exception):
    """The machine went down; the text says why."""


class Session:
    """A machine that is booted when the first test needs it, and again after a crash."""
    def __init__(self, boot):
        self.boot = boot
        self.crashes = 0
        self.machine = self.thread = None

    # ---- orders ----

    def test(self, test):
        """Run a selftest in all of its boots; returns the outcome."""
        selftests.prepare(test)
        outcome = self._once(test, 1)
        for boot in range(2, test.boots + 1):
            if outcome.wrong:
                break
            then = test.kexec[(boot - 2) % len(test.kexec)] if test.kexec else "off"
            outcome.merge(self.end() if then == "off" else self._kexec(then))
            outcome.merge(self._once(test, boot))
        if test.kexec:
            outcome.merge(self.end())
        return outcome

    def _once(self, test, boot):
        return self._judged(f"test {test.script} {boot}", test.limit, test.splat,
                            lambda lines, status: ktap.judge(lines, status, test.limit))

    def script(self, text, judge):
        """Run a script; JUDGE makes the outcome from its output lines and its status."""
        try:
            self._up()
        except Down as why:
            return Outcome(wrong=[str(why)])
        (self.session / "script").write_text(text)
        return self._judged("script script", ORDER, "", judge)

    def end(self):
        """Power off. The outcome has the memory leaks that the kernel reported. The next test finds
        the same persistent memory."""
        outcome = Outcome()
        if not self.thread:
            return outcome
        if "CONFIG_DEBUG_KMEMLEAK=y\n" in (BUILD / f"kernel-{KERNEL}/config").read_text():
            outcome = self._judged("leaks", ORDER, self.expected, lambda lines, status: Outcome())
        if self.thread:
            self.watch, self.allowed = vm.Stopwatch(), BOOTING
            self._order("end")
            self.thread.join()
            self.thread = None
        return outcome

    def _kexec(self, kernel):
        """Let another kernel take over."""
        try:
            self._up()
            self.watch, self.allowed = vm.Stopwatch(), STARTING
            self._order(f"kexec {kernel}")
            self._read_until("ready")
            self.allowed = None
        except Down as why:
            return Outcome(wrong=[f"kexec to the kernel {kernel}: {why}"])
        return Outcome()

    def close(self):
        """Power off and remove the machine."""
        if self.thread and self.allowed is not None:
            # The user interrupted a test.
            self.allowed = 0
            self.thread.join()
            self.thread = None
        outcome = self.end()
        if self.machine:
            self.machine.close()
        self.machine = None
        return outcome

    # ---- implementation ----

    def _up(self):
        """Boot the machine if it is not up."""
        if self.thread:
            return
        if self.crashes > MAX_CRASHES:
            raise Down(f"it did not run: its machine went down {self.crashes} times")
        if not self.machine:
            self.machine = vm.Machine(BUILD, self.boot.machine, impl=KERNEL, append=self.boot.append,
                                      image=BUILD / f"{self.boot.image}{vm.ARCHES[ARCH].image}.img", pace=PACE,
                                      shares={"tests": selftests.stage()})
            for name in ("session", "persist"):
                directory = self.machine.backing / name
                directory.mkdir(parents=True)
                self.machine.shares[name] = directory
        self.session = self.machine.shares["session"]
        (self.session / "order").unlink(missing_ok=True)
        self.lines, self.rest = queue.Queue(), ""
        self.seen, self.console = 0, None
        self.expected = ""
        self.watch, self.allowed = vm.Stopwatch(), BOOTING
        self.processors = ""
        self.result = None
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()
        self._read_until("ready")
        self.allowed = None

    def _live(self):
        try:
            self.result = self.machine.run(
                f"export IN_C='{' '.join(IN_C)}' C_FIXED='{' '.join(C_FIXED)}' PACE={PACE} "
                f"MACHINE={self.boot.machine} PERSIST=/mnt/persist\n"
                "bash /mnt/tests/guest/session.sh", limit=float("inf"), show=self._feed, cut=self._cut)
        finally:
            self.lines.put(None)

    def _feed(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.lines.put(line)

    def _cut(self):
        """Whether the time limit is over."""
        self.watch.look()
        if self.console is not self.machine.console:
            # vm.py restarted the machine because the kernel did not come up.
            self.console, self.seen, self.watch = self.machine.console, 0, vm.Stopwatch()
        if self.allowed is None or self.watch.seconds <= self.allowed:
            return False
        self.processors = vm.processors(self.machine.monitor)
        return True

    def _order(self, order):
        new = self.session / "order.new"
        new.write_text(order + "\n")
        new.replace(self.session / "order")

    def _read_until(self, mark):
        """Read output up to the line "## MARK"; returns the lines before it and the rest of that line."""
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
        """Clean up after a machine that went down; returns the exception that says why."""
        self.thread.join()
        self.thread = None
        self.crashes += 1
        if not self.result:
            why = "the machine could not be started"
        elif self.allowed is not None and self.watch.seconds > self.allowed:
            why = "the machine stopped answering and was killed"
        elif self.result.timed_out:
            why = "the kernel did not come up"
        else:
            why = "the machine went down"
        log = tail(self._rest_of_log(), 60)
        self.machine.close()
        self.machine = None
        return Down(f"{why} during this test:\n{tail(chr(10).join(lines), 15)}\nthe kernel's log:\n{log}\n{self.processors}")

    def _log(self, last):
        """The kernel's log since the last call, up to the line LAST."""
        deadline = time.monotonic() + 10 * PACE
        while True:
            end = len(self.console)
            text = b"".join(self.console[self.seen:end]).decode(errors="replace").replace("\r", "")
            if (last in text and not kernel_log.unfinished(text)) or time.monotonic() > deadline:
                self.seen = end
                return text
            time.sleep(0.02)

    def _judged(self, order, limit, expected, judge):
        """Send an order; returns the outcome from JUDGE, with the bugs that the kernel reported."""
        try:
            self._up()
            self.expected = expected
            self.watch, self.allowed = vm.Stopwatch(), limit + HANGING
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
        """The log that was not read before the machine went down."""
        text = self.result.console if self.result else ""
        return "\n".join(text.splitlines()[self.seen:])
