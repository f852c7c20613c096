# SPDX-License-Identifier: GPL-2.0
"""The modules on Debian's kernel as it is: built, packaged, installed there, tested, removed."""

import os
import random

import pytest
import stock
import storecut
from env import BUILD
from outcome import Outcome, cases


@pytest.fixture(scope="session")
def debian():
    """Builds for Debian's kernels, with a package and a guest of the newest: also its release."""
    builds = stock.Stock(BUILD)
    try:
        return builds, stock.build(builds, stock.FLAVOURS[0])
    except stock.Moved as why:
        pytest.skip(str(why))


def test_stock_panics(debian, report):
    """The modules refer to no panic. Debian's kernels check arithmetic in Rust for overflow, unlike our own."""
    builds, release = debian
    report((f"{where} refers to nothing in core::panicking", panics) for where, panics in builds.panics(release))


@pytest.mark.parametrize(("machines", "image"), [
    pytest.param(stock.DAILY, "guest", id="stock_daily"),
    pytest.param(dict.fromkeys(stock.MACHINES), "guest", id="stock_all", marks=pytest.mark.tier_all),
    pytest.param({"nvdimm": None}, "programs", id="stock_programs", marks=pytest.mark.tier_all)])
def test_debian(debian, machines, image, report):
    """apt installs the package in a guest with Debian's kernel; the system tests pass; apt removes it."""
    builds, release = debian
    if image != "guest":
        with builds.locked():
            builds.make_guest(release, which=image)
    outcome = Outcome()
    for machine, names in machines.items():
        for name, found in stock.run(builds, release, machine, names, which=image).items():
            found.wrong = [f"{machine}, {name}: {why}" for why in found.wrong]
            outcome.merge(found)
    report(outcome)


@pytest.mark.tier_all
@pytest.mark.parametrize(("store", "cuts"), [pytest.param(storecut.PMDK, 50, id="stock_pmdk"),
                                             pytest.param(storecut.DATABASES, 30, id="stock_databases")])
def test_store(debian, store, cuts, report):
    """As test_store in test_compare.py, with the package on Debian's kernel."""
    builds, release = debian
    with builds.locked():
        builds.make_guest(release, which="programs")
    seed = os.environ.get("SEED") or random.randrange(1 << 32)
    found, counts = storecut.run(BUILD, lambda args: stock.StoreMachine(builds, release, args), store, cuts, seed)
    outcome = cases(found)
    outcome.add(counts)
    report(outcome)
