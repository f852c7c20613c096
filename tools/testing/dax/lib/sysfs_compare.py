# SPDX-License-Identifier: GPL-2.0
"""Compare the user-visible files of DAX under the C and the Rust kernel, in identical machines.

The comparison covers names, modes and contents in /sys, the nodes in /dev, and /proc/iomem; see
sysfs_dump.py.
"""

import re

import vm
from env import HERE

# The commands of the guest. Each "dump WHAT" is one comparison.
PRELUDE = """
exec 2>/dev/null
modprobe -a dax_pmem device_dax kmem
udevadm settle
dump() { udevadm settle; echo "== $*"; python3 /mnt/dax/sysfs_dump.py dax device_dax dax_pmem kmem dax_hmem dax_cxl; }
drivers=/sys/bus/dax/drivers
"""

MACHINES = {
    "nvdimm": """
        dump no device
        ndctl disable-region all; ndctl init-labels -f nmem0; ndctl enable-region all
        ndctl create-namespace -m devdax -a 2M -M mem -s 512M >/dev/null
        ndctl create-namespace -m devdax -a 4K -M dev -s 256M >/dev/null
        dump two namespaces
        echo dax0.0 >$drivers/device_dax/unbind
        dump one is not bound
        daxctl reconfigure-device -m system-ram -N dax0.1 >/dev/null
        dump one is memory
    """,
    "legacy": """
        ndctl create-namespace -f -m devdax -a 2M -M mem -e namespace0.0 >/dev/null
        dump a namespace
        ndctl disable-namespace namespace0.0
        dump disabled
    """,
    "hmem": """
        dump as it boots
        echo dax0.0 >$drivers/kmem/unbind
        dump not bound
        cd /sys/bus/dax/devices
        region=$(readlink -f dax0.0/..)/dax_region
        echo 0 >dax0.0/size
        dump no memory
        for i in 1 2 3; do echo 1 >$region/create; echo 268435456 >dax0.$i/size; done
        echo 0 >dax0.2/size
        echo 805306368 >dax0.1/size
        echo 1 >dax0.1/memmap_on_memory
        echo 4096 >dax0.3/align
        dump divided
        for i in 1 3; do echo dax0.$i >$drivers/device_dax/new_id; done
        dump bound
        for i in 1 3; do echo dax0.$i >$drivers/device_dax/unbind; echo 0 >/sys/bus/dax/devices/dax0.$i/size; done
        for i in 1 2 3; do echo dax0.$i >$region/delete; done
        dump taken apart
    """,
    "cxl": """
        dump no region
        cxl create-region -m -t ram -d decoder0.0 mem0 >/dev/null
        sleep 1
        dump a region
        daxctl reconfigure-device -m devdax -f dax0.0 >/dev/null
        dump a device
    """,
}

# Intended differences; the guide explains each (device-dax.rst, "Differences").
MEANT = [
    # Every Rust module imports the symbol namespace PWM.
    r"^only Rust: /sys/module/\w+/import_ns 444 '(CXL\\n)?PWM\\n'$",
    r"^only C: /sys/module/dax_cxl/import_ns 444 'CXL\\n'$",
    # The counters of device_dax.
    r"^only Rust: /sys/\S*/dax\d+\.\d+/stats/",
    # Instances without struct pages.
    r"^only Rust: /sys/\S*/dax\d+\.\d+/memmap 644 '1\\n'$",
    # The class of dax_pmem_compat, which is empty.
    r"^only Rust: /sys/class/dax/ 755$",
]


def stages(text):
    """The lines that each dump printed."""
    found, name = {}, None
    for line in text.splitlines():
        if line.startswith("== "):
            name = line[3:]
            found[name] = []
        elif name:
            found[name].append(line)
    return found


def dump(build, machine, impl):
    with vm.Machine(build, machine, impl=impl, shares={"dax": HERE / "guest"}) as guest:
        result = guest.run(PRELUDE + MACHINES[machine], limit=180)
    if not result.ok:
        raise RuntimeError(f"{machine}, {impl} kernel: {result.why()}")
    return stages(result.output)


def compare(build, machine):
    """Yields (description, differences); the differences are empty if the case passed."""
    ours, theirs = (dump(build, machine, impl) for impl in ("rust", "c"))
    steps = re.findall(r"^ *dump (.*)", MACHINES[machine], re.M)
    for impl, found in (("rust", ours), ("c", theirs)):
        missing = [name for name in steps if len(found.get(name, [])) < 20]
        if missing:
            yield f"{machine}: the {impl} kernel went through all steps", ", ".join(missing)
    for name in theirs:
        got, expected = set(ours.get(name, [])), set(theirs[name])
        differing = [f"only C: {line}" for line in sorted(expected - got)]
        differing += [f"only Rust: {line}" for line in sorted(got - expected)]
        differing = [line for line in differing
                     if not any(re.search(pattern, line) for pattern in MEANT)]
        yield f"{machine}, {name}: {len(expected)} files are the same", "\n".join(differing)
