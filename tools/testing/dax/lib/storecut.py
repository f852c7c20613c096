# SPDX-License-Identifier: GPL-2.0
"""Cut the power of a machine in which programs keep data in persistent memory.

Each program adds entries, each in a transaction, and reports an entry on a serial port when it is
committed. After a cut, the program's own check must find its data consistent, and each entry that was
reported must be there. Some cuts come while the programs recover from the previous one.
"""

import random
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from powercut import LIMIT, Cut, tail

# The longest time from the first reports to the cut, in seconds, and that from the begin of a recovery.
WRITING, RECOVERING = 4, 3
# One in RECOVERIES cuts comes during a recovery.
RECOVERIES = 4

PORT = """
port=$(grep -lx report /sys/class/virtio-ports/*/name)
port=${port%/name}
exec 3>"/dev/${port##*/}"
"""


@dataclass(frozen=True)
class Store:
    """Programs that keep data, and the scripts for their machine."""

    logs: tuple     # names of the series of entries
    checks: dict    # name of a program's check -> the pattern of its answer if all is well
    setup: str      # makes the memory and the programs' data, once
    # After each boot. It prints "check NAME ANSWER" for each check, and "entries LOG NUMBER" for each log.
    # It reports "recovery 0" when the programs are about to recover, if a cut may come there.
    look: str
    append: str     # adds entries until the end; EARLY=early: reports them before they are committed
    end: str = ""   # after LOOK of the last boot; it prints checks, too


# PMDK's libpmemobj, in a device: selftests/dax/pmdk.c.
PMDK = Store(("store",), {"pmempool": r".*: consistent"}, """
modprobe dax_pmem
ndctl disable-region all
ndctl init-labels -f nmem0
ndctl enable-region all
ndctl create-namespace -m devdax -a 2M -s 1G -n store
modprobe device_dax
udevadm settle
pmempool create --layout=store obj "$(ls /dev/dax*)"
""", """
gcc -O1 -o /tmp/pmdk /mnt/tests/dax/pmdk.c -lpmemobj -lpmem2
modprobe -a dax_pmem device_dax
udevadm settle
echo "check pmempool $(pmempool check -v /dev/dax* 2>&1 | tail -n 1)"
echo "entries store $(/tmp/pmdk /dev/dax* list 2>&1)"
""", """
/tmp/pmdk /dev/dax* log $EARLY >&3
""")

# PostgreSQL and SQLite, in a file system with DAX. Debian has no database that maps a device itself, and these
# are the two kinds that people put on such a file system, because a commit then waits for no disk:
# - a server that commits by write() and fdatasync() of its log: the kernel copies into the memory;
# - a library that maps its files: SQLite reads through the mapping, and the processes share the index of its
#   log in a mapping. It writes as the server does.
# Small segments of the log, and small limits for it, let checkpoints happen all the time.
#
# Neither needs a sector to be written as a whole: logs, and pages in PostgreSQL's log, have checksums. The one
# exception is pg_control, some 300 bytes. PostgreSQL cannot start if a cut tears these; none has so far.
DATABASES = Store(("postgres_0", "postgres_1", "sqlite"),
                  {"DAX": "always", "PostgreSQL": "clean", "SQLite": "clean", "checksums": "clean", "XFS": "clean"}, """
cd /
modprobe dax_pmem
ndctl disable-region all
ndctl init-labels -f nmem0
ndctl enable-region all
ndctl create-namespace -m fsdax -s 2G
mkfs.xfs -q -f /dev/pmem0
mkdir -p /tmp/db
mount -o dax=always /dev/pmem0 /tmp/db
mkdir /tmp/db/postgres
chown postgres /tmp/db/postgres
runuser -u postgres -- /usr/lib/postgresql/*/bin/initdb -D /tmp/db/postgres -k --wal-segsize=1 --auth=trust \
	--no-sync --locale=C --encoding=UTF8 >/tmp/initdb 2>&1 || cat /tmp/initdb
cat >>/tmp/db/postgres/postgresql.conf <<-CONF
	listen_addresses = ''
	unix_socket_directories = '/tmp'
	shared_buffers = 16MB
	huge_pages = off
	jit = off
	min_wal_size = 2MB
	max_wal_size = 4MB
	checkpoint_timeout = 30s
	checkpoint_warning = 0
CONF
as_postgres() { runuser -u postgres -- /usr/lib/postgresql/*/bin/"$@"; }
as_postgres pg_ctl -D /tmp/db/postgres -l /tmp/postgres.log -w -t 600 start >/dev/null
as_postgres createdb -h /tmp test
as_postgres pg_amcheck -h /tmp --install-missing test
/mnt/tests/guest/database.py postgres make
/mnt/tests/guest/database.py sqlite make
as_postgres pg_ctl -D /tmp/db/postgres -w -t 600 stop >/dev/null
umount /tmp/db
""", """
cd /
modprobe dax_pmem
udevadm settle
mkdir -p /tmp/db
mount -o dax=always /dev/pmem0 /tmp/db
echo "check DAX $(sed -n 's:.* /tmp/db .*dax=\\([a-z]*\\).*:\\1:p' /proc/mounts)"
clean() { if "$@" >/tmp/check 2>&1; then echo clean; else tail -n 5 /tmp/check /tmp/postgres.log | xargs -d '\\n'; fi; }
as_postgres() { runuser -u postgres -- /usr/lib/postgresql/*/bin/"$@"; }
echo "recovery 0" >&3
as_postgres pg_ctl -D /tmp/db/postgres -l /tmp/postgres.log -w -t 600 start >/dev/null
for log in postgres_0 postgres_1 sqlite; do
	echo "entries $log $(/mnt/tests/guest/database.py $log count 2>&1 | tail -n 1)"
done
echo "check PostgreSQL $(clean as_postgres pg_amcheck -h /tmp --heapallindexed --parent-check test)"
echo "check SQLite $(clean /mnt/tests/guest/database.py sqlite check)"
""", """
for log in postgres_0 postgres_1 sqlite; do
	/mnt/tests/guest/database.py $log append $EARLY &
done
wait
""", """
as_postgres pg_ctl -D /tmp/db/postgres -w -t 600 stop >/dev/null
echo "check checksums $(clean as_postgres pg_checksums --check -D /tmp/db/postgres)"
umount /tmp/db
echo "check XFS $(clean xfs_repair -n /dev/pmem0)"
""")


class Life:
    """A machine over all its cuts: the entries that were reported, and the findings."""

    def __init__(self, store):
        self.store = store
        self.cuts = self.recoveries = 0
        self.reported = dict.fromkeys(store.logs, 0)
        self.lost = {log: [] for log in store.logs}
        self.unclean = {check: [] for check in store.checks}
        self.checked = dict.fromkeys(store.checks, 0)
        self.wrong = []

    def failed(self):
        return any([self.wrong, *self.lost.values(), *self.unclean.values()])

    def report(self, text):
        """Add the reports of the programs. An incomplete last line is ignored."""
        for log, number in re.findall(r"^(\w+) (\d+)\n", text, re.M):
            if log in self.reported:
                self.reported[log] = max(self.reported[log], int(number) + 1)

    def found(self, result, when, whole):
        """Look at the findings of a boot. WHOLE: it was not cut before it had looked at everything."""
        if result.splats or result.timed_out:
            self.wrong.append(f"{when}, {result.why()}: {tail(result)}")
        answers = dict(re.findall(r"^check (\S+) (.*)\n", result.output, re.M))
        for check, pattern in self.store.checks.items():
            self.checked[check] += check in answers
            if check in answers and not re.fullmatch(pattern, answers[check]):
                self.unclean[check].append(f"{when}: {answers[check]}")
        entries = dict(re.findall(r"^entries (\S+) (.*)\n", result.output, re.M))
        for log, reported in self.reported.items():
            if log in entries and not (entries[log].isdigit() and int(entries[log]) >= reported):
                self.lost[log].append(f"{when}: {reported} entries were reported, and there are {entries[log]}")
            elif whole and log not in entries:
                self.wrong.append(f"{when}, {log} was not read: {tail(result)}")


def live(build, machine, store, cuts, seed, early=""):
    """Run a machine through CUTS cuts. MACHINE makes it: it is called with arguments for QEMU. The guest has the image
    with programs, and the tests at /mnt/tests."""
    chance = random.Random(seed)
    life = Life(store)
    with tempfile.TemporaryDirectory(dir=build / "run") as directory:
        port = Path(directory) / "port"
        port.touch()
        args = ["-device", "virtio-serial-pci,bus=pcie.0", "-chardev", f"file,id=port,path={port}",
                "-device", "virtserialport,chardev=port,name=report"]
        with machine(args) as guest:
            for i in range(cuts):
                recovers = i > 0 and "recovery 0" in store.look and chance.randrange(RECOVERIES) == 0
                cut = Cut(port, ["recovery"] if recovers else store.logs, False, chance.uniform(0, 1),
                          RECOVERING if recovers else WRITING)
                result = guest.run(store.setup * (i == 0) + PORT + store.look + f"EARLY={early}" + store.append,
                                   limit=LIMIT * (2 if i == 0 else 1), cut=cut)
                life.found(result, f"before cut {i + 1}", not recovers)
                life.report(port.read_text())
                life.cuts += 1
                life.recoveries += recovers
                if result.status is not None:
                    life.wrong.append(f"before cut {i + 1}, the programs ended: {tail(result)}")
                if life.failed():
                    return life
            life.found(guest.run(PORT + store.look + store.end, limit=LIMIT), "after the last cut", True)
    return life


def run(build, machine, store, cuts, seed):
    """Returns cases (description, complaint), and counts of cuts and transactions."""
    life = live(build, machine, store, cuts, seed)
    cases = [(f"{check}: the check after each cut says \"{pattern}\"",
              "\n".join(life.unclean[check]) or ("" if life.checked[check] or life.failed() else "it did not run"))
             for check, pattern in store.checks.items()]
    cases += [(f"{log}: all {reported} transactions that were reported are there, seed {seed}",
               "\n".join(life.lost[log]) or ("" if reported else "none was made"))
              for log, reported in life.reported.items()]
    cases.append(("the machine ran", "\n".join(life.wrong)))

    # Prove that the test can fail: report each transaction before it is committed.
    early = live(build, machine, store, 1, f"{seed}/early", "early")
    cases += [(f"{log}: the loss of transactions is noticed that are reported before they are committed",
               "" if early.lost[log] else "\n".join(["all are there", *early.wrong])) for log in store.logs]
    return cases, {f"power cuts of {' and '.join(store.logs)}": life.cuts,
                   "of these during a recovery": life.recoveries,
                   **{f"transactions of {log}": reported for log, reported in life.reported.items()}}
