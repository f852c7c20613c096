# SPDX-License-Identifier: GPL-2.0
"""The modules on Debian's kernel as it is: built, packaged, installed there, tested, removed."""

import pytest
import stock
from env import BUILD
from outcome import Outcome


@pytest.fixture(scope="session")
def debian():
    """Builds for Debian's kernels, with a package and a guest of the newest: also its release."""
    builds = stock.Stock(BUILD)
    with builds.locked():
        builds.archive.update()
        release = builds.archive.newest(stock.FLAVOURS[0])
        builds.deb(release)
        builds.make_guest(release)
    return builds, release


@pytest.mark.tier_all
def test_stock(debian, report):
    outcome = Outcome()
    for where, panics in debian[0].panics(debian[1]):
        outcome.passed += not panics
        outcome.wrong += [f"{where} refers to {panics}"] * bool(panics)
    for machine in stock.CORE:
        for name, found in stock.run(*debian, machine).items():
            found.wrong = [f"{machine}, {name}: {why}" for why in found.wrong]
            outcome.merge(found)
    report(outcome)
