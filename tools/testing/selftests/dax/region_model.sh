#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Random requests to a dynamic region, valid and not, and what two models of it say: every errno,
# every file, reservation and node, and the physical address of every fault. See regionmodel.rs in tools/testing/dax/guest.
# machines: hmem
# needs: regionmodel
# append: memory_hotplug.memmap_on_memory=on maxcpus=1
# limit: 180
# impl: rust - the model is what the guide says, where it differs from C, too
. ./lib.sh
dynamic_region
alone
# Nothing here is a race, so nobody need wait for the end of readers longer than it takes.
expedited=$(cat /sys/kernel/rcu_expedited)
on_exit "echo $expedited >/sys/kernel/rcu_expedited"
echo 1 >/sys/kernel/rcu_expedited

seed=${SEED:-1}
echo "# regionmodel $REGION ${STEPS:=$((PACE > 1 ? 300 : 3000))} $seed"
regionmodel "$REGION" "$STEPS" "$seed" >"$TMP/model" 2>&1
status=$?
grep '^# count:' "$TMP/model"
if [ $status = 0 ]; then
	ok "the region does what its model says"
else
	not_ok "the region does what its model says"
	sed 's/^/# /' "$TMP/model"
fi
check "it is empty in the end" test "$(cat "$REGION/available_size")" = "$LENGTH"
done_testing
