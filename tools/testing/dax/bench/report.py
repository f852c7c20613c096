# SPDX-License-Identifier: GPL-2.0
"""The rows of the benchmark, their goals, and how they are shown."""

from dataclasses import dataclass

import follow


@dataclass(frozen=True)
class Row:
    """One number against another one."""

    key: str                    # as bench.c prints it
    title: str
    goal: float | None = None   # the largest ratio that is good
    base: str = ""              # compared with this one of Rust, instead of C's


@dataclass(frozen=True)
class Group:
    title: str
    rows: list
    columns: tuple = ("C", "Rust")
    unit: str = "instructions"


SIZES = {"4k": "4 KiB", "2m": "2 MiB", "1g": "1 GiB"}


def sizes(title, key, goals):
    """GOALS by the name of the size."""
    return [Row(f"{key}-{name}", title.format(SIZES[name]), goal) for name, goal in goals.items()]


def at(title, key, places, goal=None):
    """GOAL is that of the last place; at the others there is more of the driver core than of us."""
    return [Row(f"{key}-{place}", title.format(place), goal if place == places[-1] else None)
            for place in places]


def many(title, key):
    """What it takes at 10,000 devices, against 10."""
    return Row(f"many/{key}-10000", title, 1.10, f"many/{key}-10")


TOUCH = {"4k": 0.97, "2m": 0.95, "1g": 0.95}
SAME = {"4k": 1.00, "2m": 1.00, "1g": 1.00}
STOPS = (10, 1000, 2000)
MODULES = ("device_dax", "dax_pmem", "kmem", "fsdev_dax", "dax_hmem", "dax_cxl")

GROUPS = [
    Group("Faults", [
        *sizes("first touch, read, {}", "read", TOUCH),
        *sizes("first touch, write, {}", "write", TOUCH),
        Row("sequence-read-4k", "first touch in sequence, read, 4 KiB, per page", 0.30),
        Row("sequence-write-4k", "first touch in sequence, write, 4 KiB, per page", 0.30),
        *sizes("first touch after fork, read, {}", "fork", {"4k": 1.00, "2m": 1.00}),
        *sizes("first touch after mremap, read, {}", "mremap", SAME),
        Row("last-1", "first touch, read, 2 MiB in the only range", 0.95),
        Row("last-100", "first touch, read, 2 MiB in the last of 100 ranges", 0.60),
        Row("last-1000", "first touch, read, 2 MiB in the last of 1000 ranges", 0.12),
    ]),
    Group("Mappings", [
        *sizes("mmap + munmap, untouched, {}", "mmap", {"4k": 0.95, "2m": 0.95, "1g": 0.95}),
        Row("open-2m", "open + close", 0.95),
        Row("populate-4k", "mmap with MAP_POPULATE, 64 MiB of 4 KiB", 1.00),
        Row("populate-2m", "mmap with MAP_POPULATE, 1 GiB of 2 MiB", 1.00),
        Row("munmap-4k", "munmap, 64 MiB of 4 KiB", 1.00),
        Row("munmap-2m", "munmap, 1 GiB of 2 MiB", 1.00),
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
    ]),
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
    Group("Sizes", [
        Row("text-core", "core, built in: text", 1.25),
        *(Row(f"text-{name}", f"{name}: text", 1.25) for name in MODULES),
        Row("data-core", "core, built in: data", 1.00),
        *(Row(f"data-{name}", f"{name}: data", 1.00) for name in MODULES),
        Row("text-crate", "kernel crate, what is ours in it: text"),
        Row("memory-2000", "memory per device of a region", 1.00),
    ], unit="bytes"),
]


class Table:
    """Both kernels' counts, by the rows' keys."""

    def __init__(self, c, rust):
        self.c, self.rust = c, rust

    def groups(self):
        """Each group of which something was measured, and the rows."""
        for group in GROUPS:
            rows = [row for row in group.rows if row.key in self.c or row.key in self.rust]
            if rows:
                yield group, rows

    def base(self, row):
        return self.rust.get(row.base) if row.base else self.c.get(row.key)

    def ratio(self, row):
        base, rust = self.base(row), self.rust.get(row.key)
        return rust.median / base.median if base and rust and base.median and rust.median else None

    def misses(self, row):
        ratio = self.ratio(row)
        return row.goal is not None and ratio is not None and round(ratio, 3) > row.goal

    def missed(self):
        return [row for _, rows in self.groups() for row in rows if self.misses(row)]

    def refusals(self):
        """What a kernel does not do: rows by the sentence that says so."""
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
                f"{ratio:.3f}" if ratio else "", mark]

    def text(self):
        out = []
        for group, rows in self.groups():
            base, own = group.columns
            out.append(f"{group.title + ', ' + group.unit:<51}{base:>11}{own:>15}{'ratio':>8}  goal")
            for row in rows:
                name, c, rust, ratio, goal = self.cells(row)
                out.append(f"  {name:<49}{c:>11}{rust:>15}{ratio:>8}  {goal}".rstrip())
            out.append("")
        for why, rows in self.refusals().items():
            out += [f"{why} ({len(rows)} rows)", ""]
        missed = self.missed()
        out += [f"{len(missed)} rows miss their goal" if missed else "every row meets its goal", ""]
        return "\n".join(out)


# What is followed, in the order of the tables. Where the goal is for more devices than there are
# then, it is the row with the number that the least has to be compared with.
FOLLOWED = {
    "read-4k": ("first touch, read, 4 KiB", None),
    "next-read-4k": ("first touch of the page behind it (*)", None),
    "read-2m": ("first touch, read, 2 MiB", None),
    "open-2m": ("open + close", None),
    "mmap-2m": ("mmap + munmap, 2 MiB", None),
    "available": ("read available_size", "available-2000"),
    "size": ("set size", "size-2000"),
    "mapping": ("add a range by mapping", "mapping-2000"),
}


def share_rows(followed, table):
    """Of each followed operation in each kernel: title, kernel, the areas' counts, and the least."""
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
            # What maps others with it cannot be compared.
            elif whole and key != "next-read-4k":
                least = f"{(sum(parts) - parts[0]) / whole:.3f}"
            yield [title, name, str(sum(parts)), *map(str, parts), least]


SHARES = ["Operation", "Kernel", "All", *follow.AREAS, "Least"]


def text_rows(divided):
    """Of the text of each part in each kernel: what it consists of, the ratio without messages, and the
    least."""
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
    """Every function of what was followed, DAX's first."""
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


def grid(header, rows):
    """A simple table of reStructuredText; the first column is text, the others numbers."""
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

This file is written by ``make bench``. It compares Linux {version} with
upstream's C in drivers/dax with the same kernel with Rust there: same source,
same configuration but for that choice, same compilers, same virtual machine.

How it is measured
==================

The numbers are instructions of the guest, not time. Both kernels run in QEMU
with ``-accel tcg,thread=single -icount shift=0,sleep=off -smp 1``: the TSC
advances one tick per guest instruction, so ``rdtsc`` before and after an
operation counts what it took, in user space and the kernel together. The cost
of ``rdtsc`` itself is measured and subtracted. A number is the median of many
repetitions; those with a timer interrupt in between do not weigh. Addresses are
not randomised. The numbers do not depend on the machine that runs QEMU, nor on
its load. Those of a single fault are the same on every run; where an operation
allocates much, what the allocators have at hand makes a few per cent.

Instructions are not time: they say nothing about caches and branch prediction.
What they do say is exact, so that a change of one per cent is seen. Two things
shift all numbers, C's and Rust's alike: the processor that QEMU shows, as the
kernel chooses its code by what that offers (each round of a string instruction
counts as one), and the number of mappings that the process has, as a fault
looks up its own among them.

To repeat it::

	make bench              # all of it; writes this file and the pictures
	make bench QUICK=1      # fewer repetitions, for use while working

What the rows mean
==================

First touch
	One load from, or store to, an address of a mapping that is there but
	has no page-table entry at that place yet. The page table that holds the
	entry exists. "4 KiB", "2 MiB" and "1 GiB" are the align of the device,
	which is an NVDIMM namespace in devdax mode. The touches of 4 KiB are
	128 KiB apart.
First touch in sequence
	Of the pages of 4 MiB, one after the other: what one of them takes, the
	loop included.
First touch after fork
	The same in a child, of what the parent had touched. Entries of 1 GiB are
	copied by fork, so there is no fault.
First touch after mremap
	Of an entry of a mapping that was moved before it was touched there.
The last of n ranges
	A device of soft-reserved memory that consists of n ranges of 2 MiB, made
	by its ``mapping`` attribute; the touch is in the last. "Range n": making
	it.
mmap + munmap
	Of one entry of the device's align.
Set size, create, delete, mapping, available_size
	Open, write (or read) and close of the attribute, without the way through
	the file system to its folder. Devices have 2 MiB each, of one dynamic
	region of soft-reserved memory. "Set size of device n": of the last of n
	devices, which has none. "Create at n devices": one more, without memory;
	"delete" takes that one away. kmem is not loaded.
Bind + unbind, online + offline
	Of a device of all 4 GiB of a region, by the files of its driver, and by
	its own file ``state``.
Text and data
	As ``size`` counts them, data with bss: of the modules, and of the objects
	of drivers/dax in the kernel image. What the kernel crate has of ours is
	used by the core and by modules; there is nothing like it in C.
Memory per device
	What the kernel's allocators have given out, by /proc/slabinfo and
	/proc/meminfo, from one number of devices to the next.

The ratio is Rust divided by C: below 1 Rust takes fewer. The goal is the
largest ratio that is good; where it is missed, the row has a "!".

Results
=======
"""


def document(table, followed, divided, version, pictures):
    """PICTURES are the file names, the titles and what is to be seen of each."""
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
    out += [f"{len(missed)} rows miss their goal." if missed else "Every row meets its goal.", ""]
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


# Of rows that miss their goal, by how their keys begin, why.
REASONS = (
    (("mmap-", "open-", "available-"), """\
Open and close, mmap and munmap, ``available_size``
	Of these instructions in Rust less than two in a hundred are DAX's.
	"Least", below, is the ratio without any; it is above the goal.
"""),
    ("text-", """\
Text
	The table in `What the text is`_ divides it. Messages weigh most: each refusal
	says what was wrong, with its numbers, and what would be right, where C often
	says nothing. "Without" is what would be left if there were none, "Least" what a
	module would be that is as small as C, and has these messages; the core, also the
	tree of the free memory, with all its ways to balance itself, that makes ``size``
	and ``available_size`` as fast as they are. It is above the goal for all that miss
	it.
	The rest is code. Of the core it is, among other things, the parser that
	tells what is wrong with an input (1,600 bytes, where C calls kstrtoull());
	device_dax also maps pages ahead of the program; dax_hmem
	decides piece by piece and undoes what failed; everywhere there are tests of
	indices that are always in bounds, since no code may panic, and generic
	functions of the kernel crate ("crate"), which are compiled once more into
	each module. That code was not shown to be the least that there could be. Compiled
	for size (``opt-level=s``) all but dax_pmem (-6 %) are larger, kmem by 4 %,
	since less of the glue dissolves; so are they if less is inlined (LLVM's
	``-inline-threshold`` of 20, 50 or 100): the core by 2 %, dax_hmem by 8 to 12 %.
	With the functions made for speed but encoded
	for size (``forceattrs`` of LLVM's ``opt``, optsize, between rustc and the code
	generator) the objects are 6 to 11 % smaller: no row meets its goal by that.
"""),
    ("data-", """\
Data
	A module in Rust has room for what its macros register (in C these are
	pointers to constants), and dax_hmem keeps its list of ranges in place.
"""),
)

SHARED = """\
Whose instructions they are
===========================

Some operations, followed instruction by instruction through QEMU's debugger
port; those on devices in a region of 10. DAX is what device_dax and the core
(dax) execute themselves, what they use of the kernel crate and of Rust's core
library included. The driver core is drivers/base, kernfs and sysfs; the rest is
entry code, user space, locks, lib/, and clearing of memory, one instruction for
each byte or word. "Least" is the ratio that would be if DAX in Rust took nothing
at all; of an operation on a region, against C at 2,000 devices. Where the goal of
a row is below that, no driver can meet it. (*) In Rust this is the fault that maps
pages ahead of the program. Create and delete sleep, so they are
not followed. ``bench.py --part mapping --follow`` lists it by function.
"""

DIVIDED = """\
What the text is
================

In bytes. "Constants" are the words of messages, and tables of callbacks, which C
has in its data. "Unwind" is what walks the stack by, made by objtool from the code;
for what is built in it is not counted. "Other" is what a module says about itself.
Of the objects in Rust, "messages" is what they take: that much smaller they are when
compiled with an ``if false`` in the kernel crate around all that prints. Sentences
that are data, and what words an error behind a pointer, stay in, so it is less than
what messages really take. "Crate" are functions of the kernel crate and of Rust's core
library that are compiled into the object. "Tree" is the search tree of the free memory,
which finds and sums up in O(log n) what C finds by a loop over all. "Without" is the
ratio to C without the messages. "Least" is the ratio that would be if all but the
messages and the tree were as large as in C without its constants.
"""

LOOK = """\
The code of the fault path
==========================

What the compiler made of a function is to be seen in the objects::

	make objdump OBJECT=drivers/dax/device_dax.o FUNCTION=huge_fault
	make objdump OBJECT=vmlinux FUNCTION=dax_pgoff_to_phys IMPL=c

The first shows every function of the object whose name has "huge_fault" in it.
Things to look for: a ``call`` to a small helper, which should have been inlined;
calls to ``dax_read_lock`` and ``dax_read_unlock``, one each on any way through; a
load of the same field again after a call, which mmap or probe could have
prepared; and anything with "panic" in its name, which the test ``panics`` refuses.

A tracepoint that is off costs nothing: without the five of them in the source, the
fault of 4 KiB took the same 2131 instructions, that of 2 MiB 1513 instead of 1512,
and mmap, munmap, open and close as many as with them.
"""
