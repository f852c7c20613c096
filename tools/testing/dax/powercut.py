#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Cut the power of a machine that writes to persistent memory, and see what is there afterwards.

  powercut.py [CUTS [SEED]]      print what each machine lost

Three programs append records (tests/powercut.c): to a device of dax_pmem, mapped with 2 MiB, and
to a growing file in ext4 and in xfs, mapped with MAP_SYNC. Each says on a port of its own what
it has made durable. The machine is killed at a random moment, and after the next boot with the
same memory each record that was reported has to be there, and the namespaces have to be as they
were. Now and then it is killed already while it boots and mounts.

What this shows is that the kernel and the tools do things in the right order: what a mapping
promises, and what the labels, info blocks and journals say, is in the memory when it has to be.
The memory is a file here, and TCG has no processor cache. So it cannot show that clwb and sfence
are needed, nor that they are enough.
"""

import concurrent.futures
import os
import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "machine")]

import vm  # noqa: E402

# Each has as many cuts.
LOGS = ("devdax", "ext4", "xfs")
# Longest time from the first report to the cut, in seconds.
WRITING = 1.5
# Of so many cuts, one may come before the first report, but after so many seconds.
EARLY, SOONEST = 5, 1.0
# For a boot, on a busy host, in seconds.
LIMIT = 600

# With new memory. What the file systems write would be seen in the device, which is between them.
SETUP = """
modprobe dax_pmem
ndctl disable-region all
ndctl init-labels -f nmem0
ndctl enable-region all
ndctl create-namespace -m fsdax -s 512M -n ext4
ndctl create-namespace -m devdax -a 2M -s 1G -n devdax
ndctl create-namespace -m fsdax -s 512M -n xfs
mkfs.ext4 -q -b 4096 -F "/dev/$(ndctl list -N | jq -r '.[] | select(.name == "ext4").blockdev')"
mkfs.xfs -q -f "/dev/$(ndctl list -N | jq -r '.[] | select(.name == "xfs").blockdev')"
"""

LOOK = """
port=$(grep -lx report /sys/class/virtio-ports/*/name)
port=${port%/name}
exec 3>"/dev/${port##*/}"
export PATH=/mnt/tests:$PATH
modprobe -a dax_pmem device_dax xfs
udevadm settle
named() { ndctl list -NX | jq -r --arg n "$1" '.[] | select(.name == $n)'; }
declare -A path
for fs in ext4 xfs; do
	mkdir -p /tmp/$fs
	disk=/dev/$(named $fs | jq -r .blockdev)
	mount -t $fs -o dax=always "$disk" /tmp/$fs && path[$fs]=/tmp/$fs/log && continue
	dmesg | tail -n 8
	[ $fs = xfs ] || debugfs -R "logdump -S" "$disk" 2>&1 | tail -n 40
done
dax=$(named devdax | jq -r '.daxregion.devices[0].chardev')
path[devdax]="/dev/$dax" size=$(cat "/sys/bus/dax/devices/$dax/size")
echo "namespaces $(ndctl list -NX | jq -Sc 'sort_by(.name)')"
for log in devdax ext4 xfs; do
	case $log in devdax) more=$size ;; *) more= ;; esac
	echo "whole $log $(powercut count "${path[$log]}" $SEED $more)"
done
"""

APPEND = """
for log in devdax ext4 xfs; do
	case $log in devdax) more="$size $DEVDAX" ;; *) more=$FILES ;; esac
	powercut append "${path[$log]}" $SEED $log $more &
done
wait
"""

# Also says whether the file systems find nothing wrong with themselves.
END = """
umount /tmp/ext4 /tmp/xfs
e2fsck -fn "/dev/$(named ext4 | jq -r .blockdev)" >/tmp/fsck 2>&1 && echo "consistent ext4" || cat /tmp/fsck
xfs_repair -n "/dev/$(named xfs | jq -r .blockdev)" >/tmp/fsck 2>&1 && echo "consistent xfs" || cat /tmp/fsck
"""


def tail(result):
    return "\n".join(result.output.splitlines()[-100:])


@dataclass
class Life:
    """Of one machine: what was reported in it, and what was found."""

    cuts: int = 0
    records: dict = field(default_factory=lambda: dict.fromkeys(LOGS, 0))
    lost: dict = field(default_factory=lambda: {log: [] for log in LOGS})
    namespaces: str = ""
    changed: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    inconsistent: set = field(default_factory=lambda: {"ext4", "xfs"})

    def reported(self, text):
        """Take over what the writers said. A line that was cut off says nothing."""
        for log, number in re.findall(r"^(\w+) (\d+)\n", text, re.M):
            self.records[log] = max(self.records[log], int(number) + 1)

    def found(self, result, whole):
        """Compare it with what a boot found. WHOLE: the boot was not cut before it had looked."""
        when = f"after cut {self.cuts}"
        if result.splats or result.timed_out:
            lines = result.console.splitlines()
            first = lines.index(result.splats[0]) if result.splats else -20
            self.wrong.append("\n".join([f"{when}, {result.why()}", *lines[first:][:40]]))
        for text in re.findall(r"^namespaces (.*)\n", result.output, re.M):
            self.namespaces = self.namespaces or text
            if text != self.namespaces:
                self.changed.append(f"{when}: {text}, not {self.namespaces}")
        there = dict(re.findall(r"^whole (\w+) (\d+)\n", result.output, re.M))
        for log in LOGS:
            if log in there and int(there[log]) < self.records[log]:
                self.lost[log].append(
                    f"{when}: {there[log]} records are whole, {self.records[log]} were reported")
            elif whole and log not in there:
                self.wrong.append(f"{when}, {log} was not read: {tail(result)}")
        self.inconsistent -= set(re.findall(r"^consistent (\w+)\n", result.output, re.M))


def live(build, stage, cuts, seed, devdax="", files=""):
    """The life of a machine with so many cuts. DEVDAX and FILES are options for the writers."""
    chance = random.Random(seed)
    life = Life()
    with tempfile.TemporaryDirectory(dir=build / "run") as folder:
        port = Path(folder) / "port"
        port.touch()
        args = ["-device", "virtio-serial-pci,bus=pcie.0", "-chardev", f"file,id=port,path={port}",
                "-device", "virtserialport,chardev=port,name=report"]
        with vm.Machine(build, "nvdimm", shares={"tests": stage}, args=args) as machine:
            variables = f"SEED={chance.getrandbits(60)} DEVDAX='{devdax}' FILES='{files}'\n"
            setup = SETUP
            for _ in range(cuts):
                boots = not setup and chance.randrange(EARLY) == 0
                cut = Cut(port, boots, chance.uniform(0, 1))
                result = machine.run(setup + variables + LOOK + APPEND, limit=LIMIT, cut=cut)
                setup = ""
                life.found(result, cut.writing)
                life.reported(port.read_text())
                life.cuts += 1
                if result.status is not None:
                    life.wrong.append(f"before cut {life.cuts}, the writers ended: {tail(result)}")
                if life.wrong:
                    break
            life.found(machine.run(variables + LOOK + END, limit=LIMIT), True)
    return life


class Cut:
    """Says when: at a part of the time in which the machine writes, or boots."""

    def __init__(self, port, boots, part):
        self.port = port
        self.start = time.monotonic()
        # Of the first report.
        self.writing = None
        self.boots, self.part = boots, part
        # QEMU empties it only when it opens it.
        port.write_text("")

    def __call__(self):
        now = time.monotonic()
        if not self.writing and self.port.stat().st_size:
            self.writing = now
        if self.writing:
            return now >= self.writing + self.part * WRITING
        return self.boots and now >= self.start + SOONEST + self.part * 6


def lives(build, stage, cuts, seed, machines):
    """So many cuts, shared among some machines."""
    with concurrent.futures.ThreadPoolExecutor(machines) as pool:
        parts = [cuts // machines + (i < cuts % machines) for i in range(machines)]
        return list(pool.map(lambda i: live(build, stage, parts[i], f"{seed}/{i}"),
                             [i for i in range(machines) if parts[i]]))


def run(build, stage, cuts, machines, seed):
    """Cases (what was looked at, what is wrong with it or nothing), and how many of what there were."""
    found = lives(build, stage, cuts, seed, machines)
    made = {log: sum(life.records[log] for life in found) for log in LOGS}

    def all_of(field):
        return "\n".join(text for life in found for text in getattr(life, field))

    cases = [(f"{log}: all {made[log]} records that were reported are there, seed {seed}",
              "\n".join(text for life in found for text in life.lost[log])
              or ("" if made[log] else "no record was written")) for log in LOGS]
    cases += [("the namespaces are as they were", all_of("changed")),
              ("the file systems are consistent", all_of("inconsistent")),
              (f"the machines ran, seed {seed}", all_of("wrong"))]

    # One that does what it must not.
    life = live(build, stage, 1, f"{seed}/wrong", "early", "nosync")
    for log, what in (("devdax", "reported before they are written"),
                      ("ext4", "in a file that is mapped without MAP_SYNC"),
                      ("xfs", "in a file that is mapped without MAP_SYNC")):
        cases.append((f"{log}: the loss of records is noticed that are {what}",
                      "" if life.lost[log]
                      else "\n".join([f"all {life.records[log]} are there", *life.wrong])))
    return cases, {"power cuts": sum(life.cuts for life in found),
                   **{f"records reported in {log}": made[log] for log in LOGS}}


def main(argv):
    # Here, as that one imports this.
    import run_tests
    cuts = int(argv[1]) if len(argv) > 1 else 2
    seed = argv[2] if len(argv) > 2 else random.randrange(1 << 32)
    status = 0
    found, counts = run(run_tests.BUILD, run_tests.prepare_stage(), cuts, run_tests.MACHINES, seed)
    print("".join(f"# count: {number} {what}\n" for what, number in counts.items()), end="")
    for what, wrong in found:
        print(f"{'not ok' if wrong else 'ok'} - {what}", flush=True)
        if wrong:
            print(wrong)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
