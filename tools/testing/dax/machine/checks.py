# SPDX-License-Identifier: GPL-2.0
"""The static checks of `make check-<which>`. A check passes if it has no complaint about this
project's files; complaints about upstream's files are not shown.
"""

import re

import overlay


def ours(*suffixes):
    return [path for path in overlay.project_files() if path.endswith(suffixes)]


def complaints(log, files):
    """The warnings and errors of a compiler's output that are about FILES."""
    found, block = [], []
    mark = re.compile(r"(warning|error|WARNING|ERROR)\b.*:")
    for line in log.splitlines() + ["warning: end"]:
        if mark.match(line) or re.match(r"\S+:\d+(:\d+)?: (warning|error)", line):
            if any(re.search(rf"(^|[\s/]){re.escape(name)}:", text) for text in block for name in files):
                found += block
            block = [line]
        elif line.startswith("  ") and re.match(r"  [A-Z]+ ", line):
            continue
        else:
            block.append(line)
    return found


def rustfmt(lab):
    files = [f"/linux/{path}" for path in ours(".rs") if not path.startswith("tools/")]
    status, log = lab.logged("rustfmt.log", lab.inside(
        ["rustfmt", "--check", "--edition", "2021", "--config-path", "/linux/.rustfmt.toml", *files]))
    return log.splitlines() if status else []


def checkpatch(lab):
    # EXPORT_SYMBOL: exports.c exports functions that Rust defines. CONFIG_DESCRIPTION: the choice
    # between two languages needs only a word of help.
    files = ours(".rs", ".c", ".h", ".sh", ".rst", "Kconfig", "Makefile")
    kernel = [name for name in files if not name.startswith("tools/")]
    # User-space programs have no kernel macros, and volatile is right in them.
    user = [name for name in files if name.startswith("tools/")]
    found = []
    for title, ignored, names in (
            ("kernel", "EXPORT_SYMBOL,CONFIG_DESCRIPTION", kernel),
            ("user", "VOLATILE,PREFER_DEFINED_ATTRIBUTE_MACRO,EMBEDDED_FUNCTION_NAME", user)):
        _, log = lab.logged(f"checkpatch-{title}.log", lab.inside(
            ["sh", "-c", 'cd /linux && perl scripts/checkpatch.pl --no-tree --no-summary --terse '
             '--show-types --ignore "$0" -f "$@"', ignored, *names]))
        found += log.splitlines()
    # The patches for upstream. UNKNOWN_COMMIT_ID: there is no history of Linux to look them up.
    _, log = lab.logged("checkpatch-fixes.log", lab.inside(
        ["sh", "-c", 'cd /linux && perl scripts/checkpatch.pl --no-tree --no-summary --terse --show-types '
         '--ignore UNKNOWN_COMMIT_ID /project/tools/testing/dax/upstream-fixes/*.patch']))
    return found + log.splitlines()


def built(lab, title, *targets):
    """Build our objects in a build of their own; returns the complaints about our files."""
    log = lab.compile("check", targets, title)
    found = complaints(log, ours(".rs", ".c", ".h", "Kconfig", "Makefile"))
    if found:
        # Otherwise the next make would not compile these again, and would not repeat the complaints.
        for path in ("rust/kernel.o", "rust/helpers/helpers.o", "drivers/dax", "samples/rust"):
            lab.remove(lab.out("check") / path)
    return found


def lint(lab):
    return built(lab, "clippy and W=1", "CLIPPY=1", "W=1", "drivers/dax/", "samples/rust/")


def rustdoc(lab):
    # The second target compiles the examples.
    return built(lab, "rustdoc and its examples", "rustdoc", "rust/")


def run(lab, which):
    found = globals()[which](lab)
    print("\n".join(found))
    print(f"dax: {which}: {'clean' if not found else 'not clean'}", flush=True)
    return 1 if found else 0
