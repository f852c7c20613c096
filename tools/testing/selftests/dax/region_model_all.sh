#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What regionmodel finds when it is given more time, and each time other requests.
# machines: hmem hmem-large
# needs: regionmodel
# append: memory_hotplug.memmap_on_memory=on maxcpus=1
# limit: 3600
# tier: all
# impl: rust - as there
STEPS=$((PACE > 1 ? 5000 : 100000)) SEED=$((RANDOM * 1000))
. ./region_model.sh
