#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# prog_trinity for four hours: 30 minutes for each of eight rows of calls.
# machines: nvdimm
# needs: trinity setpriv mkfs.ext4 daxfile
# limit: 2400
# kernel: debug
# tier: all
MINUTES=30
. ./prog_trinity.sh
