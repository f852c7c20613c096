#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Print what there is of DAX in /sys, /dev and /proc/iomem, in the guest.

One line for each file: its path, mode, and what it says. What differs from boot to
boot, or says how busy a device was, is left out.
"""

import os
import stat
import sys

# Of modules: what the compiler made of them. Of "power": how long a device did what.
VOLATILE = {"sections", "notes", "coresize", "initsize", "refcnt", "srcversion", "taint",
            "initstate", "version", "holders"}


def content(path):
    try:
        with open(path, "rb") as file:
            return repr(file.read(4096).decode(errors="replace"))
    except OSError as why:
        return os.strerror(why.errno)


def show(path):
    try:
        status = os.lstat(path)
    except OSError:
        return
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISLNK(status.st_mode):
        print(f"{path} -> {os.path.realpath(path)}")
    elif stat.S_ISDIR(status.st_mode):
        print(f"{path}/ {mode}")
    elif stat.S_ISCHR(status.st_mode):
        print(f"{path} char {mode} {os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    else:
        says = content(path) if mode not in ("200",) and "/power/" not in path else "."
        print(f"{path} {mode} {says}")


def tree(root):
    root = os.path.realpath(root)
    show(root)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in VOLATILE)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted(set(files) - VOLATILE) + folders:
            show(os.path.join(folder, name))
        folders[:] = [name for name in folders if name not in links]


def main():
    tree("/sys/bus/dax")
    if os.path.isdir("/sys/class/dax"):
        tree("/sys/class/dax")
    regions = set()
    for name in sorted(os.listdir("/sys/bus/dax/devices")):
        device = os.path.realpath(f"/sys/bus/dax/devices/{name}")
        tree(device)
        regions.add(os.path.dirname(device))
    for region in sorted(regions):
        tree(f"{region}/dax_region")
        show(f"{region}/driver")
    for name in sys.argv[1:]:
        tree(f"/sys/module/{name}")
    for name in sorted(os.listdir("/dev")):
        if name.startswith("dax"):
            show(f"/dev/{name}")
    with open("/proc/iomem", encoding="ascii") as file:
        sys.stdout.writelines(line for line in file if "dax" in line or "namespace" in line or "kmem" in line)
    with open("/proc/devices", encoding="ascii") as file:
        sys.stdout.writelines(line for line in file if "dax" in line)


if __name__ == "__main__":
    main()
