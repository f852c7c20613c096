#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The test "pmem_labels" with the tools of Debian's next release.
# machines: nvdimm
# tools: next
# limit: 200
. ./pmem_labels.sh
