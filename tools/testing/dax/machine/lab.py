#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make the reference machine, from nothing, in the build directory.

  lab.py setup           toolchain tree, kernel source, guest image
  lab.py kernel IMPL     a kernel: IMPL is rust; c; c-fixed: c with the patches of upstream-fixes;
                         c-core: only the core is C; c-modules: all but the core is C;
                         debug: rust with all checks; kcsan: rust with the detector of data races;
                         programs, programs-c: rust and c, with KVM, cpusets and kdump;
                         rust-forky, rust-experimental: rust by the compilers of that suite;
                         arm64-4K, arm64-64K: small ones for arm64 with pages of that size
  lab.py run             the demonstration
  lab.py shell IMPL      a prompt in the booted machine
  lab.py programs        the guest image for tests with programs that people run on device DAX
  lab.py check WHICH     one of the static checks: {checks}
  lab.py series WHAT     make the series of commits, or check it: see series.py
  lab.py objdump IMPL OBJECT [NAME]   the code of an object's functions with NAME in their names
  lab.py stock WHAT      modules and packages for Debian's own kernels, see stock.py
  lab.py deb-kernel WHAT packages of a kernel like Debian's with DAX in Rust, see deb_kernel.py
  lab.py builds WHAT     builds with other compilers, configurations and architectures, see builds.py
  lab.py inside COMMAND  run a command in the toolchain tree, see Lab.inside
  lab.py clean           remove all that these made

Each step makes its result under a temporary name and renames it when it is complete. A
note beside the result has a digest of the inputs. A step with unchanged inputs is skipped.

The build directory:

  toolchain/     a Debian tree: rustc, clang, QEMU, the kernel's source package
  toolchain-SUITE/  the compilers of a newer suite of Debian
  crates/        cargo and the crates that the Rust tests need
  plot/          gnuplot
  guest/         a Debian tree: ndctl, daxctl, fio ...; guest.img is made of it
  arm64/         QEMU for arm64 and its firmware; guest-arm64/ and guest-arm64.img: as above
  programs/      the same and more: QEMU, PMDK, databases ...; programs.img is made of it
  ndctl-next/    ndctl, daxctl and cxl of the next Debian, for the guests, too
  fuzzers/       trinity and stress-ng, for the guests
  linux/         Linux with the overlay applied
  fixed/         the files of Linux that the kernel c-fixed has instead
  series/        Linux as a git repository, with the series of commits on top
  out-IMPL/      objects
  kernel-IMPL/   the result: bzImage, vmlinux, config, modules/, and modules-nfit/ with
                 the doubles of tools/testing/nvdimm
  logs/          the output of each step
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[3]
sys.path[:0] = [str(HERE), str(HERE.parent)]

import overlay  # noqa: E402
import vm  # noqa: E402
from archive import Archive, Stop  # noqa: E402

SUITE = "trixie"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-backports")
SOURCE = "linux-source-7.3"

# bindgen's libclang, rustc's LLVM and clang must be of one version; the suite has LLVM 19.
TOOLCHAIN = """
    rustc rust-src rustfmt rust-clippy bindgen clang-19 lld-19 llvm-19
    make flex bison bc libelf-dev libssl-dev zlib1g-dev libc6-dev pahole
    perl python3 python3-docutils kmod xz-utils e2fsprogs qemu-system-x86
""".split() + [SOURCE]

# The compilers of newer suites: each with the suites that it takes packages from, and what apt prefers.
NEWER_TOOLCHAIN = """
    rustc rust-src rustfmt rust-clippy bindgen clang lld llvm
    make flex bison bc libelf-dev libssl-dev zlib1g-dev libc6-dev pahole
    perl python3 kmod xz-utils
""".split()
PREFERRED = "Package: src:rustc\nPin: release a=experimental\nPin-Priority: 990\n"
TOOLCHAINS = {"forky": (["forky"], ""), "experimental": (["sid", "experimental"], PREFERRED)}

# On top of the toolchain: cargo for the tests in Rust, and gnuplot for the pictures of the benchmark.
# Each has a tree of its own, so that a change there does not rebuild the kernels.
CRATES = ["cargo", "librust-proptest-dev", "libfuzzer-19-dev"]
PLOT = ["gnuplot-nox"]

GUEST = """
    ndctl daxctl cxl fio jq kmod udev numactl xfsprogs e2fsprogs strace procps
    python3-minimal util-linux libpmem1
""".split()

# What people run on device DAX. A second image has it, which is made when a test asks for it.
PROGRAMS = GUEST + """
    qemu-system-x86 kexec-tools cpio xz-utils pmdk-tools libpmemobj-dev libpmem2-dev gcc libc6-dev
    redis-server redis-tools postgresql-17 sysbench makedumpfile crash python3-drgn
""".split()

# For arm64: QEMU and its firmware, on top of the toolchain, and a guest. The packages of that guest are
# only unpacked, because this machine cannot run their scripts; so those that each Debian has are named,
# too. It also has the C library that the tests' programs are linked with.
ARM64 = ["qemu-system-arm", "qemu-efi-aarch64"]
ESSENTIAL = """
    base-files base-passwd bash coreutils dash diffutils findutils grep sed gzip tar mawk libc-bin mount hostname
    libc6-dev libgcc-14-dev
""".split()
GUEST_ARM64 = ESSENTIAL + [name for name in GUEST if name not in ("fio", "xfsprogs", "strace", "libpmem1")]
SYSROOT = "/build/guest-arm64"

# Packages that are only unpacked, with the libraries they lack, into /opt of each guest: the suite, the packages, and
# the programs. Those of ndctl-next are used beside the suite's own. The others are found in PATH; stress-ng
# also depends on a graphics driver, which it does not need here.
NEWER_SUITE = "forky"
UNPACKED = {
    "ndctl-next": (NEWER_SUITE, "ndctl daxctl cxl libndctl6 libdaxctl1 libcxl1".split(), ("ndctl", "daxctl", "cxl")),
    "fuzzers": (SUITE, """
        trinity stress-ng libipsec-mb2 libjpeg62-turbo libjudydebian1 libegl1 libglvnd0 libgles2 libmpfr6 libgbm1
        libdrm2 libsctp1
        """.split(), ("trinity", "stress-ng")),
}

UNPACKED_PROGRAM = """\
#!/bin/sh
export LD_LIBRARY_PATH=/opt/{place}/usr/lib/x86_64-linux-gnu
exec /opt/{place}/usr/bin/{name} "$@"
"""

# The configuration fragments of each kernel, on top of allnoconfig; the last one wins.
# "check" is for the static checks, "series" for the commits of the series, "quiet" for the benchmark.
# These three are never linked.
FRAGMENTS = {"rust": ["kernel.config"],
             "c": ["kernel.config", "c-core.config", "c-modules.config"],
             "c-fixed": ["kernel.config", "c-core.config", "c-modules.config"],
             "c-core": ["kernel.config", "c-core.config"],
             "c-modules": ["kernel.config", "c-modules.config"],
             "debug": ["kernel.config", "debug.config"],
             "kcsan": ["kernel.config", "kcsan.config"],
             "programs": ["kernel.config", "programs.config"],
             "programs-c": ["kernel.config", "programs.config", "c-core.config", "c-modules.config"],
             **{f"{impl}-{name}": ["kernel.config", "helper-calls.config", *more] for name in ("gcc", *TOOLCHAINS)
                for impl, more in (("rust", []), ("c", ["c-core.config", "c-modules.config"]))},
             **{f"arm64-{pages}": ["arm64.config", f"arm64-{pages}.config"] for pages in ("4K", "64K")},
             "check": ["kernel.config", "check.config"],
             "series": ["kernel.config"],
             "quiet": ["kernel.config"]}
KERNELS = tuple(name for name in FRAGMENTS if name not in ("check", "series", "quiet"))
# The patches that turn "c" into "c-fixed".
FIXES = sorted((HERE.parent / "upstream-fixes").glob("*.patch"))
# The edits that turn "rust" into "quiet": code that formats and prints messages is compiled out.
QUIET = {
    "rust/kernel/device.rs": [
        ("        $crate::device::Device::$method($dev.as_ref(), $crate::prelude::fmt!($($f)*))\n",
         "        if false {\n"
         "            $crate::device::Device::$method($dev.as_ref(), $crate::prelude::fmt!($($f)*))\n"
         "        }\n")],
    "rust/kernel/print.rs": [
        ("        match $crate::prelude::fmt!($($arg)+) {\n",
         "        if false { match $crate::prelude::fmt!($($arg)+) {\n"),
        ("            }\n        }\n    );\n", "            }\n        } }\n    );\n")],
}
# The Kconfig options that choose between C and Rust, and what each one chooses for.
PARTS = {"DAX": "core", "DEV_DAX": "device_dax", "DEV_DAX_PMEM": "dax_pmem",
         "DEV_DAX_KMEM": "kmem", "DEV_DAX_HMEM": "dax_hmem", "DEV_DAX_CXL": "dax_cxl",
         "DEV_DAX_FSDEV": "fsdev_dax"}

# Upstream's C source of each module, in drivers/dax.
UPSTREAM = {"device_dax": "device.c", "dax_pmem": "pmem.c", "kmem": "kmem.c",
            "fsdev_dax": "fsdev.c", "dax_hmem": "hmem/hmem.c", "dax_cxl": "cxl.c"}

# Estimates for the progress display and the check of free space.
TOOLCHAIN_MB, CRATES_MB, PLOT_MB, GUEST_MB, LINUX_MB, OUT_MB = 2600, 81, 60, 330, 1800, 900
NEWER_TOOLCHAIN_MB, PROGRAMS_MB = 2700, 1400
ARM64_MB, GUEST_ARM64_MB = 250, 250
IMAGES = {"guest": (GUEST, GUEST_MB), "programs": (PROGRAMS, PROGRAMS_MB), "guest-arm64": (GUEST_ARM64, GUEST_ARM64_MB)}
BUILD_STEPS = 2750

# The arguments of make that choose the compilers: for clang 19, for gcc, and for a newer suite's.
CLANG, GCC, NEWER = ["LLVM=-19"], ["CC=gcc-14", "HOSTCC=gcc-14"], ["LLVM=1"]
MAKE = ["make", "-C", "/linux", "O=/out"]
# Builds the test doubles of libnvdimm's modules, in a directory apart from the objects of the modules.
NFIT = ["M=/linux/tools/testing/nvdimm", "MO=/out/nfit/tools/testing/nvdimm"]
# The device nodes of the toolchain tree.
NODES = "null zero full random urandom tty kvm"
# A command with this prefix leaves no mounts and no processes behind, however it ends.
ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
CHECKS = ("rustfmt", "lint", "checkpatch", "rustdoc")


class Killed(KeyboardInterrupt):
    """The user interrupted a command that did not end by itself."""


def say(text):
    print(f"dax: {text}", flush=True)


class Progress:
    """Displays the progress of a long step."""

    def __init__(self, step, measure):
        self.step, self.measure = step, measure
        self.start = time.monotonic()
        self.tty = sys.stdout.isatty()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _line(self):
        seconds = int(time.monotonic() - self.start)
        return f"dax: {self.step}: {self.measure()}  [{seconds // 60}:{seconds % 60:02}]"

    def _run(self):
        while not self.done.wait(1 if self.tty else 20):
            if self.tty:
                print(f"\r{self._line()[:118]:<118}", end="", flush=True)
            else:
                print(self._line(), flush=True)

    def __enter__(self):
        say(f"{self.step} ...")
        self.thread.start()
        return self

    def __exit__(self, kind, *unused):
        self.done.set()
        self.thread.join()
        if self.tty:
            print(f"\r{'':<118}\r", end="")
        if kind is None:
            seconds = int(time.monotonic() - self.start)
            say(f"{self.step}: done in {seconds // 60}:{seconds % 60:02}")


class Steps:
    """Counts the steps of Kbuild. Each is a line of its output."""

    def __init__(self):
        self.number, self.last = 0, ""

    def __call__(self, line):
        word = line.split(None, 1)
        if line.startswith("  ") and len(word) == 2 and word[0].isupper():
            self.number += 1
            self.last = word[1].strip()[-50:]


def size_mb(path):
    """The size of a directory in megabytes; an estimate while it grows."""
    out = subprocess.run(["du", "-smx", path], capture_output=True, text=True, check=False)
    return int(out.stdout.split()[0]) if out.stdout else 0


def digest(*parts):
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else str(part).encode())
        whole.update(b"\0")
    return whole.hexdigest()


def in_c(impl):
    """The parts of drivers/dax that are C in this kernel."""
    asked = "".join(read(HERE / name) for name in FRAGMENTS[impl])
    return [part for option, part in PARTS.items() if f"\nCONFIG_{option}_C=y\n" in asked]


def compilers_of(impl):
    """The compilers of this kernel: "gcc", a newer suite, or "" for clang 19."""
    name = impl.rpartition("-")[2] if impl else ""
    return name if name in ("gcc", *TOOLCHAINS) else ""


def suite_of(impl):
    """The newer suite that the compilers of this kernel come from, if any."""
    name = compilers_of(impl)
    return name if name in TOOLCHAINS else ""


def arch_of(impl):
    """The architecture of this kernel, as vm.py and make's ARCH call it."""
    return "arm64" if (impl or "").startswith("arm64-") else "x86"


def fixed_in(impl):
    """The bugs of upstream that this kernel does not have, by the names of their pages."""
    mails = [read(path) for path in FIXES] if impl == "c-fixed" else []
    return [name for mail in mails for names in re.findall(r"^X-Upstream-Bugs: (.+)$", mail, re.M)
            for name in names.split()]


def read(path):
    """The text of a file; empty if there is no such file."""
    return path.read_text() if path.is_file() else ""


class Lab:
    project = PROJECT

    def __init__(self, build):
        self.build = Path(build).resolve()
        self.toolchain = self.build / "toolchain"
        self.linux = self.build / "linux"
        self.logs = self.build / "logs"

    def compilers(self, impl):
        """The tree with the compilers of IMPL."""
        suite = suite_of(impl)
        return self.build / f"toolchain-{suite}" if suite else self.toolchain

    @staticmethod
    def make_command(impl):
        make = [*MAKE, *{"": CLANG, "gcc": GCC}.get(compilers_of(impl), NEWER)]
        return make if arch_of(impl) == "x86" else [*make, f"ARCH={arch_of(impl)}"]

    def out(self, impl):
        return self.build / f"out-{impl}"

    def kernel(self, impl):
        return self.build / f"kernel-{impl}"

    # The build directory: lock, space, removal, replacement

    @contextlib.contextmanager
    def locked(self):
        """Lock the build directory: only one process at a time may change it."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as why:
            raise Stop(f"the build directory {self.build} cannot be made ({why.strerror}); "
                       "give another one with BUILD=") from why
        with open(self.build / "lock", "w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another make that works in {self.build}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def need_space(self, what, megabytes):
        free = shutil.disk_usage(self.build).free >> 20
        if free < megabytes:
            raise Stop(f"{what} takes {megabytes} MB and {self.build} has {free} MB free; "
                       "make room, or give a directory on another disk with BUILD=")

    def remove(self, path):
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
            return
        if f" {path}/" in Path("/proc/self/mountinfo").read_text(encoding="utf-8"):
            raise Stop(f"something is still mounted below {path}; unmount it and try again")
        shutil.rmtree(path)

    def put(self, new, place):
        """Rename a complete result to its final name."""
        os.sync()
        old = self.build / f"{place.name}.old"
        self.remove(old)
        if place.exists():
            place.rename(old)
        new.rename(place)
        self.remove(old)

    def fresh(self, name):
        """A temporary path for a new result, with nothing there."""
        path = self.build / f"{name}.new"
        self.remove(path)
        return path

    # Running things

    def logged(self, log, command, on_line=None):
        """Run a command with its output in a log; returns its status and output.

        On an interrupt the command gets SIGINT, and SIGKILL after 30 seconds.
        """
        lines = []
        with open(self.logs / log, "w", encoding="utf-8") as file:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                start_new_session=True)
            try:
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    lines.append(line)
                    if on_line:
                        on_line(line)
                return process.wait(), "".join(lines)
            except BaseException:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise Killed from None
                raise

    def inside(self, command, impl=None, env=()):
        """The command that runs COMMAND in the toolchain tree.

        There, /project is this project, /build the build directory, /linux the kernel's
        source and /out the objects of IMPL. The names are the same for every kernel, so
        that one kernel can start with the objects of another.
        """
        root = self.compilers(impl)
        mounts = [(PROJECT, "project"), (self.build, "build"), (self.linux, "linux")]
        if impl:
            mounts.append((self.out(impl), "out"))
        if impl == "quiet":
            mounts += [(self.build / "quiet" / name, f"linux/{name}") for name in QUIET]
        if impl == "c-fixed":
            mounts += [(self.build / "fixed" / name, f"linux/{name}") for name in self.fixed_files()]
        script = ["set -e"]
        script += [f'mount --bind "{path}" "{root / name}"' for path, name in mounts]
        script += [f'mount -t proc proc "{root}/proc"',
                   # The tree has nodes of its own. A program as root can change the mode of its
                   # output; with -o /dev/null it would change the machine's /dev/null.
                   f'mount -t tmpfs -o mode=755 none "{root}/dev"',
                   f'for node in {NODES}; do [ ! -e /dev/$node ] || '
                   f'cp -a /dev/$node "{root}/dev"; done',
                   f'chmod 666 "{root}/dev/null"',
                   f'ln -s /proc/self/fd "{root}/dev/fd"',
                   f'for n in 0:stdin 1:stdout 2:stderr; do '
                   f'ln -s /proc/self/fd/${{n%:*}} "{root}/dev/${{n#*:}}"; done',
                   f'mkdir -m 1777 "{root}/dev/shm"',
                   f'mount -t tmpfs none "{root}/tmp"',
                   f'exec chroot "{root}" "$@"']
        path = "/usr/bin:/usr/sbin" if suite_of(impl) else "/usr/lib/llvm-19/bin:/usr/bin:/usr/sbin"
        return [*ALONE, "sh", "-c", "\n".join(script), "inside",
                "env", "-i", f"PATH={path}", "HOME=/root",
                "LANG=C.UTF-8", "KBUILD_BUILD_TIMESTAMP=1970-01-01", "KBUILD_BUILD_USER=dax",
                "KBUILD_BUILD_HOST=dax", f"RUST_LIB_SRC={self.rust_source(root)}", *env, *command]

    @staticmethod
    def rust_source(root):
        found = sorted(root.glob("usr/src/rustc-*/library"))
        return "/" + str(found[-1].relative_to(root)) if found else ""

    # Trees of Debian packages

    def mirror(self):
        """The Debian archive that apt on this machine is configured for."""
        query = ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
                 "Created-By: Packages"]
        for update in (False, True):
            if update:
                # A new machine has no lists yet.
                subprocess.run(["apt-get", "update"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=False)
            found = subprocess.run(query, capture_output=True, text=True, check=False).stdout
            for line in found.splitlines():
                origin, label, uri = line.split("|", 2)
                if (origin, label) == ("Debian", "Debian"):
                    return uri
        raise Stop("apt knows no Debian archive on this machine or cannot reach it; check the "
                   "network and the addresses in /etc/apt, run 'apt-get update', and try again")

    def debian_tree(self, name, packages, suites, megabytes, options=(), variant="apt"):
        """A tree of Debian packages; True when it had to be made."""
        place = self.build / name
        made_of = digest(SUITE, *sorted(packages), *options)
        if read(place / ".made-of") == made_of:
            return False
        new = self.fresh(name)
        self.unpack(name, variant, packages, suites, new, megabytes, options)
        for mountpoint in ("project", "build", "linux", "out"):
            (new / mountpoint).mkdir()
        (new / ".made-of").write_text(made_of)
        self.put(new, place)
        return True

    def unpack(self, name, variant, packages, suites, new, megabytes, options=()):
        """Make a tree of Debian packages at NEW."""
        self.need_space(f"the {name} tree", megabytes + megabytes // 3)
        mirror = self.mirror()
        settings = self.build / "apt.conf"
        settings.write_text(subprocess.run(
            ["apt-config", "dump", "Acquire::http", "Acquire::https"],
            capture_output=True, text=True, check=False).stdout)
        stage = ["starting"]

        def on_line(line):
            if line.startswith("I: "):
                stage[0] = line[3:].strip(". \n")

        command = [*ALONE, "mmdebstrap", f"--variant={variant}", "--mode=root", f"--aptopt={settings}",
                   *options, f"--include={','.join(packages)}", SUITE, str(new),
                   *(f"deb {mirror} {suite} main" for suite in suites)]
        with Progress(f"{name} tree ({len(packages)} packages and what they need)",
                      lambda: f"{stage[0]}, {size_mb(new)} of about {megabytes} MB"):
            status, log = self.logged(f"{name}.log", command, on_line)
            if status:
                self.explain_archive(name, mirror, log)

    def explain_archive(self, name, mirror, log):
        where = f"(details: {self.logs / name}.log)"
        if f"package {SOURCE}" in log or f"{SUITE}-backports Release" in log:
            raise Stop(f"the archive {mirror} has no {SOURCE} in {SUITE}-backports; use a mirror "
                       f"that carries {SUITE}-backports with Linux 7.3 {where}")
        if "Unable to locate package" in log:
            raise Stop(f"the archive {mirror} lacks a package of Debian {SUITE} that the {name} "
                       f"tree needs; use a complete mirror {where}")
        if "Operation not permitted" in log:
            raise Stop("this container may not mount or unshare, which the set-up needs; "
                       "use a virtual machine, or a container with all privileges")
        if re.search(r"resolve|connect|timed out|Failed to fetch|unreachable", log, re.I):
            raise Stop(f"the archive {mirror} cannot be reached; check the network (and the proxy "
                       f"in apt's configuration), then try again {where}")
        if "No space left" in log:
            raise Stop(f"the disk of {self.build} is full; make room, or give a directory on "
                       "another disk with BUILD=")
        raise Stop(f"the {name} tree could not be made; read {self.logs / name}.log")

    def make_toolchain(self):
        if self.debian_tree("toolchain", TOOLCHAIN, SUITES, TOOLCHAIN_MB):
            say(f"{SOURCE} is version {self.source_version()}")

    def make_compilers(self, impl):
        """Make the tree of a newer suite's compilers, if this kernel is built by them."""
        if suite := suite_of(impl):
            suites, preferred = TOOLCHAINS[suite]
            # The release files of an archive that is a copy may be old.
            options = ['--aptopt=Acquire::Check-Valid-Until "false"']
            if preferred:
                options.append("--setup-hook=" + 'mkdir -p "$1/etc/apt/preferences.d"; '
                               f"""printf %s '{preferred}' >"$1/etc/apt/preferences.d/newer" """)
            self.debian_tree(f"toolchain-{suite}", NEWER_TOOLCHAIN, suites, NEWER_TOOLCHAIN_MB, options)

    def make_extra(self, name, packages, megabytes):
        """Unpack what the toolchain tree lacks of PACKAGES and of what they need."""
        place = self.build / name
        made_of = digest(SUITE, *sorted(TOOLCHAIN), *packages)
        if read(place / ".made-of") == made_of:
            return
        new = self.fresh(name)
        # The toolchain's packages count as installed.
        known = (f'mkdir -p "$1/var/lib/dpkg"; cp "{self.toolchain}/var/lib/dpkg/status" '
                 '"$1/var/lib/dpkg/status"')
        self.unpack(name, "extract", packages, SUITES, new, megabytes,
                    [f"--setup-hook={known}"])
        (new / ".made-of").write_text(made_of)
        self.put(new, place)

    def make_unpacked(self):
        """Fetch what UNPACKED names; returns a digest of it."""
        made = []
        for name, (suite, packages, programs) in UNPACKED.items():
            place = self.build / name
            made_of = digest(suite, *packages)
            if not read(place / ".made-of").startswith(made_of):
                archive = Archive(self.build / f"{name}.apt", (suite,))
                try:
                    archive.update(self.mirror())
                    archive.unpack(packages, place)
                except Stop as why:
                    if suite == SUITE:
                        raise
                    # All else works without.
                    say(f"the tests with {', '.join(programs)} of Debian {suite} will be skipped: {why}")
                    continue
                self.remove(place / "usr/share")
                (place / "bin").mkdir()
                for program in programs:
                    (place / "bin" / program).write_text(UNPACKED_PROGRAM.format(place=name, name=program))
                    (place / "bin" / program).chmod(0o755)
                version = archive.fields(packages[0])[0]["Version"]
                self.remove(archive.place)
                (place / ".made-of").write_text(f"{made_of} {version}")
                say(f"{', '.join(programs)} of Debian {suite} are there; {packages[0]} is of version {version}")
            made.append(read(place / ".made-of"))
        return " ".join(made)

    def add_unpacked(self, tree):
        """Put what UNPACKED names into a guest's tree."""
        for name, (suite, _, programs) in UNPACKED.items():
            self.remove(tree / "opt" / name)
            if (self.build / name).is_dir():
                shutil.copytree(self.build / name, tree / "opt" / name, symlinks=True)
                for program in programs if suite == SUITE else ():
                    shutil.copy(self.build / name / "bin" / program, tree / "usr/local/bin")

    def make_image(self, name="guest"):
        """Make one of IMAGES."""
        packages, megabytes = IMAGES[name]
        tree, note = self.build / name, self.build / f"{name}.img.made-of"
        arm64 = name.endswith("-arm64")
        if arm64:
            made = self.debian_tree(name, packages, (SUITE,), megabytes, ["--architectures=arm64"], "extract")
        else:
            made = self.debian_tree(name, packages, (SUITE,), megabytes)
        boot = (HERE / "guest-boot.sh").read_bytes()
        made_of = digest(read(tree / ".made-of"), boot, "" if arm64 else self.make_unpacked())
        if not made and (self.build / f"{name}.img").is_file() and read(note) == made_of:
            return
        note.unlink(missing_ok=True)
        if arm64:
            self.configure_tree(tree)
        else:
            self.add_unpacked(tree)
        self.write_image(name)
        note.write_text(made_of)

    @staticmethod
    def configure_tree(tree):
        """Do what the packages' scripts would have done, as far as the tests need it."""
        for name in ("passwd", "group"):
            shutil.copy(tree / f"usr/share/base-passwd/{name}.master", tree / "etc" / name)
        for name in ("etc/mtab", "usr/bin/awk"):
            (tree / name).unlink(missing_ok=True)
        (tree / "etc/mtab").symlink_to("../proc/self/mounts")
        (tree / "usr/bin/awk").symlink_to("mawk")
        for name in ("proc", "sys", "dev", "run", "tmp", "mnt", "root"):
            (tree / name).mkdir(exist_ok=True)

    def make_arm64(self):
        """Make the parts of a machine for arm64: QEMU, its firmware, and the program that reserves memory."""
        self.make_extra("arm64", ARM64, ARM64_MB)
        source, note = HERE / "softreserve.c", self.build / "arm64/softreserve.made-of"
        if read(note) == digest(source.read_bytes()):
            return
        status, _ = self.logged("softreserve.log", self.inside(
            ["clang", "--target=aarch64-unknown-windows", "-ffreestanding", "-fshort-wchar", "-O1", "-Wall",
             "-Wextra", "-Werror", "-nostdlib", "-fuse-ld=lld", "-Wl,-subsystem:efi_application",
             "-Wl,-entry:efi_main", "-o", "/build/arm64/softreserve.efi",
             f"/project/{source.relative_to(PROJECT)}"]))
        if status:
            raise Stop(f"softreserve.c could not be built; read {self.logs}/softreserve.log")
        note.write_text(digest(source.read_bytes()))

    def cc(self, impl):
        """The C compiler for programs that run on this kernel, in the toolchain tree."""
        if arch_of(impl) == "x86":
            return ["gcc"]
        return ["clang", "--target=aarch64-linux-gnu", f"--sysroot={SYSROOT}", "-fuse-ld=lld"]

    def write_image(self, name):
        """Make NAME.img, which a machine can boot, of the tree NAME."""
        tree, image = self.build / name, self.build / f"{name}.img"
        self.need_space(f"the {name} image", 2 * IMAGES.get(name, (None, 1000))[1])
        (tree / "init").write_bytes((HERE / "guest-boot.sh").read_bytes())
        (tree / "init").chmod(0o755)
        for directory in ("job", "usr/lib/modules"):
            (tree / directory).mkdir(parents=True, exist_ok=True)
        new = self.fresh(image.name)
        with open(new, "wb") as file:
            file.truncate((4 if name == "programs" else 2) << 30)
        with Progress(f"{name} image", lambda: f"{size_mb(new)} of about {size_mb(tree)} MB"):
            status, _ = self.logged("image.log", self.inside(
                ["mke2fs", "-q", "-t", "ext4", "-d", f"/build/{name}", f"/build/{new.name}"]))
            if status:
                raise Stop(f"the {name} image could not be made; read {self.logs}/image.log")
        self.put(new, image)
        return image

    # The kernel's source

    def source_version(self):
        status = read(self.toolchain / "var/lib/dpkg/status")
        found = re.search(rf"^Package: {re.escape(SOURCE)}\n(?:.+\n)*?Version: (.+)", status, re.M)
        if not found:
            raise Stop(f"the toolchain tree lacks {SOURCE}; run 'make clean' and start again")
        return found.group(1)

    def unpack_source(self, new):
        """Linux's own source, in a directory of the build directory."""
        self.need_space("the kernel source", LINUX_MB + LINUX_MB // 10)
        new.mkdir()
        with Progress("kernel source", lambda: f"{size_mb(new)} of about {LINUX_MB} MB"):
            status, _ = self.logged("source.log", self.inside(
                ["tar", "-C", f"/build/{new.relative_to(self.build)}", "--strip-components=1",
                 "--no-same-owner", "-I", "xz -T0", "-xf", f"/usr/src/{SOURCE}.tar.xz"]))
            if status:
                raise Stop(f"the kernel source could not be unpacked; read {self.logs}/source.log")

    def make_source(self):
        """Unpack the kernel source and apply the overlay as it is now."""
        made_of = digest(self.source_version())
        if read(self.linux / ".source") != made_of:
            new = self.fresh("linux")
            self.linux.mkdir(exist_ok=True)
            self.unpack_source(new)
            (new / ".source").write_text(made_of)
            self.apply_overlay(new)
            # An unchanged file keeps its time stamp, so that make does not rebuild what depends on it.
            for name in overlay.Tree(new, overlay.load_config()).touched():
                old = self.linux / name
                if old.is_file() and old.read_bytes() == (new / name).read_bytes():
                    os.utime(new / name, ns=(old.stat().st_mtime_ns,) * 2)
            self.put(new, self.linux)
        self.convert_record()
        self.apply_overlay(self.linux)

    def convert_record(self):
        """Convert the record of an older overlay.py, which had a manifest.

        Otherwise such a tree would have to be unpacked and compiled again.
        """
        old = self.linux / overlay.STATE
        if not (old / "manifest.json").is_file():
            return
        manifest = json.loads((old / "manifest.json").read_text())
        linux = [*manifest["edited"], *(str(path.relative_to(old / "original"))
                                        for path in (old / "original").rglob("*") if path.is_file())]
        new = self.fresh("record")
        (new / "linux").mkdir(parents=True)
        status, _ = self.logged("source.log", self.inside(
            ["tar", "-C", "/build/record.new/linux", "--strip-components=1", "--no-same-owner",
             "-I", "xz -T0", "-xf", f"/usr/src/{SOURCE}.tar.xz",
             *(f"{SOURCE}/{name}" for name in linux)]))
        if status:
            raise Stop(f"the kernel source could not be unpacked; read {self.logs}/source.log")
        for name in (*manifest["files"], *manifest["edited"]):
            if (self.linux / name).is_file():
                (new / "overlay-1" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.linux / name, new / "overlay-1" / name)
        self.remove(old)
        new.rename(old)

    @staticmethod
    def apply_overlay(tree):
        try:
            config = overlay.load_config()
            overlay.check_version(tree, config["version"])
            overlay.Tree(tree, config).apply()
        except overlay.Refused as why:
            raise Stop(f"{why}; {tree} belongs to this build: "
                       "save your change elsewhere, remove the directory and try again") from why

    # The kernel

    def source_inputs(self):
        """The inputs of the source of a kernel."""
        sources = [name for name in overlay.project_files()
                   if name.split("/")[0] not in ("Documentation", "tools")
                   or name.startswith("tools/testing/nvdimm/")]
        contents = [part for name in sources for part in (name, (PROJECT / name).read_bytes())]
        return [self.source_version(), *((PROJECT / name).read_bytes() for name in overlay.config_files()),
                *contents]

    def kernel_inputs(self, impl):
        """A digest of all inputs of a kernel."""
        return digest(read(self.compilers(impl) / ".made-of"), *(read(HERE / name) for name in FRAGMENTS[impl]),
                      *(path.read_bytes() for path in FIXES if impl == "c-fixed"), *self.source_inputs())

    def make_kernel(self, impl):
        place = self.kernel(impl)
        self.make_compilers(impl)
        inputs = self.kernel_inputs(impl)
        if read(place / ".made-of") == inputs:
            say(f"the {impl} kernel is up to date: {place}")
            return
        if impl == "c-fixed":
            self.make_fixed()
        self.compile(impl, ["all"], f"{impl} kernel")
        if arch_of(impl) == "x86":
            self.make_doubles(impl)
        if "CONFIG_RUST_DEBUG_ASSERTIONS=y\n" not in read(self.out(impl) / ".config"):
            for where, panic in self.panics(impl):
                if panic:
                    raise Stop(f"{where} of the {impl} kernel refers to {panic}; no code of ours "
                               "may panic")
        self.install(impl, inputs)
        say(f"the {impl} kernel is ready: {place}")

    def drop_old_objects(self, impl, place):
        """Remove modules outside the kernel's tree that an earlier configuration made; Kbuild does not notice."""
        config = digest(read(self.out(impl) / ".config"))
        if read(place / ".made-of") != config:
            self.remove(place)
            place.mkdir(parents=True)
            (place / ".made-of").write_text(config)

    def make_doubles(self, impl):
        self.drop_old_objects(impl, self.out(impl) / "nfit")
        self.compile(impl, [*NFIT, "modules"], f"{impl} doubles for nfit_test")

    def upstream_modules(self, impl):
        """Build upstream's C modules for a kernel in which they may be Rust; returns their directory.

        A module in either language fits a kernel in either language. So this builds only the modules,
        against the headers and exports of the existing kernel, and takes seconds.
        """
        source, out = self.build / "upstream", self.out(impl) / "upstream"
        source.mkdir(exist_ok=True)
        self.drop_old_objects(impl, out)
        for name, file in UPSTREAM.items():
            # The source file may have another name than the module.
            text = f"// SPDX-License-Identifier: GPL-2.0\n#include <../drivers/dax/{file}>\n"
            if read(source / f"{name}.c") != text:
                (source / f"{name}.c").write_text(text)
        (source / "Kbuild").write_text("".join(f"obj-m += {name}.o\n" for name in UPSTREAM))
        status, log = self.logged(f"upstream-{impl}.log", self.inside(
            [*self.make_command(impl), "M=/build/upstream", "MO=/out/upstream", "modules"], impl))
        if status:
            raise Stop(f"upstream's modules could not be built for the {impl} kernel; read "
                       f"{self.logs}/upstream-{impl}.log")
        return out

    @staticmethod
    def fixed_files():
        """The files that the patches of upstream-fixes change."""
        return sorted({name for path in FIXES for name in overlay.patched_files(path)})

    def make_fixed(self):
        """Make the files of Linux that "c-fixed" has instead of upstream's."""
        missing = [name for name in self.fixed_files() if not (self.linux / name).is_file()]
        if missing:
            raise Stop(f"there is no {missing[0]} in {self.linux}; the patches of upstream-fixes may "
                       "only change files that Linux has")
        files = {name: (self.linux / name).read_bytes() for name in self.fixed_files()}
        try:
            files = overlay.apply_patches(FIXES, files)
        except overlay.Refused as why:
            raise Stop(f"of tools/testing/dax/upstream-fixes, {why}") from why
        for name, data in files.items():
            place = self.build / "fixed" / name
            # An unchanged file stays, so that nothing is compiled again.
            if not place.is_file() or place.read_bytes() != data:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)

    def make_quiet(self):
        """Build the objects of drivers/dax of the kernel "rust" without messages."""
        for name, edits in QUIET.items():
            text = read(self.linux / name)
            for old, new in edits:
                if text.count(old) != 1:
                    raise Stop(f"{name} does not have exactly one {old.strip()!r}, which makes "
                               "messages; correct QUIET in lab.py")
                text = text.replace(old, new)
            place = self.build / "quiet" / name
            # An unchanged file stays, so that nothing is compiled again.
            if read(place) != text:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
        self.compile("quiet", ["drivers/dax/"], "drivers/dax without messages")

    def prepare_out(self, impl):
        """The directory of the objects, without incomplete files."""
        out = self.out(impl)
        self.need_space("building a kernel", 300 if out.exists() else 2 * OUT_MB)
        if not out.exists():
            # Most objects are the same in every kernel, so start with a copy of another kernel's.
            whole = [self.out(other) for other in KERNELS
                     if (compilers_of(other), arch_of(other)) == (compilers_of(impl), arch_of(impl))
                     and self.out(other).is_dir() and not (self.out(other) / ".unfinished").exists()]
            new = self.fresh(out.name)
            if whole:
                with Progress(f"{impl} kernel: taking the objects of {whole[0].name}",
                              lambda: f"{size_mb(new)} of about {OUT_MB} MB"):
                    subprocess.run(["cp", "-a", whole[0], new], check=True)
            else:
                new.mkdir()
            self.put(new, out)
        if (out / ".unfinished").exists():
            self.discard_recent(out)
        (out / ".unfinished").touch()

    @staticmethod
    def discard_recent(out):
        """After a killed build, remove the files that may be incomplete.

        Files that are two minutes older than the newest one are complete, and are on the disk even if
        the machine lost power.
        """
        files = [(path.lstat().st_mtime, path) for path in out.rglob("*")
                 if path.is_file() and not path.is_symlink()]
        newest = max((when for when, path in files), default=0)
        recent = [path for when, path in files if when > newest - 120]
        say(f"the last build in {out.name} was interrupted; {len(recent)} recent files are redone")
        for path in recent:
            path.unlink()

    def configure(self, impl):
        out = self.out(impl)
        fragments = [HERE / name for name in FRAGMENTS[impl]]
        kconfigs = [PROJECT / name for name in overlay.project_files() if name.endswith("Kconfig")]
        made_of = digest(self.source_version(), *(path.read_bytes() for path in fragments + kconfigs))
        if (out / ".config").is_file() and read(out / ".configured") == made_of:
            return
        (out / ".configured").unlink(missing_ok=True)
        paths = " ".join("/project/" + str(path.relative_to(PROJECT)) for path in fragments)
        make = " ".join(self.make_command(impl))
        say(f"{impl} kernel: configuring")
        status, _ = self.logged(f"config-{impl}.log", self.inside(["sh", "-ec", (
            f"{make} allnoconfig; cd /linux; "
            f"KCONFIG_CONFIG=/out/.config scripts/kconfig/merge_config.sh -m -O /out /out/.config {paths}; "
            f"{make} olddefconfig")], impl))
        if status:
            raise Stop(f"the kernel could not be configured; read {self.logs}/config-{impl}.log")
        have = set(read(out / ".config").splitlines())
        asked = {}
        for path in fragments:
            for line in path.read_text().splitlines():
                if line.startswith("CONFIG_"):
                    asked[line.split("=")[0]] = line
                elif line.startswith("# CONFIG_"):
                    asked.pop(line.split()[1], None)
        lost = [line for line in asked.values() if line not in have]
        if lost:
            raise Stop(f"the configuration of the {impl} kernel lacks {', '.join(lost)}, which "
                       f"{paths} ask for; a dependency is missing there")
        (out / ".configured").write_text(made_of)

    def compile(self, impl, targets, title):
        """Run make in the objects of IMPL; returns its output."""
        out = self.out(impl)
        self.prepare_out(impl)
        self.configure(impl)
        cold = not (out / "vmlinux").exists() and impl in KERNELS
        steps = Steps()

        total = f" of about {BUILD_STEPS}" if cold else ""
        with Progress(title, lambda: f"step {steps.number}{total}, {steps.last}"):
            try:
                status, log = self.logged(f"build-{impl}.log", self.inside(
                    [*self.make_command(impl), f"-j{os.cpu_count()}", *targets], impl), steps)
            except Killed:
                raise
            except KeyboardInterrupt:
                # make itself removed incomplete files.
                (out / ".unfinished").unlink(missing_ok=True)
                raise
            (out / ".unfinished").unlink(missing_ok=True)
            if status:
                wrong = [line for line in log.splitlines()
                         if re.search(r"error|Error \d|undefined|No space", line)]
                print("\n" + "\n".join(wrong[:30] or log.splitlines()[-30:]))
                raise Stop(f"the {impl} kernel did not build; "
                           f"the whole output is in {self.logs}/build-{impl}.log")
        return log

    @staticmethod
    def in_crate():
        """This project's modules of the kernel crate, as in the mangled names of functions."""
        files = [Path(name) for name in overlay.project_files() if name.endswith(".rs")]
        return ["6kernel" + "".join(f"{len(part)}{part}" for part in path.with_suffix("").parts[2:])
                for path in files if path.parts[:2] == ("rust", "kernel")]

    def panics(self, impl):
        """Yields the Rust panics that each of our objects and our modules of the kernel crate refer
        to."""
        files = [Path(name) for name in overlay.project_files() if name.endswith(".rs")]
        objects = ["/out/" + str(path.with_suffix(".o")) for path in files
                   if path.parts[0] in ("drivers", "samples") and "kunit" not in path.name
                   and (self.out(impl) / path.with_suffix(".o")).is_file()]
        _, names = self.logged(f"nm-{impl}.log", self.inside(["llvm-nm", "-A", "-u", *objects], impl))
        for name in objects:
            yield (name.removeprefix("/out/"),
                   ", ".join(re.findall(rf"^{re.escape(name)}:.* (\S*core9panicking\S*)", names, re.M)))

        ours = self.in_crate()
        _, code = self.logged(f"objdump-{impl}.log", self.inside(
            ["llvm-objdump", "-dr", "--no-show-raw-insn", "/out/rust/kernel.o"], impl))
        found = {part: set() for part in ours}
        where = []
        for line in code.splitlines():
            if function := re.match(r"[0-9a-f]+ <(.+)>:", line):
                where = [part for part in ours if part in function[1]]
            elif where and (panic := re.search(r"R_(?:X86|AARCH64)\S+\s+(\S*core9panicking\S*)", line)):
                for part in where:
                    found[part].add(panic[1])
        for part, panics in found.items():
            yield f"{part} in rust/kernel.o", ", ".join(sorted(panics))

    def unexported(self, impl):
        """Yields for each of our modules of the kernel crate the symbols that its functions and statics
        refer to and that Linux does not export. Loadable modules call these functions or inline them."""
        exported = {line.split("\t")[1] for line in read(self.out(impl) / "Module.symvers").splitlines()}
        _, names = self.logged(f"nm-{impl}.log", self.inside(
            ["llvm-nm", "--defined-only", "/out/rust/kernel.o"], impl))
        own = {line.split()[-1] for line in names.splitlines() if line.split()}
        _, code = self.logged(f"objdump-{impl}.log", self.inside(
            ["llvm-objdump", "-Dr", "--no-show-raw-insn", "/out/rust/kernel.o"], impl))
        found = {part: set() for part in self.in_crate()}
        where = []
        for line in code.splitlines():
            if symbol := re.match(r"[0-9a-f]+ <(.+)>:", line):
                where = [part for part in found if part in symbol[1]]
            elif where and (other := re.search(r"R_(?:X86|AARCH64)\S+\s+([^.\s][^\s+-]*)", line)):
                for part in where:
                    found[part].update({other[1]} - own - exported)
        for part, symbols in found.items():
            yield f"{part} in rust/kernel.o", sorted(symbols)

    def objdump(self, impl, name, part):
        """Print the code of the functions of an object that have PART in their names."""
        if not (self.out(impl) / name).is_file():
            raise Stop(f"there is no {name} in {self.out(impl)}; 'make kernel IMPL={impl}' makes them")
        dump = subprocess.Popen(
            self.inside(["llvm-objdump", "-dr", "--demangle", "--no-show-raw-insn", f"/out/{name}"],
                        impl), stdout=subprocess.PIPE, text=True)
        shown = found = False
        for line in dump.stdout:
            if function := re.match(r"[0-9a-f]+ <(.+)>:$", line):
                shown = part in function[1]
                found |= shown
            if shown:
                print(line, end="")
        if dump.wait() or not found:
            raise Stop(f"no function of {name} has {part!r} in its name")

    def install(self, impl, inputs):
        out = self.out(impl)
        new = self.fresh(f"kernel-{impl}")
        new.mkdir()
        make = " ".join(self.make_command(impl))
        status, _ = self.logged(f"install-{impl}.log", self.inside(["sh", "-ec", (
            f"cd /build/{new.name}; {make} INSTALL_MOD_PATH=$PWD/modules modules_install; "
            + (f"cp -a modules modules-nfit; "
               f"{make} {' '.join(NFIT)} INSTALL_MOD_PATH=$PWD/modules-nfit modules_install"
               if arch_of(impl) == "x86" else "true"))], impl))
        if status:
            raise Stop(f"the modules could not be installed; read {self.logs}/install-{impl}.log")
        arch = arch_of(impl)
        for name in (f"arch/{arch}/boot/{vm.ARCHES[arch].kernel}", "vmlinux", "System.map", ".config"):
            shutil.copy2(out / name, new / Path(name).name.lstrip("."))
        (new / ".made-of").write_text(inputs)
        self.put(new, self.kernel(impl))

    # Everything together

    def setup(self):
        self.make_toolchain()
        self.make_extra("crates", CRATES, CRATES_MB)
        self.make_extra("plot", PLOT, PLOT_MB)
        self.make_source()
        self.make_image()

    def clean(self):
        names = ["toolchain", *(f"toolchain-{suite}" for suite in TOOLCHAINS), "crates", "plot", *IMAGES,
                 "arm64", "ndctl", *UNPACKED, *(f"{name}.apt" for name in UNPACKED),
                 "linux", "demo", "shell", "run", "tests", "quiet",
                 "fixed", "results", "host-tests", "bench", "upstream", "series",
                 "stock", "packaging", "deb-tools", "builds"]
        names += [f"{kind}-{impl}" for kind in ("out", "kernel", "pytest") for impl in FRAGMENTS]
        for name in names:
            for path in (name, f"{name}.new", f"{name}.old"):
                self.remove(self.build / path)
        images = [f"{name}.img{end}" for name in (*IMAGES, "ndctl")
                  for end in ("", ".new", ".old", ".made-of")]
        for name in (*images, "apt.conf"):
            self.remove(self.build / name)
        self.remove(self.logs)
        say(f"{self.build} is clean")


def main(argv):
    lab = Lab(os.environ.get("BUILD") or PROJECT / "build")
    what, rest = (argv + [""])[1], argv[2:]
    impl = rest[0] if rest else "rust"
    if what in ("stock", "deb-kernel", "builds"):
        # Not the module lab, which these would have a second time otherwise.
        program = HERE / f"{what.replace('-', '_')}.py"
        return subprocess.run([sys.executable, program, *rest], check=False).returncode
    if what == "objdump" and len(rest) > 1:
        lab.objdump(impl, rest[1], (rest + [""])[2])
        return 0
    if what == "inside" and rest:
        return subprocess.run(lab.inside(rest), check=False).returncode
    if what in ("kernel", "shell") and impl not in KERNELS:
        raise Stop(f"there is no kernel {impl}; there are {', '.join(KERNELS)}")
    with lab.locked():
        if what == "clean":
            lab.clean()
        elif what == "setup":
            lab.setup()
        elif what == "programs":
            lab.make_toolchain()
            lab.make_image("programs")
        elif what in ("kernel", "shell", "run"):
            lab.make_toolchain()
            lab.make_source()
            lab.make_kernel(impl)
            if arch_of(impl) == "arm64":
                lab.make_arm64()
                lab.make_image("guest-arm64")
            elif what != "kernel":
                lab.make_image()
        elif what == "check" and rest and rest[0] in CHECKS:
            import checks
            lab.make_toolchain()
            lab.make_source()
            return checks.run(lab, rest[0])
        elif what == "series" and rest and rest[0] in ("make", "check"):
            import series
            lab.make_toolchain()
            return series.run(lab.build, rest[0])
        else:
            print(__doc__.format(checks=" ".join(CHECKS)), file=sys.stderr)
            return 2
    if what == "shell":
        say("Ctrl-A x stops the machine at once; 'exit' powers it off")
        with vm.Machine(lab.build, os.environ.get("MACHINE", "nvdimm"), impl=impl,
                        backing=lab.build / "shell") as machine:
            machine.shell()
    elif what == "run":
        import demo
        return demo.run(lab, impl)
    return 0


def terminate(*unused):
    raise KeyboardInterrupt


def command(main):
    """Run MAIN as a command: its result is the exit status. What stops it is said in one line."""
    signal.signal(signal.SIGTERM, terminate)
    try:
        sys.exit(main(sys.argv))
    except Stop as stop:
        print(f"dax: {stop}.", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ndax: interrupted; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    command(main)
