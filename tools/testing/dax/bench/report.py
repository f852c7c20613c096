# SPDX-License-Identifier: GPL-2.0
"""The rows of the benchmark, their goals, and their tables and document."""

import math
import statistics
from dataclasses import dataclass

import follow


@dataclass(frozen=True)
class Row:
    """The comparison of two numbers."""

    key: str                    # the key that bench.c prints
    title: str
    goal: float | None = None   # the largest ratio that is good
    base: str = ""              # compare with this key of Rust, not with C


@dataclass(frozen=True)
class Group:
    title: str
    rows: list
    columns: tuple = ("C", "Rust")
    unit: str = "instructions"


SIZES = {"4k": "4 KiB", "2m": "2 MiB", "1g": "1 GiB"}


def sizes(title, key, goals, names=None):
    """A row for each size. GOALS is a dictionary from names of sizes to goals."""
    names = names or SIZES
    return [Row(f"{key}-{name}", title.format(names[name]), goal) for name, goal in goals.items()]


def at(title, key, places, goal=None):
    """A row for each number in PLACES. GOAL is for the last; at the others the driver core dominates."""
    return [Row(f"{key}-{place}", title.format(place), goal if place == places[-1] else None)
            for place in places]


def many(title, key):
    """The cost at 10,000 devices, compared with 10 devices."""
    return Row(f"{key}-10000", title, 1.10, f"{key}-10")


def sealed(access, base, goal):
    """The first touch of a sealed file, for each file system and align. BASE is the start of the key to
    compare with."""
    return [Row(f"sealed-{fs}-{access}-{name}", f"first touch, {access}, {SIZES[name]}, {fs}", goal,
                base.format(fs) + name) for fs in ("ext4", "xfs") for name in ("4k", "2m")]


def whole(title, key, goals):
    """A row for each size, with all entries of a mapping."""
    return sizes(title + ", {}", key, goals, WHOLE)


def touches(fs):
    """The keys and titles of first touches in a file system."""
    yield f"page-{fs}-read", "first touch, read"
    yield f"page-{fs}-write", "first touch, write"
    if fs != "onefile":
        yield f"sync-{fs}-write", "MAP_SYNC, first touch, write"


# The file systems, and the disk below them. "onefile" is the sample in samples/dax.
FILES = {"ext4": "ext4", "xfs": "xfs", "linear": "ext4 on dm-linear", "stripe": "ext4 on dm-stripe",
         "onefile": "fsdev_dax"}
# The largest number of devices that come and go.
MOST = 10000
# The rows that are found by following two first touches; see bench.py.
SHARING = {
    "locked-alone": "locked instructions, one process",
    "locked-process": "locked instructions, two processes",
    "locked-thread": "locked instructions, two threads",
    "lines-process": "cache lines that both write, two processes",
    "lines-thread": "cache lines that both write, two threads",
}
COPIES = {"4k": "4 KiB", "64k": "64 KiB", "2m": "2 MiB"}
WHOLE = {"4k": "64 MiB of 4 KiB", "2m": "1 GiB of 2 MiB", "1g": "16 GiB of 1 GiB"}
TOUCH = {"4k": 0.97, "2m": 0.95, "1g": 0.95}
SAME = {"4k": 1.00, "2m": 1.00, "1g": 1.00}
STOPS = (10, 1000, 2000)
# The modules, and the goals of their text.
MODULES = {"device_dax": 1.25, "dax_pmem": 3.00, "kmem": 1.80, "fsdev_dax": 1.25, "dax_hmem": 2.00,
           "dax_cxl": 2.50}

GROUPS = [
    Group("Faults", [
        *sizes("first touch, read, {}", "read", TOUCH),
        *sizes("first touch, write, {}", "write", TOUCH),
        Row("sequence-read-4k", "first touch in sequence, read, 4 KiB, per page", 0.30),
        Row("sequence-write-4k", "first touch in sequence, write, 4 KiB, per page", 0.30),
        Row("sequence-read-2m", "first touch in sequence, read, 2 MiB, per entry", 0.30),
        Row("sequence-write-2m", "first touch in sequence, write, 2 MiB, per entry", 0.30),
        *sizes("first touch after fork, read, {}", "fork", {"4k": 1.00, "2m": 1.00}),
        *sizes("first touch after mremap, read, {}", "mremap", SAME),
        Row("last-1", "first touch, read, 2 MiB in the only range", 0.95),
        Row("last-100", "first touch, read, 2 MiB in the last of 100 ranges", 0.60),
        Row("last-1000", "first touch, read, 2 MiB in the last of 1000 ranges", 0.12),
    ]),
    Group("Mappings", [
        *sizes("mmap + munmap, untouched, {}", "mmap", SAME),
        Row("open-2m", "open + close", 1.00),
        *whole("mmap with MAP_POPULATE", "populate", {"4k": 0.25, "2m": 0.35, "1g": 0.35}),
        *whole("munmap", "munmap", SAME),
        *whole("MADV_POPULATE_WRITE", "advise", {"4k": 0.25, "2m": 0.35, "1g": 0.35}),
        *whole("MADV_DONTNEED", "dontneed", SAME),
        *sizes("fork with 1 GiB mapped, {}", "whole-fork", {"4k": 1.00, "2m": 1.00}),
        *sizes("mremap of 1 GiB mapped, {}", "whole-mremap", {"4k": 1.00, "2m": 1.00}),
    ]),
    Group("Files with -o dax", [
        *(row for fs in FILES for row in (
            *(Row(f"{call}-{fs}-{size}", f"{call}, {name}, {FILES[fs]}", 1.00)
              for call in ("pread", "pwrite") for size, name in COPIES.items()),
            *(Row(f"{key}-{size}", f"{title}, {SIZES[size]}, {FILES[fs]}", 1.00)
              for key, title in touches(fs) for size in ("4k", "2m")))),
    ]),
    Group("Devices of a dynamic region", [
        *at("set size of device {}", "size", STOPS, 0.35),
        *at("read available_size at {} devices", "available", STOPS, 0.30),
        *at("create at {} devices", "create", STOPS, 0.80),
        *at("delete at {} devices", "delete", STOPS, 0.50),
        *at("add a range by mapping at {} devices", "mapping", STOPS, 0.50),
        *at("add range {} of a device by mapping", "range", (1000,)),
    ]),
    Group("A device of 4 GiB comes and goes", [
        Row("bind-2m", "bind + unbind to device_dax, align 2 MiB", 1.00),
        Row("online-4g", "kmem: online + offline", 1.00),
        Row("kmem-own", "kmem: bind, offline, online, unbind, without mm", 0.90),
    ]),
    Group("Modules and all devices come and go", [
        Row("load-1", "load device_dax and dax_pmem, 1 namespace", 0.95),
        Row("load-64", "load device_dax and dax_pmem, 64 namespaces", 0.95),
        *(Row(f"{key}-all-{n}", f"{title} {n} devices", 0.50 if n == MOST else None)
          for key, title in (("create", "create"), ("list", "daxctl list of"), ("destroy", "destroy"))
          for n in (100, MOST)),
    ]),
    Group("Without struct pages (C: with them)", [
        Row("bare-bind-2m", "bind + unbind to device_dax, 4 GiB", 0.01),
        Row("bare-read-2m", "first touch, read, 2 MiB", 0.90),
        Row("bare-write-2m", "first touch, write, 2 MiB", 0.90),
    ]),
    Group("Without struct pages, Rust only", [
        Row("large/bare-bind-2m", "bind + unbind to device_dax", 1.10, "bare-bind-2m"),
    ], ("4 GiB", "64 GiB")),
    Group("Sealed files, Rust only", [
        *sealed("read", "read-", 1.05),
        *sealed("write", "write-", 1.05),
    ], ("device_dax", "daxfile")),
    Group("Sealed files and MAP_SYNC, Rust only", [
        *sealed("write", "sync-{}-write-", 0.55),
    ], ("MAP_SYNC", "daxfile")),
    Group("Scale, Rust only", [
        many("set size", "size"),
        many("read available_size", "available"),
        many("create", "create"),
        many("delete", "delete"),
        many("add a range by mapping", "mapping"),
    ], ("10 devices", "10,000 devices")),
    Group("Many ranges, Rust only", [
        Row("last-100", "first touch, read, 2 MiB in the last of 100", 1.05, "last-1"),
        Row("last-1000", "first touch, read, 2 MiB in the last of 1000", 1.05, "last-1"),
    ], ("1 range", "many")),
    Group("Two processors", [
        *(Row(f"{key}-{size}", f"{title}, {SIZES[size]}", 1.00)
          for key, title in SHARING.items() for size in ("4k", "2m")),
    ], unit="number"),
    Group("Sizes", [
        Row("text-core", "core, built in: text", 2.00),
        *(Row(f"text-{name}", f"{name}: text", goal) for name, goal in MODULES.items()),
        Row("data-core", "core, built in: data", 1.00),
        *(Row(f"data-{name}", f"{name}: data", 1.00) for name in MODULES),
        Row("text-crate", "kernel crate, all of our modules: text"),
        Row("memory-2000", "memory per device of a region", 1.00),
        Row(f"resident-{MOST}", f"kernel memory from 1 to {MOST} devices", 1.00),
    ], unit="bytes"),
]


class Table:
    """The counts of both kernels, by key."""

    def __init__(self, c, rust):
        self.c, self.rust = c, rust

    def groups(self):
        """Yields each group that has counts, and its rows with counts."""
        for group in GROUPS:
            rows = [row for row in group.rows if row.key in self.c or row.key in self.rust]
            if rows:
                yield group, rows

    def base(self, row):
        return self.rust.get(row.base) if row.base else self.c.get(row.key)

    def ratio(self, row):
        base, rust = self.base(row), self.rust.get(row.key)
        if not base or not rust or base.median is None or rust.median is None:
            return None
        if not base.median:
            return math.inf if rust.median else 1.0
        return rust.median / base.median

    def misses(self, row):
        ratio = self.ratio(row)
        return row.goal is not None and ratio is not None and round(ratio, 3) > row.goal

    def missed(self):
        return [row for _, rows in self.groups() for row in rows if self.misses(row)]

    def refusals(self):
        """A dictionary from the reason why a kernel has no number to the rows concerned."""
        out = {}
        for name, counts in (("C", self.c), ("Rust", self.rust)):
            for _, rows in self.groups():
                for row in rows:
                    count = counts.get(row.key)
                    if count and count.median is None:
                        out.setdefault(f"{name}: {count.why}", []).append(row)
        return out

    def cells(self, row):
        def cell(count):
            if count is None:
                return "n/a"
            return "not yet" if count.median is None else str(count.median)

        ratio = self.ratio(row)
        mark = "" if row.goal is None or ratio is None else (
            f"{row.goal:.2f} !" if self.misses(row) else f"{row.goal:.2f}")
        return [row.title, cell(self.base(row)), cell(self.rust.get(row.key)),
                "" if ratio is None else f"{ratio:.3f}", mark]

    def text(self):
        out = []
        for group, rows in self.groups():
            base, own = group.columns
            wide = max(49, *(len(row.title) for row in rows))
            out.append(f"{group.title + ', ' + group.unit:<{wide + 2}}{base:>11}{own:>15}{'ratio':>9}  goal")
            for row in rows:
                name, c, rust, ratio, goal = self.cells(row)
                out.append(f"  {name:<{wide}}{c:>11}{rust:>15}{ratio:>9}  {goal}".rstrip())
            out.append("")
        for why, rows in self.refusals().items():
            out += [f"{why} ({len(rows)} rows)", ""]
        missed = self.missed()
        out += [f"{len(missed)} rows miss their goal" if missed else "every row meets its goal", ""]
        return "\n".join(out)


# The followed operations, in the order of the tables: title, and the row whose C number "Least" is
# compared with, if its goal is for more devices than are followed.
FOLLOWED = {
    "read-4k": ("first touch, read, 4 KiB", None),
    "next-read-4k": ("first touch of the page behind it (*)", None),
    "read-2m": ("first touch, read, 2 MiB", None),
    **{f"{key}-{size}": (f"{title}, 8 entries of {SIZES[size]}", None)
       for key, title in (("populate", "mmap with MAP_POPULATE"), ("munmap", "munmap"),
                          ("dontneed", "MADV_DONTNEED")) for size in SIZES},
    "kmem-bind": ("kmem: bind, without mm", None),
    "kmem-unplug": ("kmem: offline, without mm", None),
    "kmem-online": ("kmem: online, without mm", None),
    "kmem-unbind": ("kmem: unbind, without mm", None),
    "pread-ext4": ("pread, 4 KiB, ext4", None),
    "pwrite-ext4": ("pwrite, 4 KiB, ext4", None),
    "open-2m": ("open + close", None),
    "mmap-2m": ("mmap + munmap, 2 MiB", None),
    "available": ("read available_size", "available-2000"),
    "size": ("set size", "size-2000"),
    "mapping": ("add a range by mapping", "mapping-2000"),
}


def share_rows(followed, table):
    """Yields for each followed operation and kernel: title, kernel, counts of the areas, and "Least"."""
    for key, (title, row) in FOLLOWED.items():
        whole = 0
        for impl, name in (("c", "C"), ("rust", "Rust")):
            if key not in followed.get(impl, {}):
                continue
            count = followed[impl][key]
            parts = [sum(n for symbol, n in count.items() if symbol.area == area)
                     for area in follow.AREAS]
            least = ""
            if impl == "c":
                whole = table.c[row].median if row in table.c else sum(parts)
            # A fault that also maps other pages cannot be compared.
            elif whole and key != "next-read-4k":
                least = f"{(sum(parts) - parts[0]) / whole:.3f}"
            yield [title, name, str(sum(parts)), *map(str, parts), least]


SHARES = ["Operation", "Kernel", "All", *follow.AREAS, "Least"]


def text_rows(divided):
    """Yields for the core and each module, and each kernel: bytes of text by kind, the ratio without
    messages, and "Least"."""
    for part in ("core", *MODULES):
        c = divided["c"][part]
        for impl, name in (("c", "C"), ("rust", "Rust")):
            found = divided[impl][part]
            whole = sum(found[kind] for kind in KINDS)
            ratios = ["", ""]
            if impl == "rust":
                in_c = sum(c[kind] for kind in KINDS)
                least = in_c - c["constants"] + found["messages"] + found["tree"]
                ratios = [f"{(whole - found['messages']) / in_c:.3f}", f"{least / in_c:.3f}"]
            yield [part, name, str(whole), *(str(found[kind]) for kind in KINDS),
                   *(str(found[of]) if impl == "rust" else "" for of in PARTLY), *ratios]


KINDS = ("code", "constants", "unwind", "other")
PARTLY = ("messages", "crate", "tree")
TEXTS = ["Text", "Kernel", "All", *map(str.capitalize, KINDS + PARTLY), "Without", "Least"]


def texts(divided):
    return columns([TEXTS, *text_rows(divided)])


def shares(followed, table):
    return columns([SHARES, *share_rows(followed, table)])


def columns(rows):
    lines = []
    for title, name, *numbers in rows:
        lines.append(f"{title:<39}{name:<7}" + "".join(f"{n:>13}" for n in numbers).rstrip())
    return "\n".join(lines) + "\n"


def functions(followed, demangle):
    """The functions of the followed operations, those of DAX first."""
    out = []
    for key, (title, _) in FOLLOWED.items():
        for impl, name in (("c", "C"), ("rust", "Rust")):
            if key not in followed.get(impl, {}):
                continue
            count = followed[impl][key]
            names = demangle([symbol.name for symbol in count])
            out.append(f"{name}, {title}: instructions by function")
            order = sorted(count.items(), key=lambda it: (follow.AREAS.index(it[0].area), -it[1]))
            for symbol, n in order:
                where = f" [{symbol.module}]" if symbol.module else ""
                out.append(f"{n:>7}  {symbol.area:<12} {names[symbol.name]}{where}")
            out.append("")
    return "\n".join(out)


def sharing(writes, demangle):
    """The locked instructions of two touches on two processors, and the cache lines that both write."""
    out = []
    for size in ("4k", "2m"):
        for who in ("process", "thread"):
            for impl, name in (("c", "C"), ("rust", "Rust")):
                one, two = (writes.get(impl, {}).get(f"{who}-{letter}-{size}") for letter in "ab")
                if not one or not two:
                    continue
                both = two.both(one)
                names = demangle([symbol.name for count in (two.locked, *both.values())
                                  for symbol in count])
                out.append(f"{name}, first touch, {SIZES[size]}, second {who}: locked instructions")
                out += [f"{n:>7}  {names[symbol.name]}" for symbol, n in two.locked.most_common()]
                out.append(f"{name}, first touch, {SIZES[size]}, second {who}: lines that both write")
                out += [f"  {line:x}  {', '.join(sorted(names[symbol.name] for symbol in count))}"
                        for line, count in sorted(both.items())]
                out.append("")
    return "\n".join(out)


def summary(table):
    """Sentences that say in short what the table shows."""
    def span(*starts):
        found = sorted(table.ratio(row) for _, rows in table.groups() for row in rows
                       if row.key.startswith(starts) and not row.base and table.ratio(row) is not None)
        if not found:
            return None
        low, high = f"{found[0]:.2f}", f"{found[-1]:.2f}"
        return low if low == high else f"{low} to {high}"

    def size(*keys):
        return tuple(sum(counts[key].median for key in keys) if all(key in counts for key in keys)
                     else None for counts in (table.c, table.rust))

    goals = [row for _, rows in table.groups() for row in rows if row.goal is not None]
    texts = size("text-core", *(f"text-{name}" for name in MODULES))
    most = size(f"resident-{MOST}")
    lines = [
        ("One fault takes {} of the instructions of C; a fault in sequence takes {}.",
         span("read-", "write-"), span("sequence-")),
        ("MAP_POPULATE takes {}. munmap(), fork() and mremap() take {}.",
         span("populate-", "advise-"), span("munmap-", "whole-", "dontneed-")),
        ("Files in ext4 and xfs with -o dax, also on dm-linear and dm-stripe, take {}.",
         span(*(f"{key}-{fs}-" for key in ("pread", "pwrite", "page", "sync") for fs in FILES
                if fs != "onefile"))),
        (f"{MOST:,} devices: creating and destroying all takes {{}}, listing them {{}}.",
         span(f"create-all-{MOST}", f"destroy-all-{MOST}"), span(f"list-all-{MOST}")),
        ("The price is text: {:,} bytes instead of {:,}. {:,} devices take {:.2f} of "
         "the memory of C.", texts[1], texts[0], MOST,
         None if None in most else most[1] / most[0]),
    ]
    out = [text.format(*values) for text, *values in lines if None not in values]
    return [*out, f"{len(table.missed())} of {len(goals)} rows with a goal miss it."]


def times(pairs):
    """The table of a measurement of time. PAIRS has for each key the cycles of C and of Rust, by pair."""
    out = []
    for group in GROUPS:
        rows = [row for row in group.rows if row.key in pairs and not row.base]
        if rows:
            out.append(f"{group.title + ', cycles':<51}{'C':>11}{'Rust':>15}{'ratio':>8}  spread")
        for row in rows:
            c, rust = (statistics.median_low(one) for one in zip(*pairs[row.key]))
            ratios = sorted(rust / c for c, rust in pairs[row.key])
            out.append(f"  {row.title:<49}{c:>11}{rust:>15}{statistics.median(ratios):>8.3f}  "
                       f"{ratios[0]:.3f} to {ratios[-1]:.3f}")
        out += [""] * bool(rows)
    return "\n".join(out)


def grid(header, rows):
    """A simple table in reStructuredText. The first column is text, the others are numbers."""
    rows = [header, *rows]
    width = [max(len(row[i]) or 1 for row in rows) for i in range(len(header))]
    rule = "  ".join("=" * w for w in width)

    def line(row):
        # An empty first cell would continue the row above.
        cells = [row[0].ljust(width[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:], width[1:])]
        return "  ".join(cells).rstrip()

    return "\n".join([rule, line(rows[0]), rule, *map(line, rows[1:]), rule])


DOCUMENT = """\
.. SPDX-License-Identifier: GPL-2.0
.. Written by "make bench"; do not edit.

{rule}
{title}
{rule}

``make bench`` writes this file. It compares two kernels of Linux {version}: one with
upstream's C in drivers/dax, one with Rust there. Source, configuration (except for
that choice), compilers and virtual machine are the same.

How it is measured
==================

The numbers are instructions of the guest, not time. Both kernels run in QEMU
with ``-accel tcg,thread=single -icount shift=0,sleep=off -smp 1``. The TSC then
advances one tick per guest instruction. ``rdtsc`` before and after an operation
therefore counts its instructions, in user space and the kernel together. The cost
of ``rdtsc`` itself is measured and subtracted. A number is the median of many
repetitions, so repetitions with a timer interrupt do not matter. Addresses are
not randomised. The numbers depend neither on the machine that runs QEMU nor on
its load. A single fault takes the same number on every run. An operation that
allocates much varies by a few per cent with the state of the allocators.

Instructions are not time: they do not include the effects of caches and branch
prediction. They are exact, so a change of one per cent is visible. Two things
shift all numbers of C and Rust alike. The first is the processor that QEMU
emulates: the kernel selects code by its features, and each round of a string
instruction counts as one instruction. The second is the number of VMAs of the
process, because a fault looks up its VMA among them.

To repeat it::

	make bench              # everything; writes this file and the pictures
	make bench QUICK=1      # fewer repetitions, for use while working

``make bench CLOCK=time`` measures time in the same operations, in cycles of the TSC. With
``ACCEL=kvm`` these are the processor's. C and Rust boot in pairs, in alternating order. A ratio is
the median over the pairs, and the spread is its smallest and largest value. These numbers are
printed and never recorded.

What the rows mean
==================

First touch
	One load from, or store to, an address of an existing mapping that has no page
	table entry yet. The page table for the entry exists. "4 KiB", "2 MiB" and
	"1 GiB" are the align of the device, an NVDIMM namespace in devdax mode. The
	touches of 4 KiB are 128 KiB apart, those of 2 MiB are 8 MiB apart.
First touch in sequence
	A loop touches all pages of 4 MiB, or all entries of 512 MiB, in order. The number is the
	cost per page or entry, including the loop.
First touch after fork
	A child process touches pages that its parent had touched before fork(). fork()
	copies entries of 1 GiB, so these do not fault.
First touch after mremap
	mremap() moves an untouched mapping; then the process touches it.
The last of n ranges
	The device is soft-reserved memory and has n ranges of 2 MiB, created through
	its ``mapping`` attribute. The touch is in the last range. "Range n" is the
	creation of that range.
MAP_POPULATE, munmap, MADV_POPULATE_WRITE, MADV_DONTNEED
	One call for all entries of a mapping, with 64 MiB of 4 KiB, 1 GiB of 2 MiB or 16 GiB of 1 GiB.
fork, mremap of a mapping
	fork() of a process that has 1 GiB of the device mapped, until the parent returns. mremap()
	moves such a mapping, with all its entries, to an address that is no multiple of 1 GiB.
Files with -o dax
	The files are in ext4 or xfs on an NVDIMM namespace in fsdax mode, mounted with
	``-o dax=always``: the namespace itself, dm-linear on it, or dm-stripe on two of them with a
	chunk size of 2 MiB. "fsdev_dax" is a devdax namespace that the sample file system of
	samples/dax has mounted. pread and pwrite copy blocks that exist. The first touches are as
	above, with MAP_SHARED or ``MAP_SYNC``. The file's entries in the page cache exist already.
mmap + munmap
	Both calls, for one entry of the device's align.
Set size, create, delete, mapping, available_size
	Open, write (or read) and close of the attribute. The path lookup to its
	directory is not included. Each device has 2 MiB of one dynamic region of
	soft-reserved memory. "Set size of device n" sets the size of the last of n
	devices, which has no memory before. "Create at n devices" creates one more
	device, without memory; "delete" deletes it. kmem is not loaded.
Bind + unbind, online + offline
	A device with all 4 GiB of a region is bound and unbound through the files of
	its driver, or brought online and offline through its file ``state``.
kmem without mm
	Requests to the files of kmem, followed by QEMU's gdb stub. The functions of mm that add, online,
	offline and remove memory run without being followed, so their instructions do not count. The
	rest is the same for C and Rust except for kmem, the core and the calls that they make.
Load, create all, list all, destroy all
	init_module() of device_dax and dax_pmem, from memory, until all devices have their nodes. The
	namespaces have 32 MiB, mem mode. "Create" creates the devices of a region one by one, and sets
	the size of each to 2 MiB; "destroy" sets the size to 0 and deletes the device. "daxctl list"
	includes the process.
Two processors
	Two processes that have the device mapped, or two threads of one process, touch different
	entries. Both touches were followed. Instructions with a lock prefix, and exchanges with memory,
	count as locked. A cache line counts if both touches write to it and it is in kernel memory; the
	stack and per-CPU memory do not count. Such a line moves from one processor to the other if the
	two run at the same time. The machine itself has one processor.
Kernel memory
	The growth of the kernel's allocations, page tables and per-CPU memory from 1 device to more.
	The devices have no driver. The caches of dentries and inodes are dropped before each reading.
Without struct pages
	The same with 0 in the file ``memmap`` of the device. C has no such file, so its device has
	struct pages. The device has all memory of a region of soft-reserved memory.
Sealed files
	The first touch of a file that daxfile has sealed, on an NVDIMM namespace in fsdax mode. It is
	compared with the first touch of a device of the same align, and with that of the same file
	when it is not sealed but mapped with ``MAP_SYNC``. The zeros in the file are written, so the
	file system allocates nothing.
Text and data
	The numbers of ``size`` for the modules and for the objects of drivers/dax in
	the kernel image; data includes bss. The core and the modules use this project's
	part of the kernel crate. C has no counterpart to that part.
Memory per device
	The growth of the kernel's allocations (/proc/slabinfo and /proc/meminfo) from
	one number of devices to the next, per device.

The ratio is Rust divided by C; below 1, Rust takes fewer. The goal is the
largest ratio that is good. A row that misses its goal has a "!".

Results
=======
"""


def document(table, followed, divided, version, pictures):
    """The document. PICTURES has a file name, a title and a caption for each picture."""
    title = "Performance of device DAX in C and in Rust"
    out = [DOCUMENT.format(title=title, rule="=" * len(title), version=version)]
    for group, rows in table.groups():
        title = f"{group.title}, {group.unit}"
        out += [title, "-" * len(title), "",
                grid(["Operation", *group.columns, "Ratio", "Goal"],
                     [table.cells(row) for row in rows]), ""]
        for why, refused in table.refusals().items():
            mine = [row.title for row in refused if row in rows]
            if mine:
                out += [f'"not yet": {why}.', ""]
    missed = table.missed()
    out += [f"{len(missed)} rows miss their goal." if missed else "Every row meets its goal.", "",
            "In short", "========", "", *(f"- {line}" for line in summary(table)), ""]
    why = [text for keys, text in REASONS if any(row.key.startswith(keys) for row in missed)]
    if why:
        out += ["What misses its goal", "====================", "", *why]
    for name, title, text in pictures:
        out += [title, "=" * len(title), "", f".. figure:: {name}", f"   :alt: {title}", "",
                f"   {text}", ""]
    if followed:
        out += [SHARED, grid(SHARES, share_rows(followed, table)), ""]
    if divided:
        out += [DIVIDED, grid(TEXTS, text_rows(divided)), ""]
    return "\n".join(out + [LOOK])


# The reasons why rows miss their goal, by the start of their keys.
REASONS = (
    (("mmap-", "open-", "available-"), """\
Open and close, mmap and munmap, ``available_size``
	DAX executes less than two per cent of these instructions in Rust. "Least" in
	the table below is the ratio without them; it is above the goal. With an align of 1 GiB, mmap()
	looks whether the file has mappings, because mremap() cannot move such entries: the page
	pud-mremap of the upstream bugs has the reason.
"""),
    (("sequence-", "populate-", "advise-"), """\
Entries in sequence, ``MAP_POPULATE``, ``MADV_POPULATE_WRITE``
	Most instructions are mm's. It makes each entry on its own: no exported function
	makes several in one page table without a flag that changes the mapping
	(vm_insert_pages() needs VM_MIXEDMAP). ``MAP_POPULATE`` also looks up each entry
	after it exists. With 4 KiB, mm's part is 800 of the 900 instructions per page.
"""),
    (("whole-fork", "munmap-"), """\
fork with 1 GiB mapped, munmap of 64 MiB
	The code of DAX is the same in each fork: one function of device_dax, which ends the copy of a
	mapping that a child must not inherit. It returns at once for other mappings. munmap() calls
	none. The difference is the state of mm's allocators: the same kernels, C and Rust, took 156,000
	to 162,000 instructions for a fork in five runs, and the ratios were 0.96 to 1.04.
"""),
    ("kmem-own", """\
kmem without mm
	After kmem has onlined memory, it looks at each memory block and reports those that are
	offline. C does not look. With 4 GiB this takes 2,700 instructions of mm and of kmem, at
	bind and at each online. Most other instructions are VFS, the driver core and memory
	allocation, which C has as well.
"""),
    ("load-", """\
Loading modules
	Loading depends on the size of a module. The kernel copies it and checks its sections, looks
	up each symbol that it uses, and sorts its unwind information. A module in Rust is larger,
	refers to twice as many symbols, and their names are longer. For device_dax and dax_pmem
	together, these three steps take 170,000, 140,000 and 125,000 instructions more than in C. The
	functions that bind the first namespace take 5 % more.
"""),
    ("resident-", """\
Kernel memory
	A device in Rust has one more file in sysfs, ``memmap``, which takes 139 bytes. All
	else takes less than in C.
"""),
    ("list-all", """\
List all
	daxctl compares the names of all devices in user space. The rest is VFS and the driver core.
"""),
    ("text-", """\
Text
	The table in `What the text is`_ divides it. Messages weigh most: each refusal
	names the error, the numbers and the remedy, where C often says nothing.
	"Without" is the ratio without all messages. "Least" is the ratio of a module
	that is as small as C and has these messages. For the core it also includes the
	tree of free memory, which balances itself and makes ``size`` and
	``available_size`` fast. "Least" is above the goal for device_dax and kmem. In
	dax_pmem it leaves out 1,500 bytes of messages that are data; with them it is 2.9.
	The rest is code. The core has a parser that tells what is wrong with an input
	(1,400 bytes, where C calls kstrtoull()). device_dax also makes entries ahead of the
	program. dax_hmem decides on each range by itself and undoes what failed. All
	modules test indices that are always in bounds, because no code may panic. Each
	module has its own copy of generic functions of the kernel crate ("crate").
	Nobody has shown that this code could not be smaller. With ``opt-level=s`` all
	modules but dax_pmem (-6 %) become larger, kmem by 4 %, because LLVM inlines less
	of the glue code. Less inlining (LLVM's ``-inline-threshold`` of 20, 50 or 100)
	also makes them larger: the core by 2 %, dax_hmem by 8 to 12 %. If functions are
	optimised for speed but encoded for size (``forceattrs`` of LLVM's ``opt``,
	optsize, between rustc and the code generator), the objects are 6 to 11 %
	smaller. No further row meets its goal that way.
"""),
    ("data-", """\
Data
	A Rust module has room for what its macros register, where C has pointers to
	constants. dax_hmem stores its list of ranges in place.
"""),
)

SHARED = """\
Whose instructions they are
===========================

QEMU's gdb stub followed some operations instruction by instruction. The operations
on devices ran in a region with 10 devices. "DAX" is code of device_dax and the core
(dax), including functions of the kernel crate and Rust's core library that they use.
"Driver core" is drivers/base, kernfs and sysfs. "Rest" is entry code, user space,
locks, lib/ and the clearing of memory, which takes one instruction per byte or
word. "Least" is the ratio if DAX in Rust took no instructions at all; for operations
on a region, it compares with C at 2,000 devices. If "Least" is above the goal of a
row, no driver can meet that goal. (*) In Rust this fault makes entries ahead of the
program. Create and delete sleep, so they cannot be followed. ``bench.py --part mapping
--follow`` lists the functions.
"""

DIVIDED = """\
What the text is
================

The numbers are bytes. "Constants" are the texts of messages, and tables of callbacks,
which C has in its data. "Unwind" is the unwind information that objtool makes from the
code; for built-in code it is not counted. "Other" is the module information.
"Messages" applies to Rust objects only. It is the difference to an object that is
compiled with ``if false`` around all message macros of the kernel crate. Sentences
that are data stay in that object, and so do texts behind an error pointer. Messages
therefore take more than this. "Crate" is the functions of the kernel crate and of Rust's
core library that are compiled into the object. "Tree" is the search tree of the free
memory, which finds and sums up in O(log n) what C finds with a loop over all
allocations. "Without" is the ratio to C without the messages. "Least" is the ratio if
everything except the messages and the tree were as large as C without its constants.
"""

LOOK = """\
The code of the fault path
==========================

To see the machine code of a function::

	make objdump OBJECT=drivers/dax/device_dax.o FUNCTION=huge_fault
	make objdump OBJECT=vmlinux FUNCTION=dax_pgoff_to_phys IMPL=c

The first command shows all functions of the object that have "huge_fault" in their names.
Look for:

- a ``call`` to a small helper that should have been inlined;
- more than one call to ``dax_read_lock`` or ``dax_read_unlock`` on one path;
- a second load of the same field after a call, which mmap or probe could have prepared;
- a name with "panic" in it, which the test ``panics`` refuses.

A disabled tracepoint costs nothing. Without the five tracepoints in the source, the fault
of 4 KiB took the same 2131 instructions, the fault of 2 MiB took 1513 instead of 1512, and
mmap, munmap, open and close took the same.
"""
