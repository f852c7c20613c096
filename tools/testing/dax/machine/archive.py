# SPDX-License-Identifier: GPL-2.0
"""Single packages of Debian's archive, whatever this machine runs and has installed."""

import re
import shutil
import subprocess
from pathlib import Path


class Stop(Exception):
    """It cannot go on; the text is one sentence that says why and what to do."""


class Archive:
    """Suites of Debian's archive.

    place    directory for what apt knows of them
    """

    def __init__(self, place, suites):
        self.place, self.suites = place, suites

    def apt(self, program, *arguments, **more):
        place = self.place
        options = {"Dir::State::Lists": place / "lists", "Dir::Cache": place / "cache",
                   "Dir::Etc::SourceList": place / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
                   "Dir::Etc::Preferences": "/dev/null", "Dir::Etc::PreferencesParts": "/dev/null",
                   "Dir::State::Status": place / "status", "APT::Architecture": "amd64",
                   "APT::Sandbox::User": "root",
                   # A mirror may stand still.
                   "Acquire::Check-Valid-Until": "false"}
        return subprocess.run([program, *(f"-o{key}={value}" for key, value in options.items()), *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **more)

    def update(self, mirror):
        for directory in ("lists/partial", "cache/archives/partial"):
            (self.place / directory).mkdir(parents=True, exist_ok=True)
        (self.place / "status").touch()
        (self.place / "sources.list").write_text("".join(f"deb {mirror} {suite} main\n" for suite in self.suites))
        # Without "any", apt takes old lists for an archive that it cannot reach.
        done = self.apt("apt-get", "-oAPT::Update::Error-Mode=any", "update")
        if done.returncode:
            raise Stop(f"the archive {mirror} could not be read: {(done.stderr.splitlines() or ['no reason'])[-1]}")

    def fields(self, package):
        """Of each version that the archive has of a package: its fields."""
        text = self.apt("apt-cache", "show", package).stdout
        return [dict(re.findall(r"^([\w-]+): (.*)$", entry, re.M)) for entry in text.split("\n\n") if entry.strip()]

    def fetch(self, packages, place):
        """Fetch packages into a new directory: their files."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        done = self.apt("apt-get", "download", *packages, cwd=place)
        files = list(place.glob("*.deb"))
        if done.returncode or len(files) != len(packages):
            raise Stop(f"{' '.join(packages)} could not be fetched: "
                       f"{(done.stderr.splitlines() or ['no reason'])[-1]}")
        return files

    def take(self, package, member, place):
        """Unpack one file of a package there."""
        new = Path(f"{place}.new")
        (file,) = self.fetch([package], new)
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as pack:
            # dpkg-deb ends by SIGPIPE, and says so: tar does not read what follows.
            subprocess.run(["tar", "-x", "--occurrence=1", "-C", new, member], stdin=pack.stdout, check=True)
        (new / member).rename(place)
        shutil.rmtree(new)

    def unpack(self, packages, place):
        """Unpack packages there."""
        new = Path(f"{place}.new")
        for file in self.fetch(packages, new):
            subprocess.run(["dpkg-deb", "-x", file, new], check=True)
            file.unlink()
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)
