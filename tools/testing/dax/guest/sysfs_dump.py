#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Print the files of DAX in /sys, /dev and /proc/iomem of the guest.

Prints one line for each file: path, mode and contents. Leaves out values that differ
from boot to boot, and statistics of runtime power management.
"""

import os
import stat
import sys

# Files of modules that depend on the compiler or on the use of the module.
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
    for directory, directories, files in os.walk(root):
        directories[:] = sorted(name for name in directories if name not in VOLATILE)
        links = [name for name in directories if os.path.islink(os.path.join(directory, name))]
        for name in sorted(set(files) - VOLATILE) + directories:
            show(os.path.join(directory, name))
        directories[:] = [name for name in directories if name not in links]


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
