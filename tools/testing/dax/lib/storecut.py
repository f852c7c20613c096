# SPDX-License-Identifier: GPL-2.0
"""Cut the power of a machine in which PMDK's libpmemobj keeps a store in a device.

selftests/dax/pmdk.c adds entries, each in a transaction, and reports each entry that is committed. After
a cut, pmempool must find the pool consistent, and the store must have each entry that was reported.
"""

import random
import re
import tempfile
from pathlib import Path

import vm
from powercut import LIMIT, Cut, tail

SETUP = """
gcc -O1 -o /mnt/persist/pmdk /mnt/tests/dax/pmdk.c -lpmemobj -lpmem2
modprobe dax_pmem
ndctl disable-region all
ndctl init-labels -f nmem0
ndctl enable-region all
ndctl create-namespace -m devdax -a 2M -s 1G -n store
modprobe device_dax
udevadm settle
pmempool create --layout=store obj "$(ls /dev/dax*)"
"""

LOOK = """
port=$(grep -lx report /sys/class/virtio-ports/*/name)
port=${port%/name}
modprobe -a dax_pmem device_dax
udevadm settle
echo "check $(pmempool check -v /dev/dax* 2>&1 | tail -n 1)"
echo "entries $(/mnt/persist/pmdk /dev/dax* list 2>&1)"
"""

APPEND = """
/mnt/persist/pmdk /dev/dax* log >"/dev/${port##*/}"
"""


def run(build, stage, cuts, seed):
    """Returns cases (description, complaint), and counts of cuts and transactions."""
    chance = random.Random(seed)
    reported, lost, damaged, wrong = 0, [], [], []

    def found(result, when):
        if result.splats or result.timed_out:
            wrong.append(f"{when}, {result.why()}")
        check = re.findall(r"^check (.*)\n", result.output, re.M)
        entries = re.findall(r"^entries (.*)\n", result.output, re.M)
        if not check or not check[0].endswith(": consistent"):
            damaged.append(f"{when}: {check or tail(result)}")
        if not entries or not entries[0].isdigit() or int(entries[0]) < reported:
            lost.append(f"{when}: {reported} entries were reported, and there are {entries or tail(result)}")

    with tempfile.TemporaryDirectory(dir=build / "run") as directory:
        port, persist = Path(directory) / "port", Path(directory) / "persist"
        port.touch()
        persist.mkdir()
        args = ["-device", "virtio-serial-pci,bus=pcie.0", "-chardev", f"file,id=port,path={port}",
                "-device", "virtserialport,chardev=port,name=report"]
        with vm.Machine(build, "nvdimm", image=build / "programs.img", args=args,
                        shares={"tests": stage, "persist": persist}) as machine:
            for i in range(cuts):
                cut = Cut(port, [], False, chance.uniform(0, 1))
                result = machine.run(SETUP * (i == 0) + LOOK + APPEND, limit=LIMIT, cut=cut)
                found(result, f"before cut {i + 1}")
                reported = max([reported, *(int(n) + 1 for n in re.findall(r"^store (\d+)\n", port.read_text(), re.M))])
                if result.status is not None:
                    wrong.append(f"before cut {i + 1}, the store ended: {tail(result)}")
                if wrong or damaged or lost:
                    break
            found(machine.run(LOOK, limit=LIMIT), "after the last cut")
    return ([("pmempool finds the pool consistent", "\n".join(damaged)),
             (f"all {reported} transactions that were reported are there, seed {seed}",
              "\n".join(lost) or ("" if reported else "none was made")),
             ("the machine ran", "\n".join(wrong))],
            {"power cuts of a store": i + 1, "transactions": reported})
