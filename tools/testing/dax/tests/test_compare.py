# SPDX-License-Identifier: GPL-2.0
"""Tests that boot their own machines: comparisons with C, power cuts, and instruction counts."""

import concurrent.futures
import os
import random

import bench
import powercut
import pytest
import selftests
import storecut
import sysfs_compare
import vm
from env import BUILD, JOBS, KERNEL, LAB
from outcome import cases


def test_sysfs(report):
    """/sys shows the same as with upstream's C, in identical machines."""
    with LAB.locked():
        LAB.make_kernel("c")
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        report(case for found in pool.map(lambda machine: list(sysfs_compare.compare(BUILD, machine)),
                                          sysfs_compare.MACHINES) for case in found)


@pytest.mark.parametrize("cuts", [pytest.param(4, id="powercut"),
                                  pytest.param(100, id="powercuts", marks=pytest.mark.tier_all)])
def test_power(cuts, report):
    """Data that was reported as durable survives power cuts; SEED chooses their times."""
    seed = os.environ.get("SEED") or random.randrange(1 << 32)
    found, counts = powercut.run(BUILD, selftests.stage(), cuts, JOBS, seed)
    outcome = cases(found)
    outcome.add(counts)
    report(outcome)


@pytest.mark.tier_all
@pytest.mark.parametrize(("store", "cuts"), [pytest.param(storecut.PMDK, 50, id="pmdk"),
                                             pytest.param(storecut.DATABASES, 30, id="databases")])
def test_store(store, cuts, report):
    """Programs that keep data have all transactions that were committed before power cuts."""
    with LAB.locked():
        LAB.make_image("programs")
    seed = os.environ.get("SEED") or random.randrange(1 << 32)

    def machine(args):
        return vm.Machine(BUILD, "nvdimm", impl=KERNEL, image=BUILD / "programs.img", args=args,
                          shares={"tests": selftests.stage()})

    found, counts = storecut.run(BUILD, machine, store, cuts, seed)
    outcome = cases(found)
    outcome.add(counts)
    report(outcome)


def test_cost(report):
    """No operation takes more instructions than the last "make bench" recorded."""
    try:
        report(bench.compare(LAB))
    except bench.OtherKernel as why:
        pytest.skip(str(why))
