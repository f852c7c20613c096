#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The test "cxl" with the tools of Debian's next release.
# machines: cxl
# tools: next
# limit: 240
. ./cxl.sh
