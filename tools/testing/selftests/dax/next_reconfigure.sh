#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The test "pmem_reconfigure" with the tools of Debian's next release.
# machines: nvdimm
# tools: next
# limit: 180
. ./pmem_reconfigure.sh
