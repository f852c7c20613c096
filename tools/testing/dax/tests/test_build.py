# SPDX-License-Identifier: GPL-2.0
"""Tests of a built kernel: it has Rust code and no upstream code, and some programs cannot be built."""

import json
import re

import pytest
from env import BUILD, HERE, LAB, inside

# Functions that only upstream's C has: file -> names.
ONLY_IN_C = {
    "super.c": ["dax_init_fs_context", "dax_destroy_inode", "dax_fs_init"],
    "bus.c": ["trim_dev_dax_range", "adjust_dev_dax_range", "do_id_store", "dax_mapping_release"],
    "device.c": ["__dev_dax_pmd_fault", "dev_dax_huge_fault", "dax_mmap_prepare"],
    "pmem.c": ["__dax_pmem_probe"],
    "fsdev.c": ["fsdev_dax_probe", "__fsdev_dax_direct_access", "fsdev_clear_folio_state"],
    "kmem.c": ["dev_dax_kmem_probe", "dax_kmem_do_hotplug", "dax_kmem_init_resources"],
    "hmem/device.c": ["__hmem_register_resource", "hmem_init"],
    "hmem/hmem.c": ["__hmem_register_device", "dax_hmem_platform_probe", "process_defer_work"],
    "cxl.c": ["cxl_dax_region_probe", "cxl_dax_region_driver_register"],
}
MODULES = {"device_dax": "dax:t0*", "dax_pmem": "nd:t7*", "kmem": "dax:t0*",
           "fsdev_dax": "dax:t0*", "dax_hmem": "platform:hmem*", "dax_cxl": "cxl:t8*"}


def symbols(path, *options):
    status, output = inside("llvm-nm", *options, path)
    if status:
        raise RuntimeError(f"nm {path}: {output.strip()}")
    return [line.split()[-1] for line in output.splitlines() if line.split()]


def kernel():
    """The kernel image and the modules have our Rust code, and none of upstream's C code."""
    ko = {name: f"/build/kernel-rust/modules/{path.relative_to(BUILD / 'kernel-rust/modules')}"
          for name in MODULES
          for path in (BUILD / "kernel-rust/modules").rglob(f"{name}.ko")}
    image = set(symbols("/build/kernel-rust/vmlinux"))
    module = {name: set(symbols(path)) for name, path in ko.items()}
    everywhere = image.union(*module.values())
    for file, names in ONLY_IN_C.items():
        yield f"nothing of {file} is in the kernel", ", ".join(everywhere.intersection(names))
    _, members = inside("llvm-ar", "t", "/out/drivers/dax/built-in.a", impl="rust")
    yield ("the built-in part of drivers/dax is not upstream's",
           ", ".join(re.findall(r"\b(?:super|bus)\.o", members)))
    core = [name for name in image if name.startswith("_R") and "8dax_core" in name]
    yield "the core in the kernel image is Rust", "" if core else "it has no symbol of dax_core"
    for name, alias in MODULES.items():
        if name not in ko:
            yield f"{name} is built", "there is no such module"
            continue
        rust = [symbol for symbol in module[name] if symbol.startswith("_R")]
        yield f"{name} is Rust", "" if rust else "it has no Rust symbol"
        fields = {key: inside("modinfo", "-F", key, ko[name])[1].split("\n")[0]
                  for key in ("name", "license", "description", "author", "alias")}
        yield f"modinfo names {name}", "" if fields["name"] == name else fields["name"]
        yield (f"{name} has licence, author and description",
               "" if fields["license"].startswith("GPL") and fields["author"] and fields["description"]
               else str(fields))
        yield f"{name} is loaded for {alias}", "" if fields["alias"] == alias else fields["alias"]


def test_kernel(report):
    report(kernel())


def test_panics(report):
    """No code of ours refers to Rust's panics."""
    report((f"{where} refers to nothing in core::panicking", panic) for where, panic in LAB.panics("rust"))


# Symbols that our part of the kernel crate uses although Linux does not export them: symbol -> reason.
NOT_EXPORTED = dict.fromkeys(
    ("pfnmap_track", "pfnmap_untrack"),
    "mm::memremap::write_back calls them in functions that are never inlined, and has another way in a module")


def test_exports(report):
    """Rust modules use only symbols that Linux exports to C modules. Our part of the kernel crate is
    built in, but modules call it and inline it, so the same rule applies there."""
    report((f"{where} refers to nothing that is not exported",
            ", ".join(symbol for symbol in symbols if symbol not in NOT_EXPORTED))
           for where, symbols in LAB.unexported("rust"))


# ---- programs that must not compile; see the README beside them ----

# The programs in compile_fail are compiled with the command with which Kbuild compiled this module.
LIKE = "drivers/dax/dax_pmem"


def errors(name, rustc):
    """The compiler's errors about a program of compile_fail."""
    _, output = inside("sh", "-c", f"cd /out && RUSTC_BOOTSTRAP=1 {rustc} --error-format=json --emit=metadata --out-dir /tmp "
                       f"/project/tools/testing/dax/compile_fail/{name}", impl="rust")
    said = []
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            # This line is not from the compiler; perhaps the shell did not find it.
            said.append({"level": "error", "code": None, "rendered": line})
            continue
        if message.get("level", "").startswith("error") and "aborting due to" not in message["message"]:
            said.append(message)
    return said


PROGRAMS = sorted((HERE / "compile_fail").glob("*.rs"))


def head_of(program):
    """The expectation in a program's header: ("compiles", None, None), or (None, code of the error, text
    that the error must contain)."""
    head = re.search(r"^// (?:(compiles)|fails: (E\d{4}|none) (.+))$", program.read_text(), re.M)
    assert head, "it has no line \"// fails: CODE TEXT\""
    return head.groups()


def test_compile_fail_control():
    assert any(head_of(program)[0] for program in PROGRAMS), "there is no program that must compile"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_compile_fail(program):
    control, code, text = head_of(program)
    kept = (LAB.out("rust") / f"{LIKE.replace('dax/', 'dax/.')}.o.cmd").read_text()
    rustc = re.search(r":= (.*? RUST_MODFILE=\S+ rustc .*? --sysroot=\S+) ", kept)[1]
    said = errors(program.name, rustc.replace(LIKE, f"compile_fail/{program.name}"))
    rendered = "\n".join(message["rendered"] for message in said)
    if control:
        assert not said, rendered
        return
    assert said, "it compiles"
    for message in said:
        # Errors about lifetimes have no code.
        assert (message["code"] or {}).get("code", "none") == code, rendered
        assert text in " ".join(message["rendered"].split()), rendered
    lines = {span["line_start"] for message in said for span in message.get("spans", ())
             if span["is_primary"]}
    assert len(lines) == 1, f"it fails in more than one line:\n{rendered}"
