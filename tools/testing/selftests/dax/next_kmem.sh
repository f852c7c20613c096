#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The test "kmem" with the tools of Debian's next release.
# machines: nvdimm hmem cxl
# tools: next
# limit: 180
. ./kmem.sh
