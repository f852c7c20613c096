# SPDX-License-Identifier: GPL-2.0
"""Follow an operation instruction by instruction, and count them by area of the kernel.

QEMU's gdb stub single-steps the machine from one call of marked() in bench.c to the
next. It holds back interrupts and timers meanwhile.
"""

import bisect
import socket
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass

# The areas that an instruction can belong to, with their directories in the kernel source.
DAX, REST = "DAX", "Rest"
DIRECTORIES = {
    "mm": ("mm", "arch/x86/mm"),
    "Driver core": ("drivers/base", "fs/kernfs", "fs/sysfs"),
    "VFS": ("fs",),
}
AREAS = (DAX, *DIRECTORIES, REST)

OWN_MODULES = {"device_dax", "dax_pmem", "dax_hmem", "kmem"}
# Built-in functions that the core has in C and in Rust. In the C kernel all functions between the
# lowest and the highest of them count as the core. Built-in Rust code always counts as DAX: it is
# the core, or functions of the kernel crate that the core calls.
CORE = {"dax_read_lock", "alloc_dax", "kill_dax", "put_dax", "kill_dev_dax", "alloc_dax_region",
        "devm_create_dev_dax", "__dax_driver_register", "dax_driver_unregister", "do_id_store"}


@dataclass(frozen=True)
class Symbol:
    """A function of the kernel and its area."""

    name: str
    module: str
    area: str


class Debugger:
    """A client of gdb's remote protocol, as far as it is needed here."""

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

    def ask(self, text):
        """Send a packet; returns the answer. Waits for it without a limit."""
        self.socket.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) % 256))
        # An answer is "$TEXT#XX"; XX is a checksum.
        while (end := self.buffer.find(b"#")) < 0 or len(self.buffer) < end + 3:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("the machine went down")
            self.buffer += more
        answer = self.buffer[self.buffer.index(b"$") + 1:end]
        self.buffer = self.buffer[end + 3:]
        self.socket.sendall(b"+")
        return answer.decode()

    def number(self, command):
        """The answer, as a little-endian number."""
        return int.from_bytes(bytes.fromhex(self.ask(command)), "little")

    def rip(self):
        return self.number("p10")

    def step_out(self):
        """Run until the function returns. The machine is at its first instruction."""
        back = self.number(f"m{self.number('p7'):x},8")
        self.ask(f"Z1,{back:x},1")
        self.ask("c")
        self.ask(f"z1,{back:x},1")


class Follower(threading.Thread):
    """Records each instruction from one visit to ADDRESS to the next, until the machine stops. Runs
    the functions at the addresses OVER without following them. If STORES is true, it also records the
    code and the registers, for the module "stores"."""

    TOO_MANY = 50000

    def __init__(self, path, address, over=(), stores=False):
        super().__init__(daemon=True)
        self.path, self.address, self.over = path, address, set(over)
        self.traces = []
        self.registers = [] if stores else None     # for each trace, the registers at each instruction
        self.code = {}                              # address -> the bytes there
        self.error = None

    def run(self):
        try:
            gdb = Debugger(self.path)
            while True:
                # QEMU cannot step away from a breakpoint, so remove it first.
                gdb.ask(f"Z1,{self.address:x},1")
                gdb.ask("c")
                gdb.ask(f"z1,{self.address:x},1")
                self.one(gdb)
                # Step past ADDRESS: this visit ends a trace and must not start the next.
                gdb.ask("s")
        except (OSError, EOFError) as why:
            self.error = why

    def one(self, gdb):
        """One trace, from the instruction at which the machine has stopped."""
        trace, registers = [], []
        gdb.ask("s")
        while (rip := gdb.rip()) != self.address:
            if len(trace) == self.TOO_MANY:
                raise EOFError(f"the operation takes more than {self.TOO_MANY} instructions")
            if rip in self.over:
                gdb.step_out()
                continue
            trace.append(rip)
            if self.registers is not None:
                registers.append(gdb.ask("g"))
                if rip not in self.code:
                    self.code[rip] = bytes.fromhex(gdb.ask(f"m{rip:x},f"))
            gdb.ask("s")
        self.traces.append(trace)
        if self.registers is not None:
            self.registers.append(registers)


def areas(inside):
    """A dictionary from built-in functions to areas. INSIDE(command) is the command that runs COMMAND
    in the toolchain tree, with the kernel's objects at /out."""
    found = {}
    for area, directories in DIRECTORIES.items():
        archives = [f"/out/{directory}/built-in.a" for directory in directories]
        done = subprocess.run(inside(["llvm-nm", "--defined-only", *archives]),
                              capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            part = line.split()
            if len(part) == 3 and part[1] in "tTwW":
                found.setdefault(part[2], area)
    return found


class Owners:
    """Maps addresses to functions, from /proc/kallsyms, and functions to areas."""

    def __init__(self, kallsyms, areas):
        table, core = [], []
        for line in kallsyms.splitlines():
            part = line.split()
            if len(part) >= 3 and part[1] in "tTwW":
                address, module = int(part[0], 16), part[3].strip("[]") if len(part) > 3 else ""
                table.append((address, part[2], module))
                if part[2] in CORE and not module:
                    core.append(address)
        table.sort()
        self.addresses = [address for address, _, _ in table]
        self.symbols = [Symbol(name, module, self.area(address, name, module, core, areas))
                        for address, name, module in table]

    @staticmethod
    def area(address, name, module, core, areas):
        if module:
            return DAX if module in OWN_MODULES else REST
        rust = name.startswith("_R")
        if rust or "dax" in name or (core and min(core) <= address <= max(core)):
            return DAX
        return areas.get(name, REST)

    def of(self, trace):
        """A Counter of Symbol over a trace. User space counts as one symbol."""
        count = Counter()
        for rip in trace:
            if rip < 1 << 63:
                count[Symbol("(user space)", "", REST)] += 1
            else:
                count[self.at(rip)] += 1
        return count

    def at(self, rip):
        """The function at an address of the kernel."""
        return self.symbols[bisect.bisect_right(self.addresses, rip) - 1]


def demangle(names, inside):
    """A dictionary from mangled to readable names. INSIDE(command) runs COMMAND in the toolchain tree."""
    done = subprocess.run(inside(["llvm-cxxfilt-19"]), input="\n".join(names) + "\n",
                          capture_output=True, text=True, check=False)
    out = done.stdout.splitlines()
    return dict(zip(names, out)) if len(out) == len(names) else {name: name for name in names}
