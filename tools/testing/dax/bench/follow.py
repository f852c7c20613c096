# SPDX-License-Identifier: GPL-2.0
"""Follow one page fault, instruction by instruction, and tell whose they are.

QEMU's debugger port steps through the machine from one call of marked() in
bench.c to the next; interrupts and timers are held back meanwhile.
"""

import bisect
import socket
import subprocess
import threading
import time
from collections import Counter

# What is DAX's own in a kernel: by module, or, in the built-in core, by name. Rust
# that is not in a module is the core's, or the kernel crate's on its behalf.
OWN_MODULES = {"device_dax", "dax_pmem", "dax_hmem"}


class Debugger:
    """The part of the remote protocol of gdb that this needs."""

    def __init__(self, path, patience=30):
        end = time.monotonic() + patience
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.buffer = b""

    def _byte(self):
        if not self.buffer:
            self.buffer = self.socket.recv(4096)
            if not self.buffer:
                raise EOFError("the machine went down")
        byte, self.buffer = self.buffer[:1], self.buffer[1:]
        return byte

    def ask(self, text):
        """Send a packet; the answer to it, which may take as long as the machine runs."""
        self.socket.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) % 256))
        while self._byte() != b"$":
            pass
        answer = b""
        while (byte := self._byte()) != b"#":
            answer += byte
        self._byte()
        self._byte()
        self.socket.sendall(b"+")
        return answer.decode()

    def rip(self):
        return int.from_bytes(bytes.fromhex(self.ask("p10")), "little")


class Follower(threading.Thread):
    """Notes each instruction from one visit to ADDRESS to the next, of COUNT such pairs."""

    TOO_MANY = 20000

    def __init__(self, path, address, count):
        super().__init__(daemon=True)
        self.path, self.address, self.count = path, address, count
        self.traces = []
        self.error = None

    def run(self):
        try:
            gdb = Debugger(self.path)
            for _ in range(self.count):
                # Where there is a breakpoint, there is no stepping.
                gdb.ask(f"Z1,{self.address:x},1")
                gdb.ask("c")
                gdb.ask(f"z1,{self.address:x},1")
                self.traces.append(self.one(gdb))
                # Past the second visit, which is not the next first one.
                gdb.ask("s")
            gdb.ask("D")
        except (OSError, EOFError) as why:
            self.error = why

    def one(self, gdb):
        """From where the machine has stopped."""
        trace = []
        while len(trace) < self.TOO_MANY:
            gdb.ask("s")
            rip = gdb.rip()
            if rip == self.address:
                return trace
            trace.append(rip)
        raise EOFError("it takes too many instructions")


def symbols(kallsyms):
    """Addresses, ascending, and (name, module) of each."""
    table = []
    for line in kallsyms.splitlines():
        part = line.split()
        if len(part) >= 3 and part[1] in "tTwW":
            table.append((int(part[0], 16), part[2], part[3].strip("[]") if len(part) > 3 else ""))
    table.sort()
    return [t[0] for t in table], [t[1:] for t in table]


def is_own(name, module):
    return module in OWN_MODULES if module else "dax" in name or name.startswith("_R")


def attribute(trace, kallsyms):
    """Counter of (name, module) over a trace; user space is one entry."""
    addresses, names = symbols(kallsyms)
    count = Counter()
    for rip in trace:
        if rip < 1 << 63:
            count[("(user space)", "")] += 1
        else:
            count[names[bisect.bisect_right(addresses, rip) - 1]] += 1
    return count


def demangle(names, inside):
    """Names that people can read; INSIDE is the command that runs one in the toolchain."""
    done = subprocess.run(inside(["llvm-cxxfilt-19"]), input="\n".join(names) + "\n",
                          capture_output=True, text=True, check=False)
    out = done.stdout.splitlines()
    return dict(zip(names, out)) if len(out) == len(names) else {name: name for name in names}
