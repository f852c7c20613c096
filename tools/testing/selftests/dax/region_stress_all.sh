#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxstress with more time, and with other changes each time.
# machines: hmem
# needs: daxstress
# limit: 3600
# tier: all
# impl: rust - as region_stress
# bug: cdev-rebind
ROUNDS=$((PACE > 1 ? 100 : 1000)) SEED=$((RANDOM * 1000))
. ./region_stress.sh
