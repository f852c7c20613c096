#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# regionmodel with more time, and with other requests each time.
# machines: hmem hmem-large
# needs: regionmodel
# append: memory_hotplug.memmap_on_memory=on maxcpus=1
# limit: 3600
# tier: all
# impl: rust - as region_model
# bug: align-start mapping-bound mapping-ignored mapping-reversed mapping-errno
STEPS=$((PACE > 1 ? 5000 : 100000)) SEED=$((RANDOM * 1000))
. ./region_model.sh
