# SPDX-License-Identifier: GPL-2.0
"""The package of a kernel like Debian's with the core in Rust: built, installed in a guest, tested."""

import deb_kernel
import pytest
import stock
from env import BUILD
from outcome import Outcome


@pytest.mark.tier_all
def test_deb_kernel(report):
    """The kernel boots by Debian's initramfs, and the system tests pass. The driver among the samples, which is in
    Rust, is built from the installed headers."""
    kernel = deb_kernel.DebKernel(BUILD)
    try:
        release = deb_kernel.build(kernel, stock.FLAVOURS[0], guest=True)
    except stock.Moved as why:
        pytest.skip(str(why))
    outcome = Outcome()
    for machine in stock.MACHINES:
        for name, found in stock.run(kernel, release, machine).items():
            found.wrong = [f"{machine}, {name}: {why}" for why in found.wrong]
            outcome.merge(found)
    report(outcome)
