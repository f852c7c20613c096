# SPDX-License-Identifier: GPL-2.0
"""How large the objects of drivers/dax are, as llvm-size and llvm-nm tell."""

import re
import subprocess

from report import MODULES

# What of drivers/dax is in the kernel image.
CORE = {"c": ["super.o", "bus.o", "hmem/device.o"],
        "rust": ["core/dax_core.o", "core/exports.o", "hmem/device_hmem_main.o",
                 "hmem/device_hmem_exports.o"]}


def measured(command):
    """Text, and data with bss, of all objects together that COMMAND prints."""
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [list(map(int, line.split()[:3])) for line in out.splitlines()[1:]]
    return sum(text for text, _, _ in rows), sum(data + bss for _, data, bss in rows)


def sizes(lab, impl, kernel):
    """Bytes by key."""
    found = {}
    for name in MODULES:
        [module] = (kernel / "modules/lib").rglob(f"{name}.ko")
        # By its own name, wherever the kernel is.
        command = lab.inside(["sh", "-c", "cat >/tmp/module; llvm-size /tmp/module"])
        with open(module, "rb") as file:
            out = subprocess.run(command, stdin=file, capture_output=True, text=True, check=True)
        text, data, bss = map(int, out.stdout.splitlines()[1].split()[:3])
        found[f"text-{name}"], found[f"data-{name}"] = text, data + bss
    objects = [f"/out/drivers/dax/{name}" for name in CORE[impl]]
    found["text-core"], found["data-core"] = measured(lab.inside(["llvm-size", *objects], impl))
    if impl == "rust":
        found["text-crate"] = crate(lab, impl)
    return found


def crate(lab, impl):
    """Bytes of our functions in the kernel crate."""
    out = subprocess.run(lab.inside(["llvm-nm", "-S", "/out/rust/kernel.o"], impl),
                         capture_output=True, text=True, check=True).stdout
    ours = lab.in_crate()
    total = 0
    for size, name in re.findall(r"^\w+ (\w+) [tTwW] (\S+)$", out, re.M):
        if any(part in name for part in ours):
            total += int(size, 16)
    return total
