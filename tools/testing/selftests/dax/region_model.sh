#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Random requests to a dynamic region, valid and invalid, are compared with two models of the
# region: each errno, each file, reservation and node, and the physical address of each fault. See
# regionmodel.rs in tools/testing/dax/guest.
# machines: hmem
# needs: regionmodel
# append: memory_hotplug.memmap_on_memory=on maxcpus=1
# limit: 180
# impl: rust - the model follows the guide, also where C differs
# bug: align-start mapping-bound mapping-ignored mapping-reversed mapping-errno
. ./lib.sh
dynamic_region
alone
# The test has no races, so it need not wait longer than necessary for RCU grace periods.
expedited=$(cat /sys/kernel/rcu_expedited)
on_exit "echo $expedited >/sys/kernel/rcu_expedited"
echo 1 >/sys/kernel/rcu_expedited

seed=${SEED:-1}
echo "# regionmodel $REGION ${STEPS:=$((PACE > 1 ? 300 : 3000))} $seed"
regionmodel "$REGION" "$STEPS" "$seed" >"$TMP/model" 2>&1
status=$?
grep '^# count:' "$TMP/model"
if [ $status = 0 ]; then
	ok "the region behaves like its model"
else
	not_ok "the region behaves like its model"
	sed 's/^/# /' "$TMP/model"
fi
check "the region is empty in the end" test "$(cat "$REGION/available_size")" = "$LENGTH"
done_testing
