#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check the documents: what they quote is what the code says.

- Each message of the drivers is in the tables of the admin guide, and each that is
  there is in the drivers. In the tables <...> stands for what the code fills in.
- What a document refers to or includes is there, and each document is in a table of
  contents.
- The documents are valid reStructuredText, where docutils is installed.

The last line is "N passed, N failed".
"""

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[4]
DOCS = PROJECT / "Documentation"
GUIDE = DOCS / "admin-guide/device-dax.rst"
STRING = r'"((?:[^"\\]|\\.)*)"'
MACRO = re.compile(r"\b(?:dev|pr)_(?:warn|err|info)(?:_ratelimited)?!\(([^;]*?)" + STRING, re.S)


def sources():
    files = [*PROJECT.glob("drivers/dax/**/*.rs"), *PROJECT.glob("rust/kernel/dax/**/*.rs")]
    return {path: re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M)
            for path in sorted(files) if "kunit" not in path.name}


def normal(text):
    """What a message is but for what is filled in."""
    text = re.sub(r"\\\n\s*", "", text).replace("\\n", "")
    text = re.sub(r"(?:0x)?\{[^}]*\}|<[^>]*>", "*", text).strip()
    # The number of a mapping, and where it is, are one thing in kmem; elsewhere, from where to where.
    text = text.replace("mapping*: *-*", "mapping*").replace("*-*", "*")
    # Whom it is about.
    return re.sub(r"^\*: (?=mmap |mapping |cannot be)", "", text)


def said(path, text):
    """The messages of a file, each with its place in the guide's form."""
    for found in MACRO.finditer(text):
        yield found[2]
    # What messages are put together from.
    for display in re.findall(r"impl fmt::Display for Error \{(.*?)\n\}", text, re.S):
        yield from re.findall(STRING, display)
    # What is wrong with an info block, with # and % for numbers, and what to do about it.
    for sentence in re.findall(r"\b(?:what:|remedy:|&str =) " + STRING, text):
        yield re.sub(r"[#%]", "{}", sentence)
    for what, why in re.findall(r'\brefuse!\(\s*dev,\s*"([\w ]+)",\s*' + STRING, text):
        yield f"{what} refused: {why}"
    # Advice that ends with the instance.
    for advice in re.findall(r"\badvise\(\s*dev,\s*fmt!\(\s*" + STRING, text):
        yield f"{advice} {{}}"
    if "core" in path.parts and ("region" in path.parts or path.name == "region.rs"):
        yield from re.findall(r"refused\(&?" + STRING, text)
        yield from re.findall(r"fmt!\(" + STRING, text)


# Messages that only hold together what others say.
FRAMES = {"* *", "*: *; * *", "*: * refused: *", "*", "delete refused: *", "size *", "mapping *", "align *",
          "dax*.*", "mapping*"}
PREFIXES = ("delete refused: ",)


def messages():
    code, everything = set(), set()
    for path, text in sources().items():
        everything.update(normal(found) for found in [*re.findall(STRING, text), *said(path, text)])
        code.update(normal(found).removeprefix("* refused: ") for found in said(path, text))
    everything |= code
    quoted = {normal(found) for found in
              re.findall(r"^   (?:\* -|  -) ``([^`]+ [^`]+)``$", GUIDE.read_text(), re.M)}
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
    """Mentioned in a text, not in a cell of its own."""
    flat = re.sub(r"\s+", " ", GUIDE.read_text())
    return f"``{text}``" in flat


def framed(text):
    """Made of frames that the code has: WHAT refused: WHY."""
    what = text.removesuffix(" refused: *")
    return what in ("size *", "align *", "mapping *", "dax region of *")


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
                ("Documentation/driver-api/dax/", "Documentation/admin-guide/device-dax"))
            yield f"{name} refers to {found}", "" if mine else "no such document"
        for found in re.findall(r"\b((?:drivers/dax|rust/kernel|samples/rust|tools/testing(?:/selftests)?/dax)/"
                                r"[\w/.-]*\w)", text):
            # Of an object there is the source.
            here = (PROJECT / re.sub(r"\.o$", ".rs", found)).exists() or found in UPSTREAM
            yield f"{name} refers to {found}", "" if here else "no such file"
        if path.parent in (DOCS, DOCS / "performance"):
            continue  # Reports; no chapters of a book.
        tocs = [other.read_text() for other in documents if other.name == "index.rst"]
        stem = path.parent.name + "/index" if path.name == "index.rst" else path.stem
        yield (f"{name} is in a table of contents",
               "" if any(re.search(rf"^   {re.escape(path.stem)}$", toc, re.M) for toc in tocs)
               or f"\n+   {stem}\n" in listed else "it is not")


# Files of Linux itself.
UPSTREAM = {"drivers/dax/bus.h", "drivers/dax/dax-private.h"}


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
        roles.register_generic_role(name, docutils.nodes.literal)
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
    for check in (messages, references, syntax):
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
