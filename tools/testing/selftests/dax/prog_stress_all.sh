#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# prog_stress for four hours.
# machines: nvdimm
# needs: stress-ng numactl
# limit: 2100
# kernel: debug
# tier: all
TIMES=85
. ./prog_stress.sh
