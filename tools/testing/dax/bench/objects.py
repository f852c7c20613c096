# SPDX-License-Identifier: GPL-2.0
"""The sizes of the objects of drivers/dax, from llvm-size, llvm-readelf and llvm-nm."""

import re
import subprocess
from collections import Counter

from report import MODULES

# The objects of drivers/dax in the kernel image.
CORE = {"c": ["super.o", "bus.o", "hmem/device.o"],
        "rust": ["core/dax_core.o", "core/exports.o", "hmem/device_hmem_main.o",
                 "hmem/device_hmem_exports.o"]}


# The Rust objects whose path is not drivers/dax/NAME.o.
OBJECTS = {"core": CORE["rust"], "dax_hmem": ["hmem/dax_hmem.o"]}


def measured(command):
    """The sums of text, and of data with bss, over all objects that COMMAND lists."""
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [list(map(int, line.split()[:3])) for line in out.splitlines()[1:]]
    return sum(text for text, _, _ in rows), sum(data + bss for _, data, bss in rows)


def sizes(lab, impl, kernel):
    """A dictionary from the keys of rows to bytes."""
    found = {}
    for name in MODULES:
        [module] = (kernel / "modules/lib").rglob(f"{name}.ko")
        # The module comes on stdin: the kernel may be outside the directories that are mounted.
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


# The kinds of text, with the prefixes of their sections; other read-only sections are "other".
KINDS = {"code": (".text", ".init.text", ".exit.text"), "constants": (".rodata",), "unwind": (".orc_",)}


def divide(lab, impl, kernel):
    """A dictionary from the core and each module to a Counter of bytes for each of KINDS and "other".
    Rust has three more: the bytes that messages take ("messages"), the functions from the kernel crate
    and Rust's core library ("crate"), and the functions of the tree of free memory ("tree")."""
    found = {}
    for name in MODULES:
        [module] = (kernel / "modules/lib").rglob(f"{name}.ko")
        found[name] = parts(lab, ["cat", "/dev/stdin"], module.read_bytes())
    found["core"] = sum((parts(lab, ["cat", f"/out/drivers/dax/{name}"], impl=impl)
                         for name in CORE[impl]), Counter())
    if impl == "rust":
        lab.make_quiet()
        for name, part in found.items():
            objects = [f"/out/drivers/dax/{name}" for name in OBJECTS.get(name, [f"{name}.o"])]
            with_it, without = (measured(lab.inside(["llvm-size", *objects], impl))[0]
                                for impl in ("rust", "quiet"))
            part["messages"] = with_it - without
    return found


def parts(lab, read, data=None, impl=None):
    """The Counter of one object. The command READ prints the object in the toolchain tree."""
    script = f"{' '.join(read)} >/tmp/it; llvm-readelf -SW /tmp/it; llvm-nm -S /tmp/it"
    out = subprocess.run(lab.inside(["sh", "-c", script], impl), input=data, capture_output=True,
                         check=True).stdout.decode()
    found = Counter()
    for name, kind, size, flags in re.findall(
            r"^ *\[ *\d+\] (\S+) +(\S+) +\w{16} \w+ (\w+) \w+ +([A-Z]+) ", out, re.M):
        if "A" in flags and "W" not in flags and kind != "NOBITS":
            found[next((k for k, starts in KINDS.items() if name.startswith(starts)), "other")] += \
                int(size, 16)
    for size, name in re.findall(r"^\w+ (\w+) [tTwW] (?!rust_helper_)(\S+)$", out, re.M):
        if is_of_crate(name):
            found["crate"] += int(size, 16)
        if "6ranges5space" in name:
            found["tree"] += int(size, 16)
    return found


def is_of_crate(name):
    """Whether a function is from the kernel crate or Rust's core library. The first crate in a mangled
    name has the function or the impl. Functions that C calls have a plain name."""
    first = re.search(r"Cs[0-9A-Za-z]*_(\d+)", name) if name.startswith("_R") else None

    return bool(first) and name[first.end():][:int(first[1])] in ("kernel", "core")


def crate(lab, impl):
    """The bytes of this project's functions in the kernel crate."""
    out = subprocess.run(lab.inside(["llvm-nm", "-S", "/out/rust/kernel.o"], impl),
                         capture_output=True, text=True, check=True).stdout
    ours = lab.in_crate()
    total = 0
    for size, name in re.findall(r"^\w+ (\w+) [tTwW] (\S+)$", out, re.M):
        if any(part in name for part in ours):
            total += int(size, 16)
    return total
