#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The modules for Debian's kernel as it is, and machines that run it.

  stock.py modules [RELEASE]     the modules, for the running kernel if it is one of Debian's,
                                 otherwise for the newest in the archive of FLAVOUR (cloud-amd64)
  stock.py deb [RELEASE]         Debian packages of them; if no kernel of Debian's runs, for the newest
                                 of each flavour
  stock.py test [FLAVOUR...]     install the package in a guest of Debian's own kernel, initramfs
                                 and systemd, run tests, remove it
  stock.py shell [FLAVOUR]       a prompt in that guest
  stock.py run RELEASE COMMAND   run a command there

Of each kernel there is, in the build directory:

  stock/apt/               what apt knows of the archive
  stock/RELEASE/headers/   the headers package, unpacked: the configuration, the exports
  stock/RELEASE/out/       objects of the kernel's source with the overlay, and modules in dax/
  stock/RELEASE/modules/   the modules, stripped, signed if there is a key, and compressed
  stock/RELEASE/guest/     a Debian tree with this kernel; guest.img is made of it
  stock/RELEASE/programs/  the same with the programs of "lab.py programs"; programs.img is made of it
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "lib")]

import kernel_log  # noqa: E402
import ktap  # noqa: E402
import lab as lab_module  # noqa: E402
import vm  # noqa: E402
from archive import Archive, Stop  # noqa: E402
from lab import PROJECT, SOURCE, SUITE, SUITES, Progress, Steps, digest, read, say  # noqa: E402
from outcome import Outcome  # noqa: E402

FLAVOURS = ("cloud-amd64", "amd64")
SERIES = SOURCE.removeprefix("linux-source-")
# As Debian compiles its kernel.
TRIPLET = "x86_64-linux-gnu-"
# What the configuration says of us, of keys that only Debian has, and of the tools.
OF_THE_BUILD = re.compile(r"CONFIG_(DAX_(RUST|C)|DAXFILE|DEV_DAX_(\w+_)?(RUST|C|COMPAT|COMPAT_DEFAULT)|"
                          r"MODULE_SIG_(ALL|KEY\w*)|BUILD_SALT|OPENSSL_\w+|"
                          r"(CC|AS|LD|PAHOLE|RUSTC_LLVM)_\w*VERSION\w*)$")
# What the bitcode of the crates is for is in modules/additions.py.
CRATES = [f"RUSTFLAGS_{crate}.o=--emit=llvm-bc=rust/{crate}.bc -Zmerge-functions=disabled"
          for crate in ("kernel", "bindings")]
PACKAGING = "debhelper lintian dpkg-dev xz-utils kmod".split()
# Not in the package.
SAMPLES = ("rust_driver_dax", "dax_onefile")
SYSTEM = "systemd-sysv initramfs-tools dbus apt linux-base/trixie-backports".split()
# The kernel, and what the lists above have.
PREPARED_MB, SYSTEM_MB, PACKAGING_MB, DEBUG_MB = 500, 370, 600, 1500
PREPARE_STEPS = 420


class Moved(Stop):
    """The archive has another version of Linux than this build directory."""


class Kernels(Archive):
    """The archive, as far as it has kernels."""

    def newest(self, flavour):
        """The release of the newest kernel of a flavour."""
        for fields in self.fields(f"linux-image-{flavour}"):
            found = re.search(rf"linux-image-({re.escape(SERIES)}\.\S+-{flavour})\b", fields["Depends"])
            if found:
                return found[1]
        raise Stop(f"the archive has no linux-image-{flavour} of Linux {SERIES}; use a mirror that carries "
                   f"{SUITES[-1]} with it")

    def version(self, release):
        """The version of a kernel's packages."""
        found = self.fields(f"linux-headers-{release}")
        if not found:
            raise Stop(f"the archive has no linux-headers-{release}, so the modules cannot be built for "
                       f"this kernel; the newest there is {self.newest(flavour_of(release))}")
        return found[0]["Version"]


def flavour_of(release):
    return next((flavour for flavour in FLAVOURS if release.endswith(f"-{flavour}")), FLAVOURS[0])


class Stock(lab_module.Lab):
    """Builds for Debian's kernels. RELEASE is what "uname -r" says there."""

    def __init__(self, build):
        super().__init__(build)
        self.archive = Kernels(self.build / "stock/apt", SUITES)

    def place(self, release):
        return self.build / "stock" / release

    def out(self, impl):
        return self.place(impl) / "out"

    def headers(self, release):
        return self.place(release) / f"headers/usr/src/linux-headers-{release}"

    def update(self):
        """Read what the archive has today."""
        self.archive.update(self.mirror())

    @staticmethod
    def running():
        """The release of the running kernel if it is one that modules can be built for."""
        release = os.uname().release
        return release if re.match(rf"{re.escape(SERIES)}\.\d+\+deb\d+\S*-({'|'.join(FLAVOURS)})$", release) else ""

    def release(self, asked=""):
        """Which kernel is meant: that of make's KVER, the running one, or the newest."""
        asked = asked or self.running()
        if asked and not asked.startswith(f"{SERIES}."):
            raise Stop(f"{asked} is not a kernel of Linux {SERIES}, which these modules are for")
        return asked or self.archive.newest(os.environ.get("FLAVOUR") or FLAVOURS[0])

    def version(self):
        """That of the packages and modules, from debian/changelog."""
        return re.match(r"\S+ \((\S+)\)", read(PROJECT / "modules/debian/changelog"))[1]

    @contextlib.contextmanager
    def using(self, tree):
        """Run commands in another tree than the toolchain."""
        toolchain, self.toolchain = self.toolchain, self.build / tree
        try:
            yield
        finally:
            self.toolchain = toolchain

    # The kernel's source, configured and prepared as for that kernel

    def make(self, release, *arguments):
        flavour = release.split("-", 1)[0]
        local = release.removeprefix(re.match(r"[\d.]+", flavour)[0])
        return self.inside(["make", "-C", "/linux", "O=/out", "ARCH=x86", f"CROSS_COMPILE={TRIPLET}",
                            f"CC={TRIPLET}gcc-14", f"HOSTCC={TRIPLET}gcc-14", f"LOCALVERSION={local}",
                            f"-j{os.cpu_count()}", *arguments], release)

    def step(self, release, name, title, *arguments, total=0):
        """Run make for a kernel, and say how far it is."""
        done = Steps()
        log = f"stock-{release}-{name}.log"
        of = f" of about {total}" if total else ""
        with Progress(f"{release}: {title}", lambda: f"step {done.number}{of}, {done.last}"):
            status, text = self.logged(log, self.make(release, *arguments), done)
            if status:
                wrong = [line for line in text.splitlines() if re.search(r"error|Error \d|undefined|dax: ", line)]
                print("\n" + "\n".join(wrong[:30] or text.splitlines()[-30:]))
                raise Stop(f"{title} of {release} failed; all that was printed is in {self.logs / log}")
        return text

    def take_headers(self, release):
        """The headers package of one of Debian's kernels, which has to be of the source that is here."""
        version = self.archive.version(release)
        if version != self.source_version():
            raise Moved(f"{release} is of version {version}, but the toolchain tree has {SOURCE} "
                       f"{self.source_version()}; remove {self.toolchain} and {self.linux} to get the newest "
                       "source, or build for another kernel with KVER=")
        if not (self.headers(release) / "Module.symvers").is_file():
            self.archive.unpack([f"linux-headers-{release}={version}"], self.place(release) / "headers")

    def prepare(self, release):
        """The source of a kernel with the overlay, configured as the kernel is, and its Rust compiled."""
        self.make_toolchain()
        self.take_headers(release)
        self.make_source()
        out = self.out(release)
        if not out.is_dir():
            self.need_space("preparing a kernel", 2 * PREPARED_MB)
            out.mkdir(parents=True)
        # Its core of DAX stays as it is.
        self.configure_like(release, MODULE_SIG_ALL="n", MODULE_SIG_KEY='""', DAX_C="y", DAXFILE="m")
        self.step(release, "prepare", "preparing the source", *CRATES, "modules_prepare", "rust/",
                  total=0 if (out / "rust/kernel.bc").exists() else PREPARE_STEPS)
        self.compare_exports(release)

    def configure_like(self, release, model=None, **ours):
        """Configure as Debian configured MODEL (default: the same kernel), but for options of ours."""
        out, config = self.out(release), read(self.headers(model or release) / ".config")
        made_of = digest(config, ours, read(self.linux / "drivers/dax/Kconfig"), read(self.toolchain / ".made-of"))
        if (out / ".config").is_file() and read(out / ".configured") == made_of:
            return
        ours = {f"CONFIG_{key}": value for key, value in ours.items()}
        kept = [line for line in config.splitlines() if line.split("=")[0] not in ours]
        (out / ".config").write_text("\n".join(kept + [f"{key}={value}" for key, value in ours.items()]) + "\n")
        self.step(release, "config", "configuring", "olddefconfig")

        def options(text):
            return {line.split("=")[0]: line for line in text.splitlines() if line.startswith("CONFIG_")}

        theirs, made = options(config), options(read(out / ".config"))
        other = sorted(key for key in theirs.keys() | made.keys()
                       if theirs.get(key) != made.get(key) and not OF_THE_BUILD.match(key))
        if other:
            raise Stop(f"with this toolchain {release} would be configured otherwise than Debian does it: "
                       f"{', '.join(other[:8])}")
        (out / ".configured").write_text(made_of)

    def compare_exports(self, release):
        """What the kernel exports of Rust has to be what its source makes here; then the modules fit."""
        symvers = read(self.headers(release) / "Module.symvers")
        theirs = {line.split("\t")[1] for line in symvers.splitlines()}
        made = set()
        for path in self.out(release).glob("rust/exports_*_generated.h"):
            made.update(re.findall(r"EXPORT_SYMBOL_RUST_GPL\((\w+)\)", read(path)))
        rust = {name for name in theirs if name.startswith("_R")}
        if not rust:
            raise Stop(f"{release} exports nothing of Rust: it is configured without")
        # Implementations in the bindings are numbered; those used are looked at again by modpost.
        lost = {name for name in rust - made if "8bindings" not in name}
        if lost:
            raise Stop(f"{len(lost)} of the {len(rust)} Rust functions that {release} exports have other names "
                       f"here (as {min(lost)}): it is of another rustc or source, and modules would not fit it")
        place = self.out(release) / "Module.symvers"
        if read(place) != symvers:
            place.write_text(symvers)

    # The modules

    def modules(self, release):
        """Build them and put them, ready to be installed, into a directory: that directory."""
        self.prepare(release)
        (self.out(release) / "dax").mkdir(exist_ok=True)
        text = self.step(release, "modules", "building the modules", "M=/project", "MO=/out/dax",
                         f"DAX_RUST_VERSION={self.version()}", "modules")
        odd = [line for line in text.splitlines() if re.search("warning", line, re.I) and not line.startswith("make")]
        if odd:
            raise Stop(f"the build of the modules for {release} warns: {odd[0].strip()}")
        place = self.place(release) / "modules"
        new = Path(f"{place}.new")
        self.remove(new)
        new.mkdir()
        made = [self.out(release) / "dax" / Path(line).with_suffix(".ko").name
                for line in read(self.out(release) / "dax/modules.order").splitlines()]
        key, certificate = (os.environ.get(name) for name in ("SIGN_KEY", "SIGN_CERT"))
        if bool(key) != bool(certificate):
            raise Stop("give both SIGN_KEY= and SIGN_CERT=, to sign the modules, or neither")
        for path in made:
            shutil.copy(path, new)
        self.pack(release, "strip --strip-debug")
        for path in sorted(new.glob("*.ko")) if key else ():
            sign = vm.toolchain_program(self.build, self.out(release) / "scripts/sign-file")
            done = subprocess.run([*sign, "sha256", key, certificate, path], capture_output=True, text=True,
                                  check=False)
            if done.returncode:
                raise Stop(f"{path.name} could not be signed with {key} and {certificate}: "
                           f"{done.stderr.strip()[-300:]}")
        self.pack(release, "xz --check=crc32 --lzma2=dict=1MiB")
        self.remove(place)
        new.rename(place)
        return place

    def panics(self, release):
        """Of each module: the panics of Rust that its functions refer to. Debian has arithmetic checked for
        overflow, other than our own kernels."""
        status, text = self.logged(f"stock-{release}-objdump.log", self.inside(
            ["sh", "-c", "cd /out/dax && llvm-objdump -dr --no-show-raw-insn *.ko"], release))
        if status:
            raise Stop(f"the modules of {release} could not be read; read {self.logs}/stock-{release}-objdump.log")
        found, function = {}, ""
        for line in text.splitlines():
            if start := re.match(r"(\S+\.ko):\s+file format", line):
                panics = found.setdefault(start[1], set())
            elif start := re.match(r"[0-9a-f]+ <(.+)>:", line):
                function = start[1]
            # Those of Rust's own parser of numbers, which counts digits first.
            elif (panic := re.search(r"R_X86\S+\s+(\S*core9panicking\S*)", line)) and "_4core3num" not in function:
                panics.add(f"{panic[1]} in {function}")
        return [(name, ", ".join(sorted(panics))) for name, panics in found.items()]

    def vmlinux(self, release):
        """A kernel with its debugging information, for a debugger: its file."""
        package = f"linux-image-{release}-dbg={self.archive.version(release)}"
        place = self.place(release) / "vmlinux"
        if not place.is_file():
            self.need_space("the kernel's debugging information", DEBUG_MB)
            with Progress(f"{release}: fetching its debugging information", lambda: package):
                self.archive.take(package, f"./usr/lib/debug/lib/modules/{release}/vmlinux", place)
        return place

    def pack(self, release, command):
        status, _ = self.logged(f"stock-{release}-pack.log", self.inside(
            ["sh", "-c", f'cd "/build/stock/{release}/modules.new" && {command} *.ko']))
        if status:
            raise Stop(f"the modules of {release} could not be packed; read {self.logs}/stock-{release}-pack.log")

    # Packages

    def deb(self, release):
        """The package of the modules for a kernel."""
        modules = self.modules(release)
        self.debian_tree("packaging", PACKAGING, (SUITE,), PACKAGING_MB)
        kernel = self.archive.version(release)
        # Not kept: what is in there is made of modules/debian and of the modules.
        source = self.place(release) / "package/dax-rust-modules"
        self.remove(source.parent)
        shutil.copytree(PROJECT / "modules/debian", source / "debian")
        (source / "modules").mkdir()
        for path in modules.glob("*.ko.xz"):
            if path.name.removesuffix(".ko.xz") not in SAMPLES:
                shutil.copy(path, source / "modules")
        values = {"SWITCH": read(source / "debian/switch.sh"), "RELEASE": release, "KERNEL_VERSION": kernel}
        (source / "debian/switch.sh").unlink()
        for path in [path for path in (source / "debian").iterdir() if path.is_file()]:
            text = path.read_text()
            for name, value in values.items():
                text = text.replace(f"@{name}@", value)
            name = path.name.removesuffix(".in")
            if name.startswith("package."):
                name = f"dax-rust-modules-{release}{name.removeprefix('package')}"
            path.rename(path.with_name(name)).write_text(text)
        # A package for a later build of the same kernel is a later one.
        log = source / "debian/changelog"
        version = f"{self.version()}+{kernel.replace('-', '.')}"
        log.write_text(log.read_text().replace(f"({self.version()})", f"({version})", 1))

        with self.using("packaging"):
            status, text = self.logged(f"stock-{release}-deb.log", self.inside(
                ["sh", "-ec", f"cd '/build/stock/{release}/package/dax-rust-modules'; "
                 "dpkg-buildpackage -b -d -us -uc; "
                 "cd ..; lintian --allow-root --fail-on error,warning --tag-display-limit 0 *.changes"]))
        if status:
            print("\n".join(text.splitlines()[-20:]))
            raise Stop(f"the package for {release} could not be made; read {self.logs}/stock-{release}-deb.log")
        (made,) = source.parent.glob("*.deb")
        place = self.build / made.name
        for old in self.build.glob(f"dax-rust-modules-{release}_*.deb"):
            old.unlink()
        shutil.copy(made, place)
        say(f"{place}: install it with 'apt install {place}' where {release} runs")
        return place

    # The guest: Debian as it is installed, with its own kernel

    def make_guest(self, release, packages=(), which="guest"):
        """The image of a guest with this kernel: Debian's, or that of PACKAGES, files to be installed. WHICH of
        lab.py's IMAGES it is like."""
        place = self.place(release)
        image = place / f"{which}.img"
        name = f"stock/{release}/{which}"
        wanted = lab_module.IMAGES[which][0] + SYSTEM
        megabytes = lab_module.IMAGES[which][1] + SYSTEM_MB
        place.mkdir(parents=True, exist_ok=True)
        (self.logs / name).parent.mkdir(parents=True, exist_ok=True)
        made = self.debian_tree(name, wanted if packages else [*wanted, f"linux-image-{release}"], SUITES, megabytes)
        made_of = digest(read(place / f"{which}/.made-of"), JOB, UNIT, *IDLE, self.make_unpacked(),
                         *(path.stat().st_mtime_ns for path in packages))
        if not made and image.is_file() and read(place / f"{which}.img.made-of") == made_of:
            return image
        tree = place / which
        for path in packages:
            shutil.copy(path, tree / "root/package.deb")
            status, _ = self.logged(f"stock-{release}-install.log", [
                *lab_module.ALONE, "sh", "-ec",
                'mount -t proc proc "$0/proc"; exec chroot "$0" dpkg -i /root/package.deb', tree])
            (tree / "root/package.deb").unlink()
            if status:
                raise Stop(f"{path.name} could not be installed; read {self.logs}/stock-{release}-install.log")
        self.add_unpacked(tree)
        (tree / "usr/local/sbin/dax-job").write_text(JOB)
        (tree / "usr/local/sbin/dax-job").chmod(0o755)
        units = tree / "etc/systemd/system"
        (units / "dax-job.service").write_text(UNIT)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "dax-job.service").unlink(missing_ok=True)
        (wants / "dax-job.service").symlink_to("../dax-job.service")
        for unit in IDLE:
            (units / unit).unlink(missing_ok=True)
            (units / unit).symlink_to("/dev/null")
        (tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
        (tree / "etc/hostname").write_text("stock\n")
        new = Path(f"{image}.new")
        self.remove(new)
        with open(new, "wb") as file:
            file.truncate((5 if which == "programs" else 3) << 30)
        status, _ = self.logged(f"stock-{release}-image.log", self.inside(
            ["mke2fs", "-q", "-t", "ext4", "-d", f"/build/{name}", f"/build/stock/{release}/{new.name}"]))
        if status:
            raise Stop(f"the image of the guest could not be made; read {self.logs}/stock-{release}-image.log")
        new.rename(image)
        (place / f"{which}.img.made-of").write_text(made_of)
        return image


# In the guest: what vm.py's init does elsewhere. There is no 9p in all of Debian's kernels, so
# the job is an archive on a disk, and its results go through serial ports. Those of a virtio console would not come
# back after a suspend.
JOB = """\
#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
export HOME=/root LANG=C.UTF-8
mkdir -p /srv/job
tar -xf /dev/disk/by-id/virtio-job -C /srv/job
cd /root
udevadm settle --timeout=60
if [ -e /srv/job/shell ]; then
	echo "Type 'exit' to power off." >/dev/ttyS0
	setsid -c -w bash -l </dev/ttyS0 >/dev/ttyS0 2>&1
else
	stty -F /dev/ttyS1 raw
	stty -F /dev/ttyS2 raw
	bash /srv/job/command </dev/null >/dev/ttyS1 2>&1
	echo $? >/dev/ttyS2
fi
systemctl poweroff
"""
UNIT = """\
# SPDX-License-Identifier: GPL-2.0
[Unit]
Description=The job of the reference machine
After=multi-user.target

[Service]
Type=simple
ExecStart=/usr/local/sbin/dax-job
StandardOutput=journal+console
# Some tests want the OOM killer to kill one program, and go on.
OOMPolicy=continue
"""

# What the tests have no use for, and takes its time in the emulator.
IDLE = ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
        "e2scrub_reap.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "getty@tty1.service",
        "systemd-journal-flush.service", "systemd-journal-catalog-update.service", "systemd-tpm2-setup.service",
        "systemd-random-seed.service", "systemd-update-utmp.service", "ldconfig.service", "console-getty.service",
        "serial-getty@ttyS0.service"]


class StockMachine(vm.Machine):
    """A machine that runs Debian's own kernel, by its own initramfs and systemd.

    files   name -> file or directory, to be found at /srv/job/NAME in the guest
    which   the image, of IMAGES in lab.py
    """

    def __init__(self, stock, release, kind="nvdimm", *, files=None, which="guest", **more):
        place = stock.place(release)
        self.files = {name: Path(path).resolve() for name, path in (files or {}).items()}
        self.release = release
        boot = place / "boot"
        boot.mkdir(exist_ok=True)
        for name, source in (("bzImage", f"vmlinuz-{release}"), ("initrd", f"initrd.img-{release}")):
            (boot / name).unlink(missing_ok=True)
            (boot / name).symlink_to(place / which / "boot" / source)
        super().__init__(stock.build, kind, kernel=boot, image=place / f"{which}.img", pace=2, **more)

    def _qemu(self, job):
        tree = self.build / "toolchain"
        hardware = [a.format(lastcpu=self.cpus - 1, machine=self.arch.machine)
                    for a in self.kind.args(self._backing_files())]
        append = (f"console=ttyS0 root=/dev/vda rw panic=-1 oops=panic net.ifnames=0 audit=0 "
                  f"systemd.show_status=0 {vm.PATIENCE} {vm.TICKS} "
                  f"{self.kind.append} {self.append}")
        return vm.toolchain_program(self.build, "usr/bin/qemu-system-x86_64") + [
            "-L", str(tree / "usr/share/qemu"), "-L", str(tree / "usr/share/seabios"),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", os.environ.get("ACCEL", "tcg"), "-cpu", "max,la57=off", "-smp", str(self.cpus), *hardware,
            "-kernel", str(self.kernel / "bzImage"), "-initrd", str(self.kernel / "initrd"), "-append", append,
            "-drive", f"if=none,id=root,format=raw,snapshot=on,file={self.image}",
            "-device", "virtio-blk-pci,drive=root,bus=pcie.0",
            "-drive", f"if=none,id=job,format=raw,read-only=on,file={job / 'job.tar'}",
            "-device", "virtio-blk-pci,drive=job,serial=job,bus=pcie.0",
            *(argument for index, (name, irq) in enumerate((("output", 3), ("status", 5)), 1) for argument in (
                "-chardev", f"file,id={name},path={job / name}",
                # Two ports that share an interrupt lose some.
                "-device", f"isa-serial,chardev={name},index={index},irq={irq}")),
        ] + self.args

    def _job(self, command, shell=False):
        job = super()._job(command, shell)
        with tarfile.open(job / "job.tar", "w") as archive:
            for name in ("command", "shell"):
                if (job / name).exists():
                    archive.add(job / name, name)
            for name, path in self.files.items():
                archive.add(path, name)
        with open(job / "job.tar", "ab") as file:
            file.truncate(-(-file.tell() // 4096) * 4096)
        return job

    def _is_up(self, job):
        # The job starts much later.
        return any(b"Run /init as init process" in line for line in self.console)


class StoreMachine(StockMachine):
    """One with the programs and the package of the modules, for scripts that find the tests at /mnt/tests as in our own
    guests. What is on its disk is lost with each power cut; its persistent memory is not."""

    # The package is installed in each boot.
    BEGIN = """
ln -s /srv/job/tests /mnt/tests
modprobe -a nfit virtio_console
apt-get -y install /srv/job/package.deb >/tmp/install 2>&1
modprobe -a dax_pmem device_dax
grep -q Rust /sys/module/device_dax/version || { cat /tmp/install; exit 1; }
udevadm settle
"""

    def __init__(self, stock, release, args):
        tests = stock.place(release) / "tests"
        stage(stock, tests)
        (package,) = stock.build.glob(f"dax-rust-modules-{release}_*.deb")
        super().__init__(stock, release, which="programs", args=args, files={
            "tests": tests, "tests/guest": HERE.parent / "guest", "package.deb": package})

    def run(self, command, *rest, **more):
        return super().run(self.BEGIN + command, *rest, **more)


# ---- the test ----

# The machines, and of the system tests those that run each day. ALL=1 in the environment: all that concern modules
# in Rust on the core in C, on all machines; MACHINE= and T= in the environment: these.
DAILY = {"nvdimm": "mmap mmap_refused unbind rebind kmem fsdev daxctl drivers stats trace sample".split(),
         "hmem": "kmem fsdev region trace".split()}
MACHINES = ("nvdimm", "legacy", "hmem", "hmem-large", "hmat")
TESTS = HERE.parents[1] / "selftests/dax"
NOT_THERE = re.compile(r"fallible")


def head_of(name):
    """What the head of a system test says: of "machines", "kernel" and so on."""
    return dict(re.findall(r"^# (\w+): *(.+)$", read(TESTS / f"{name}.sh"), re.M))


def system_tests(machine, in_c, which="guest", names=()):
    """Those that can run where these parts are in C, with one of the images. Those that take long are among NAMES."""
    for path in sorted(TESTS.glob("*.sh")):
        head = head_of(path.stem)
        if head.get("image", "guest") != which:
            continue
        if which != "guest" or path.stem in names:
            head.pop("tier", "")
        if (path.stem not in ("lib", "machine", "qemu") and machine in head.get("machines", "nvdimm").split()
                and not set(in_c) & set(head.get("impl", "").split(" - ")[0].split()[1:] or in_c * ("impl" in head))
                and "tier" not in head and head.get("kernel", "rust") in ("rust", "programs")
                # The disk is new after a power off.
                and ("boots" not in head or "kexec" in head)
                and not NOT_THERE.search(read(path))):
            yield path.stem


def stage(stock, place):
    """The scripts of the tests, and the programs that they use."""
    stock.remove(place)
    kselftest = stock.linux / "tools/testing/selftests"
    for directory in ("kselftest", "dax"):
        shutil.copytree(kselftest / directory, place / directory)
    for name in ("lib.mk", "kselftest.h", "kselftest_harness.h"):
        shutil.copy(kselftest / name, place)
    shutil.copytree(TESTS, place / "dax", dirs_exist_ok=True)
    where = "/build/" + str(place.relative_to(stock.build))
    with stock.locked():
        stock.make_extra("crates", lab_module.CRATES, lab_module.CRATES_MB)
        status, _ = stock.logged("stock-programs.log", stock.inside(["sh", "-ec", f"""
            make -C {where}/dax USERLDFLAGS=-static
            make -C {where}/dax -f /project/tools/dax/Makefile CC=clang-19 LDFLAGS=-static daxfile daxfile-example
            BUILD=/build/host-tests CRATES=/build/crates /project/tools/testing/dax/host/run build
            """]))
    if status:
        raise Stop(f"the tests' programs do not compile; read {stock.logs}/stock-programs.log")
    shutil.copytree(stock.build / "host-tests/host/bin", place / "dax", dirs_exist_ok=True)


class Watch:
    """Stops a guest that is not heard of: while it boots, in a part of stock-guest.sh, or between two.

    show    called with the guest's output as well
    """

    # Seconds. HANGING: beyond the limit of a part, after which the guest should end by itself.
    BOOTING, BETWEEN, HANGING = 600, 300, 120

    def __init__(self, guest, pace, show):
        self.guest, self.pace, self.show = guest, pace, show
        self.part, self.why, self.rest = "the start", "", ""
        self._allow(self.BOOTING)

    def _allow(self, seconds):
        self.watch, self.allowed = vm.Stopwatch(), seconds * self.pace

    def heard(self, text):
        # The text comes in pieces; the last line may go on in the next one.
        lines, end, self.rest = (self.rest + text).rpartition("\n")
        for what, name, seconds in re.findall(r"^## (begin|end) (\w+) (\d+)$", lines + end, re.M):
            self.part = name if what == "begin" else f"what follows {name}"
            self._allow(int(seconds) / self.pace + self.HANGING if what == "begin" else self.BETWEEN)
        if self.show:
            self.show(text)

    def cut(self):
        if self.watch.look() <= self.allowed:
            return False
        self.why = (f"the machine stopped answering in {self.part}, and was killed after {self.allowed:.0f} s\n"
                    + vm.processors(self.guest.monitor))
        return True


def run(stock, release, machine="nvdimm", names=None, show=None, which="guest"):
    """Run tests in guests: name of each test -> its outcome. NAMES: which ones; default: all of this image. Tests with
    the same kernel parameters share a guest. If there is a package of modules for the kernel, install it before and
    remove it after."""
    packages = list(stock.build.glob(f"dax-rust-modules-{release}_*.deb"))
    batches = {}
    for name in system_tests(machine, ["core"] * bool(packages), which, names or ()):
        if names is None or name in names:
            batches.setdefault(head_of(name).get("append", ""), []).append(name)
    results = {}
    for append, here in (batches or {"": []}).items():
        for name, found in run_guest(stock, release, machine, here, append, packages, show, which).items():
            results.setdefault(name, Outcome()).merge(found)
    return results


def run_guest(stock, release, machine, here, append, packages, show, which):
    """Run these tests in one guest."""
    tests = stock.place(release) / "tests"
    stage(stock, tests)
    files = {**{"package.deb": path for path in packages}, "tests": tests, "guest.sh": HERE / "stock-guest.sh",
             **{f"samples/{name}.ko.xz": stock.place(release) / f"modules/{name}.ko.xz" for name in SAMPLES
                if (stock.place(release) / f"modules/{name}.ko.xz").exists()}}
    if any("./vmlinux" in read(TESTS / f"{name}.sh") for name in here):
        files["tests/dax/vmlinux"] = stock.vmlinux(release)
    # By which time limits are multiplied on a busy machine.
    pace = int(os.environ.get("PACE") or 2)
    # daxctl refuses to work where the kernel brings memory online by itself, as Debian's does.
    with StockMachine(stock, release, machine, files=files, which=which,
                      append=f"memhp_default_state=offline {append}") as guest:
        watch = Watch(guest, pace, show)
        result = guest.run(f"PACE={pace} ALL_PARTS='{' '.join(lab_module.PARTS.values())}' "
                           f"bash /srv/job/guest.sh {machine} {' '.join(here)}",
                           float("inf"), watch.heard, watch.cut)
    results = {}
    for name in ("install", *here, "remove") if packages else here:
        results[name] = Outcome()
        parts = re.findall(rf"^## begin {name} \d+$(.*?)^## end {name} (\d+)", result.output, re.M | re.S)
        for output, status in parts:
            results[name].merge(ktap.judge(output.splitlines(), int(status), "some"))
        if len(parts) != 1 + len(re.findall(rf"^## kexec {name} ", result.output, re.M)):
            results[name].wrong.append("it did not come to its end")
        log = "".join(re.findall(rf"dax-test: \S+ {name} begins$(.*?)(?=dax-test: \S+ {name} ended|\Z)", result.console,
                                 re.M | re.S))
        reports, _ = kernel_log.blame(log, head_of(name).get("splat"))
        if reports:
            results[name].wrong.append(f"the kernel reports a bug:\n{reports}")
    if result.status is None:
        results["the machine"] = Outcome(wrong=["\n".join([watch.why or result.why(), *result.output.splitlines()[-15:],
                                                           *result.console.splitlines()[-40:]])])
    return results


def report(results):
    whole = Outcome()
    for name, found in results.items():
        whole.merge(found)
        more = "".join(f", {number} {what}" for number, what in (
            (len(found.wrong), "FAILED"), (found.skipped, "skipped"), (len(found.known), "known")) if number)
        print(f"  {name:<28} {found.passed} passed{more}")
        for why in found.wrong:
            print("      " + why.replace("\n", "\n        "))
    print(f"{whole.passed} passed, {len(whole.wrong)} failed")
    return 1 if whole.wrong else 0


def build(stock, flavour):
    """The package and the guest of the newest kernel of a flavour: its release."""
    with stock.locked():
        stock.update()
        release = stock.archive.newest(flavour)
        stock.deb(release)
        stock.make_guest(release)
    return release


def with_programs():
    """The names of the tests that need the image with programs."""
    return {path.stem for path in TESTS.glob("*.sh") if "\n# image: programs\n" in read(path)}


def run_machines(stock, release, images=("guest", "programs")):
    """Run the tests that the environment asks for: name -> outcome."""
    results = {}
    whole, names = os.environ.get("ALL"), (os.environ.get("T") or "").split()
    asked = {"guest": [name for name in names if name not in with_programs()],
             "programs": [name for name in names if name in with_programs()]}
    machines = (os.environ.get("MACHINE") or "").split() or (MACHINES if whole or names else DAILY)
    for which, machine in [(which, machine) for which in images for machine in machines]:
        if not asked[which] and (names or which == "programs"):
            continue
        if which == "programs":
            if not list(system_tests(machine, ["core"], which)):
                continue
            with stock.locked():
                stock.make_guest(release, which=which)
        begun = ["starting"]

        def show(text, begun=begun):
            begun.extend(re.findall(r"^## begin (\w+)", text, re.M))

        with Progress(f"{release} on {machine}", lambda begun=begun: begun[-1]):
            found = run(stock, release, machine,
                        asked[which] or (None if whole else DAILY.get(machine, ())), show, which)
        results.update({f"{release}/{machine}/{name}": test for name, test in found.items()})
    return results


def main(argv):
    stock = Stock(os.environ.get("BUILD") or PROJECT / "build")
    what, rest = (argv + [""])[1], argv[2:]
    if what not in ("modules", "deb", "test", "shell", "run"):
        print(__doc__, file=sys.stderr)
        return 2
    if what == "test":
        results = {}
        for flavour in rest or FLAVOURS[:1]:
            results.update(run_machines(stock, build(stock, flavour)))
        return report(results)
    with stock.locked():
        stock.update()
        if what == "modules":
            release = stock.release((rest or [""])[0])
            say(f"the modules for {release} are in {stock.modules(release)}")
            return 0
        if what == "deb":
            flavours = [os.environ["FLAVOUR"]] if os.environ.get("FLAVOUR") else FLAVOURS
            for release in rest or [stock.running()] * bool(stock.running()) or map(stock.archive.newest, flavours):
                stock.deb(stock.release(release))
            return 0
        release = stock.release((rest or [""])[0])
        stock.make_toolchain()
        stock.make_guest(release)
    files = {path.name: path for path in stock.build.glob(f"dax-rust-modules-{release}_*.deb")}
    with StockMachine(stock, release, os.environ.get("MACHINE", "nvdimm"), files=files,
                      backing=stock.build / "shell") as machine:
        if what == "shell":
            machine.shell()
            return 0
        result = machine.run(" ".join(rest[1:]), 600, lambda piece: print(piece, end="", flush=True))
    if not result.ok:
        say(result.why())
        print(result.console[-6000:])
    return 0 if result.ok else 1


if __name__ == "__main__":
    lab_module.command(main)
