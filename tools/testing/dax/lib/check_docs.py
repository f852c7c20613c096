#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check the documents against the code.

- Each message of the drivers is in a table of the admin guide, and each message in
  those tables is in the drivers. In the tables <...> stands for a value that the code
  fills in.
- Each file that a document refers to or includes exists, and each document is in a
  table of contents.
- Each bug of upstream that a test names has a page, and the page names the test; see
  Documentation/driver-api/dax/upstream-bugs/index.rst.
- The documents are valid reStructuredText. This check needs docutils.
- The prose of the project avoids the words and constructions in WORDS.

The last line is "N passed, N failed".
"""

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[4]
DOCS = PROJECT / "Documentation"
GUIDES = [DOCS / "admin-guide/device-dax.rst", DOCS / "admin-guide/daxfile.rst"]
STRING = r'"((?:[^"\\]|\\.)*)"'
MACRO = re.compile(r"\b(?:dev|pr)_(?:warn|err|info)(?:_ratelimited)?!\(([^;]*?)" + STRING, re.S)


def sources():
    files = [*PROJECT.glob("drivers/dax/**/*.rs"), *PROJECT.glob("rust/kernel/dax/**/*.rs")]
    return {path: re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M)
            for path in sorted(files) if "kunit" not in path.name}


def guides():
    return "\n".join(path.read_text() for path in GUIDES)


def normal(text):
    """A message with "*" in place of each value that is filled in."""
    text = re.sub(r"\\\n\s*", "", text).replace("\\n", "")
    text = re.sub(r"(?:0x)?\{[^}]*\}|<[^>]*>", "*", text).strip()
    # kmem prints the number of a mapping and its addresses; others print a start and an end.
    text = text.replace("mapping*: *-*", "mapping*").replace("*-*", "*")
    # The name of the process or device in the prefix.
    return re.sub(r"^\*: (?=mmap |mapping |cannot be)", "", text)


def said(path, text):
    """The messages of a file, in the form in which the guide quotes them."""
    for found in MACRO.finditer(text):
        yield found[2]
    # Strings from which messages are assembled.
    for display in re.findall(r"impl fmt::Display for Error \{(.*?)\n\}", text, re.S):
        yield from re.findall(STRING, display)
    # Complaints about info blocks, with #, % and @ for values, and their remedies.
    for sentence in re.findall(r"\b(?:what:|remedy:|&str =) " + STRING, text):
        yield re.sub(r"[#%@]", "{}", sentence)
    for what, why in re.findall(r'\brefuse!\(\s*dev,\s*"([\w ]+)",\s*' + STRING, text):
        yield f"{what} refused: {why}"
    if "daxfile" in path.name or "daxfile" in path.parts:
        for what, why in re.findall(r'\brefuse!\(\s*"([\w ]+)",\s*' + STRING, text):
            yield f"{what} refused: {why}"
        for why in re.findall(r"\b(?:Refusal(?:::err)?|Because)\(\s*\w+,\s*" + STRING, text):
            yield f"seal refused: {why}"
        # Functions and constants that give a reason for an error.
        for why in re.findall(r"(?:&str = |[{;]\n\s+)" + STRING + r"(?:;|\n\s+\})", text):
            if " " in why:
                yield f"seal refused: {why}"
    # Why an address is refused, which the driver logs.
    for why in re.findall(r"\brefuse\(fmt!\(\s*" + STRING, text):
        yield f"mapping refused: {why}"
    # Advice, to which the name of the instance is appended.
    for advice in re.findall(r"\badvise\(\s*dev,\s*fmt!\(\s*" + STRING, text):
        yield f"{advice} {{}}"
    if "core" in path.parts and ("region" in path.parts or path.name == "region.rs"):
        yield from re.findall(r"refused\(&?" + STRING, text)
        yield from re.findall(r"fmt!\(" + STRING, text)


# Format strings that only join other messages.
FRAMES = {"* *", "*: *; * *", "*: * refused: *", "*", "delete refused: *", "size *", "mapping *", "align *",
          "memmap *", "dax*.*", "mapping*", "mapping refused: *", "seal refused: *"}
PREFIXES = ("delete refused: ",)


def messages():
    code, everything = set(), set()
    for path, text in sources().items():
        everything.update(normal(found) for found in [*re.findall(STRING, text), *said(path, text)])
        code.update(normal(found).removeprefix("* refused: ") for found in said(path, text))
    everything |= code
    quoted = {normal(found) for found in
              re.findall(r"^   (?:\* -|  -) ``([^`]+ [^`]+)``$", guides(), re.M)}
    without = {next((text.removeprefix(p) for p in PREFIXES if text.startswith(p)), text)
               for text in quoted}

    for text in sorted(code - FRAMES):
        yield (f"the guide has \"{text}\"",
               "" if text in quoted | without or covered(text, quoted) else "it does not")
    for text in sorted(quoted):
        parts = [text, *(text.removeprefix(p) for p in PREFIXES)]
        yield (f"the code says \"{text}\"",
               "" if any(part in everything for part in parts) or framed(text) else "it does not")


def covered(text, quoted):
    """Whether running text of the guide quotes the message, instead of a cell of a table."""
    flat = re.sub(r"\s+", " ", guides())
    return f"``{text}``" in flat


def framed(text):
    """Whether the message is a frame of the code: WHAT refused: WHY."""
    what = text.removesuffix(" refused: *")
    return what in ("size *", "align *", "mapping *", "memmap *", "dax region of *")


def references():
    documents = sorted(DOCS.rglob("*.rst"))
    listed = (PROJECT / "patches/documentation.patch").read_text()
    for path in documents:
        text = path.read_text()
        name = path.relative_to(PROJECT)
        for found in re.findall(r"^\.\. literalinclude:: (\S+)", text, re.M):
            yield f"{name} includes {found}", "" if (path.parent / found).is_file() else "no such file"
        for found in re.findall(r"\b(Documentation/[\w/.-]+\.rst)", text):
            mine = (PROJECT / found).is_file() or not found.startswith(
                ("Documentation/driver-api/dax/", "Documentation/admin-guide/device-dax",
                 "Documentation/admin-guide/daxfile"))
            yield f"{name} refers to {found}", "" if mine else "no such document"
        for found in re.findall(r"\b((?:drivers/dax|rust/kernel|samples/rust|tools/testing(?:/selftests)?/dax)/"
                                r"[\w/.-]*\w)", text):
            # For an object file, look for its source.
            here = (PROJECT / re.sub(r"\.o$", ".rs", found)).exists() or UPSTREAM.fullmatch(found)
            yield f"{name} refers to {found}", "" if here else "no such file"
        if path.parent in (DOCS, DOCS / "performance"):
            continue  # Reports, which no table of contents lists.
        tocs = [other.read_text() for other in documents if other.name == "index.rst"]
        stem = path.parent.name + "/index" if path.name == "index.rst" else path.stem
        yield (f"{name} is in a table of contents",
               "" if any(re.search(rf"^   {re.escape(stem)}$", toc, re.M) for toc in tocs)
               or f"\n+   {stem}\n" in listed else "it is not")


# Files of Linux itself.
UPSTREAM = re.compile(r"drivers/dax/(bus\.[ch]|dax-private\.h|(super|device|fsdev|kmem|pmem|cxl|hmem/hmem)\.c)")

BUGS = DOCS / "driver-api/dax/upstream-bugs"
FIXES = PROJECT / "tools/testing/dax/upstream-fixes"
# How a test names bugs of upstream: one name, or several in the head of a selftest.
MARKS = re.compile(r"\bc_known_wrong \w+ ([a-z][\w-]*)|\bhas_bug ([a-z][\w-]*)|\bupstream-bugs/([a-z][\w-]*)\b"
                   r"|^# bug: (.+)", re.M)
# A line of a selftest with a known failure that has a name, or is in lib.sh.
NAMED = re.compile(r"c_known_wrong(\(\)| \w+ [a-z][\w-]* )|C: known wrong: ([a-z][\w-]+|\$2): ")


def marks():
    """For each bug, the tests and libraries that name it."""
    found = {}
    files = [*PROJECT.glob("tools/testing/selftests/dax/*.sh"), *PROJECT.glob("tools/testing/dax/*/*.py")]
    for path in files:
        if path.name != Path(__file__).name:
            for names in MARKS.findall(path.read_text()):
                for name in " ".join(names).split():
                    found.setdefault(name, set()).add(path.stem)
    return found


def upstream_bugs():
    marked = marks()
    pages = {path.stem: path.read_text() for path in sorted(BUGS.glob("*.rst")) if path.stem != "index"}
    index = (BUGS / "index.rst").read_text()
    for name in sorted(marked):
        yield (f"{name}, which {', '.join(sorted(marked[name]))} name, has a page",
               "" if name in pages else "it has none")
    patches = {path.stem: path.read_text() for path in FIXES.glob("*.patch")}
    for name, text in pages.items():
        said = re.search(r"^:Tests: ((?:.+\n)(?:  .+\n)*)", text, re.M)
        tests = set(re.findall(r"[\w-]+", said[1])) if said else set()
        yield (f"{name}.rst names the tests that name it", "" if tests and tests == marked.get(name, set()) else
               f"the page: {sorted(tests)}; the tests: {sorted(marked.get(name, set()))}")
        yield (f"{name} is in the table of the index",
               "" if f"* - :doc:`{name}`\n" in index else "it is not")
        patch = re.search(r"^:Patch: (?:none|tools/testing/dax/upstream-fixes/([\w-]+)\.patch)$", text, re.M)
        fixing = [stem for stem, mail in patches.items() if name in fixed(mail)]
        yield (f"{name}.rst names its patch", "" if patch and fixing == [patch[1]] * bool(patch[1]) else
               f"these patches name it: {fixing}")
    for stem, mail in patches.items():
        yield (f"{stem}.patch names pages", "" if fixed(mail) and set(fixed(mail)) <= set(pages) else "it does not")
    # A mark without a name.
    for path in sorted(PROJECT.glob("tools/testing/selftests/dax/*.sh")):
        wrong = [line.strip() for line in path.read_text().splitlines()
                 if re.search(r"known.wrong", line) and not line.startswith("#")
                 and not NAMED.search(line)]
        yield f"each known failure in {path.name} names a page", "; ".join(wrong)


def fixed(mail):
    """The bugs that a patch fixes, as its header says."""
    found = re.search(r"^X-Upstream-Bugs: (.+)$", mail, re.M)
    return found[1].split() if found else []


# The prose of the project, and patterns of words and constructions that it avoids; see glossary.rst.
PROSE = ("README.md", "Makefile", "Documentation", "drivers", "include", "patches", "rust", "samples", "tools")
TEXTS = {".c", ".config", ".h", ".ini", ".md", ".patch", ".py", ".rs", ".rst", ".sh", ".toml", ""}
WORDS = [re.compile(pattern) for pattern in (
    r"\b[Ff]olders?\b",
    r"\b[Oo]f (which|whom|whose)\b",
    r"\b[Pp]age[ _-]maps?\b",
    r"\b(Guest|Hosted|Manner|Turn)\b",
    r"\bis that of no\b|(?<!there )\b(is|are) none\b(?! of)|\bnone of the kind\b",
    r"\b(is|are|was|were|be) told\b",
    r"(^|[.:;] +|//[/!]? +|^\s*[*#] +)(What|Who|Whom|Whoever|Whatever) "
    r"(it|he|is|was|are|were|has|had|have|of|they|cannot|can|stays|marks|holds|only|finds)\b",
    r"\bbut for\b|\bas ever\b|\bno more so\b|\bbe it\b|\bfor ever\b",
    r"\bwithout a word\b|\bof late\b|\bin either\b place",
    r"\bin front of\b",
    r"\b[Ww]hat (of|there is|it had|it has)\b",
    r"\b(sees|saw|seen|looks) to\b(?! be)",
    r"\b(the one|somebody|anybody) who\b",
    r", as (is|are|was|does|do) that of\b",
    r"\bso is (it|what|whatever)\b",
    r"\b[Ww]hoever\b",
    r"\byielded\b|\bhas_yielded\b",
    r"\bpieces? of\b|\b(a|each|the|of) pieces?\b",
)]
# The glossary lists such words, and this file has the patterns.
QUOTING = {"Documentation/driver-api/dax/glossary.rst", "tools/testing/dax/lib/check_docs.py"}
# Files that are not yet free of them. Remove a file from this list when it is.
EXEMPT = ("tools/testing/dax/machine/stock.py", "tools/testing/dax/overlay.py",
          "tools/testing/dax/test_overlay.py")


def words():
    files = [path for name in PROSE for path in ([PROJECT / name] if (PROJECT / name).is_file()
                                                 else sorted((PROJECT / name).rglob("*")))]
    for path in files:
        name = str(path.relative_to(PROJECT))
        if (path.suffix not in TEXTS or not path.is_file() or "__pycache__" in name or name in QUOTING
                or name.startswith(EXEMPT)):
            continue
        lines = path.read_text().splitlines()
        found = [f"\n  {name}:{number}: {line.strip()}" for number, line in enumerate(lines, 1)
                 # In a patch, only the lines that it adds are the project's.
                 if (path.suffix != ".patch" or line.startswith("+"))
                 and any(pattern.search(line) for pattern in WORDS)]
        yield f"{name} has no word that the glossary replaces", "".join(found)


def syntax():
    try:
        import docutils.core
        from docutils.parsers.rst import Directive, directives, roles
    except ImportError:
        return

    class Ignored(Directive):
        optional_arguments, final_argument_whitespace, has_content = 1, True, True
        option_spec = {name: directives.unchanged
                       for name in ("maxdepth", "language", "lines", "titlesonly")}

        def run(self):
            return []

    for name in ("toctree", "literalinclude"):
        directives.register_directive(name, Ignored)
    for name in ("doc", "ref"):
        roles.register_local_role(name, roles.GenericRole(name, docutils.nodes.literal))
    for path in sorted(DOCS.rglob("*.rst")):
        warnings = Lines()
        docutils.core.publish_string(path.read_text(), str(path), writer_name="null", settings_overrides={
            "warning_stream": warnings, "report_level": 1, "halt_level": 6})
        yield f"{path.relative_to(PROJECT)} is valid", "".join(warnings.lines)


class Lines:
    def __init__(self):
        self.lines = []

    def write(self, text):
        self.lines.append(text)


def main():
    passed = failed = 0
    for check in (messages, references, upstream_bugs, words, syntax):
        for what, wrong in check():
            if wrong:
                failed += 1
                print(f"{what}: {wrong}")
            else:
                passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
