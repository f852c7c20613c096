# SPDX-License-Identifier: GPL-2.0
"""The demonstration of `make run`: write data, power off, boot again, read the data."""

import secrets
import shutil
import subprocess

import vm


def run(lab, impl):
    directory = lab.build / "demo"
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    source = vm.HERE / "demo"
    subprocess.run(lab.inside(["clang-19", "-O2", "-static", "-Wall", "-o", "/build/demo/pattern",
                               f"/project/{source.relative_to(lab.project)}/pattern.c"]), check=True)
    shutil.copy(source / "guest.sh", directory)
    # A new seed for each run, so that data of an earlier run cannot pass.
    seed = hex(secrets.randbits(64))
    with vm.Machine(lab.build, "nvdimm", impl=impl, shares={"demo": directory}) as machine:
        for title, what in (("First boot: a new NVDIMM of 4 GiB", "write"),
                            ("Second boot: the same NVDIMM", "verify")):
            print(f"\n{title}", flush=True)
            result = machine.run(f"bash /mnt/demo/guest.sh {what} {seed}",
                                 show=lambda text: print(text, end="", flush=True))
            log = lab.logs / f"run-{what}.log"
            log.write_text(result.console)
            if not result.ok:
                print(f"\ndax: the demonstration failed: {result.why()} "
                      f"(the kernel's log: {log}).", flush=True)
                return 1
            print(f"  power off   after {result.seconds:.0f} s")
    print("\nThe data was there after the reboot.")
    return 0
