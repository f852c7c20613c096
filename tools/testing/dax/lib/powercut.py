# SPDX-License-Identifier: GPL-2.0
"""Cut the power of a machine that writes to persistent memory, and check the memory afterwards.

Five programs append records (guest/powercut.c): to a device of dax_pmem, mapped with 2 MiB; to a
growing file in ext4 and in xfs, mapped with MAP_SYNC; and to a file that daxfile has sealed, in ext4
and in xfs, without any fsync() or msync(). The programs report on a serial port
each record that they made durable. The test kills the machine at a random moment and boots it
again with the same memory. Each reported record must be there, and the namespaces must be
unchanged. Sometimes the test kills the machine while it still boots and mounts.

The test shows that the kernel and the tools do things in the right order: the contents of
mappings, labels, info blocks and journals reach the memory when they must. The memory is a file,
and TCG has no processor cache. So the test cannot show that clwb and sfence are needed or enough.

In memory without a BTT, a cut can leave the last commit block of ext4's journal half written.
ext4 then refuses to mount. e2fsck must repair it, and all records must be there afterwards. This
is rare, so the test makes such a block once in each machine, after the first cut.
"""

import concurrent.futures
import random
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import vm

# The logs; each cut hits all of them.
LOGS = ("devdax", "ext4", "xfs", "sealed_ext4", "sealed_xfs")
# The longest time from the first report to the cut, in seconds.
WRITING = 1.5
# One in EARLY cuts may come before the first report, but not before SOONEST seconds.
EARLY, SOONEST = 5, 1.0
# The most cuts of the writers that break the rules.
WRONGS = 3
# The time limit of a boot, in seconds; it suits a busy host.
LIMIT = 600

# For new memory. The device is between the file systems, so it would show stray writes of theirs.
SETUP = """
modprobe dax_pmem
ndctl disable-region all
ndctl init-labels -f nmem0
ndctl enable-region all
ndctl create-namespace -m fsdax -s 768M -n ext4
ndctl create-namespace -m devdax -a 2M -s 1G -n devdax
ndctl create-namespace -m fsdax -s 768M -n xfs
mkfs.ext4 -q -b 4096 -F "/dev/$(ndctl list -N | jq -r '.[] | select(.name == "ext4").blockdev')"
mkfs.xfs -q -f "/dev/$(ndctl list -N | jq -r '.[] | select(.name == "xfs").blockdev')"
modprobe daxfile
for fs in ext4 xfs; do
	mkdir -p /tmp/$fs
	mount -o dax=always "/dev/$(ndctl list -N | jq -r --arg n $fs '.[] | select(.name == $n).blockdev')" /tmp/$fs
	/mnt/tests/dax/daxfile create -a 4K /tmp/$fs/sealed 128M
	umount /tmp/$fs
done
"""

# If TEAR is set, this first damages the journal of ext4.
LOOK = r"""
port=$(grep -lx report /sys/class/virtio-ports/*/name)
port=${port%/name}
exec 3>"/dev/${port##*/}"
export PATH=/mnt/tests/guest:/mnt/tests/dax:$PATH
modprobe -a dax_pmem device_dax daxfile xfs
udevadm settle
named() { ndctl list -NX | jq -r --arg n "$1" '.[] | select(.name == $n)'; }
declare -A path
# Write the next commit block as if only its first 16 bytes had replaced a bitmap.
tear() {
	local log seq end
	log=$(debugfs -c -R "logdump -S" "$1")
	seq=$(sed -n 's/.*expected sequence \([0-9]*\), type 2 .*/\1/p' <<<"$log" | tail -n 1)
	end=$(sed -n 's/.*at block \([0-9]*\): end of journal.*/\1/p' <<<"$log")
	end=$(debugfs -c -R "bmap <8> $end" "$1")
	seq=$(printf '\\x%s' $(printf %08x $((seq + 1)) | fold -w 2))
	{ printf '\xc0\x3b\x39\x98\0\0\0\2'"$seq"'\0\0\0\0'; printf '\xff%.0s' {1..4080}; } |
		dd of="$1" bs=4096 seek=$end status=none && echo "torn ext4"
}
for fs in ext4 xfs; do
	mkdir -p /tmp/$fs
	disk=/dev/$(named $fs | jq -r .blockdev)
	[ $fs = xfs ] || [ -z "$TEAR" ] || tear "$disk"
	mounted() {
		mount -t $fs -o dax=always "$disk" /tmp/$fs &&
			path[$fs]=/tmp/$fs/log path[sealed_$fs]=/tmp/$fs/sealed
	}
	mounted && continue
	if dmesg | grep "JBD2: journal transaction .* on ${disk#/dev/}-.* is corrupt"; then
		e2fsck -fy "$disk"
		mounted && echo "repaired ext4" && continue
	fi
	dmesg | tail -n 8
	[ $fs = xfs ] || debugfs -c -R "logdump -S" "$disk" 2>&1 | tail -n 40
done
dax=$(named devdax | jq -r '.daxregion.devices[0].chardev')
path[devdax]="/dev/$dax" size=$(cat "/sys/bus/dax/devices/$dax/size")
echo "namespaces $(ndctl list -NX | jq -Sc 'sort_by(.name)')"
for log in devdax ext4 xfs sealed_ext4 sealed_xfs; do
	case $log in devdax) more=$size ;; sealed_*) more=134217728 ;; *) more= ;; esac
	echo "whole $log $(powercut count "${path[$log]}" $SEED $more)"
done
"""

APPEND = """
for log in devdax ext4 xfs; do
	case $log in devdax) more="$size $DEVDAX" ;; *) more=$FILES ;; esac
	powercut append "${path[$log]}" $SEED $log $more &
done
for log in sealed_ext4 sealed_xfs; do
	daxfile seal "${path[$log]}" powercut append "${path[$log]}" $SEED $log 134217728 sealed $DEVDAX &
done
wait
"""

# Check the file systems. A file system that was not mounted is left out: without a mount its
# journal is not replayed.
END = """
consistent() {
	umount /tmp/$1 || return
	"${@:2}" "/dev/$(named $1 | jq -r .blockdev)" >/tmp/fsck 2>&1 || { cat /tmp/fsck; return; }
	echo "consistent $1"
}
consistent ext4 e2fsck -fn
consistent xfs xfs_repair -n
"""


def tail(result):
    return "\n".join(result.output.splitlines()[-100:])


@dataclass
class Life:
    """One machine over all its cuts: the records that it reported, and the findings after each boot."""

    cuts: int = 0
    records: dict = field(default_factory=lambda: dict.fromkeys(LOGS, 0))
    lost: dict = field(default_factory=lambda: {log: [] for log in LOGS})
    unread: dict = field(default_factory=lambda: {log: [] for log in LOGS})
    namespaces: str = ""
    changed: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    # How often ext4 was repaired: after a cut tore its journal, and after TEAR did.
    torn: int = 0
    repaired: int = 0
    inconsistent: set = field(default_factory=lambda: {"ext4", "xfs"})

    def reported(self, text):
        """Add the reports of the writers. An incomplete last line is ignored."""
        for log, number in re.findall(r"^(\w+) (\d+)\n", text, re.M):
            self.records[log] = max(self.records[log], int(number) + 1)

    def found(self, result, whole):
        """Check the findings of a boot. WHOLE: the boot was not cut before it had read all logs."""
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
                self.unread[log].append(f"{when}, it was not read")
        if whole and len(there) < len(LOGS):
            self.wrong.append(f"{when}, not all was read: {tail(result)}")
        lines = result.output.splitlines()
        if "repaired ext4" in lines:
            if "torn ext4" in lines:
                self.repaired += 1
            else:
                self.torn += 1
        self.inconsistent -= set(re.findall(r"^consistent (\w+)\n", result.output, re.M))


def live(build, stage, cuts, seed, devdax="", files=""):
    """Run a machine through CUTS cuts. DEVDAX and FILES are options for the writers."""
    chance = random.Random(seed)
    life = Life()
    with tempfile.TemporaryDirectory(dir=build / "run") as directory:
        port = Path(directory) / "port"
        port.touch()
        args = ["-device", "virtio-serial-pci,bus=pcie.0", "-chardev", f"file,id=port,path={port}",
                "-device", "virtserialport,chardev=port,name=report"]
        with vm.Machine(build, "nvdimm", shares={"tests": stage}, args=args) as machine:
            variables = f"SEED={chance.getrandbits(60)} DEVDAX='{devdax}' FILES='{files}'\n"
            setup = SETUP
            for i in range(cuts):
                boots = i > 1 and chance.randrange(EARLY) == 0
                cut = Cut(port, LOGS if i == 0 else [], boots, chance.uniform(0, 1))
                tear = "TEAR=yes\n" if i == 1 else ""
                result = machine.run(setup + variables + tear + LOOK + APPEND, limit=LIMIT, cut=cut)
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
    """Decides when to cut: at a fraction PART of LONGEST seconds in which the machine writes (at least
    to LOGS), or earlier if BOOTS, while it boots."""

    def __init__(self, port, logs, boots, part, longest=WRITING):
        self.port, self.logs, self.longest = port, logs, longest
        self.start = time.monotonic()
        # When the writers began.
        self.writing = None
        self.boots, self.part = boots, part
        # QEMU truncates the file only when it opens it.
        port.write_text("")

    def __call__(self):
        now = time.monotonic()
        if not self.writing and self.port.stat().st_size:
            said = self.port.read_text()
            if all(f"{log} " in said for log in self.logs):
                self.writing = now
        if self.writing:
            return now >= self.writing + self.part * self.longest
        return self.boots and now >= self.start + SOONEST + self.part * 6


def lives(build, stage, cuts, seed, machines):
    """Divide CUTS cuts among MACHINES machines."""
    with concurrent.futures.ThreadPoolExecutor(machines) as pool:
        parts = [cuts // machines + (i < cuts % machines) for i in range(machines)]
        return list(pool.map(lambda i: live(build, stage, parts[i], f"{seed}/{i}"),
                             [i for i in range(machines) if parts[i]]))


def run(build, stage, cuts, machines, seed):
    """Returns cases (description, complaint), and counts of cuts and records."""
    found = lives(build, stage, cuts, seed, machines)
    made = {log: sum(life.records[log] for life in found) for log in LOGS}
    repaired, spoilt = sum(life.repaired for life in found), sum(life.cuts > 1 for life in found)

    def all_of(field):
        return "\n".join(text for life in found for text in getattr(life, field))

    cases = [(f"{log}: all {made[log]} records that were reported are there, seed {seed}",
              "\n".join(text for life in found for text in life.lost[log] + life.unread[log])
              or ("" if made[log] else "no record was written")) for log in LOGS]
    cases += [("the namespaces are as they were", all_of("changed")),
              ("the file systems are consistent", all_of("inconsistent")),
              (f"ext4 is repaired when its journal is torn, {spoilt} times",
               "" if repaired == spoilt > 0 else f"{repaired} times"),
              (f"the machines ran, seed {seed}", all_of("wrong"))]

    # Prove that the test can fail: these writers break the rules. A cut finds nothing lost if it comes
    # between a store and the next report, so there is more than one.
    noticed, wrong = set(), []
    for i in range(WRONGS):
        life = live(build, stage, 1, f"{seed}/wrong{i}", "early", "nosync")
        noticed |= {log for log in LOGS if life.lost[log]}
        wrong += life.wrong
        if noticed == set(LOGS):
            break
    for log, what in (("devdax", "reported before they are written"),
                      ("sealed_ext4", "reported before they are written"),
                      ("sealed_xfs", "reported before they are written"),
                      ("ext4", "in a file that is mapped without MAP_SYNC"),
                      ("xfs", "in a file that is mapped without MAP_SYNC")):
        cases.append((f"{log}: the loss of records is noticed that are {what}",
                      "" if log in noticed
                      else "\n".join([f"after each of {WRONGS} cuts all are there", *wrong])))
    return cases, {"power cuts": sum(life.cuts for life in found),
                   "power cuts that tore the journal of ext4": sum(life.torn for life in found),
                   **{f"records reported in {log}": made[log] for log in LOGS}}
