# SPDX-License-Identifier: GPL-2.0
"""The logic of drivers/dax, compiled for this machine; see host/."""

import pytest
from env import in_rust
from outcome import counted


def test_host(report):
    """With the tests of cargo, and with proptest."""
    report(counted(*in_rust("test")))


@pytest.mark.tier_all
def test_fuzz(report):
    """With what libFuzzer thinks up."""
    report(counted(*in_rust("fuzz")))
