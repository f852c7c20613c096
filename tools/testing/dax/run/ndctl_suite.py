#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run ndctl's own test suite, unchanged, with the test doubles of tools/testing/nvdimm.

  ndctl_suite.py CHECKOUT [NAME...]   the tests that need no CXL, or the named tests

CHECKOUT is a source tree of ndctl; it is copied and not changed. It is built in a guest
system that also has the programs that its tests call, and runs in the machine "ndctl".
Output and status are those of "meson test". The logs are in logs/ndctl-KERNEL.
"""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE / "machine"), str(HERE)]

import lab as lab_module  # noqa: E402
import vm  # noqa: E402

KERNEL = os.environ.get("KERNEL") or "rust"
# The packages that build ndctl, and the programs that its tests call.
PACKAGES = lab_module.GUEST + """
    gcc libc6-dev pkgconf meson libkmod-dev libudev-dev uuid-dev libjson-c-dev
    libkeyutils-dev libiniparser-dev libtraceevent-dev libtracefs-dev
    keyutils parted bc bsdextrautils xxd file psmisc iproute2 gawk openssl
    uuid-runtime trace-cmd dmsetup
""".split()
TREE, TREE_MB = "ndctl", 650
# The destructive tests can destroy only our virtual machine.
OPTIONS = """-Dtest=enabled -Ddestructive=enabled -Ddocs=disabled -Dasciidoctor=disabled
    -Dsystemd=disabled""".replace("\n", " ")
# The time limits of the tests assume hardware virtualisation.
PATIENCE = 3
LIMIT = 3 * 3600


def build(lab, checkout):
    """An image with ndctl, built from the checkout."""
    lab.debian_tree(TREE, PACKAGES, (lab_module.SUITE,), TREE_MB)
    root = lab.build / TREE / "root"
    for name in ("ndctl", "build"):
        lab.remove(root / name)
    shutil.copytree(checkout, root / "ndctl", symlinks=True)
    with lab_module.Progress("ndctl", lambda: "building"):
        status, _ = lab.logged("ndctl.log", lab.inside(["chroot", f"/build/{TREE}", "sh", "-ec", (
            f"cd /root/ndctl; meson setup /root/build {OPTIONS}; ninja -C /root/build")]))
        if status:
            raise lab_module.Stop(f"ndctl did not build; read {lab.logs}/ndctl.log")
    return lab.write_image(TREE)


def main(argv):
    if len(argv) < 2 or not (Path(argv[1]) / "test/meson.build").is_file():
        print(__doc__, file=sys.stderr)
        return 2
    lab = lab_module.Lab(os.environ.get("BUILD") or lab_module.PROJECT / "build")
    with lab.locked():
        image = build(lab, argv[1])
    logs = lab.logs / f"ndctl-{KERNEL}"
    lab.remove(logs)
    logs.mkdir()
    names = " ".join(argv[2:]) or "--suite ndctl --suite dax"
    with vm.Machine(lab.build, "ndctl", impl=KERNEL, image=image, shares={"logs": logs}) as machine:
        result = machine.run(
            "[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd\n"
            # Some tests need a real NVDIMM with free capacity.
            "for what in disable-region 'init-labels -f' enable-region; do\n"
            "\tndctl $what -b ACPI.NFIT all; done >/dev/null 2>&1\n"
            f"cd /root/build; meson test --no-rebuild -t {PATIENCE} {names}\n"
            "status=$?; cp meson-logs/testlog.txt /mnt/logs; exit $status",
            LIMIT, lambda text: print(text, end="", flush=True))
    (logs / "kernel.txt").write_text(result.console)
    # Some tests inject memory failures, and the kernel kills them as it should.
    result.console = "\n".join(line for line in result.console.splitlines()
                               if "due to hardware memory corruption" not in line)
    if not result.ok:
        print(f"ndctl: {result.why()}; read {logs}")
    return 0 if result.ok else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except lab_module.Stop as stop:
        sys.exit(f"dax: {stop}.")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
