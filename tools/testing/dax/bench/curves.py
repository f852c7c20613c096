# SPDX-License-Identifier: GPL-2.0
"""Draw the cost of operations against the number of ranges and devices, with gnuplot."""

import re
import subprocess

# For each picture: file, title, caption, name of the x axis, and panels. A panel is the prefix of
# the keys of its rows, and a title.
PICTURES = (
    ("populate.svg", "Cost of MAP_POPULATE against the size",
     "The cost grows in proportion to the number of entries. Rust makes the entries of a page table "
     "together, and mm looks at each of them afterwards.",
     "MiB of the mapping",
     (("fill-4k", "entries of 4 KiB"), ("fill-2m", "entries of 2 MiB"))),
    ("ranges.svg", "Cost against the number of ranges of a device",
     "C searches the ranges of the device one after the other, from the first. The binary search in "
     "Rust adds a few instructions each time the number of ranges doubles.",
     "ranges of the device",
     (("last", "2 MiB fault in the last range"), ("range", "adding the last range by mapping"))),
    ("devices.svg", "Cost against the number of devices of a region",
     "C walks the list of all allocations, compares the names of all devices, and walks the devres "
     "list of the region's parent. The growth that remains in Rust is in the driver core.",
     "devices of the region",
     (("create", "create"), ("delete", "delete"), ("size", "set size"),
      ("mapping", "add a range by mapping"), ("available", "read available_size"))),
)
KERNELS = (("c", "upstream's C", "#b35806"), ("rust", "Rust", "#2166ac"))

HEAD = """\
set terminal svg size {width},{height} font "sans-serif,12" background "#ffffff" noenhanced name "dax"
set output "/build/bench/picture.svg"
set multiplot layout {rows},{columns} margins 0.11,0.97,{bottom},{top} spacing 0.13,{gap}
set logscale xy
set grid xtics ytics linetype 1 dashtype solid linewidth 0.6 linecolor "#d8d8d8"
set border 3 linecolor "#606060"
set tics nomirror textcolor "#303030"
set offsets graph 0.02, graph 0.02, 0, 0
set key top left reverse Left samplen 2 textcolor "#303030"
set xlabel "{x}" offset 0,0.4
set ylabel "instructions" offset 0.5,0
"""


def points(counts, key):
    """The pairs (N, instructions) from the rows KEY-N, ascending in N."""
    found = {}
    for name, count in counts.items():
        number = re.fullmatch(rf"{key}-(\d+)", name)
        if number and count.median:
            found[int(number[1])] = count.median
    return sorted(found.items())


def panel(counts, key, title):
    """The commands for one panel; None if there are too few points."""
    blocks, plots, most, least = [], [], 0, 1 << 62
    for impl, name, colour in KERNELS:
        data = points(counts[impl], key)
        if len(data) < 2:
            continue
        blocks += [f"${impl} << end", *(f"{x} {y}" for x, y in data), "end"]
        plots.append(f'${impl} using 1:2 with linespoints title "{name}" linewidth 2 pointtype 7 '
                     f'pointsize 0.5 linecolor "{colour}"')
        most = max(most, *(y for _, y in data))
        least = min(least, *(y for _, y in data))
    if not plots:
        return None
    # The y axis covers at least a decade, so that a constant looks constant.
    low, high = least / 1.5, max(most * 2.5, least * 10)
    steps = [step * 10 ** power for power in range(9) for step in (1, 2, 5)]
    tics = ", ".join(f'"{step:,}" {step}' for step in steps if low <= step <= high)
    return "\n".join([*blocks, f'set title "{title}" textcolor "#000000"', f"set ytics ({tics})",
                      f"set yrange [{low:.0f}:{high:.0f}]", f"plot {', '.join(plots)}", ""])


def draw(lab, counts, directory):
    """Draw the pictures for which there are counts; returns the file, title and caption of each."""
    drawn = []
    for name, title, text, x, panels in PICTURES:
        commands = [panel(counts, key, what) for key, what in panels]
        commands = [command for command in commands if command]
        if not commands:
            continue
        columns = min(len(commands), 2)
        rows = -(-len(commands) // columns)
        head = HEAD.format(x=x, rows=rows, columns=columns, width=900, height=60 + 300 * rows,
                           bottom=0.21 / rows, top=1 - 0.18 / rows, gap=0.12)
        subprocess.run(
            lab.inside(["/build/plot/usr/bin/gnuplot-nox"],
                       env=["LD_LIBRARY_PATH=/build/plot/usr/lib/x86_64-linux-gnu"]),
            input="".join([head, *commands, "unset multiplot\n"]), text=True, check=True)
        drawn.append((name, title, text))
        (directory / name).write_text((lab.build / "bench/picture.svg").read_text())
    return drawn
