#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put the overlay into a Linux tree, or take it out again.

  overlay.py apply  TREE   copy the overlay's files, make its edits (idempotent)
  overlay.py remove TREE   undo all of it, leaving the tree as it was

Everything is checked before anything is written: a tree of another version, or
one where an edit's anchor is gone, is refused and not changed.
"""

import hashlib
import json
import shutil
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
# The folders of the project that have a place in a Linux tree.
FOLDERS = ("Documentation", "drivers", "include", "rust", "tools")
SKIP = {"__pycache__", "target", "Cargo.lock"}
STATE = ".dax-overlay"


class Refused(Exception):
    """The tree cannot take the overlay; nothing was changed."""


def digest(data):
    return hashlib.sha256(data).hexdigest()


def project_files():
    for folder in FOLDERS:
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.is_file() and not SKIP & set(path.parts):
                yield str(path.relative_to(PROJECT))


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


def edited(text, edit, undo=False):
    """The text with an edit made or undone; the same text when it already is."""
    anchor = edit.get("before") or edit["after"]
    lines = text.split("\n")
    hits = [i for i, line in enumerate(lines) if line == anchor]
    if len(hits) != 1:
        raise Refused(
            f"{edit['file']}: the line {anchor!r}, where the overlay makes an edit, "
            f"stands there {len(hits)} times instead of once"
        )
    insert = edit["insert"]
    at = hits[0] if "before" in edit else hits[0] + 1
    here = at - len(insert) if "before" in edit else at
    present = here >= 0 and lines[here:here + len(insert)] == insert
    if undo and present:
        del lines[here:here + len(insert)]
    elif not undo and not present:
        lines[at:at] = insert
    return "\n".join(lines)


class Tree:
    """A Linux tree and what an earlier apply wrote into it."""

    def __init__(self, tree, config):
        self.tree = tree
        self.config = config
        self.state = tree / STATE
        manifest = self.state / "manifest.json"
        # path -> digest of what was written there
        self.written = json.loads(manifest.read_text()) if manifest.is_file() else {}

    def original(self, path):
        return self.state / "original" / path

    def edits(self, undo):
        out = {}
        for edit in self.config["edit"]:
            path = edit["file"]
            if path not in out:
                target = self.tree / path
                if not target.is_file():
                    raise Refused(f"{path}: not in the tree, but the overlay edits it")
                out[path] = target.read_text()
            out[path] = edited(out[path], edit, undo)
        return {path: text.encode() for path, text in out.items()}

    def check_foreign(self, path, new):
        """Refuse to overwrite what is neither Linux's nor the overlay's."""
        target = self.tree / path
        if not target.is_file():
            if path in self.config["replace"]:
                raise Refused(f"{path}: not in the tree, but the overlay replaces it")
            return
        found = digest(target.read_bytes())
        if found in (digest(new), self.written.get(path)):
            return
        if path in self.written:
            raise Refused(f"{path}: changed by hand since the overlay was applied; "
                          "move the change into the overlay, or run overlay-remove first")
        if path not in self.config["replace"]:
            raise Refused(f"{path}: the tree has a file of its own there")

    def apply(self):
        files = {p: (PROJECT / p).read_bytes() for p in project_files()}
        for path, data in files.items():
            self.check_foreign(path, data)
        edits = self.edits(undo=False)

        for path in set(self.written) - set(files):
            self.take_out(path)
        manifest = {}
        for path, data in files.items():
            target = self.tree / path
            if path in self.config["replace"] and path not in self.written:
                backup = self.original(path)
                backup.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(target, backup)
            self.write(path, data, (PROJECT / path).stat().st_mode & 0o777)
            manifest[path] = digest(data)
        for path, data in edits.items():
            self.write(path, data)
        self.state.mkdir(exist_ok=True)
        (self.state / "manifest.json").write_text(json.dumps(manifest, indent=1))
        return len(files), len(edits)

    def write(self, path, data, mode=None):
        target = self.tree / path
        # An unchanged file keeps its time stamp, so that make rebuilds nothing.
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        if mode is not None:
            target.chmod(mode)

    def take_out(self, path):
        target, backup = self.tree / path, self.original(path)
        if backup.is_file():
            shutil.copy2(backup, target)
            backup.unlink()
            return
        target.unlink(missing_ok=True)
        for parent in target.parents:
            if parent == self.tree or any(parent.iterdir()):
                break
            parent.rmdir()

    def remove(self):
        if not self.written:
            raise Refused(f"{self.tree}: the overlay is not applied there")
        edits = self.edits(undo=True)
        for path in self.written:
            target = self.tree / path
            if target.is_file() and digest(target.read_bytes()) != self.written[path]:
                raise Refused(f"{path}: changed by hand since the overlay was applied; "
                              "save the change and put the overlay's file back first")
        for path, data in edits.items():
            self.write(path, data)
        for path in self.written:
            self.take_out(path)
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
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
