#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A kernel package with the core of DAX in Rust, configured and compiled as Debian's.

  deb_kernel.py build [FLAVOUR]   packages of the image and of the headers, for apt; FLAVOUR is one of
                                  Debian's (cloud-amd64)
  deb_kernel.py test [FLAVOUR]    build them, boot the kernel in a guest by Debian's initramfs and
                                  systemd, and run tests; the variables are those of stock.py test

It takes an hour or two on two processors. After an interruption, the same command goes on.

In the build directory, RELEASE is what "uname -r" says there, as 7.3.4+daxrust-cloud-amd64:

  deb-tools/               a Debian tree: the compilers, and the tools that make packages
  stock/RELEASE/out/       objects
  stock/RELEASE/headers/   the package of the headers, unpacked
  stock/RELEASE/modules/   samples, built from the headers alone
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "lib")]

import lab as lab_module  # noqa: E402
import stock as stock_module  # noqa: E402
from archive import Stop  # noqa: E402
from lab import PROJECT, SOURCE, SUITES, read, say  # noqa: E402
from stock import FLAVOURS, SAMPLES  # noqa: E402

TOOLS = [name for name in lab_module.TOOLCHAIN if name not in (SOURCE, "qemu-system-x86")]
TOOLS += "build-essential gcc-14 debhelper dpkg-dev rsync cpio openssl zstd libdw-dev".split()
TOOLS_MB, OUT_MB = 2300, {"cloud-amd64": 9000, "amd64": 25000}
NAME = "linux-dax-rust"
# The options that differ from Debian's.
OURS = {"MODULE_SIG_KEY": '"certs/signing_key.pem"', "DAXFILE": "m"}
# What dpkg-buildpackage is to leave out, and who says that they made it.
ENVIRONMENT = [f"DEB_BUILD_PROFILES=pkg.{NAME}.nokerneldbg", "DEBFULLNAME=The device DAX in Rust authors",
               "DEBEMAIL=dax-rust@example.org"]


class DebKernel(stock_module.Stock):
    """Builds a kernel of our own."""

    environment = ()

    def inside(self, command, impl=None, env=()):
        return super().inside(command, impl, [*self.environment, *env])

    def release(self, flavour):
        """What "uname -r" will say, and the kernel of Debian's that it is made after."""
        if flavour not in FLAVOURS:
            raise Stop(f"there is no flavour {flavour}; there are {', '.join(FLAVOURS)}")
        model = self.archive.newest(flavour)
        return re.match(r"[\d.]+", model)[0] + f"+daxrust-{flavour}", model

    def files(self, release):
        """The packages that were built: of the image, of the headers."""
        return [path for kind in ("image", "headers") for path in self.build.glob(f"linux-{kind}-{release}_*.deb")]

    def build_packages(self, release, model):
        self.make_toolchain()
        self.take_headers(model)
        self.make_source()
        self.debian_tree("deb-tools", TOOLS, SUITES, TOOLS_MB)
        out, place = self.out(release), self.place(release)
        made_of = lab_module.digest(read(self.build / "deb-tools/.made-of"), read(self.headers(model) / ".config"),
                                    OURS, self.version(), *self.source_inputs())
        if len(self.files(release)) == 2 and read(place / ".made-of") == made_of:
            say(f"the packages of {release} are up to date")
            return
        self.need_space("building a kernel of Debian's configuration",
                        1000 if out.is_dir() else OUT_MB[stock_module.flavour_of(release)])
        out.mkdir(parents=True, exist_ok=True)
        with self.using("deb-tools"):
            if (out / ".unfinished").exists():
                self.discard_recent(out)
            self.configure_like(release, model, BUILD_SALT=f'"{release}"', **OURS)
            for old in place.glob("*.deb"):
                old.unlink()
            (out / ".unfinished").touch()
            self.environment = ENVIRONMENT
            try:
                # Packages are made in the directory above the objects.
                self.step(release, "deb-kernel", "building the kernel", f"O=/build/stock/{release}/out",
                          "CROSS_COMPILE=", f"KDEB_SOURCENAME={NAME}", "KDEB_CHANGELOG_DIST=trixie-backports",
                          f"KDEB_PKGVERSION={self.archive.version(model).replace('-', '.')}-{self.version()}",
                          "bindeb-pkg", total=self.objects(model))
            finally:
                self.environment = ()
            (out / ".unfinished").unlink()
        for old in self.files(release):
            old.unlink()
        for kind in ("image", "headers"):
            (made,) = place.glob(f"linux-{kind}-{release}_*.deb")
            shutil.move(made, self.build)
            say(f"{self.build / made.name}: install it with 'apt install {self.build / made.name}'")
        (place / ".made-of").write_text(made_of)

    def objects(self, model):
        """About how many objects and packed files a kernel has, by the options that its configuration sets."""
        config = read(self.headers(model) / ".config")
        return 460 * (len(re.findall(r"=[ym]$", config, re.M)) // 100)

    def make_guest(self, release, packages=(), which="guest"):
        """The image of a guest with the kernel that was built."""
        return super().make_guest(release, packages or self.files(release)[:1], which)

    def samples(self, release):
        """The samples, built from the installed headers, without the kernel's source."""
        place = self.place(release)
        self.remove(place / "headers")
        subprocess.run(["dpkg-deb", "-x", self.files(release)[1], place / "headers"], check=True)
        self.remove(place / "modules")
        (place / "modules").mkdir()
        for source in ("samples/rust/rust_driver_dax.rs", "samples/dax/dax_onefile.c"):
            shutil.copy(PROJECT / source, place / "modules")
        (place / "modules/Kbuild").write_text("".join(f"obj-m += {name}.o\n" for name in SAMPLES))
        headers = f"/build/stock/{release}/headers/usr/src/linux-headers-{release}"
        # The source is not there.
        linux, self.linux = self.linux, place / "headers"
        try:
            with self.using("deb-tools"):
                status, text = self.logged(f"stock-{release}-samples.log", self.inside(
                    ["sh", "-ec", f"cd /build/stock/{release}/modules; make -C {headers} M=$PWD modules; "
                     "xz --check=crc32 *.ko"]))
        finally:
            self.linux = linux
        if status:
            print("\n".join(text.splitlines()[-20:]))
            raise Stop(f"the samples cannot be built from the headers of {release}; read "
                       f"{self.logs}/stock-{release}-samples.log")
        return [place / f"modules/{name}.ko.xz" for name in SAMPLES]


def build(kernel, flavour, guest=False):
    """The packages; with GUEST also the samples, and a guest with the kernel: its release."""
    with kernel.locked():
        kernel.update()
        release, model = kernel.release(flavour)
        kernel.build_packages(release, model)
        if guest:
            kernel.samples(release)
            kernel.make_guest(release)
    return release


def main(argv):
    kernel = DebKernel(os.environ.get("BUILD") or PROJECT / "build")
    what, flavour = (argv + [""])[1], (argv[2:] or FLAVOURS)[0]
    if what == "build":
        build(kernel, flavour)
        return 0
    if what == "test":
        release = build(kernel, flavour, guest=True)
        return stock_module.report(stock_module.run_machines(kernel, release))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    lab_module.command(main)
