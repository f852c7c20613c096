#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put the overlay into a Linux tree, or take it out again.

  overlay.py apply  TREE   copy the overlay's files, make its edits (idempotent)
  overlay.py remove TREE   undo all of it, leaving the tree as it was

Everything is checked before anything is written: a tree of another version, or
one where an edit's anchor is gone, is refused and not changed.

What was done is recorded in TREE/.dax-overlay: the originals of replaced files,
and a manifest of what each file may be. The manifest is widened before the first
file is written and narrowed after the last one, and each file is written whole or
not at all, so that after an interruption either command can just be repeated.
"""

import hashlib
import json
import shutil
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
# The folders of the project that have a place in a Linux tree.
FOLDERS = ("Documentation", "drivers", "include", "rust", "samples", "tools")
SKIP = {"__pycache__", "target", "Cargo.lock"}
STATE = ".dax-overlay"


class Refused(Exception):
    """The tree cannot take the overlay; nothing was changed."""


def digest(data):
    return hashlib.sha256(data).hexdigest()


def project_files(project=PROJECT):
    """The overlay's files, as paths in a Linux tree."""
    for folder in FOLDERS:
        for path in sorted((project / folder).rglob("*")):
            if path.is_file() and not SKIP & set(path.parts):
                yield str(path.relative_to(project))


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


def find(lines, edit):
    """Where an edit's lines go, and whether they are there."""
    anchor = edit.get("before") or edit["after"]
    hits = [i for i, line in enumerate(lines) if line == anchor]
    if len(hits) != 1:
        raise Refused(
            f"{edit['file']}: the line {anchor!r}, where the overlay makes an edit, "
            f"stands there {len(hits)} times instead of once"
        )
    size = len(edit["insert"])
    at = hits[0] - size if "before" in edit else hits[0] + 1
    there = at >= 0 and lines[at:at + size] == edit["insert"]
    return (at if there or "after" in edit else hits[0]), there


def make_edits(data, edits):
    lines = data.decode().split("\n")
    for edit in edits:
        at, there = find(lines, edit)
        if there:
            raise Refused(f"{edit['file']}: has the overlay's lines already, but the record of it "
                          f"in {STATE} is missing; put the tree's own files back first")
        lines[at:at] = edit["insert"]
    return "\n".join(lines).encode()


def undo_edits(data, edits):
    """The file as it was before the edits, or None when they are not all in it."""
    lines = data.decode().split("\n")
    for edit in reversed(edits):
        try:
            at, there = find(lines, edit)
        except Refused:
            return None
        if not there:
            return None
        del lines[at:at + len(edit["insert"])]
    return "\n".join(lines).encode()


class Tree:
    """A Linux tree, and what an earlier apply did in it."""

    def __init__(self, tree, config, project=PROJECT):
        self.tree, self.config, self.project = tree, config, project
        self.state = tree / STATE
        manifest = self.state / "manifest.json"
        known = json.loads(manifest.read_text()) if manifest.is_file() else {}
        # path -> digests of what may stand there
        self.files = known.get("files", {})
        # path -> digest -> the edits that made the file that
        self.edited = known.get("edited", {})

    def original(self, path):
        return self.state / "original" / path

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

    def save(self, files, edited):
        text = json.dumps({"files": files, "edited": edited}, indent=1, sort_keys=True)
        self.write(self.state / "manifest.json", text.encode(), 0o644)

    def unedited(self, path):
        """The text of a file that the overlay edits, as it would be without the overlay."""
        target = self.tree / path
        if not target.is_file():
            raise Refused(f"{path}: not in the tree, but the overlay edits it")
        data = target.read_bytes()
        known = self.edited.get(path, {})
        if not known:
            return data
        # After a change by hand the digest is of no help; the edits themselves are.
        tries = [known[digest(data)]] if digest(data) in known else known.values()
        for edits in sorted(tries, key=len, reverse=True):
            base = undo_edits(data, edits)
            if base is not None:
                return base
        raise Refused(f"{path}: the overlay's lines there were changed by hand; put them back first")

    def check_file(self, path, data):
        """Refuse to overwrite what is neither Linux's nor the overlay's."""
        target = self.tree / path
        if path in self.files:
            if target.is_file() and digest(target.read_bytes()) not in self.files[path]:
                raise Refused(f"{path}: changed by hand since the overlay was applied; move the "
                              "change into the overlay, or put the overlay's file back first")
        elif path in self.config["replace"]:
            if not target.is_file():
                raise Refused(f"{path}: not in the tree, but the overlay replaces it")
            if digest(target.read_bytes()) == digest(data):
                raise Refused(f"{path}: is the overlay's already, but the record of it in {STATE} "
                              "is missing; put the tree's own files back first")
        elif target.exists():
            raise Refused(f"{path}: the tree has a file of its own there")

    def apply(self):
        files = {p: (self.project / p).read_bytes() for p in project_files(self.project)}
        for path, data in files.items():
            self.check_file(path, data)
        for path in self.files.keys() - files.keys():
            self.check_file(path, b"")
        edits = {}
        for edit in self.config["edit"]:
            edits.setdefault(edit["file"], []).append(edit)
        before = {path: self.unedited(path) for path in edits.keys() | self.edited.keys()}
        after = {path: make_edits(data, edits.get(path, [])) for path, data in before.items()}

        # Nothing was refused: from here on, write.
        for path in self.config["replace"]:
            if path not in self.files:
                source = self.tree / path
                self.write(self.original(path), source.read_bytes(), source.stat().st_mode & 0o777)
        done_files = {path: [digest(data)] for path, data in files.items()}
        done_edited = {path: {digest(after[path]): made} for path, made in edits.items()}
        may_files = {path: self.files.get(path, []) + done_files.get(path, [])
                     for path in self.files | done_files}
        for path in self.config["replace"]:
            may_files[path].append(digest(self.original(path).read_bytes()))
        may_edited = {path: {digest(before[path]): [], **self.edited.get(path, {}),
                             **done_edited.get(path, {})} for path in before}
        self.save(may_files, may_edited)

        for path in self.files.keys() - files.keys():
            self.take_out(path)
        for path, data in files.items():
            self.write(self.tree / path, data, (self.project / path).stat().st_mode & 0o777)
        for path, data in after.items():
            self.write(self.tree / path, data, (self.tree / path).stat().st_mode & 0o777)
        self.save(done_files, done_edited)
        return len(files), len(edits)

    def take_out(self, path):
        target, original = self.tree / path, self.original(path)
        if original.is_file():
            self.write(target, original.read_bytes(), original.stat().st_mode & 0o777)
            return
        target.unlink(missing_ok=True)
        for parent in target.parents:
            if parent == self.tree or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()

    def remove(self):
        if not self.files and not self.state.exists():
            raise Refused(f"{self.tree}: the overlay is not applied there")
        for path in self.files:
            self.check_file(path, b"")
        before = {path: self.unedited(path) for path in self.edited}

        self.save({path: known + ([digest(self.original(path).read_bytes())]
                                  if self.original(path).is_file() else [])
                   for path, known in self.files.items()},
                  {path: {digest(before[path]): [], **known} for path, known in self.edited.items()})
        for path, data in before.items():
            self.write(self.tree / path, data, (self.tree / path).stat().st_mode & 0o777)
        for path in self.files:
            self.take_out(path)
        # Without a manifest, what is left of the record is of no consequence.
        (self.state / "manifest.json").unlink()
        shutil.rmtree(self.state)


def main(argv):
    if len(argv) != 3 or argv[1] not in ("apply", "remove"):
        print(__doc__, file=sys.stderr)
        return 2
    config = tomllib.loads((PROJECT / "overlay.toml").read_text())
    path = Path(argv[2]).resolve()
    try:
        check_version(path, config["version"])
        tree = Tree(path, config)
        if argv[1] == "apply":
            files, edits = tree.apply()
            print(f"overlay: {files} files and {edits} edited files are in {path}")
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
