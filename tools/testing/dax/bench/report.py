# SPDX-License-Identifier: GPL-2.0
"""The rows of the benchmark, their goals, and how they are shown."""

from dataclasses import dataclass

import follow

# Above this ratio a row of the mapping path has missed its goal.
MAPPING_GOAL = 1.05
# And that of a page when its neighbours were, or will be, touched as well.
SEQUENCE_GOAL = 0.30


@dataclass(frozen=True)
class Row:
    key: str            # as bench.c prints it
    title: str
    goal: float | None = None


def sizes(title, key, names):
    names = names.split()
    size = {"4k": "4 KiB", "2m": "2 MiB", "1g": "1 GiB"}
    return [Row(f"{key}-{name}", title.format(size[name]), MAPPING_GOAL) for name in names]


def at(title, key, places, goal=None):
    return [Row(f"{key}-{place}", title.format(place), goal) for place in places]


GROUPS = {
    "Faults": [
        *sizes("first touch, read, {}", "read", "4k 2m 1g"),
        *sizes("first touch, write, {}", "write", "4k 2m 1g"),
        Row("sequence-read-4k", "first touch in sequence, read, 4 KiB, per page", SEQUENCE_GOAL),
        Row("sequence-write-4k", "first touch in sequence, write, 4 KiB, per page", SEQUENCE_GOAL),
        *sizes("first touch after fork, read, {}", "fork", "4k 2m"),
        *at("first touch, read, 2 MiB in range {} of 1000", "range", (1, 100, 500, 1000),
            MAPPING_GOAL),
    ],
    "Mappings": [
        *sizes("mmap + munmap, untouched, {}", "mmap", "4k 2m 1g"),
        Row("open-2m", "open + close", MAPPING_GOAL),
        Row("populate-4k", "mmap with MAP_POPULATE, 64 MiB of 4 KiB", MAPPING_GOAL),
        Row("populate-2m", "mmap with MAP_POPULATE, 1 GiB of 2 MiB", MAPPING_GOAL),
        Row("munmap-4k", "munmap, 64 MiB of 4 KiB", MAPPING_GOAL),
        Row("munmap-2m", "munmap, 1 GiB of 2 MiB", MAPPING_GOAL),
    ],
    "Devices of a dynamic region": [
        *at("set size of device {}", "size", (10, 1000, 2000)),
        *at("read available_size at {} devices", "available", (10, 1000, 2000)),
        *at("create at {} devices", "create", (100, 1000, 2000)),
        *at("delete at {} devices", "delete", (100, 1000, 2000)),
        *at("add range {} by mapping", "mapping", (1000,)),
    ],
}


class Table:
    """Both kernels' counts, by the rows' keys."""

    def __init__(self, c, rust):
        self.c, self.rust = c, rust

    def groups(self):
        """Title and rows of each group of which something was measured."""
        for title, rows in GROUPS.items():
            rows = [row for row in rows if row.key in self.c or row.key in self.rust]
            if rows:
                yield title, rows

    def ratio(self, row):
        c, rust = self.c.get(row.key), self.rust.get(row.key)
        return rust.median / c.median if c and rust and c.median and rust.median else None

    def misses(self, row):
        ratio = self.ratio(row)
        return row.goal is not None and ratio is not None and ratio > row.goal

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
        def cell(counts):
            count = counts.get(row.key)
            if count is None:
                return "?"
            return "not yet" if count.median is None else str(count.median)

        ratio = self.ratio(row)
        mark = "" if row.goal is None or ratio is None else (
            f"above {row.goal:.2f} !" if self.misses(row) else f"{row.goal:.2f}")
        return [row.title, cell(self.c), cell(self.rust), f"{ratio:.3f}" if ratio else "", mark]

    def text(self):
        out = [f"{'instructions, median':<46}{'C':>10}{'Rust':>10}{'ratio':>8}  goal"]
        for title, rows in self.groups():
            out += ["", title]
            for row in rows:
                name, c, rust, ratio, goal = self.cells(row)
                out.append(f"  {name:<44}{c:>10}{rust:>10}{ratio:>8}  {goal}".rstrip())
        for why, rows in self.refusals().items():
            out += ["", f"{why} ({len(rows)} rows)"]
        missed = self.missed()
        out += ["", f"{len(missed)} rows miss their goal" if missed else "every row meets its goal",
                ""]
        return "\n".join(out)


FOLLOWED = ("4 KiB", "2 MiB")


def share(count):
    """Of a followed fault: all instructions, and those that are DAX's."""
    return sum(count.values()), sum(n for symbol, n in count.items() if follow.is_own(*symbol))


def share_rows(followed):
    for i, size in enumerate(FOLLOWED):
        for impl, name in (("c", "C"), ("rust", "Rust")):
            if impl in followed:
                whole, own = share(followed[impl][i])
                yield size, name, whole, own, whole - own


def shares(followed):
    out = [f"{'one read fault, followed':<30}{'all':>8}{'DAX':>8}{'others':>8}"]
    for size, name, *numbers in share_rows(followed):
        out.append(f"  {size + ', ' + name:<28}" + "".join(f"{n:>8}" for n in numbers))
    return "\n".join(out) + "\n"


def functions(followed, demangle):
    """Every function of a followed fault, DAX's first."""
    out = []
    for i, size in enumerate(FOLLOWED):
        for impl, name in (("c", "C"), ("rust", "Rust")):
            if impl not in followed:
                continue
            count = followed[impl][i]
            names = demangle([symbol for symbol, _ in count])
            out.append(f"{name}, {size}: instructions by function, * is DAX's")
            order = sorted(count.items(), key=lambda it: (not follow.is_own(*it[0]), -it[1]))
            for (symbol, module), n in order:
                mark = "*" if follow.is_own(symbol, module) else " "
                where = f" [{module}]" if module else ""
                out.append(f"{n:>7} {mark} {names[symbol]}{where}")
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

	make bench              # all of it; writes this file
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
Range n of 1000
	A device of soft-reserved memory that consists of 1000 ranges of 2 MiB,
	made by its ``mapping`` attribute; the touch is in the n-th.
mmap + munmap
	Of one entry of the device's align.
Set size, create, delete, mapping, available_size
	Open, write (or read) and close of the attribute, without the way through
	the file system to its folder. Devices have 2 MiB each, of one dynamic
	region of soft-reserved memory. "Set size of device n": of the last of n
	devices, which has none. "Create at n devices": one more, without memory;
	"delete" takes that one away. kmem is not loaded.

The ratio is Rust divided by C: below 1 Rust takes fewer. The goal of a row of
the mapping path is {goal:.2f} or less.

Results
=======
"""


def document(table, followed, version):
    title = "Performance of device DAX in C and in Rust"
    out = [DOCUMENT.format(title=title, rule="=" * len(title), version=version,
                           goal=MAPPING_GOAL)]
    for title, rows in table.groups():
        out += [title, "-" * len(title), "",
                grid(["Operation", "C", "Rust", "Ratio", "Goal"],
                     [table.cells(row) for row in rows]), ""]
        for why, refused in table.refusals().items():
            mine = [row.title for row in refused if row in rows]
            if mine:
                out += [f'"not yet": {why}.', ""]
    missed = table.missed()
    out += [f"Above their goal: {', '.join(row.title for row in missed)}."
            if missed else "Every row meets its goal.", ""]
    if followed:
        out += ["Whose instructions they are", "=" * 27, "",
                "One read fault, followed instruction by instruction through QEMU's debugger",
                "port. DAX is what device_dax and the core (dax) execute themselves; the rest",
                "belongs to entry code and mm/, and is the same for both but for what they",
                "are asked to do. ``bench.py --part mapping --follow`` lists it by function.",
                "",
                grid(["Fault", "All", "DAX", "Others"],
                     [[f"{size}, {name}", *map(str, numbers)]
                      for size, name, *numbers in share_rows(followed)]),
                ""]
    return "\n".join(out)
