#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make an object of what the overlay adds to crates of the kernel.

  additions.py MODULE.SYMVERS OBJECT KERNEL.bc BINDINGS.bc USER.o...

The crates are those of a kernel's source with the overlay in it, compiled to LLVM's bitcode;
Module.symvers says what the kernel, which was built without the overlay, exports. Whatever a crate
defines and the kernel exports becomes a declaration, so that the module that the object goes into
uses the kernel's. The rest is the overlay's, with the functions and constants that only it uses.

Of the bindings only those are taken that the additions or the users, the objects of the modules,
refer to: bindgen has a function for each type in the headers.

This is done before code is generated, since in an object code and data of several functions share
sections: their jump labels for instance, and constants.

The bitcode must have no aliases (-Zmerge-functions=disabled): one of ours could be of one of Linux's.
"""

import re
import subprocess
import sys
from pathlib import Path

# As the kernel's Rust is compiled; all else the bitcode says itself.
CODE = ["-O2", "-filetype=obj", "-code-model=kernel", "-relocation-model=static"]


def tool(*command):
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    except FileNotFoundError:
        sys.exit(f"dax: there is no {command[0]}; the tools of rustc's LLVM have to be in PATH")
    except subprocess.CalledProcessError as why:
        sys.exit(f"dax: {command[0]} ended with status {why.returncode}")


def defined(crate):
    """The global symbols that it defines: name -> whether it is a function."""
    lines = (line.split() for line in tool("llvm-nm", "-p", "--defined-only", "--extern-only", crate).splitlines())
    return {words[-1]: words[-2] in "Tt" for words in lines if len(words) > 1}


def undefined(*files):
    """The symbols that they refer to and do not define."""
    return {line.split()[-1] for line in tool("llvm-nm", "-p", "-A", "--undefined-only", *files).splitlines()}


def addition(crate, exported, work, wanted=None):
    """The bitcode of what of the crate is not exported, and wanted; work is how its file's name begins."""
    symbols = defined(crate)
    theirs = Path(f"{work}.theirs")
    theirs.write_text("".join(f"--{'func' if symbols[name] else 'glob'}={name}\n"
                              for name in symbols if name in exported))
    ours = Path(f"{work}.ours")
    ours.write_text("".join(f"{name}\n" for name in symbols
                            if name not in exported and (wanted is None or name in wanted)))
    tool("llvm-extract", "--delete", f"@{theirs}", crate, "-o", f"{work}.all.bc")
    # What only Linux's functions use is left over; what is not global stays so.
    tool("opt", "-passes=internalize,globaldce", f"-internalize-public-api-file={ours}",
         f"{work}.all.bc", "-o", f"{work}.bc")
    return f"{work}.bc"


def main(symvers, target, kernel, bindings, users):
    exported = set()
    for line in Path(symvers).read_text().splitlines():
        exported.add(line.split("\t")[1])
    rust = {name for name in exported if re.match(r"_R", name)}
    if not rust:
        sys.exit(f"dax: {symvers} has no symbol of Rust: the kernel was built without")
    work = target.removesuffix(".o")
    ours = addition(kernel, exported, f"{work}.kernel")
    bound = addition(bindings, exported, f"{work}.bindings", undefined(ours, *users))
    tool("llvm-link", ours, bound, "-o", f"{work}.bc")
    tool("llc", *CODE, f"{work}.bc", "-o", target)


if __name__ == "__main__":
    main(*sys.argv[1:5], sys.argv[5:])
