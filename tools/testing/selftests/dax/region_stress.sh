#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Processes map a device, fault, fork, move, drop and unmap. Meanwhile the device grows, is unbound,
# resized, given another align, created again or made System RAM, and its module and its provider
# are removed. Each access reaches the right page, or none. See guest/daxstress.rs in
# tools/testing/dax.
# machines: hmem
# needs: daxstress
# limit: 240
# impl: rust - files stay open while the device is bound again
# bug: cdev-rebind
. ./lib.sh
dynamic_region
alone
seed=${SEED:-1}
echo "# daxstress $REGION ${ROUNDS:=$((PACE > 1 ? 12 : 40))} 4 $seed"
daxstress "$REGION" "$ROUNDS" 4 "$seed" >"$TMP/stress" 2>&1
status=$?
grep '^# ' "$TMP/stress"
if [ $status = 0 ]; then
	ok "each access reaches the right page, or none"
else
	not_ok "each access reaches the right page, or none" "$(grep -v '^# ' "$TMP/stress")"
fi
empty_region
is "only the first device is left, and all memory is free" \
	"$(ls /sys/bus/dax/devices) $(cat "$REGION/available_size")" "dax$R.0 $LENGTH"
done_testing
