#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel in one of the reference machines and run a command in it.

  vm.py [options] COMMAND...      run COMMAND in the guest, exit with its status
  vm.py [options] --shell         a prompt in the guest

From Python:

    with Machine(build, "nvdimm", shares={"tests": "some/directory"}) as m:
        first = m.run("ndctl create-namespace -m devdax", limit=60)
        again = m.run("ndctl list", limit=60)       # same NVDIMM, next boot

QEMU comes from the toolchain tree, for arm64 from a tree on top of it. It runs without hardware virtualisation, so that
results are the same on every host. ACCEL=kvm in the environment turns KVM on.
"""

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Text that must never appear in a kernel log.
SPLAT = re.compile(
    r"BUG:|BUG at|WARNING:|Oops|general protection fault|Kernel panic|panicked at"
    r"|KASAN:|UBSAN:|ODEBUG:|DEBUG_LOCKS_WARN_ON"
    r"|kmemleak: \d+ new|unreferenced object|leak detector disabled"
    r"|possible (circular|recursive) locking|inconsistent lock state|suspicious RCU"
    r"|rcu.*detected .*stall|blocked for more than|soft lockup|hard LOCKUP"
    r"|refcount_t:|corruption|Bad page|bad p[mu4g]d|trying to register non-static key"
    r"|scheduling while atomic|sleeping function called"
    r"|Modules linked in:|Call Trace:"
)

GIB = 1 << 30
MIB = 1 << 20

# A busy host may not run a virtual processor for a while. RCU and the timer check at boot must not
# take that for an error. nowatchdog: the clocksource watchdog waits for another processor with
# interrupts off, for a time that it measures with the current clock. While that clock is jiffies, it
# stands still with interrupts off. If the other processor runs stop_machine() to change the clock,
# both wait without end; see upstream-bugs/watchdog-stop-machine.
STALL = "rcupdate.rcu_cpu_stall_timeout=150"
PATIENCE = f"{STALL} no_timer_check tsc=nowatchdog"

# For machines with more than one processor. When the kernel switches to high-resolution timers, it
# patches scheduler code that the other processor runs. In the emulator that may end in an oops, or in
# a lost timer event. Each event arms the next one, so that processor then has no timer at all.
TICKS = "highres=off"

# A kernel starts its first process within some seconds. After UP seconds without one, the machine
# is killed and started again, STARTS times in all.
UP = 60
STARTS = 3
# For each start that failed: the last lines of the log, and the state of the processors.
stalls = []


class Stopwatch:
    """Counts the seconds since it was made. Time in which the host stood still does not count."""

    def __init__(self):
        self.seconds, self.last = 0, time.monotonic()

    def look(self):
        """The seconds so far. Someone must look every second."""
        now = time.monotonic()
        self.seconds, self.last = self.seconds + min(now - self.last, 2), now
        return self.seconds


@dataclass
class Result:
    """The result of one boot."""

    status: int | None  # of the command; None if the machine went down first
    output: str         # of the command: standard output and error
    console: str        # the kernel's log
    timed_out: bool
    seconds: float

    @property
    def splats(self):
        """The lines of the kernel's log that report a bug."""
        return [line for line in self.console.splitlines() if SPLAT.search(line)]

    @property
    def ok(self):
        return self.status == 0 and not self.timed_out and not self.splats

    def why(self):
        """One sentence about what went wrong; empty if nothing did."""
        if self.splats:
            return f"the kernel reports a bug: {self.splats[0].strip()}"
        if self.timed_out:
            return f"the machine was stopped at its time limit, after {self.seconds:.0f} s"
        if self.status is None:
            return "the machine went down before the command ended"
        return f"the command ended with status {self.status}" if self.status else ""


@dataclass
class Kind:
    """The hardware of a machine, besides processors and a disk."""

    args: "callable"       # (name -> backing file) -> arguments of QEMU
    backing: dict          # name -> size in bytes of a file that survives a reboot
    append: str = ""       # for the kernel's command line
    modules: str = "modules"    # the directory of the kernel's modules
    loader: str = ""       # an EFI application that starts the kernel; its place in the build directory


def two_nodes(memory1, total="8G", more="", first="4G"):
    """TOTAL bytes of memory in two nodes: FIRST, and MEMORY1, which starts at 6 GiB."""
    return ["-m", total,
            "-object", f"memory-backend-ram,id=m0,size={first}",
            "-object", memory1,
            "-numa", "node,nodeid=0,cpus=0-{lastcpu},memdev=m0",
            "-numa", f"node,nodeid=1,memdev=m1{more}"]


def nvdimm(files, i, node):
    """NVDIMM number I, in a node of its own."""
    # 4 GiB and a label area of 2 MiB. The memory is a multiple of 1 GiB, so that an align of 1 GiB works.
    return ["-numa", f"node,nodeid={node}",
            "-object", f"memory-backend-file,id=nv{i},share=on,"
                       f"mem-path={files[f'nvdimm{i}']},size=4098M",
            "-device", f"nvdimm,id=nvdimm{i},memdev=nv{i},label-size=2M,node={node}"]


def nvdimms(count, more=()):
    def args(files):
        out = ["-machine", "{machine},nvdimm=on", "-m", "4G,slots=4,maxmem=24G",
               "-object", "memory-backend-ram,id=m0,size=4G",
               "-numa", "node,nodeid=0,cpus=0-{lastcpu},memdev=m0"]
        for i in range(count):
            out += nvdimm(files, i, i + 1)
        return [*out, *more]

    return Kind(args, {f"nvdimm{i}": 4098 * MIB for i in range(count)})


# Persistent memory from memmap= on the kernel's command line: 3 GiB, no labels.
LEGACY = Kind(
    lambda files: ["-machine", "q35"] + two_nodes(
        f"memory-backend-file,id=m1,share=on,mem-path={files['memory']},size=4G"),
    {"memory": 4 * GIB}, "memmap=3G!0x180000000")

KINDS = {
    # ACPI NFIT, with a label area.
    "nvdimm": nvdimms(1),
    "nvdimm2": nvdimms(2),
    # The same, with an IOMMU, and a PCI device that does DMA.
    "nvdimm-iommu": nvdimms(1, ["-device", "intel-iommu", "-device", "edu,bus=pcie.0"]),
    "legacy": LEGACY,
    # The same, with the modules of tools/testing/nvdimm, such as nfit_test.
    "nfit": replace(LEGACY, modules="modules-nfit"),
    # The same, with an NVDIMM, for ndctl's tests. They also write to mounted disks.
    "ndctl": Kind(
        lambda files: ["-machine", "q35,nvdimm=on"] + two_nodes(
            "memory-backend-ram,id=m1,size=4G", "8G,slots=4,maxmem=24G") + nvdimm(files, 0, 2),
        {"nvdimm0": 4098 * MIB}, f"{LEGACY.append} bdev_allow_write_mounted=on", "modules-nfit"),
    # A node of soft-reserved memory, 4 GiB.
    "hmem": Kind(
        lambda files: ["-machine", "q35"] + two_nodes("memory-backend-ram,id=m1,size=4G"),
        {}, "memmap=4G%0x180000000-1+0xefffffff"),
    # The same with 20 GiB. The host needs memory only for pages that the guest touches. nokaslr: a
    # randomised kernel could land in the soft-reserved range.
    "hmem-large": Kind(
        lambda files: ["-machine", "q35"] + two_nodes(
            "memory-backend-ram,id=m1,size=20G,reserve=off", "24G"),
        {}, "nokaslr memmap=20G%0x180000000-1+0xefffffff"),
    # The same with 64 GiB.
    "hmem-huge": Kind(
        lambda files: ["-machine", "q35"] + two_nodes(
            "memory-backend-ram,id=m1,size=64G,reserve=off", "68G"),
        {}, "nokaslr memmap=64G%0x180000000-1+0xefffffff"),
    # The same with an HMAT. The soft-reserved range is the end of node 0, from 5.5 GiB on, and the
    # first half of node 1.
    "hmat": Kind(
        lambda files: ["-machine", "q35,hmat=on"] + two_nodes(
            "memory-backend-ram,id=m1,size=4G", more=",initiator=0"),
        {}, "memmap=2560M%0x160000000-1+0xefffffff"),
    # A CXL type 3 device with 2 GiB of volatile memory.
    "cxl": Kind(
        lambda files: [
            "-machine", "q35,cxl=on,cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size=4G",
            "-m", "4G,slots=4,maxmem=16G",
            "-object", "memory-backend-ram,id=m0,size=4G",
            "-numa", "node,nodeid=0,cpus=0-{lastcpu},memdev=m0",
            "-object", "memory-backend-ram,id=cxl-mem0,share=on,size=2G",
            "-device", "pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1",
            "-device", "cxl-rp,port=0,bus=cxl.1,id=root_port0,chassis=0,slot=2",
            "-device", "cxl-type3,bus=root_port0,volatile-memdev=cxl-mem0,id=cxl-vmem0"],
        {}),
    # A pmem device of 2 GiB on the virtio bus.
    "virtio-pmem": Kind(
        lambda files: [
            "-machine", "q35", "-m", "4G,slots=4,maxmem=16G",
            "-object", f"memory-backend-file,id=vp,share=on,mem-path={files['pmem']},size=2G",
            "-device", "virtio-pmem-pci,memdev=vp,id=vpmem0,bus=pcie.0"],
        {"pmem": 2 * GIB}),
}


# Those that arm64 has, too. Its memory starts at 1 GiB. softreserve.efi makes the second node soft-reserved.
KINDS_ARM64 = {
    "nvdimm": KINDS["nvdimm"],
    "nvdimm2": KINDS["nvdimm2"],
    "hmem": Kind(
        lambda files: ["-machine", "{machine}"] + two_nodes("memory-backend-ram,id=m1,size=4G", "9G", first="5G"),
        {}, "softreserve=0x180000000,0x100000000", loader="arm64/softreserve.efi"),
}


def toolchain_program(build, name, tree="toolchain"):
    """The command that runs a program of the toolchain tree, or of a tree on top of it, directly on the host."""
    build = Path(build)
    libraries = [str(build / place / "usr/lib/x86_64-linux-gnu") for place in dict.fromkeys((tree, "toolchain"))]
    return [str(build / "toolchain/lib64/ld-linux-x86-64.so.2"),
            "--library-path", ":".join(libraries), str(build / tree / name)]


@dataclass
class Arch:
    """An architecture: the parts of a machine that are the same for each kind."""

    qemu: str        # the program
    tree: str        # the tree of the build directory that has it
    machine: str     # the value of -machine
    cpu: str
    kernel: str      # the name of the kernel's file
    console: str
    append: str      # for the kernel's command line
    smp: str         # the same, with more than one processor
    kinds: dict
    firmware: tuple = ()
    image: str = ""  # the end of the names of its guest images


X86 = Arch("qemu-system-x86_64", "toolchain", "q35", "max,la57=off", "bzImage", "ttyS0", PATIENCE, TICKS, KINDS)
# pauth-impdef: the architecture's own pointer authentication takes most of the emulator's time.
ARM64 = Arch("qemu-system-aarch64", "arm64", "virt,gic-version=3", "max,pauth-impdef=on", "Image", "ttyAMA0",
             STALL, "", KINDS_ARM64, ("usr/share/qemu-efi-aarch64/QEMU_EFI.fd",), "-arm64")
ARCHES = {"x86": X86, "arm64": ARM64}


def processors(monitor):
    """The state of each processor of a running machine, from QEMU's monitor. ISR and IRR: the interrupts
    that are in service and requested. A processor that is idle should have none in service."""
    monitor.settimeout(2)
    said = b""
    with contextlib.suppress(OSError):
        monitor.sendall(b"info cpus\ninfo registers -a\ninfo lapic 0\ninfo lapic 1\n")
        # Until recv() times out.
        while data := monitor.recv(65536):
            said += data
    return "\n".join(line for line in said.decode(errors="replace").splitlines()
                     if re.search("CPU|IP=|^I[SR]R", line))


class Machine:
    """A machine whose persistent memory exists as long as this object, or as its backing directory.

    build    the build directory: toolchain/, guest.img, kernel-rust/, kernel-c/
    kind     a key of KINDS
    image    of the guest's root file system, a path; default guest.img of the build directory, or
             guest-arm64.img
    kernel   directory with bzImage (or Image, for arm64) and modules/; default kernel-IMPL of the
             build directory
    backing  directory for the files behind the persistent memory; default a temporary one
    shares   name -> directory; the guest has it at /mnt/NAME, writable
    icount   count instructions: one processor whose TSC advances one tick per instruction
    append   more for the kernel's command line
    args     more for QEMU's
    pace     how much slower it is than an ordinary kernel
    """

    def __init__(self, build, kind="nvdimm", *, impl="rust", image=None, kernel=None,
                 backing=None, shares=None, icount=False, cpus=2, append="", args=(), pace=1):
        self.build = Path(build).resolve()
        self.kernel = Path(kernel or self.build / f"kernel-{impl}").resolve()
        self.arch = ARM64 if (self.kernel / ARM64.kernel).is_file() else X86
        if kind not in self.arch.kinds:
            raise ValueError(f"there is no machine {kind} for {self.arch.qemu}")
        self.kind = self.arch.kinds[kind]
        self.image = Path(image or self.build / f"guest{self.arch.image}.img").resolve()
        for needed in (self.kernel / self.arch.kernel, self.image):
            if not needed.is_file():
                raise FileNotFoundError(f"{needed} is missing; 'make kernel setup' makes it")
        self.shares = {name: Path(path).resolve() for name, path in (shares or {}).items()}
        self.icount = icount
        self.cpus = 1 if icount else cpus
        self.append = append
        self.args = list(args)
        self.pace = pace
        # The lines of the kernel's log in this boot so far, and QEMU's monitor.
        self.console = []
        self.monitor = None
        (self.build / "run").mkdir(parents=True, exist_ok=True)
        self._temporary = Path(tempfile.mkdtemp(dir=self.build / "run"))
        self.backing = Path(backing).resolve() if backing else self._temporary

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _backing_files(self):
        self.backing.mkdir(parents=True, exist_ok=True)
        files = {name: self.backing / name for name in self.kind.backing}
        for name, path in files.items():
            with open(path, "ab") as f:
                f.truncate(self.kind.backing[name])
        return files

    def _qemu(self, job):
        tree, arch = self.build / "toolchain", self.arch
        accel = os.environ.get("ACCEL", "tcg")
        if self.icount:
            accel, counting = "tcg,thread=single", ["-icount", "shift=0,sleep=off"]
        else:
            counting = []
        hardware = [a.format(lastcpu=self.cpus - 1, machine=arch.machine)
                    for a in self.kind.args(self._backing_files())]
        append = (f"console={arch.console} root=/dev/vda rw init=/init panic=-1 oops=panic "
                  f"net.ifnames=0 {arch.append} {'' if self.icount else arch.smp} "
                  f"{self.kind.append} {self.append}")
        kernel = ["-kernel", str(self.kernel / arch.kernel)]
        if self.kind.loader:
            kernel = ["-kernel", str(self.build / self.kind.loader), "-initrd", kernel[1]]
        shares = {"job": job, "modules": self.kernel / self.kind.modules / "lib/modules", **self.shares}
        command = toolchain_program(self.build, f"usr/bin/{arch.qemu}", arch.tree) + [
            *(part for name in arch.firmware for part in ("-bios", str(self.build / arch.tree / name))),
            "-L", str(tree / "usr/share/qemu"), "-L", str(tree / "usr/share/seabios"),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", accel, "-cpu", "host" if accel == "kvm" else arch.cpu,
            "-smp", str(self.cpus), *counting, *hardware, *kernel, "-append", append,
            "-drive", f"if=none,id=root,format=raw,snapshot=on,file={self.image}",
            "-device", "virtio-blk-pci,drive=root,bus=pcie.0",
        ]
        for name, path in shares.items():
            command += ["-fsdev", f"local,id={name},path={path},security_model=none,multidevs=remap",
                        "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name},bus=pcie.0"]
        return command + self.args

    def _job(self, command, shell=False):
        """The directory with the guest's commands, to which the guest writes its result."""
        job = Path(tempfile.mkdtemp(prefix="job-", dir=self._temporary))
        shutil.copy(HERE / "guest-init.sh", job / "init")
        (job / "init").chmod(0o755)
        (job / "shares").write_text("".join(f"{name}\n" for name in self.shares))
        (job / "command").write_text(command + "\n")
        if shell:
            (job / "shell").touch()
        return job

    def run(self, command, limit=120, show=None, cut=None):
        """Boot, run COMMAND (a line or a script for bash) as root, power off.

        limit  seconds after which the machine is stopped; time in which the host stood still
               does not count
        show   called with the command's output as it comes, in chunks; the console is only
               in the result
        cut    called repeatedly; when it returns true, the power is cut
        """
        for _ in range(STARTS):
            result, up = self._start(command, limit, show, cut)
            if up:
                break
        return result

    def _start(self, command, limit, show, cut):
        """Start the machine once; returns the result, and False if it did not come up."""
        job = self._job(command)
        environment = {"QEMU_MODULE_DIR":
                       str(self.build / "toolchain/usr/lib/x86_64-linux-gnu/qemu"),
                       "TMPDIR": str(self._temporary), "PATH": os.environ.get("PATH", "")}
        monitor, theirs = socket.socketpair()
        start = time.monotonic()
        # setpriv: the machine must not outlive this process.
        qemu = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self._qemu(job), "-serial", "stdio",
             "-chardev", f"socket,id=monitor,fd={theirs.fileno()}", "-mon", "chardev=monitor"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        self.monitor = monitor
        console = self.console = []
        reader = threading.Thread(target=lambda: console.extend(qemu.stdout), daemon=True)
        reader.start()
        timed_out = stalled = up = False
        watch = Stopwatch()
        try:
            with open(job / "output", "w+b") as output:
                while qemu.poll() is None:
                    seconds = watch.look()
                    up = up or self._is_up(job)
                    if seconds > UP * self.pace and not stalled and not up:
                        stalled = True
                        stalls.append(f"{self.kernel.name} in {UP * self.pace} s:\n"
                                      + b"".join(console[-3:]).decode(errors="replace")
                                      + processors(monitor))
                        qemu.kill()
                        qemu.wait()
                    elif seconds > limit or (cut and cut()):
                        timed_out = seconds > limit
                        qemu.kill()
                        qemu.wait()
                    data = output.read()
                    if data and show:
                        show(data.decode(errors="replace"))
                    time.sleep(0.05)
                data = output.read()
                if data and show:
                    show(data.decode(errors="replace"))
                output.seek(0)
                text = output.read().decode(errors="replace")
        finally:
            qemu.kill()
            qemu.wait()
            reader.join(timeout=5)
            monitor.close()
        status = job / "status"
        result = Result(
            status=int(status.read_text()) if status.is_file() and status.read_text() else None,
            output=text,
            console=b"".join(console).decode(errors="replace").replace("\r", ""),
            timed_out=timed_out or stalled,
            seconds=time.monotonic() - start)
        shutil.rmtree(job)
        return result, not stalled

    def _is_up(self, job):
        """Whether the kernel has started its first process."""
        return (job / "up").is_file()

    def shell(self):
        """Give the user a prompt in the guest, until it powers off (or Ctrl-A x)."""
        job = self._job("", shell=True)
        try:
            subprocess.run(self._qemu(job) + ["-serial", "mon:stdio"], check=False)
        finally:
            shutil.rmtree(job)


def main():
    parser = argparse.ArgumentParser(description="Run a command in a reference machine.")
    parser.add_argument("--build", default=os.environ.get("BUILD", HERE.parents[3] / "build"))
    parser.add_argument("--machine", default="nvdimm", choices=KINDS)
    parser.add_argument("--impl", default="rust", help="the kernel: rust, c, debug, arm64-4K ...")
    parser.add_argument("--kernel", help="a directory with bzImage and modules/, instead of --impl")
    parser.add_argument("--image", help="of the root file system: guest, programs, guest-arm64")
    parser.add_argument("--backing", help="directory that keeps the persistent memory")
    parser.add_argument("--share", action="append", default=[], metavar="NAME=DIRECTORY",
                        help="a directory that the guest has at /mnt/NAME")
    parser.add_argument("--append", default="", help="more for the kernel's command line")
    parser.add_argument("--icount", action="store_true", help="count instructions, not time")
    parser.add_argument("--limit", type=int, default=120, help="seconds")
    parser.add_argument("--console", action="store_true", help="print the kernel's log, too")
    parser.add_argument("--shell", action="store_true", help="a prompt instead of a command")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    a = parser.parse_args()
    shares = dict(s.split("=", 1) for s in a.share)
    with Machine(a.build, a.machine, impl=a.impl, kernel=a.kernel,
                 image=a.image and Path(a.build) / f"{a.image}.img", backing=a.backing, shares=shares,
                 icount=a.icount, append=a.append) as machine:
        if a.shell:
            machine.shell()
            return 0

        def show(text):
            sys.stdout.write(text)
            sys.stdout.flush()

        result = machine.run(" ".join(a.command), a.limit, show)
    if a.console:
        print(result.console)
    if not result.ok:
        print(f"vm: {result.why()}", file=sys.stderr)
        if result.splats or result.status is None:
            print(result.console[-6000:], file=sys.stderr)
    return result.status if result.status is not None and not result.splats else 125


if __name__ == "__main__":
    sys.exit(main())
