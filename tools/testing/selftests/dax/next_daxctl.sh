#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The test "daxctl" with the tools of Debian's next release.
# machines: nvdimm
# tools: next
# limit: 120
. ./daxctl.sh
