#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put the overlay into a Linux tree, or take it out again.

  overlay.py apply  TREE   copy the overlay's files, apply its patches (idempotent)
  overlay.py remove TREE   undo all of it, leaving the tree as it was

Both check everything before they write anything. They refuse a tree of another
version and a tree that a patch does not fit, and leave it as it is.

To change what a patch does, edit it: add or remove its lines that begin with a plus. The
line counts of its hunks need not be right, since git apply --recount counts again.

TREE/.dax-overlay records what was done:

  linux/       Linux's own version of each file that the overlay changes
  overlay-N/   each file as the overlay wrote it; the highest N is the newest

The record is complete before the first file of the tree is written, and each file is
written whole or not at all. After an interruption either command can be repeated.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
# The directories of the project that have a place in a Linux tree.
FOLDERS = ("Documentation", "drivers", "include", "rust", "samples", "tools")
SKIP = {"__pycache__", "target", "Cargo.lock"}
STATE = ".dax-overlay"
# What decides what a tree becomes, besides project_files().
CONFIG = "overlay.toml"
PATCHES = "patches"


class Refused(Exception):
    """The tree cannot take the overlay; nothing was changed."""


def project_files(project=PROJECT):
    """The overlay's files, as paths in a Linux tree."""
    for folder in FOLDERS:
        for path in sorted((project / folder).rglob("*")):
            if path.is_file() and not SKIP & set(path.parts):
                yield str(path.relative_to(project))


def config_files(project=PROJECT):
    """The files of the project that say how it changes Linux's files."""
    return [CONFIG, *sorted(str(path.relative_to(project))
                            for path in (project / PATCHES).glob("*.patch"))]


def load_config(project=PROJECT):
    config = tomllib.loads((project / CONFIG).read_text())
    unlisted = {Path(name).stem for name in config_files(project)[1:]} ^ set(config["patches"])
    if unlisted:
        raise Refused(f"{CONFIG} lists other patches than there are in {PATCHES}/: "
                      f"{', '.join(sorted(unlisted))}")
    return config


def check_version(tree, series):
    makefile = tree / "Makefile"
    if not (tree / "Kbuild").is_file() or not makefile.is_file():
        raise Refused(f"{tree} is not a Linux source tree; give KSRC= the top of one")
    values = dict(
        line.split(" = ", 1)
        for line in makefile.read_text().splitlines()[:8]
        if " = " in line
    )
    found = f"{values.get('VERSION')}.{values.get('PATCHLEVEL')}"
    if found != series:
        raise Refused(f"{tree} is Linux {found}; this overlay is for Linux {series}")


def git(*arguments, cwd):
    """Run git where it sees no repository and no configuration of a user."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(["git", *map(str, arguments)], cwd=cwd, capture_output=True, env={
            **keep, "LC_ALL": "C", "GIT_CEILING_DIRECTORIES": str(cwd.parent),
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull})
    except FileNotFoundError:
        raise Refused("git is not installed; install it, the patches are applied with it") from None


def patched_files(patch):
    return re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.M)


def scratch():
    # git compares the real path with GIT_CEILING_DIRECTORIES.
    return tempfile.TemporaryDirectory(dir=Path(tempfile.gettempdir()).resolve())


def apply_patches(patches, files):
    """Files (path -> content) with the patches applied."""
    with scratch() as work:
        work = Path(work)
        for path, data in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_bytes(data)
        for patch in patches:
            done = git("apply", "--recount", "--whitespace=nowarn", patch, cwd=work)
            if done.returncode:
                there = git("apply", "--recount", "--reverse", "--check", patch, cwd=work).returncode == 0
                why = ("; ".join(line.removeprefix("error: ")
                                 for line in done.stderr.decode().splitlines()))
                raise Refused(f"{PATCHES}/{patch.name} " + (
                    f"is in the tree already, but the record of it in {STATE} is missing; "
                    "put the tree's own files back first" if there else
                    f"does not fit the tree ({why}); put the lines around back as they are in "
                    "Linux, or adapt the patch"))
        return {path: (work / path).read_bytes() for path in files}


def merge(mine, base, other):
    """MINE with the changes from BASE to OTHER, or None when they conflict."""
    with scratch() as work:
        work = Path(work)
        for name, data in (("mine", mine), ("base", base), ("other", other)):
            (work / name).write_bytes(data)
        done = git("merge-file", "--stdout", "mine", "base", "other", cwd=work)
        return None if done.returncode else done.stdout


class Tree:
    """A Linux tree, and what earlier calls did in it."""

    def __init__(self, tree, config, project=PROJECT):
        self.tree, self.config, self.project = tree, config, project
        self.state = tree / STATE
        self.linux = self.state / "linux"
        if (self.state / "manifest.json").exists():
            raise Refused(f"{tree}: an older version of the overlay is in it; take it out with the "
                          "overlay.py that put it there")
        self.patches = [project / PATCHES / f"{name}.patch" for name in config["patches"]]

    def records(self):
        """The directories of what the overlay wrote, the newest one last."""
        return sorted(self.state.glob("overlay-*"), key=lambda path: int(path.name.split("-")[1]))

    @staticmethod
    def below(folder):
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    def touched(self):
        return set().union(*map(self.below, self.records()))

    def write(self, target, data, mode):
        """Write a file whole or not at all; not at all if it is the same.

        An unchanged file keeps its time stamp, so that make rebuilds nothing.
        """
        if not target.is_file() or target.read_bytes() != data:
            self.state.mkdir(exist_ok=True)
            new = self.state / "new"
            new.write_bytes(data)
            new.chmod(mode)
            target.parent.mkdir(parents=True, exist_ok=True)
            new.replace(target)
        target.chmod(mode)

    def without(self, path):
        """A file as it would be without the overlay; None if it would not be there.

        Refuses a file that somebody changed by hand, unless the patches can be taken out of it.
        """
        target, linux = self.tree / path, self.linux / path
        original = linux.read_bytes() if linux.is_file() else None
        data = target.read_bytes() if target.is_file() else None
        wrote = [(folder / path).read_bytes() for folder in self.records()
                 if (folder / path).is_file()]
        if not wrote:
            return data
        if data in (None, original, *wrote):
            return original
        if original is not None and path not in self.config["replace"]:
            for base in reversed(wrote):
                merged = merge(data, base, original)
                if merged is not None:
                    return merged
        raise Refused(f"{path}: changed by hand since the overlay was applied; move the change "
                      "into the overlay, or put the overlay's file back first")

    def apply(self):
        own = {path: ((self.project / path).read_bytes(), (self.project / path).stat().st_mode)
               for path in project_files(self.project)}
        patched = {path for patch in self.patches for path in patched_files(patch)}
        before = {path: self.without(path) for path in own.keys() | patched | self.touched()}
        for path in sorted(own):
            self.check_own(path, own[path][0], before[path])
        for path in sorted(patched):
            if before[path] is None:
                raise Refused(f"{path}: not in the tree, but the overlay patches it")
        after = apply_patches(self.patches, {path: before[path] for path in patched})
        wanted = {**own, **{path: (data, self.mode(path)) for path, data in after.items()}}

        # Nothing was refused: from here on, write. First the record.
        for path, data in before.items():
            if data is not None:
                self.write(self.linux / path, data, self.mode(path))
        records = self.records()
        number = int(records[-1].name.split("-")[1]) + 1 if records else 1
        new = self.state / "unfinished"
        shutil.rmtree(new, ignore_errors=True)
        for path, (data, mode) in wanted.items():
            self.write(new / path, data, mode & 0o777)
        new.replace(self.state / f"overlay-{number}")

        for path in before.keys() - wanted.keys():
            self.take_out(path, before[path])
        for path, (data, mode) in wanted.items():
            self.write(self.tree / path, data, mode & 0o777)
        for folder in records:
            shutil.rmtree(folder)
        for path in self.below(self.linux) - wanted.keys():
            (self.linux / path).unlink()
        return len(own), len(patched)

    def mode(self, path):
        linux = self.linux / path
        return (linux if linux.is_file() else self.tree / path).stat().st_mode & 0o777

    def check_own(self, path, data, before):
        if path in self.config["replace"]:
            if before is None:
                raise Refused(f"{path}: not in the tree, but the overlay replaces it")
        elif before is not None:
            raise Refused(f"{path}: the tree has a file of its own there")
        if before == data:
            raise Refused(f"{path}: is the overlay's already, but the record of it in {STATE} "
                          "is missing; put the tree's own files back first")

    def take_out(self, path, before):
        target = self.tree / path
        if before is not None:
            self.write(target, before, self.mode(path))
            return
        target.unlink(missing_ok=True)
        for parent in target.parents:
            if parent == self.tree or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()

    def remove(self):
        if not self.state.exists():
            raise Refused(f"{self.tree}: the overlay is not applied there")
        before = {path: self.without(path) for path in self.touched()}
        for path, data in before.items():
            self.take_out(path, data)
        # Under this name, a part of the record is of no consequence.
        gone = self.state.with_name(f"{STATE}-removed")
        shutil.rmtree(gone, ignore_errors=True)
        self.state.replace(gone)
        shutil.rmtree(gone)


def main(argv):
    if len(argv) != 3 or argv[1] not in ("apply", "remove"):
        print(__doc__, file=sys.stderr)
        return 2
    path = Path(argv[2]).resolve()
    try:
        config = load_config()
        check_version(path, config["version"])
        tree = Tree(path, config)
        if argv[1] == "apply":
            files, patched = tree.apply()
            print(f"overlay: {files} files and {patched} patched files are in {path}")
        else:
            tree.remove()
            print(f"overlay: taken out of {path}")
    except Refused as why:
        print(f"overlay: {why}", file=sys.stderr)
        return 1
    except OSError as why:
        print(f"overlay: {why}; the same command can be repeated", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
