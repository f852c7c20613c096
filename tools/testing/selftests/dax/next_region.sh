#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The test "region_daxctl" with the tools of Debian's next release.
# machines: hmem
# tools: next
# limit: 180
. ./region_daxctl.sh
