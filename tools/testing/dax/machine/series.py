# SPDX-License-Identifier: GPL-2.0
"""Cut the overlay into a series of commits on Linux's source, and check each of them.

  make series         the branch "series" in BUILD/series/linux, patches in BUILD/series/patches
  make series-check   build each commit, and run the static checks on it

series/series.toml says what is in which commit; series/<commit>.txt is its message. A file
of the overlay belongs to the commit with the most specific pattern that matches it, and
"make series" refuses a file that belongs to none or to two.

Files that several commits share come in step by step. Patches of Linux's files are each part
of one commit. From drivers/dax/Kconfig and the Makefiles, the choices and rules are left out
that belong to later commits. From the files in [cut], lines are.

"make series-check" remembers what passed by the hash of the commit's tree, so it goes on after an
interruption and repeats only what changed.
"""

import fnmatch
import os
import re
import subprocess
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import checks
import lab as machine
import overlay
from lab import PROJECT, Stop, digest, read, say

PLACE = PROJECT / "series"
PERFORMANCE = PROJECT / "Documentation/performance/index.rst"
BRANCH = "series"
MOST = 20


def matches(path, pattern):
    return fnmatch.fnmatchcase(path, pattern)


class Manifest:
    """What series.toml says, checked against the files that there are."""

    def __init__(self):
        self.data = tomllib.loads((PLACE / "series.toml").read_text())
        self.config = overlay.load_config()
        self.commits = self.data["commit"]
        self.names = [commit["name"] for commit in self.commits]
        self.files = [path for path in overlay.project_files()
                      if not any(matches(path, p) for p in self.data["outside"])]
        self.owner, wrong = {}, []
        for path in self.files:
            found = sorted(((not set("*?[") & set(pattern), len(pattern), commit["name"])
                            for commit in self.commits for pattern in commit.get("files", [])
                            if matches(path, pattern)), reverse=True)
            if not found:
                wrong.append(f"{path} is in no commit")
            elif len(found) > 1 and found[0][:2] == found[1][:2]:
                wrong.append(f"{path} is in both {found[0][2]} and {found[1][2]}")
            else:
                self.owner[path] = found[0][2]
        for commit in self.commits:
            if not (PLACE / f"{commit['name']}.txt").is_file():
                wrong.append(f"series/{commit['name']}.txt, the message of a commit, is missing")
        patches = [patch for commit in self.commits for patch in commit.get("patches", [])]
        if patches != self.config["patches"]:
            wrong.append("the commits do not have the patches of overlay.toml in the same order: "
                         f"{' '.join(patches)}")
        for path, names in (*self.data["cut"].items(),
                            *((path, [name]) for path, name in self.data["unused"].items())):
            wrong += [f"{path}: there is no commit {name}" for name in names
                      if name not in self.names]
        if len(self.commits) > MOST:
            wrong.append(f"there are {len(self.commits)} commits, more than {MOST}")
        if wrong:
            raise Stop("the series is not complete:\n  " + "\n  ".join(wrong) +
                       "\nAdapt series/series.toml")

    def of(self, name):
        return [path for path in self.files if self.owner[path] == name]


# Cutting


def kconfig_blocks(text):
    """(name, lines) of each entry of a Kconfig file; a choice is one, named by its first symbol."""
    blocks, inside = [["", []]], False
    for line in text.splitlines():
        word = (line.split() + [""])[0]
        if word and line[0] not in " \t#" and not inside:
            blocks.append([line, []])
            inside = word == "choice"
        elif inside and word == "config" and blocks[-1][0] == "choice":
            blocks[-1][0] = "choice " + line.split()[1]
        inside = inside and word != "endchoice"
        blocks[-1][1].append(line)
    return blocks


def symbols(text):
    return set(re.findall(r"^(?:menu)?config (\w+)", text, re.M))


def cut_kconfig(linux, ours, absent):
    """Linux's entries as they are, and ours that define no symbol of ABSENT."""
    theirs = dict(map(tuple, kconfig_blocks(linux))) if linux else {}
    result = []
    for name, lines in kconfig_blocks(ours):
        if name in theirs:
            result += theirs[name]
        elif not symbols("\n".join(line.strip() for line in lines)) & absent:
            result += lines
    return "\n".join(result) + "\n"


def cut_makefile(linux, theirs, ours, absent, missing):
    """Our Makefile as if the symbols of ABSENT and the objects of MISSING did not exist."""
    kept = set(linux.splitlines())

    def later(line):
        return line not in kept and (
            any(re.search(rf"\bCONFIG_{symbol}\b", line) for symbol in absent)
            or any(re.search(rf"(^|[\s/]){re.escape(name)}($|\s)", line) for name in missing))

    paragraphs = []
    for paragraph in ours.rstrip("\n").split("\n\n"):
        # A stack of conditions: whether lines are taken, and whether the condition itself stays.
        lines, stack = [], []
        for line in paragraph.split("\n"):
            word = (line.split() + [""])[0]
            if word in ("ifdef", "ifndef", "ifeq", "ifneq"):
                gone = later(line)
                stack.append([word != "ifdef" if gone else True, not gone])
                if gone:
                    continue
            elif word == "else" and not stack[-1][1]:
                stack[-1][0] = not stack[-1][0]
                continue
            elif word == "endif" and not stack.pop()[1]:
                continue
            if all(taken for taken, _ in stack) and not later(line):
                lines.append(line)
        text = "\n".join(lines)
        while (empty := re.sub(r"^if\w+ .*\n(else\n)?endif(\n|$)", "", text, flags=re.M)) != text:
            text = empty
        if text != paragraph:
            text = re.sub(r"^#(?! SPDX).*(\n|$)", "", text, flags=re.M)
        if text.strip():
            paragraphs.append(text.strip("\n"))
    result = "\n\n".join(paragraphs) + "\n"

    def rules(text):
        return [line for line in text.splitlines() if line and line[0] != "#"]
    return theirs if sorted(rules(result)) == sorted(rules(theirs)) else result


def cut_lines(text, parts):
    """TEXT without the lines, or in C the paragraphs, that have one of PARTS."""
    sep = "\n\n" if "\n}\n" in text else "\n"
    return sep.join(part for part in text.split(sep) if not any(word in part for word in parts))


def expect_unused(text):
    """A Rust file that says that some of it is unused."""
    lines = text.split("\n")
    at = next(n for n, line in enumerate(lines) if line and not line.startswith("//"))
    lines[at:at] = ['#![expect(dead_code, reason = "the users come with a later commit")]', ""]
    return "\n".join(lines)


# Making


class SeriesLab(machine.Lab):
    """The reference machine's tools, on the source that has the commits of the series."""

    def __init__(self, build):
        super().__init__(build)
        self.overlaid = self.linux
        self.place = self.build / "series"
        self.linux = self.place / "linux"

    def git(self, *arguments, env=(), data=None, check=True):
        done = subprocess.run(
            ["git", "-C", str(self.linux), *map(str, arguments)], input=data, capture_output=True,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(self.place), **dict(env)}, check=False)
        if check and done.returncode:
            raise Stop(f"git {arguments[0]} failed in {self.linux}: {done.stderr.decode().strip()}")
        return done.stdout.decode(errors="surrogateescape").strip() if check else done

    def make_base(self):
        """A repository of Linux's source; its first commit."""
        made_of = digest(self.source_version())
        if read(self.place / ".made-of") != made_of:
            self.place.mkdir(exist_ok=True)
            (self.place / ".made-of").unlink(missing_ok=True)
            new = self.place / "linux.new"
            self.remove(new)
            self.remove(self.linux)
            self.linux.mkdir()
            self.unpack_source(new)
            self.linux.rmdir()
            new.rename(self.linux)
            say("kernel source: making a git repository of it")
            self.git("init", "-q", "-b", "linux")
            for name, value in (("core.looseCompression", "1"), ("gc.auto", "0"), ("core.autocrlf", "false")):
                self.git("config", name, value)
            self.git("add", "-A", "-f")
            ident = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                     for what, value in (("NAME", "Linux"), ("EMAIL", "linux@localhost"),
                                         ("DATE", "2000-01-01T00:00:00Z"))}
            self.git("commit", "-q", "-m", f"Linux as in {machine.SOURCE} {self.source_version()}",
                     env=ident)
            (self.place / ".made-of").write_text(made_of)
        return self.git("rev-parse", "linux")

    def base_file(self, path):
        return self.git("cat-file", "blob", f"linux:{path}", check=False).stdout


def author():
    """Who the series is from: NAME <MAIL>, and the environment for git."""
    def config(what):
        found = subprocess.run(["git", "-C", str(PROJECT), "config", what], capture_output=True,
                               text=True, check=False).stdout.strip()
        if not found:
            raise Stop(f"git does not know who the series is from; set it: git config {what} ...")
        return found
    name, mail = config("user.name"), config("user.email")
    when = subprocess.run(["git", "-C", str(PROJECT), "log", "-1", "--format=%cI"],
                          capture_output=True, text=True, check=True).stdout.strip()
    return f"{name} <{mail}>", {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                                for what, value in (("NAME", name), ("EMAIL", mail), ("DATE", when))}


class Series:
    def __init__(self, lab):
        self.lab = lab
        self.manifest = Manifest()
        self.by, self.env = author()
        self.base = lab.make_base()
        self.env["GIT_INDEX_FILE"] = str(lab.place / "index")

    def states(self):
        """For each commit, the files that it changes: path -> (content, mode)."""
        manifest = self.manifest
        # The others of Linux's files that the overlay replaces are whole in one commit.
        replaced = [path for path in manifest.config["replace"] if path.startswith("drivers/dax/")]
        ours = {path: (PROJECT / path).read_bytes() for path in manifest.files}
        linux = {path: self.lab.base_file(path).decode() for path in replaced}
        new = set().union(*(symbols("\n".join(line.strip() for line in ours[path].decode().splitlines()))
                            - symbols(linux[path]) for path in replaced if path.endswith("Kconfig")))
        claimed = [symbol for commit in manifest.commits for symbol in commit.get("config", [])]
        if sorted(new) != sorted(claimed):
            raise Stop("the symbols of Kconfig and those in series.toml differ: "
                       f"{' '.join(sorted(new ^ set(claimed))) or 'one is there twice'}")
        tree, whole, present = {}, set(), set()
        for commit in manifest.commits:
            before = dict(tree)
            own = manifest.of(commit["name"])
            whole |= set(own)
            present |= set(commit.get("config", []))
            for path in own:
                if path not in replaced:
                    tree[path] = ours[path]
            absent = new - present
            objects = {f"{Path(path).stem}.o" for path in ours.keys() - whole
                       if path.startswith("drivers/dax/") and path.endswith((".rs", ".c"))}
            for path in replaced:
                # Before the commit that has the file, Linux's entries keep their wording.
                theirs, mine = "" if path in whole else linux[path], ours[path].decode()
                text = cut_kconfig(theirs, mine, absent) if path.endswith("Kconfig") \
                    else cut_makefile(linux[path], theirs, mine, absent, objects)
                if text != linux[path]:
                    tree[path] = text.encode()
            place = manifest.names.index(commit["name"])
            for path, parts in manifest.data["cut"].items():
                if path in whole:
                    words = [word for name, words in parts.items() for word in words
                             if manifest.names.index(name) > place]
                    tree[path] = cut_lines(ours[path].decode(), words).encode()
            for path, name in manifest.data["unused"].items():
                if path in own or (path in whole and name == commit["name"]):
                    unused = manifest.names.index(name) > place
                    tree[path] = expect_unused(ours[path].decode()).encode() if unused else ours[path]
            patches = [overlay.PROJECT / overlay.PATCHES / f"{name}.patch"
                       for name in commit.get("patches", [])]
            paths = {path for patch in patches for path in overlay.patched_files(patch)}
            tree.update(overlay.apply_patches(
                patches, {path: tree.get(path) or self.lab.base_file(path) for path in paths}))
            if "MAINTAINERS" in paths:
                tree["MAINTAINERS"] = self.with_author(tree["MAINTAINERS"])
            yield commit, {path: data for path, data in tree.items() if data != before.get(path)}
        self.compare(tree)

    def with_author(self, text):
        title = self.manifest.data["maintainers"].encode() + b"\n"
        if text.count(title) != 1:
            raise Stop(f"MAINTAINERS does not have the entry {title.decode().strip()!r} once")
        return text.replace(title, title + b"M:\t" + self.by.encode() + b"\n")

    def compare(self, tree):
        """In the end it is what the overlay makes."""
        config = self.manifest.config
        patches = [PROJECT / overlay.PATCHES / f"{name}.patch" for name in config["patches"]]
        paths = {path for patch in patches for path in overlay.patched_files(patch)}
        want = overlay.apply_patches(patches, {path: self.lab.base_file(path) for path in paths})
        want |= {path: (PROJECT / path).read_bytes() for path in self.manifest.files}
        wrong = [path for path in want.keys() | tree.keys()
                 if path != "MAINTAINERS" and want.get(path) != tree.get(path)]
        if wrong:
            raise Stop(f"the last commit is not what the overlay makes: {' '.join(sorted(wrong))}")

    def make(self):
        """Make the commits; (name, hash) of each."""
        git, env = self.lab.git, self.env
        git("read-tree", self.base, env=env)
        parent, made = self.base, []
        for commit, files in self.states():
            entries = []
            for path, data in files.items():
                blob = git("hash-object", "-w", "--stdin", data=data)
                old = git("ls-tree", self.base, path).split()
                executable = (PROJECT / path).is_file() and os.access(PROJECT / path, os.X_OK)
                mode = old[0] if old else "100755" if executable else "100644"
                entries.append(f"{mode} {blob}\t{path}\n")
            git("update-index", "--index-info", env=env, data="".join(entries).encode())
            message = (PLACE / f"{commit['name']}.txt").read_text().rstrip() + \
                f"\n\nSigned-off-by: {self.by}\n"
            parent = git("commit-tree", git("write-tree", env=env), "-p", parent, env=env,
                         data=message.encode())
            made.append((commit["name"], parent))
        git("update-ref", f"refs/heads/{BRANCH}", parent)
        return made

    def write_patches(self, made):
        place = self.lab.place / "patches"
        self.lab.remove(place)
        self.lab.git("format-patch", "-q", "--cover-letter", "--no-signature", "-o", place,
                     f"{self.base}..{BRANCH}", env=self.env)
        letter = place / "0000-cover-letter.patch"
        subject, text = cover_letter(self.manifest, self.lab.base_file("MAINTAINERS").decode())
        letter.write_text(letter.read_text().replace("*** SUBJECT HERE ***", subject)
                          .replace("*** BLURB HERE ***", text))
        say(f"the series: {len(made)} commits, branch {BRANCH} in {self.lab.linux}; "
            f"patches and cover letter in {place}")

    def summary(self, made):
        for number, (name, commit) in enumerate(made, 1):
            stat = self.lab.git("diff", "--shortstat", f"{commit}^", commit)
            numbers = re.findall(r"(\d+) (file|insertion|deletion)", stat)
            files, plus, minus = (dict((b, a) for a, b in numbers).get(what, "0")
                                  for what in ("file", "insertion", "deletion"))
            subject = self.lab.git("log", "-1", "--format=%s", commit)
            print(f"{number:3} {plus:>6} + {minus:>4} - {files:>3} files  {subject}")


# The cover letter


def fixes():
    """Upstream's fixes of drivers/dax: (verdict, subject, what was wrong, what prevents it)."""
    rows = [line.split("\t") for line in (PLACE / "fixes.tsv").read_text().splitlines()
            if line and not line.startswith("#")]
    for row in rows:
        if len(row) != 5 or row[1] not in ("yes", "partly", "no"):
            raise Stop(f"series/fixes.tsv has a line that is not five fields: {row}")
    return rows


def measured(titles):
    """Rows of the benchmark's tables, as text."""
    rows = []
    text = read(PERFORMANCE)
    for title in titles:
        row = re.search(rf"^{re.escape(title)}  +(\S+) +(\S+)(?: +([\d.]+))?", text, re.M)
        if not row:
            raise Stop(f"{PERFORMANCE} has no row {title!r}; run make bench or adapt series.toml")
        rows.append((title, *row.groups("")))
    wide = max(len(title) for title in titles)
    lines = [f"  {'':{wide}} {'C':>10} {'Rust':>10} {'ratio':>6}"]
    lines += [f"  {a:{wide}} {b:>10} {c:>10} {d:>6}" for a, b, c, d in rows]
    return "\n".join(lines)


def messages():
    """How much of the text is messages, from the benchmark's table of what the text is."""
    rows = re.findall(r"^(\w+) +Rust +(\d+) +\d+ +\d+ +\d+ +\d+ +(-?\d+) ", re.sub(
        r"^(core +Rust +\d+ +\d+ +\d+) {4,}0", r"\1 0", read(PERFORMANCE), flags=re.M), re.M)
    parts = {}
    for name, text, words in rows:
        part = parts.setdefault("core" if name == "core" else "modules", [0, 0])
        part[0] += int(words)
        part[1] += int(text)
    if len(parts) != 2:
        raise Stop(f"{PERFORMANCE} does not say what the text is; run make bench")
    share = {name: round(100 * a / b) for name, (a, b) in parts.items()}
    return f"{share['modules']} % of the text of the modules and {share['core']} % of the core's"


def cover_letter(manifest, maintainers):
    """(subject, text) of the cover letter."""
    entries = set(re.findall(r"^([A-Z].*)$", maintainers, re.M))
    asks = []
    for number, commit in enumerate(manifest.commits, 1):
        for entry in commit["for"]:
            if entry not in entries:
                raise Stop(f"series.toml: {entry!r}, whom {commit['name']} is for, is not in MAINTAINERS")
        asks += textwrap.wrap(f"{number}. {'; '.join(commit['for'])}: {commit['ask']}", 72,
                              initial_indent="  ", subsequent_indent="     ")
    rows = fixes()
    count = {what: sum(row[1] == what for row in rows) for what in ("yes", "partly", "no")}
    kinds = {}
    for row in rows:
        if row[1] != "no":
            kinds[row[4].split(":")[0]] = kinds.get(row[4].split(":")[0], 0) + 1
    share = textwrap.fill(
        f"Of {len(rows)} fixes in drivers/dax, {count['yes']} would not have been needed, "
        f"{count['partly']} only in part, and {count['no']} would have been needed all the same. "
        "What prevents them: " + ", ".join(
            f"{kind} ({n})" for kind, n in sorted(kinds.items(), key=lambda k: -k[1])) + ".", 72)
    text = read(PLACE / "cover.txt")
    subject, body = text.split("\n\n", 1)
    values = {"faults": measured(manifest.data["cover"]["faults"]),
              "regions": measured(manifest.data["cover"]["regions"]),
              "sizes": measured(manifest.data["cover"]["sizes"]),
              "messages": messages(), "asks": "\n".join(asks), "fixes": share}
    for name, value in values.items():
        if body.count(f"@{name}@") != 1:
            raise Stop(f"series/cover.txt does not have @{name}@ once")
        body = body.replace(f"@{name}@", value)
    return subject.strip(), body.strip()


# Checking


class Check:
    """Builds and looks at each commit."""

    def __init__(self, series, made):
        self.series, self.lab, self.made = series, series.lab, made
        # Linux's own files that have our patches, too.
        self.ours = [*series.manifest.files, *{path for name in series.manifest.config["patches"]
                                               for path in overlay.patched_files(
                                                   PROJECT / overlay.PATCHES / f"{name}.patch")}]
        self.results = self.lab.place / "passed"
        self.results.mkdir(exist_ok=True)

    def note(self, commit, what):
        """Where it is written down that a check of a commit passed."""
        tree = self.lab.git("rev-parse", f"{commit}^{{tree}}")
        return self.results / digest(
            what, tree, self.lab.git("log", "-1", "--format=%B", commit) if what == "text" else "",
            read(self.lab.toolchain / ".made-of"), *map(read, self.fragments()))[:24]

    @staticmethod
    def fragments():
        return [machine.HERE / name for name in machine.FRAGMENTS["series"]]

    def run(self):
        start = time.monotonic()
        # What takes seconds first, for all of them.
        failed = not all([self.checked(number, name, commit, "text", self.text)
                          for number, (name, commit) in enumerate(self.made, 1)])
        for what, check in (("build", self.build), ("rustdoc", self.rustdoc)):
            # The first failure is in all commits that follow.
            failed |= not all(self.checked(number, name, commit, what, check)
                              for number, (name, commit) in enumerate(self.made, 1))
        minutes = int(time.monotonic() - start) // 60
        if failed:
            raise Stop("the series does not pass; adapt it and run make series-check again, "
                       "it goes on with what did not pass")
        say(f"all {len(self.made)} commits pass, in {minutes} minutes")

    def checked(self, number, name, commit, what, check):
        note, title = self.note(commit, what), f"{number}/{len(self.made)} {name}"
        if note.exists():
            say(f"{title}: {what}: passed before")
            return True
        self.lab.git("checkout", "-q", "--detach", commit)
        try:
            found = check(title, commit)
        except Stop as why:
            found = [f"{why}"]
        if found:
            print("\n".join(found[:60]))
            say(f"{title}: {what}: does not pass")
            return False
        say(f"{title}: {what}: passed")
        note.write_text(title)
        return True

    def text(self, title, commit):
        files = [f"/linux/{path}" for path in self.series.manifest.files
                 if path.endswith(".rs") and (self.lab.linux / path).is_file()
                 if not path.startswith("tools/")]
        found = []
        if files:
            status, log = self.lab.logged("series-rustfmt.log", self.lab.inside(
                ["rustfmt", "--check", "--edition", "2021", "--config-path", "/linux/.rustfmt.toml", *files]))
            found += log.splitlines() if status else []
        ignored = list(self.series.manifest.data["checkpatch-ignore"])
        for entry in self.series.manifest.commits:
            if title.endswith(f" {entry['name']}"):
                ignored += entry.get("checkpatch-ignore", [])
        patch = self.lab.place / "checked.patch"
        patch.write_bytes(self.lab.git("format-patch", "-1", "--stdout", commit, check=False).stdout)
        _, log = self.lab.logged("series-checkpatch.log", self.lab.inside(
            ["perl", "/linux/scripts/checkpatch.pl", "--root=/linux", "--no-summary", "--terse",
             "--show-types", "--ignore", ",".join(ignored),
             "/build/series/checked.patch"]))
        return found + log.splitlines()

    def build(self, title, commit):
        lab, out = self.lab, self.lab.out("series")
        if not out.exists():
            self.age()
        targets = ["drivers/dax/"]
        if commit == self.made[-1][1] or any(path.startswith("samples/") for path in self.changed(commit)):
            targets.append("samples/")
        found = checks.complaints(
            lab.compile("series", ["CLIPPY=1", "W=1", *targets], f"{title}: build"), self.ours)
        if found:
            # make would not say it again.
            for path in ("rust/kernel.o", "rust/helpers/helpers.o", "drivers/dax", "samples"):
                lab.remove(out / path)
        return found

    def rustdoc(self, title, commit):
        if not any(path.startswith("rust/") for path in self.changed(commit)):
            return []
        return checks.complaints(
            self.lab.compile("series", ["rustdoc"], f"{title}: rustdoc"), self.ours)

    def changed(self, commit):
        return self.lab.git("diff", "--name-only", f"{commit}^", commit).splitlines()

    def age(self):
        """Objects may be copied from another kernel: let those be made again that differ."""
        changed = self.lab.git("diff", "--name-only", "--diff-filter=M", self.series.base, BRANCH)
        self.lab.git("checkout", "-q", "--detach", self.series.base)
        for path in changed.splitlines():
            os.utime(self.lab.linux / path)


class CheckLab(SeriesLab):
    def configure(self, impl):
        """As for a kernel, but what the fragments ask for may come with a later commit."""
        out = self.out(impl)
        kconfigs = self.git("ls-tree", "-r", "HEAD", "drivers/dax/Kconfig", "samples/Kconfig", "samples/rust/Kconfig")
        made_of = digest(self.source_version(), kconfigs, *map(read, Check.fragments()))
        if (out / ".config").is_file() and read(out / ".configured") == made_of:
            return
        (out / ".configured").unlink(missing_ok=True)
        paths = " ".join("/project/" + str(path.relative_to(PROJECT)) for path in Check.fragments())
        make = " ".join(self.make_command(impl))
        status, _ = self.logged("config-series.log", self.inside(["sh", "-ec", (
            f"{make} allnoconfig; cd /linux; "
            f"KCONFIG_CONFIG=/out/.config scripts/kconfig/merge_config.sh -m -O /out /out/.config {paths}; "
            f"{make} olddefconfig")], impl))
        if status:
            raise Stop(f"the kernel could not be configured; read {self.logs}/config-series.log")
        (out / ".configured").write_text(made_of)


def run(build, what):
    lab = CheckLab(build)
    try:
        series = Series(lab)
        made = series.make()
        if what == "make":
            series.summary(made)
            series.write_patches(made)
        else:
            Check(series, made).run()
    # lab.py, as the program that runs, is another module with another Stop.
    except (Stop, overlay.Refused) as stop:
        print(f"dax: {stop}.", file=sys.stderr)
        return 1
    return 0
