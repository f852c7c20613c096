#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Processes that map a device, fault, fork, move, drop and unmap, while it is taken from them: unbound,
# resized, given another align, made anew, made System RAM, its module and its provider removed. What
# they touch is the right page, or nothing. See daxstress.rs in tools/testing/dax/guest.
# machines: hmem
# needs: daxstress
# limit: 240
# impl: rust - C: known wrong: rebind.sh says what happens to files that stay open
. ./lib.sh
dynamic_region
alone
seed=${SEED:-1}
echo "# daxstress $REGION ${ROUNDS:=$((PACE > 1 ? 12 : 40))} 4 $seed"
daxstress "$REGION" "$ROUNDS" 4 "$seed" >"$TMP/stress" 2>&1
status=$?
grep '^# ' "$TMP/stress"
if [ $status = 0 ]; then
	ok "each touch finds the page of the device, or nothing"
else
	not_ok "each touch finds the page of the device, or nothing" "$(grep -v '^# ' "$TMP/stress")"
fi
empty_region
is "nothing is left" "$(ls /sys/bus/dax/devices) $(cat "$REGION/available_size")" "dax$R.0 $LENGTH"
done_testing
