# SPDX-License-Identifier: GPL-2.0
"""The kselftests of tools/testing/selftests/dax, and KUnit's tests, in the reference machines."""

import sys

import pytest
import selftests
from env import BUILD, IN_C
from outcome import Outcome


def parameters():
    for test in selftests.selftests().values():
        marks = [getattr(pytest.mark, test.machine)]
        if test.tier == "all":
            marks.append(pytest.mark.tier_all)
        if why := test.unfit():
            marks.append(pytest.mark.skip(reason=why))
        yield pytest.param(test.boot, test, id=test.name, marks=marks)


@pytest.mark.parametrize(("machine", "test"), list(parameters()), indirect=["machine"], scope="session")
def test_selftest(machine, test, report):
    report(machine.test(test))


KUNIT = r"""
for module in $(find "/lib/modules/$(uname -r)" -name 'dax*kunit*.ko' -printf '%f\n'); do
	dmesg -C
	modprobe "${module%.ko}" && dmesg -t && modprobe -r "${module%.ko}"
done
"""


def kunit(lines, status):
    """The outcome from KUnit's output, with the kernel's own parser."""
    sys.path.append(str(BUILD / "linux/tools/testing/kunit"))
    import kunit_parser
    from kunit_printer import null_printer

    outcome = Outcome()
    whole = kunit_parser.parse_run_tests(lines, null_printer)

    def look(test, name):
        name = f"{name}{test.name}"
        if test.subtests:
            for part in test.subtests:
                look(part, f"{name}: " if test.name else "")
        elif test.status == kunit_parser.TestStatus.SKIPPED:
            outcome.skipped += 1
        elif test.status == kunit_parser.TestStatus.SUCCESS:
            outcome.passed += 1
        else:
            outcome.wrong.append("\n".join([f"{name}: {test.status.name}", *test.log]))

    look(whole, "")
    if status or whole.counts.errors or not outcome.passed:
        outcome.wrong.append("\n".join([f"status {status}, {whole.counts}:", *lines]))
    return outcome


@pytest.mark.nvdimm
@pytest.mark.skipif(bool(IN_C), reason="they test Rust code")
@pytest.mark.parametrize("machine", [pytest.param(selftests.boot("nvdimm"), id="nvdimm/kunit")],
                         indirect=True, scope="session")
def test_kunit(machine, report):
    """Load the modules with KUnit tests, and check what they print."""
    report(machine.script(KUNIT, kunit))
