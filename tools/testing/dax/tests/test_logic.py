# SPDX-License-Identifier: GPL-2.0
"""The logic of drivers/dax, compiled for the host; see host/."""

import pytest
from env import in_rust
from outcome import counted


def test_host(report):
    """Unit tests and proptest, run by cargo."""
    report(counted(*in_rust("test")))


@pytest.mark.tier_all
def test_fuzz(report):
    """The fuzz targets, with libFuzzer."""
    report(counted(*in_rust("fuzz")))
