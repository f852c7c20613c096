# SPDX-License-Identifier: GPL-2.0
"""The locked instructions of an operation that was followed, and the cache lines that it writes.

Per-CPU memory, the stack and user space do not count: no other processor uses these lines at the same
time.
"""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field

import follow

LINE, STACK = 64, 1 << 14
PREFIXES = bytes.fromhex("66 67 f2 f3 2e 36 3e 26 64 65 f0")
LOCK = 0xf0
# An instruction that llvm-mc prints between two others.
BETWEEN = bytes.fromhex("49 bf ef cd ab 90 78 56 34 12")
BETWEEN_TEXT = re.compile(r"movabsq\t\$1311768467294899695, %r15.*")
# Prefixes that llvm-mc prints on a line of their own, or before the name.
PREFIX_TEXT = re.compile(r"^((lock|rep\w*|data16|notrack)\s+)+")
REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{i}" for i in range(8, 16)),
             "rip")
# Where the base of gs is in the registers that gdb's stub sends, in bytes.
GS_BASE = 17 * 8 + 4 + 6 * 4 + 8
# Instructions that do not write to their last operand.
NO_STORE = re.compile(r"(cmp(?!xchg)|test|bt[bwlq]?$|nop|prefetch|lea|push|call|j|ucomis|comis|ld|verr|"
                      r"i?mul[bwlq]$|i?div[bwlq]$|clflush|clwb|lgdt|lidt|inv|fld|rdgs|wrgs)")
MEMORY = re.compile(r"(?P<segment>%[c-gs]s:)?(?P<off>-?\d+)?"
                    r"\((?P<base>%\w+)?(?:,\s*(?P<index>%\w+)(?:,\s*(?P<scale>\d))?)?\)$")


@dataclass
class Writes:
    """The result for one operation. Each Counter is of follow.Symbol."""

    locked: Counter = field(default_factory=Counter)
    lines: dict = field(default_factory=dict)       # address of a line -> Counter

    def both(self, other):
        """The lines that this operation and the other one write, with the functions of this one."""
        return {line: who for line, who in self.lines.items() if line in other.lines}


def disassemble(code, inside):
    """A dictionary from addresses to the text of the instruction there. CODE has the bytes."""
    blocks = "\n".join("[" + " ".join(f"0x{byte:02x}" for byte in block) + "]"
                       for one in code.values() for block in (one, BETWEEN))
    done = subprocess.run(inside(["llvm-mc", "--disassemble", "--triple=x86_64"]), input=blocks,
                          capture_output=True, text=True, check=False)
    found = BETWEEN_TEXT.split(done.stdout)
    if len(found) != len(code) + 1:
        raise ValueError(f"llvm-mc printed {len(found) - 1} instructions instead of {len(code)}")
    return {address: first(text) for address, text in zip(code, found)}


def first(text):
    """The first instruction of a text, on one line."""
    text = text.strip().removeprefix(".text").strip()
    prefix = PREFIX_TEXT.match(text)
    rest = text[prefix.end():] if prefix else text
    return " ".join([*(prefix[0].split() if prefix else []), *rest.splitlines()[:1]])


def is_locked(code, text):
    for byte in code:
        if byte == LOCK:
            return True
        if byte not in PREFIXES:
            break
    return bool(re.match(r"xchg\w*\s.*\(", text))


def operands(text):
    """The name of the instruction, and its operands."""
    text = PREFIX_TEXT.sub("", text.split("#")[0].strip())
    name, _, rest = text.partition("\t")
    return name.strip(), re.split(r",\s*(?![^(]*\))", rest.strip()) if rest.strip() else []


def destination(text):
    """The match of MEMORY for the memory that an instruction writes, or None."""
    name, ops = operands(text)
    if not ops or NO_STORE.match(name):
        return None
    if name.startswith("xchg") and "(" in ops[0]:
        return MEMORY.match(ops[0])
    return MEMORY.match(ops[-1])


class Registers:
    """The registers, as gdb's stub sends them."""

    def __init__(self, text):
        self.text = text

    def at(self, byte):
        return int.from_bytes(bytes.fromhex(self.text[2 * byte:2 * byte + 16]), "little")

    def named(self, name):
        return self.at(8 * REGISTERS.index(name.lstrip("%")))

    def address(self, memory, following):
        """The address of a memory operand. FOLLOWING is the address of the next instruction."""
        address = int(memory["off"] or 0)
        if memory["base"]:
            address += following if memory["base"] == "%rip" else self.named(memory["base"])
        if memory["index"]:
            address += self.named(memory["index"]) * int(memory["scale"] or 1)
        return address % (1 << 64)


def of(trace, registers, code, texts, owners, percpu):
    """The Writes of a trace. PERCPU is the offset and the size of the per-CPU area from the base of gs."""
    found = Writes()
    for i, rip in enumerate(trace):
        if rip < 1 << 63:
            continue
        who = owners.at(rip)
        if is_locked(code[rip], texts[rip]):
            found.locked[who] += 1
        memory = destination(texts[rip])
        if not memory or memory["segment"] == "%gs:":
            continue
        now = Registers(registers[i])
        address = now.address(memory, trace[i + 1] if i + 1 < len(trace) else rip)
        area = (address - now.at(GS_BASE) - percpu[0]) % (1 << 64)
        if address < 1 << 63 or address // STACK == now.named("rsp") // STACK or area < percpu[1]:
            continue
        found.lines.setdefault(address // LINE * LINE, Counter())[who] += 1
    return found
