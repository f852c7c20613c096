# SPDX-License-Identifier: GPL-2.0
"""Builds with other compilers, configurations and architectures; see machine/builds.py."""

import pytest
from env import HERE, command, tail
from outcome import Outcome


@pytest.mark.parametrize("which", [pytest.param("some", id="builds"),
                                   pytest.param("all", id="builds_all", marks=pytest.mark.tier_all)])
def test_builds(which, report):
    """make test-builds"""
    status, output = command(str(HERE / "machine/builds.py"), which)
    report(Outcome(wrong=[tail(output)]) if status else Outcome(passed=1))
